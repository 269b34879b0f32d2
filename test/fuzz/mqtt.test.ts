import type { Duplex } from 'node:stream'
import { generate, type Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { Decoder, type PacketHandler } from '../../protocols/mqtt/decoder.ts'
import { defaultPacketLimits } from '../../protocols/mqtt/limits.ts'
import type { MqttFault } from '../../protocols/mqtt/packet.ts'
import { isUtf8 } from '../../protocols/mqtt/utf8.ts'
import { MqttBroker } from '../support/mqtt-broker.ts'
import { randomOf, startSeed } from '../support/seed.ts'

const environment: { readonly FUZZ_PACKETS?: string } = process.env
const packetCount = Number(environment.FUZZ_PACKETS ?? 20_000)

type Random = () => number

function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)] as T
}

const names = [
  'a',
  'a/b',
  '$queue/q',
  '$share/g/a',
  '+/b',
  'a/#',
  '#',
  '$SYS/x',
  '',
  '__proto__',
  'constructor',
  '\u00e9/\ud83d\ude00',
  '%2F.*',
]
const properties = [
  undefined,
  { userProperties: { 'manifoldmq-delay': '5', 'manifoldmq-priority': '9', a: 'b' } },
  { topicAlias: 1, messageExpiryInterval: 1, payloadFormatIndicator: true },
  { responseTopic: 'r/s', correlationData: Buffer.from([0, 255]), contentType: 'text/plain' },
]

/** A packet as a client sends it. */
function validPacket(random: Random, version: 4 | 5): Packet {
  const messageId = 1 + Math.floor(random() * 5)
  const qos = pick(random, [0, 1, 2] as const)
  const topic = pick(random, names)
  const chosen = version === 5 ? pick(random, properties) : undefined
  const extra = chosen === undefined ? {} : { properties: chosen }
  switch (Math.floor(random() * 9)) {
    case 0:
      return {
        cmd: 'subscribe',
        messageId,
        subscriptions: [{ topic, qos, nl: random() < 0.2, rh: pick(random, [0, 1, 2]) }],
      } as Packet
    case 1:
      return { cmd: 'unsubscribe', messageId, unsubscriptions: [topic] }
    case 2:
      return { cmd: pick(random, ['puback', 'pubrec', 'pubrel', 'pubcomp'] as const), messageId }
    case 3:
      return { cmd: 'pingreq' }
    case 4:
      return random() < 0.1 ? { cmd: 'disconnect' } : { cmd: 'pingreq' }
    default: {
      const payload = Buffer.alloc(Math.floor(random() ** 4 * 3000), 120)
      return {
        cmd: 'publish',
        topic,
        payload,
        qos,
        messageId,
        retain: random() < 0.2,
        dup: qos > 0 && random() < 0.2,
        ...extra,
      } as Packet
    }
  }
}

function connectPacket(random: Random, version: 4 | 5): Packet {
  const will = random() < 0.3 ? { will: { topic: 'w', payload: Buffer.from('w'), qos: 1, retain: false } } : {}
  const expiry =
    version === 5 ? { properties: { sessionExpiryInterval: pick(random, [0, 10]), topicAliasMaximum: 2 } } : {}
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: version,
    clientId: pick(random, ['c1', 'c2', '__proto__', 'x']),
    clean: random() < 0.5,
    keepalive: 10,
    ...will,
    ...expiry,
  } as Packet
}

/** The bytes of a packet; those that the other codec refuses to write, too. */
function bytesOf(packet: Packet, version: 4 | 5): Buffer {
  try {
    return generate(packet, { protocolVersion: version })
  } catch {
    return Buffer.from([0xc0, 0x00])
  }
}

/** Spoils bytes: flips, cuts, repeats, inserts. */
function mutated(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  const at = Math.floor(random() * copy.length)
  switch (Math.floor(random() * 5)) {
    case 0:
      copy[at] = Math.floor(random() * 256)
      return copy
    case 1:
      return copy.subarray(0, at)
    case 2:
      return Buffer.concat([copy.subarray(0, at), Buffer.from([Math.floor(random() * 256)]), copy.subarray(at)])
    case 3:
      copy[at] = (copy[at] as number) ^ (1 << Math.floor(random() * 8))
      return copy
    default:
      return Buffer.concat([
        copy,
        Buffer.from(Array.from({ length: Math.floor(random() * 20) }, () => Math.floor(random() * 256))),
      ])
  }
}

class Recorder implements PacketHandler {
  readonly seen: string[] = []

  onPacket(first: number, bytes: Buffer, start: number, end: number): void {
    this.seen.push(`${first}:${bytes.toString('hex', start, end)}`)
  }

  onError({ reason }: MqttFault): void {
    this.seen.push(`error ${reason}`)
  }
}

function decoded(chunks: readonly Buffer[]): string[] {
  const recorder = new Recorder()
  const decoder = new Decoder(recorder, { ...defaultPacketLimits, packetBytesMax: 4096 })
  decoder.isConnected = true
  for (const chunk of chunks) decoder.push(chunk)
  return recorder.seen
}

describe('the decoder', () => {
  test('reads the same packets wherever the bytes are cut', () => {
    const seed = startSeed()
    const random = randomOf(seed)
    for (let round = 0; round < packetCount / 40; round += 1) {
      const parts = Array.from({ length: 10 }, () => {
        const bytes = bytesOf(validPacket(random, 5), 5)
        return random() < 0.1 ? mutated(random, bytes) : bytes
      })
      const whole = Buffer.concat(parts)
      const chunks: Buffer[] = []
      for (let at = 0; at < whole.length; ) {
        const length = 1 + Math.floor(random() ** 3 * 200)
        chunks.push(whole.subarray(at, at + length))
        at += length
      }
      expect(decoded(chunks), `seed ${seed} round ${round}`).toEqual(decoded([whole]))
    }
  })

  test('keeps no more of a packet than has come', () => {
    const recorder = new Recorder()
    const decoder = new Decoder(recorder, defaultPacketLimits)
    decoder.isConnected = true
    const before = process.memoryUsage().arrayBuffers
    decoder.push(Buffer.from('30ffffff2f', 'hex'))
    decoder.push(Buffer.alloc(1000))
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024)
    expect(recorder.seen).toEqual([])
  })
})

test('UTF-8 is what the platform says it is, without U+0000', () => {
  const random = randomOf(startSeed())
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const isStrict = (bytes: Buffer): boolean => {
    try {
      strict.decode(bytes)
      return !bytes.includes(0)
    } catch {
      return false
    }
  }
  const heads = [
    0x41, 0x7f, 0x80, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff, 0x9f, 0xa0, 0x8f,
    0x90,
  ]
  for (let round = 0; round < 50_000; round += 1) {
    const bytes = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 5) }, () => pick(random, heads)))
    expect(isUtf8(bytes, 0, bytes.length), bytes.toString('hex')).toBe(isStrict(bytes))
  }
})

test(
  'whatever comes in, the broker answers or hangs up, and others are served',
  async () => {
    const seed = startSeed()
    const random = randomOf(seed)
    const test = await MqttBroker.open({
      mqtt: { limits: { ...defaultPacketLimits, packetBytesMax: 64 * 1024 } },
      limits: { memoryBytesMax: 64 * 1024 * 1024, outputBytesHigh: 64 * 1024 },
    })
    const bystander = await test.connected(5, { clientId: 'bystander' })
    await bystander.subscribe('bystander', 1)
    const open: Duplex[] = []
    let sent = 0
    for (let round = 0; sent < packetCount; round += 1) {
      const version = pick(random, [4, 5] as const)
      const { stream } = test.client(version)
      stream.removeAllListeners('data')
      stream.resume()
      open.push(stream)
      const connect = bytesOf(connectPacket(random, version), version)
      stream.write(random() < 0.1 ? mutated(random, connect) : connect)
      const share = pick(random, [0, 0.02, 0.3])
      for (let count = Math.floor(random() * 60); count > 0; count -= 1) {
        const bytes = bytesOf(validPacket(random, version), version)
        if (!stream.writable) break
        stream.write(random() < share ? mutated(random, bytes) : bytes)
        sent += 1
      }
      if (open.length > 20) open.shift()?.destroy()
      if (round % 10 === 0) test.clock.advance(Math.floor(random() * 8000))
      if (round % 50 === 0) {
        const payload = `round ${round}`
        bystander.publish('bystander', payload, { qos: 1, messageId: 1 })
        await bystander.next('puback')
        expect(await bystander.payloads(1), `seed ${seed}`).toEqual([payload])
      } else await new Promise((resolve) => setImmediate(resolve))
    }
    for (const stream of open) stream.destroy()
    if (environment.FUZZ_PACKETS !== undefined) console.log(JSON.stringify({ seed, sent }))
  },
  60_000 + packetCount,
)
