import type { IPublishPacket } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import type { AuthMethod } from '../../../../protocols/mqtt/auth.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { MqttBroker } from '../../../support/mqtt-broker.ts'
import type { MqttTestClient, Version } from '../../../support/mqtt-client.ts'

/** Each title begins with the statements that it shows; README.md beside the adapter lists them all. */

const bothVersions: readonly Version[] = [4, 5]
const will = { topic: 'w', payload: Buffer.from('will'), qos: 1 as const, retain: false }

async function watching(test: MqttBroker, filter: string, qos = 0): Promise<MqttTestClient> {
  const client = await test.connected(5)
  await client.subscribe(filter, qos)
  return client
}

/** What a level 5 server answers to bytes of a connected client: the reason of its DISCONNECT. */
async function reasonFor(digits: string, version: Version = 5): Promise<number | undefined> {
  const test = await MqttBroker.open()
  const client = await test.connected(version)
  client.writeHex(digits)
  await client.closed
  return client.packets.length === 0 ? undefined : (await client.next('disconnect')).reasonCode
}

/** What the server answers to bytes that are a client's first: the code of its CONNACK, or nothing. */
async function answerTo(digits: string, version: Version = 4): Promise<number | undefined> {
  const test = await MqttBroker.open()
  const client = test.client(version)
  client.writeHex(digits)
  await client.closed
  if (client.packets.length === 0) return undefined
  const { reasonCode, returnCode } = await client.next('connack')
  return reasonCode ?? returnCode
}

describe('strings and numbers', () => {
  test.each([
    ['a surrogate', 'eda080'],
    ['a cut character', 'c3'],
    ['an overlong form', 'c080'],
    ['U+0000', '00'],
  ])(
    'MQTT-1.5.4-1 MQTT-1.5.4-2 MQTT-1.4.0-1 MQTT-1.4.0-2 MQTT-3.3.2-1 MQTT-4.7.3-2: a topic with %s ends the connection',
    async (_, bytes) => {
      const length = bytes.length / 2
      const topic = `00${(length + 1).toString(16).padStart(2, '0')}61${bytes}`
      expect(await reasonFor(`30 ${(length + 4).toString(16).padStart(2, '0')} ${topic} 00`)).toBe(0x81)
      expect(await reasonFor(`30 ${(length + 3).toString(16).padStart(2, '0')} ${topic}`, 4)).toBeUndefined()
    },
  )

  test('MQTT-1.5.4-3 MQTT-1.4.0-3 MQTT-4.7.3-4: a byte order mark is a character like any other', async () => {
    const test = await MqttBroker.open()
    const client = await watching(test, '\ufeffa')
    client.publish('a', 'without')
    client.publish('\ufeffa', 'with')
    expect(await client.next('publish')).toMatchObject({ topic: '\ufeffa' })
  })

  test('MQTT-1.5.5-1: a variable byte integer in more bytes than it needs is malformed', async () => {
    expect(await reasonFor('c0 80 00')).toBe(0x81)
    expect(await reasonFor('30 06 0001 61 8000 78')).toBe(0x81)
    expect(await reasonFor('c0 ffffffff 01')).toBe(0x81)
  })

  test('MQTT-1.5.7-1: a user property that is not UTF-8 is malformed', async () => {
    expect(await reasonFor('30 0b 0001 61 07 26 0001 ff 0001 62 78')).toBe(0x81)
  })
})

describe('fixed headers and packet ids', () => {
  test.each([
    ['reserved type', '00 00'],
    ['CONNECT', '11 00'],
    ['PUBACK', '41 02 0001'],
    ['PUBREC', '51 02 0001'],
    ['PUBREL', '60 02 0001'],
    ['PUBCOMP', '71 02 0001'],
    ['SUBSCRIBE', '80 07 0001 00 0001 61 00'],
    ['UNSUBSCRIBE', 'a0 06 0001 00 0001 61'],
    ['PINGREQ', 'c1 00'],
    ['DISCONNECT', 'e1 00'],
    ['AUTH', 'f1 00'],
  ])(
    'MQTT-2.1.3-1 MQTT-2.2.2-1 MQTT-2.2.2-2 MQTT-3.6.1-1 MQTT-3.8.1-1 MQTT-3.10.1-1 MQTT-3.14.1-1 MQTT-3.15.1-1 MQTT-4.8.0-1 MQTT-4.13.1-1: wrong flags of %s',
    async (_, digits) => {
      expect(await reasonFor(digits)).toBe(0x81)
      expect(await reasonFor(digits, 4)).toBeUndefined()
    },
  )

  test.each([
    ['PUBLISH', '32 07 0001 61 0000 00 78'],
    ['SUBSCRIBE', '82 07 0000 00 0001 61 00'],
    ['UNSUBSCRIBE', 'a2 06 0000 00 0001 61'],
    ['PUBACK', '40 02 0000'],
    ['PUBREL', '62 02 0000'],
  ])('MQTT-2.2.1-3 MQTT-2.3.1-1: the packet id 0 in %s is malformed', async (_, digits) => {
    expect(await reasonFor(digits)).toBe(0x81)
  })

  test.each(bothVersions)(
    'MQTT-2.2.1-4 MQTT-2.3.1-4 MQTT-4.3.2-1 MQTT-4.3.2.1 MQTT-4.3.3-1: level %d, packet ids in use are not given again',
    async (version) => {
      const test = await MqttBroker.open({ mqtt: { sendMax: 40_000 } })
      const client = await test.connected(version)
      await client.subscribe('t', 1)
      const producer = await test.connected()
      await producer.sure('t', 'held')
      const { messageId: held } = await client.next('publish')
      expect(held).toBe(1)
      const count = 65_540
      const ids = new Set<number>()
      for (let sent = 0; sent < count; ) {
        const batch = Math.min(1000, count - sent)
        for (let index = 0; index < batch; index += 1) producer.publish('t', 'x', { qos: 1, messageId: index + 1 })
        for (let index = 0; index < batch; index += 1) {
          const { messageId } = await client.next('publish')
          ids.add(messageId as number)
          client.send({ cmd: 'puback', messageId: messageId as number })
        }
        sent += batch
      }
      expect(ids.has(1)).toBe(false)
      expect(ids.size).toBeGreaterThan(60_000)
    },
  )

  test('MQTT-2.2.2-1: properties are a length at least', async () => {
    expect(await reasonFor('30 03 0001 61')).toBe(0x81)
    expect(await reasonFor('82 05 0001 0001 61')).toBe(0x81)
  })
})

describe('CONNECT', () => {
  test('MQTT-3.1.0-1: anything else first ends the connection', async () => {
    expect(await answerTo('c0 00')).toBeUndefined()
    expect(await answerTo('30 03 0001 61')).toBeUndefined()
  })

  test.each(bothVersions)('MQTT-3.1.0-2: level %d, a second CONNECT ends the connection', async (version) => {
    const test = await MqttBroker.open()
    const client = await test.connected(version)
    client.sendConnect()
    await client.closed
    if (version === 5) expect((await client.next('disconnect')).reasonCode).toBe(0x82)
  })

  test('MQTT-3.1.2-1: another protocol name ends the connection', async () => {
    expect(await answerTo('10 0d 0004 4d515455 04 02 0000 0001 61')).toBeUndefined()
  })

  test('MQTT-3.1.2-2 MQTT-3.2.2-5 MQTT-3.2.2-7 MQTT-3.2.2-8: another level is answered and the connection ended', async () => {
    expect(await answerTo('10 0d 0004 4d515454 03 02 0000 0001 61')).toBe(1)
    expect(await answerTo('10 0d 0004 4d515454 06 02 0000 0001 61', 5)).toBe(0x84)
  })

  test('MQTT-3.1.2-3 MQTT-3.1.4-1 MQTT-3.2.2-6: a reserved flag ends the connection, before MQTT 5 without a CONNACK', async () => {
    expect(await answerTo('10 0d 0004 4d515454 04 03 0000 0001 61')).toBeUndefined()
    expect(await answerTo('10 0e 0004 4d515454 05 03 0000 00 0001 61', 5)).toBe(0x81)
  })

  test.each([
    ['MQTT-3.1.2-11 MQTT-3.1.2-13: a will QoS without a will', '0a'],
    ['MQTT-3.1.2-13 MQTT-3.1.2-15: a will retain without a will', '22'],
    ['MQTT-3.1.2-12 MQTT-3.1.2-14: a will of QoS 3', '1e'],
    ['MQTT-3.1.2-9 MQTT-3.1.3-1: a will flag without a will', '06'],
    ['MQTT-3.1.2-17 MQTT-3.1.2-19: a user name flag without a user name', '82'],
    ['MQTT-3.1.2-19 MQTT-3.1.2-21: a password flag without a password', 'c2'],
  ])('%s is malformed', async (_, flags) => {
    expect(await answerTo(`10 0d 0004 4d515454 04 ${flags} 0000 0001 61`)).toBeUndefined()
    expect(await answerTo(`10 0e 0004 4d515454 05 ${flags} 0000 00 0001 61`, 5)).toBe(0x81)
  })

  test('MQTT-3.1.2-22: a password without a user name is malformed before MQTT 5', async () => {
    expect(await answerTo('10 10 0004 4d515454 04 42 0000 0001 61 0001 62')).toBeUndefined()
    const client = (await MqttBroker.open()).client(5)
    client.writeHex('10 11 0004 4d515454 05 42 0000 00 0001 61 0001 62')
    expect((await client.next('connack')).reasonCode).toBe(0)
  })

  test('MQTT-3.1.2-16 MQTT-3.1.2-18: bytes that no flag announces are malformed', async () => {
    expect(await answerTo('10 10 0004 4d515454 04 02 0000 0001 61 0001 62')).toBeUndefined()
  })

  test.each(bothVersions)(
    'MQTT-3.1.2-4 MQTT-3.1.2-6 MQTT-3.1.4-4 MQTT-3.2.2-1 MQTT-3.2.2-2 MQTT-3.1.4-3: level %d, a clean start discards what there was',
    async (version) => {
      const test = await MqttBroker.open()
      const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 100 } }
      const first = await test.connected(version, kept)
      await first.subscribe('t', 1)
      first.disconnect()
      await first.closed
      const connack = await test.client(version).connect({ ...kept, clean: true })
      expect(connack.sessionPresent).toBe(false)
      expect(test.broker.subscriptionsOf('c')).toEqual([])
    },
  )

  test.each(bothVersions)(
    'MQTT-3.1.2-5 MQTT-3.1.2-23 MQTT-3.2.2-3 MQTT-3.1.4-5 MQTT-4.5.0-1 MQTT-4.1.0.1 MQTT-3.1.3-2: level %d, a session is taken up by its client id',
    async (version) => {
      const test = await MqttBroker.open()
      const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 100 } }
      const first = test.client(version)
      expect((await first.connect(kept)).sessionPresent).toBe(false)
      await first.subscribe('t', 1)
      first.disconnect()
      await first.closed
      await (await test.connected()).sure('t', 'x')
      const second = test.client(version)
      expect((await second.connect(kept)).sessionPresent).toBe(true)
      expect(await second.payloads(1)).toEqual(['x'])
    },
  )

  test('MQTT-3.1.2.7: retained messages outlive the session that published them', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(4)
    await client.sure('r', 'kept', { retain: true })
    client.disconnect()
    await client.closed
    expect(await (await watching(test, 'r')).payloads(1)).toEqual(['kept'])
  })

  test.each([4, 5] as const)(
    'MQTT-3.1.2-7 MQTT-3.1.2-8 MQTT-3.1.2-10: level %d, the will is published once when the connection breaks',
    async (version) => {
      const test = await MqttBroker.open()
      const watcher = await watching(test, 'w')
      const client = await test.connected(version, { will })
      client.writeHex('00 00')
      expect(await watcher.payloads(1)).toEqual(['will'])
      await client.closed
      await watcher.settled()
      expect(watcher.packets).toEqual([])
    },
  )

  test('MQTT-3.1.2-14 MQTT-3.1.2-15 MQTT-3.1.2-16 MQTT-3.1.2-17: the will is retained if it says so', async () => {
    const test = await MqttBroker.open()
    const watcher = await watching(test, '+')
    for (const [topic, retain] of [
      ['kept', true],
      ['passing', false],
    ] as const) {
      const client = await test.connected(4, { will: { ...will, topic, retain } })
      client.close()
      await watcher.payloads(1)
    }
    expect(await (await watching(test, '+')).next('publish')).toMatchObject({ topic: 'kept', retain: true })
    expect(test.broker.retained.count).toBe(1)
  })

  test('MQTT-3.1.2-22 MQTT-3.1.2-24: a client that is silent for one and a half keep-alives has gone', async () => {
    const test = await MqttBroker.open()
    const watcher = await watching(test, 'w')
    const client = await test.connected(5, { keepalive: 10, will })
    test.clock.advance(14_000)
    await client.settled()
    test.clock.advance(14_900)
    expect(client.isClosed).toBe(false)
    test.clock.advance(200)
    await client.closed
    expect((await client.next('disconnect')).reasonCode).toBe(0x8d)
    expect(await watcher.payloads(1)).toEqual(['will'])
  })

  test('MQTT-3.2.2-22: without a keep-alive nobody is given up', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5, { keepalive: 0 })
    test.clock.advance(86_400_000)
    await client.settled()
  })

  test('MQTT-3.2.2-21: a keep-alive longer than allowed, or none, is answered with the one that holds', async () => {
    const test = await MqttBroker.open({ mqtt: { keepAliveMsMax: 60_000 } })
    for (const keepalive of [0, 120]) {
      const client = test.client(5)
      expect((await client.connect({ keepalive })).properties?.serverKeepAlive).toBe(60)
      test.clock.advance(90_100)
      await client.closed
    }
    expect((await test.client(5).connect({ keepalive: 30 })).properties?.serverKeepAlive).toBeUndefined()
  })

  test('MQTT-3.1.2-24 MQTT-3.1.2-25: a message that is too large for its client is left out, and the next one comes', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5, { properties: { maximumPacketSize: 100, receiveMaximum: 1 } })
    for (const [filter, qos] of [
      ['a', 0],
      ['b', 1],
    ] as const)
      await client.subscribe(filter, qos)
    const producer = await test.connected(5)
    for (const topic of ['a', 'b']) {
      await producer.sure(topic, 'x'.repeat(200))
      await producer.sure(topic, topic)
    }
    expect(await client.payloads(2)).toEqual(['a', 'b'])
  })

  test('MQTT-3.1.2-26 MQTT-3.1.2-27 MQTT-3.3.2-11: topic aliases are given up to the number the client takes, and none without', async () => {
    const test = await MqttBroker.open()
    const producer = await test.connected(5)
    const [some, none] = [await test.connected(5, { properties: { topicAliasMaximum: 1 } }), await test.connected(5)]
    const seen: Record<string, unknown[]> = { some: [], none: [] }
    for (const [name, client] of Object.entries({ some, none })) {
      await client.subscribe('+', 1)
      for (const topic of ['a', 'b', 'a']) {
        await producer.sure(topic, 'x')
        const got = await client.next('publish')
        client.send({ cmd: 'puback', messageId: got.messageId as number })
        seen[name]?.push([got.topic, got.properties?.topicAlias])
      }
    }
    expect(seen.some).toEqual([
      ['a', 1],
      ['b', undefined],
      ['', 1],
    ])
    expect(seen.none).toEqual([
      ['a', undefined],
      ['b', undefined],
      ['a', undefined],
    ])
  })

  test('MQTT-3.1.2-28: response information comes if it was asked for only', async () => {
    const test = await MqttBroker.open()
    const asked = await test.client(5).connect({ clientId: 'c', properties: { requestResponseInformation: true } })
    expect(asked.properties?.responseInformation).toBe('response/c')
    expect((await test.client(5).connect()).properties?.responseInformation).toBeUndefined()
  })

  test('MQTT-3.1.2-29: without problem information no acknowledgement has a reason string', async () => {
    const refusing = { authorise: () => new BrokerError('not-authorised', 'not you') }
    const access = {
      authenticate: (_: unknown, answer: (identity: object) => void) => answer({ principal: 'p' }),
      ...refusing,
    }
    const test = await MqttBroker.open({ access: access as never })
    for (const requestProblemInformation of [true, false]) {
      const client = await test.connected(5, { properties: { requestProblemInformation } })
      client.publish('t', 'x', { qos: 1, messageId: 1 })
      const puback = await client.next('puback')
      expect(puback.reasonCode).toBe(0x87)
      expect(puback.properties?.reasonString).toBe(requestProblemInformation ? 'not you' : undefined)
    }
  })

  test.each([
    ['MQTT-3.1.3-4: a client id', '10 0d 0004 4d515454 04 02 0000 0001 ff'],
    ['MQTT-3.1.3-11 MQTT-3.1.3-10: a will topic', '10 13 0004 4d515454 04 06 0000 0001 61 0001 ff 0001 62'],
    ['MQTT-3.1.3-12 MQTT-3.1.3-11: a user name', '10 10 0004 4d515454 04 82 0000 0001 61 0001 ff'],
  ])('%s that is not UTF-8 is malformed', async (_, digits) => {
    expect(await answerTo(digits)).toBeUndefined()
  })

  test('MQTT-3.1.3-5 MQTT-3.1.3-3: client ids of 1 to 23 letters and digits, and longer ones, are taken', async () => {
    const test = await MqttBroker.open()
    for (const clientId of ['a', 'Z'.repeat(23), '9'.repeat(512), '__proto__', 'constructor', 'a/b c\u00e9']) {
      expect((await test.client(5).connect({ clientId })).reasonCode).toBe(0)
    }
  })

  test('MQTT-3.1.3-6 MQTT-3.1.3-7 MQTT-3.2.2-16: a client without an id is given one of its own', async () => {
    const test = await MqttBroker.open()
    const given = [await test.client(5).connect({ clientId: '' }), await test.client(5).connect({ clientId: '' })]
    const ids = given.map(({ properties }) => properties?.assignedClientIdentifier)
    expect(new Set(ids).size).toBe(2)
    expect((await test.client(4).connect({ clientId: '', clean: true })).returnCode).toBe(0)
  })

  test('MQTT-3.1.3-8 MQTT-3.1.3-9: an id that cannot be had is refused', async () => {
    const test = await MqttBroker.open()
    const none = test.client(4)
    none.writeHex('10 0c 0004 4d515454 04 00 0000 0000')
    expect((await none.next('connack')).returnCode).toBe(2)
    await none.closed
    for (const version of bothVersions) {
      const long = test.client(version)
      const connack = await long.connect({ clientId: 'x'.repeat(513) })
      expect(connack.reasonCode ?? connack.returnCode).toBe(version === 5 ? 0x85 : 2)
      expect(connack.sessionPresent).toBe(false)
      await long.closed
    }
  })

  test('MQTT-3.1.3-9: a client that is back within the will delay has no will published', async () => {
    const test = await MqttBroker.open()
    const watcher = await watching(test, 'w')
    const options = {
      clientId: 'c',
      clean: false,
      properties: { sessionExpiryInterval: 100 },
      will: { ...will, properties: { willDelayInterval: 10 } },
    }
    const first = await test.connected(5, options)
    first.close()
    await first.closed
    test.clock.advance(9000)
    const second = await test.connected(5, options)
    test.clock.advance(9000)
    await watcher.settled()
    expect(watcher.packets).toEqual([])
    second.close()
    await second.closed
    test.clock.advance(10_000)
    const { properties } = await watcher.next('publish')
    expect(properties).toBeUndefined()
  })

  test('MQTT-3.1.3-9: a will that is delayed longer than its session is published when that ends', async () => {
    const test = await MqttBroker.open()
    const watcher = await watching(test, 'w')
    const properties = { sessionExpiryInterval: 5 }
    const client = await test.connected(5, { properties, will: { ...will, properties: { willDelayInterval: 500 } } })
    client.close()
    await client.closed
    test.clock.advance(5000)
    expect(await watcher.payloads(1)).toEqual(['will'])
  })

  test('MQTT-3.1.4-2 MQTT-3.2.2-4: who is not let in is told so and hung up on', async () => {
    const denied = new BrokerError('not-authenticated', 'wrong password')
    const access = {
      authenticate: (_: unknown, answer: (result: BrokerError) => void) => answer(denied),
      authorise: () => undefined,
    }
    const test = await MqttBroker.open({ access: access as never })
    for (const [version, code] of [
      [4, 4],
      [5, 0x86],
    ] as const) {
      const client = test.client(version)
      const connack = await client.connect()
      expect([connack.reasonCode ?? connack.returnCode, connack.sessionPresent]).toEqual([code, false])
      await client.closed
    }
  })

  test('MQTT-3.1.4-3 MQTT-3.1.4-2: the connection that had the client id before is told and ended', async () => {
    const test = await MqttBroker.open()
    const [old, clean] = [await test.connected(5, { clientId: 'c' }), await test.connected(5, { clientId: 'c' })]
    await old.closed
    expect((await old.next('disconnect')).reasonCode).toBe(0x8e)
    await clean.settled()
  })

  test('MQTT-3.1.4-6 MQTT-3.1.4-5: what follows a CONNECT that is refused is not looked at', async () => {
    const test = await MqttBroker.open()
    const watcher = await watching(test, '#')
    const client = test.client(4)
    client.writeHex('10 0d 0004 4d515454 03 02 0000 0001 61 30 04 0001 61 78')
    await client.closed
    await watcher.settled()
    expect(watcher.packets).toEqual([])
  })

  test('MQTT-3.2.0-1 MQTT-3.2.0-2 MQTT-3.14.0-1 MQTT-3.1.4-4 MQTT-3.1.4-5: the first packet is one CONNACK, whatever came with the CONNECT', async () => {
    const test = await MqttBroker.open()
    const client = test.client(4)
    client.writeHex('10 0d 0004 4d515454 04 02 0000 0001 61 82 06 0001 0001 61 01 30 04 0001 61 78 c0 00')
    await client.next('pingresp')
    expect(client.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'suback', 'publish'])
  })

  test.each([1, 2, 3, 7])('packets that come in pieces of %d bytes are the same packets', async (size) => {
    const test = await MqttBroker.open()
    const client = test.client(4)
    const digits =
      '10 0f 0004 4d515454 04 02 003c 0003 777334 82 08 2374 0003 612f23 02 32 09 0003 612f62 0001 7879 c0 00'
    const bytes = Buffer.from(digits.replaceAll(' ', ''), 'hex')
    for (let at = 0; at < bytes.length; at += size) {
      client.write(bytes.subarray(at, at + size))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await client.next('pingresp')
    expect(client.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'suback', 'publish', 'puback'])
  })

  test('MQTT-4.1.0-2 MQTT-4.1.0-1: a session ends with its expiry interval, not before, and not while its client is there', async () => {
    const test = await MqttBroker.open()
    const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 60 } }
    const first = await test.connected(5, kept)
    await first.subscribe('t', 1)
    test.clock.advance(100_000)
    await first.settled()
    first.close()
    await first.closed
    test.clock.advance(59_000)
    expect(test.broker.subscriptionsOf('c').length).toBe(1)
    test.clock.advance(2000)
    expect(test.broker.subscriptionsOf('c')).toEqual([])
    expect((await test.client(5).connect(kept)).sessionPresent).toBe(false)
  })
})

describe('PUBLISH', () => {
  test('MQTT-3.3.1-2 MQTT-4.3.1-1 MQTT-4.3.1.1: QoS 0 with DUP is malformed, and none has it on the way out', async () => {
    expect(await reasonFor('38 05 0001 61 00 78')).toBe(0x81)
    const test = await MqttBroker.open()
    const client = await watching(test, 't', 0)
    await (await test.connected()).sure('t', 'x', { dup: true })
    expect(await client.next('publish')).toMatchObject({ dup: false, qos: 0 })
  })

  test('MQTT-3.3.1-3 MQTT-4.3.2-2 MQTT-4.3.3-2: a DUP that comes in does not go out', async () => {
    const test = await MqttBroker.open()
    const client = await watching(test, 't', 2)
    const producer = await test.connected()
    await producer.sure('t', 'x', { dup: true })
    producer.publish('t', 'y', { qos: 2, messageId: 4, dup: true })
    expect(await client.next('publish')).toMatchObject({ dup: false, qos: 1 })
    expect(await client.next('publish')).toMatchObject({ dup: false, qos: 2 })
  })

  test('MQTT-3.3.1-4: QoS 3 is malformed', async () => {
    expect(await reasonFor('36 07 0001 61 0001 00 78')).toBe(0x81)
    expect(await reasonFor('36 06 0001 61 0001 78', 4)).toBeUndefined()
  })

  test('MQTT-3.3.1-5 MQTT-3.3.1-6 MQTT-3.3.1-7 MQTT-3.3.1-8 MQTT-3.3.1-10 MQTT-3.3.1-11 MQTT-3.3.1-12: retained messages are replaced, cleared and left alone', async () => {
    const test = await MqttBroker.open()
    const producer = await test.connected(5)
    const late = async () => {
      const client = await watching(test, 't')
      await client.settled()
      return client.packets.map((packet) => String((packet as IPublishPacket).payload))
    }
    await producer.sure('t', 'one', { retain: true })
    producer.publish('t', 'two', { retain: true })
    expect(await late()).toEqual(['two'])
    await producer.sure('t', 'three')
    await producer.sure('t', '')
    expect(await late()).toEqual(['two'])
    const watcher = await watching(test, 't')
    await watcher.next('publish')
    producer.publish('t', '', { retain: true })
    expect(await watcher.payloads(1)).toEqual([''])
    expect(await late()).toEqual([])
  })

  test('MQTT-3.3.1-9 MQTT-3.3.1-10 MQTT-3.3.1-11 MQTT-3.3.1-6 MQTT-3.8.4-4 MQTT-3.8.4-3: retained messages come to a subscription as its handling says', async () => {
    const test = await MqttBroker.open()
    await (await test.connected(5)).sure('t', 'kept', { retain: true })
    for (const qos of [0, 1] as const) {
      const seen: number[] = []
      for (const rh of [0, 1, 2] as const) {
        const client = await test.connected(5)
        for (let count = 0; count < 2; count += 1) await client.subscribe('t', { qos, rh })
        await client.settled()
        seen.push(client.packets.length)
      }
      expect(seen).toEqual([2, 1, 0])
    }
  })

  test('MQTT-3.3.1-12 MQTT-3.3.1-13 MQTT-3.3.1-8 MQTT-3.3.1-9: RETAIN is as it was published if the subscription says so, and set on what was retained', async () => {
    const test = await MqttBroker.open()
    const [plain, rap] = [await test.connected(5), await test.connected(5)]
    await plain.subscribe('t', { qos: 1, rap: false })
    await rap.subscribe('t', { qos: 1, rap: true })
    const producer = await test.connected(5)
    await producer.sure('t', 'x', { retain: true })
    await producer.sure('t', 'y')
    const flags = async (client: MqttTestClient) => [
      (await client.next('publish')).retain,
      (await client.next('publish')).retain,
    ]
    expect(await flags(plain)).toEqual([false, false])
    expect(await flags(rap)).toEqual([true, false])
    expect(await (await watching(test, 't')).next('publish')).toMatchObject({ retain: true })
  })

  test('MQTT-3.3.2-2 MQTT-4.7.0-1 MQTT-4.7.1-1: a topic name with a wildcard ends the connection', async () => {
    expect(await reasonFor('30 07 0003 612f2b 00 78')).toBe(0x90)
    expect(await reasonFor('30 05 0001 23 00 78')).toBe(0x90)
    expect(await reasonFor('30 04 0001 23 78', 4)).toBeUndefined()
  })

  test('MQTT-4.7.3-1: an empty topic name or filter is none', async () => {
    expect(await reasonFor('30 04 0000 00 78')).toBe(0x82)
    expect(await reasonFor('30 03 0000 78', 4)).toBeUndefined()
    const test = await MqttBroker.open()
    expect(await (await test.connected(5)).subscribe('', 0)).toEqual([0x8f])
  })

  test('MQTT-3.3.2-4 MQTT-3.3.2-13 MQTT-3.3.2-15 MQTT-3.3.2-16 MQTT-3.3.2-17 MQTT-3.3.2-18 MQTT-3.3.2-19 MQTT-3.3.2-20: properties arrive as they were sent, user properties in order with repeats', async () => {
    const test = await MqttBroker.open()
    const client = await watching(test, 't', 1)
    const users = ['0001 62 0001 31', '0001 61 0001 32', '0001 62 0001 33']
    const properties = `01 01 03 0004 74657874 08 0001 72 09 0002 00ff 26 ${users[0]} 26 ${users[1]} 26 ${users[2]}`
    const bytes = Buffer.from(properties.replaceAll(' ', ''), 'hex')
    const raw: Buffer[] = []
    client.stream.on('data', (chunk: Buffer) => raw.push(chunk))
    const producer = await test.connected(5)
    producer.write(
      Buffer.concat([Buffer.from([0x30, 4 + bytes.length + 1, 0, 1, 0x74, bytes.length]), bytes, Buffer.from('x')]),
    )
    await client.next('publish')
    expect(Buffer.concat(raw).includes(bytes)).toBe(true)
  })

  test('MQTT-3.3.2-5 MQTT-3.3.2-6: a message expires, and says how long it has left', async () => {
    const test = await MqttBroker.open()
    const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 1000 } }
    const first = await test.connected(5, kept)
    await first.subscribe('t', 1)
    first.disconnect()
    await first.closed
    const producer = await test.connected(5)
    await producer.sure('t', 'short', { properties: { messageExpiryInterval: 5 } })
    await producer.sure('t', 'long', { properties: { messageExpiryInterval: 100 } })
    test.clock.advance(10_000)
    const second = await test.connected(5, kept)
    const got = await second.next('publish')
    expect([String(got.payload), got.properties?.messageExpiryInterval]).toEqual(['long', 90])
  })

  test('MQTT-3.3.2-7: a topic alias ends with its connection', async () => {
    const test = await MqttBroker.open()
    const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 1000 } }
    const first = await test.connected(5, kept)
    first.publish('t', 'x', { properties: { topicAlias: 1 } })
    await first.settled()
    first.close()
    await first.closed
    const second = await test.connected(5, kept)
    second.publish('', 'x', { properties: { topicAlias: 1 } })
    await second.closed
    expect((await second.next('disconnect')).reasonCode).toBe(0x82)
  })

  test('MQTT-3.3.2-8 MQTT-3.3.2-9: the topic alias 0, and one above the maximum, are invalid', async () => {
    expect(await reasonFor('30 08 0001 61 03 23 0000 78')).toBe(0x94)
    expect(await reasonFor('30 08 0001 61 03 23 0041 78')).toBe(0x94)
  })

  test('MQTT-3.3.2-12: every topic alias up to the maximum stands for its topic until it is set anew', async () => {
    const test = await MqttBroker.open()
    const client = test.client(5)
    const max = (await client.connect()).properties?.topicAliasMaximum as number
    expect(max).toBe(64)
    await client.subscribe('#', 0)
    for (const topicAlias of [1, max]) client.publish(`t${topicAlias}`, 'set', { properties: { topicAlias } })
    for (const topicAlias of [1, max]) client.publish('', 'used', { properties: { topicAlias } })
    client.publish('new', 'set', { properties: { topicAlias: 1 } })
    client.publish('', 'used', { properties: { topicAlias: 1 } })
    const topics: string[] = []
    for (let count = 0; count < 6; count += 1) topics.push((await client.next('publish')).topic)
    expect(topics).toEqual(['t1', 't64', 't1', 't64', 'new', 'new'])
  })

  test('MQTT-3.3.2-14: a response topic with a wildcard is a protocol error', async () => {
    expect(await reasonFor('30 09 0001 61 04 08 0001 23 78')).toBe(0x82)
  })

  test.each(bothVersions)(
    'MQTT-3.3.4-1 MQTT-4.3.2-4 MQTT-4.3.2-5 MQTT-4.3.2.2 MQTT-2.2.1-5 MQTT-2.3.1-6: level %d, each PUBLISH of QoS 1 is a message and is acknowledged with its id',
    async (version) => {
      const test = await MqttBroker.open()
      const client = await watching(test, 't', 1)
      const producer = await test.connected(version)
      for (const dup of [false, true]) {
        producer.publish('t', 'x', { qos: 1, messageId: 7, dup })
        expect((await producer.next('puback')).messageId).toBe(7)
      }
      expect(await client.payloads(2)).toEqual(['x', 'x'])
    },
  )

  test.each(bothVersions)(
    'MQTT-4.3.3-8 MQTT-4.3.3-10 MQTT-4.3.3-11 MQTT-4.3.3-12 MQTT-4.3.3-2 MQTT-3.3.4-1: level %d, a PUBLISH of QoS 2 is one message until its id is released',
    async (version) => {
      const test = await MqttBroker.open()
      const client = await watching(test, 't', 0)
      const producer = await test.connected(version)
      for (const body of ['first', 'second']) {
        for (let count = 0; count < 3; count += 1) {
          producer.publish('t', body, { qos: 2, messageId: 7, dup: count > 0 })
          expect((await producer.next('pubrec')).messageId).toBe(7)
        }
        producer.send({ cmd: 'pubrel', messageId: 7 })
        expect((await producer.next('pubcomp')).messageId).toBe(7)
      }
      expect(await client.payloads(2)).toEqual(['first', 'second'])
      await client.settled()
      expect(client.packets).toEqual([])
    },
  )

  test('MQTT-4.3.3-13: a PUBLISH of QoS 2 that has expired already is acknowledged to the end', async () => {
    const test = await MqttBroker.open()
    const producer = await test.connected(5)
    producer.publish('t', 'x', { qos: 2, messageId: 7, properties: { messageExpiryInterval: 0 } })
    await producer.next('pubrec')
    test.clock.advance(1000)
    producer.send({ cmd: 'pubrel', messageId: 7 })
    expect((await producer.next('pubcomp')).reasonCode ?? 0).toBe(0)
  })

  test('MQTT-4.3.3-9 MQTT-3.5.2-1 MQTT-3.4.2-1: a message that is refused can be sent again with the same id', async () => {
    const test = await MqttBroker.open({ policies: [], limits: { messageBytesMax: 1024 } })
    const client = await watching(test, 't', 0)
    const producer = await test.connected(5)
    producer.publish('t', 'x'.repeat(2000), { qos: 2, messageId: 7 })
    expect((await producer.next('pubrec')).reasonCode).toBe(0x80)
    producer.publish('t', 'short', { qos: 2, messageId: 7 })
    expect((await producer.next('pubrec')).reasonCode ?? 0).toBe(0)
    expect(await client.payloads(1)).toEqual(['short'])
  })

  test('MQTT-3.6.2-1 MQTT-3.7.2-1: packet ids that nobody knows are answered as such', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    client.send({ cmd: 'pubrel', messageId: 5 })
    expect((await client.next('pubcomp')).reasonCode).toBe(0x92)
    client.send({ cmd: 'pubrec', messageId: 5 })
    expect((await client.next('pubrel')).reasonCode).toBe(0x92)
    client.send({ cmd: 'puback', messageId: 5 })
    client.send({ cmd: 'pubcomp', messageId: 5 })
    await client.settled()
    expect(client.packets).toEqual([])
  })

  test('MQTT-3.4.2-1: a PUBACK says if the message was for nobody, or which quota it is over', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    expect(await client.sure('nobody', 'x')).toBe(0x10)
    await watching(test, 'somebody')
    expect(await client.sure('somebody', 'x')).toBe(0)
    expect(await client.sure('$queue/q', 'x')).toBe(0)
  })

  test('MQTT-3.3.5-1: overlapping filters give a client of 3.1.1 one copy with the highest QoS', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(4)
    await client.subscribe('a/#', 1)
    await client.subscribe('a/+', 2)
    const producer = await test.connected(4)
    producer.publish('a/b', 'x', { qos: 2, messageId: 1 })
    expect((await client.next('publish')).qos).toBe(2)
    await client.settled()
    expect(client.packets).toEqual([])
  })

  test('MQTT-3.3.5-2 MQTT-4.8.0-2: a client of 3.1.1 whose message is refused loses its connection', async () => {
    const test = await MqttBroker.open({ limits: { messageBytesMax: 1024 } })
    const client = await test.connected(4)
    client.publish('t', 'x'.repeat(2000), { qos: 1, messageId: 1 })
    await client.closed
    expect(client.packets).toEqual([])
  })

  test('MQTT-3.2.2-19 MQTT-3.4.2-2 MQTT-3.5.2-2 MQTT-3.14.2-3: a reason string that would make a packet too large is left out', async () => {
    const test = await MqttBroker.open({ limits: { messageBytesMax: 1024 } })
    const client = await test.connected(5, { properties: { maximumPacketSize: 40 } })
    for (const qos of [1, 2] as const) {
      client.publish('t', 'x'.repeat(2000), { qos, messageId: qos })
      const { reasonCode, properties } = await client.next(qos === 1 ? 'puback' : 'pubrec')
      expect([reasonCode, properties?.reasonString]).toEqual([0x80, undefined])
    }
    client.writeHex('00 00')
    await client.closed
    expect((await client.next('disconnect')).properties?.reasonString).toBeUndefined()
    const large = await test.connected(5)
    large.publish('t', 'x'.repeat(2000), { qos: 1, messageId: 1 })
    expect((await large.next('puback')).properties?.reasonString).toContain('1024')
    const refused = test.client(5)
    const options = { properties: { maximumPacketSize: 40, authenticationMethod: 'X' } }
    expect((await refused.connect(options)).properties?.reasonString).toBeUndefined()
  })

  test('MQTT-4.3.3-7: a message of QoS 2 that has been sent does not expire', async () => {
    const test = await MqttBroker.open()
    const client = await watching(test, 't', 2)
    const producer = await test.connected(5)
    producer.publish('t', 'x', { qos: 2, messageId: 1, properties: { messageExpiryInterval: 1 } })
    const { messageId } = await client.next('publish')
    test.clock.advance(5000)
    client.send({ cmd: 'pubrec', messageId: messageId as number })
    expect(await client.next('pubrel')).toMatchObject({ messageId })
  })

  test('MQTT-3.3.4-2 MQTT-3.3.4-3 MQTT-3.3.4-4: overlapping filters give one copy, with the highest QoS and every identifier', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    await client.subscribe('a/#', 1, { subscriptionIdentifier: 3 })
    await client.subscribe('a/+', 2, { subscriptionIdentifier: 268_435_455 })
    await client.subscribe('a/b', 1)
    const producer = await test.connected(5)
    producer.publish('a/b', 'x', { qos: 2, messageId: 1 })
    const got = await client.next('publish')
    expect([got.qos, got.properties?.subscriptionIdentifier]).toEqual([2, [3, 268_435_455]])
    await client.settled()
    expect(client.packets).toEqual([])
  })

  test('MQTT-3.3.4-6: a subscription identifier in a PUBLISH to the server is a protocol error', async () => {
    expect(await reasonFor('30 07 0001 61 02 0b 01 78')).toBe(0x82)
  })

  test('MQTT-3.3.4-7: more unacknowledged messages than the receive maximum end the connection', async () => {
    const test = await MqttBroker.open({ mqtt: { receiveMax: 3 } })
    const client = test.client(5)
    expect((await client.connect()).properties?.receiveMaximum).toBe(3)
    for (let messageId = 1; messageId <= 3; messageId += 1) client.publish('t', 'x', { qos: 2, messageId })
    await client.settled()
    client.publish('t', 'x', { qos: 1, messageId: 4 })
    await client.closed
    expect((await client.next('disconnect')).reasonCode).toBe(0x93)
  })

  test.each(bothVersions)(
    'MQTT-3.3.4-9 MQTT-3.3.4-10 MQTT-4.9.0-1 MQTT-4.9.0-2 MQTT-4.9.0-3: level %d, no more is under way than the window holds, and other packets go on',
    async (version) => {
      const test = await MqttBroker.open(version === 5 ? {} : { mqtt: { sendMax: 2 } })
      const client = await test.connected(version, version === 5 ? { properties: { receiveMaximum: 2 } } : {})
      await client.subscribe('t', 2)
      await client.subscribe('$queue/q', 1)
      const producer = await test.connected()
      for (let count = 0; count < 3; count += 1) await producer.sure('t', `t${count}`)
      await producer.sure('$queue/q', 'q')
      await client.settled()
      expect(client.packets.length).toBe(2)
      const seen: string[] = []
      for (let count = 0; count < 4; count += 1) {
        const { messageId, payload } = await client.next('publish')
        seen.push(String(payload))
        client.send({ cmd: 'puback', messageId: messageId as number })
      }
      expect(seen.sort()).toEqual(['q', 't0', 't1', 't2'])
    },
  )
})

describe('the delivery of QoS 1 and 2', () => {
  test.each(bothVersions)(
    'MQTT-4.3.2-3 MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-4.6.0-1 MQTT-4.1.0-1 MQTT-2.3.1-3: level %d, what is unacknowledged comes again on the next connection, in order, with its id and DUP',
    async (version) => {
      const test = await MqttBroker.open()
      const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 100 } }
      const first = await test.connected(version, kept)
      await first.subscribe('t', 1)
      const producer = await test.connected()
      for (const body of ['a', 'b', 'c']) await producer.sure('t', body)
      const before: unknown[] = []
      for (let count = 0; count < 3; count += 1) {
        const { messageId, payload } = await first.next('publish')
        before.push([messageId, String(payload)])
        if (count === 1) first.send({ cmd: 'puback', messageId: messageId as number })
      }
      await first.settled()
      expect(first.packets).toEqual([])
      first.close()
      await first.closed
      await producer.sure('t', 'd')
      const second = await test.connected(version, kept)
      const after: unknown[] = []
      for (let count = 0; count < 3; count += 1) {
        const { messageId, payload, dup } = await second.next('publish')
        after.push([messageId, String(payload), dup])
      }
      expect(after.slice(0, 2)).toEqual([
        [1, 'a', true],
        [3, 'c', true],
      ])
      expect(after[2]).toMatchObject([expect.anything(), 'd', false])
      await second.settled()
      expect(second.packets).toEqual([])
    },
  )

  test.each(bothVersions)(
    'MQTT-4.3.3-3 MQTT-4.3.3-4 MQTT-4.3.3-5 MQTT-4.3.3-6 MQTT-4.3.3-1 MQTT-4.6.0-4: level %d, after its PUBREC only the PUBREL of a message comes again',
    async (version) => {
      const test = await MqttBroker.open()
      const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 100 } }
      const first = await test.connected(version, kept)
      await first.subscribe('t', 2)
      const producer = await test.connected()
      for (const [index, body] of ['a', 'b'].entries()) {
        producer.publish('t', body, { qos: 2, messageId: index + 1 })
        const { messageId } = await first.next('publish')
        first.send({ cmd: 'pubrec', messageId: messageId as number })
      }
      const released = [(await first.next('pubrel')).messageId, (await first.next('pubrel')).messageId]
      expect(released).toEqual([1, 2])
      first.close()
      await first.closed
      const second = await test.connected(version, kept)
      for (const id of released) {
        expect((await second.next('pubrel')).messageId).toBe(id)
        second.send({ cmd: 'pubcomp', messageId: id as number })
      }
      await second.settled()
      expect(second.packets).toEqual([])
    },
  )

  test('MQTT-4.4.0-2: what the client refuses does not come again; a queue buries it', async () => {
    const test = await MqttBroker.open()
    const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 100 } }
    const first = await test.connected(5, kept)
    await first.subscribe('t', 2)
    await first.subscribe('$queue/q', 1)
    const producer = await test.connected(5)
    await producer.sure('t', 'one')
    producer.publish('t', 'two', { qos: 2, messageId: 2 })
    await producer.next('pubrec')
    await producer.sure('$queue/q', 'three')
    for (let count = 0; count < 3; count += 1) {
      const { messageId, qos } = await first.next('publish')
      const id = messageId as number
      first.writeHex(`${qos === 2 ? '50' : '40'} 03 ${id.toString(16).padStart(4, '0')} 83`)
    }
    await first.settled()
    first.close()
    await first.closed
    const second = await test.connected(5, kept)
    await second.settled()
    expect(second.packets).toEqual([])
    await second.subscribe('$queue/DLQ/q', 1)
    expect((await second.next('publish')).properties?.userProperties).toMatchObject({
      'dead-letter-reason': 'refused by its consumer with reason 0x83',
    })
  })

  test.each(bothVersions)(
    'MQTT-4.6.0-5 MQTT-4.6.0-6 MQTT-4.6.0-2 MQTT-4.6.0-3: level %d, messages and answers keep their order',
    async (version) => {
      const test = await MqttBroker.open()
      const client = await test.connected(version)
      await client.subscribe('t', 2)
      const producer = await test.connected(version)
      const count = 300
      for (let index = 0; index < count; index += 1)
        producer.publish('t', String(index), { qos: 2, messageId: index + 1 })
      const answers: (number | undefined)[] = []
      const bodies: number[] = []
      for (let index = 0; index < count; index += 1) {
        answers.push((await producer.next('pubrec')).messageId)
        bodies.push(Number((await client.next('publish')).payload))
      }
      expect(answers).toEqual(Array.from({ length: count }, (_, index) => index + 1))
      expect(bodies).toEqual(Array.from({ length: count }, (_, index) => index))
    },
  )
})

describe('SUBSCRIBE and UNSUBSCRIBE', () => {
  test.each(bothVersions)(
    'MQTT-3.8.3-1 MQTT-3.10.3-1: level %d, a filter that is not UTF-8 ends the connection',
    async (version) => {
      const properties = version === 5 ? '00' : ''
      const length = version === 5 ? '07' : '06'
      expect(await reasonFor(`82 ${length} 0001 ${properties} 0001 ff 00`, version)).toBe(
        version === 5 ? 0x81 : undefined,
      )
      const shorter = version === 5 ? '06' : '05'
      expect(await reasonFor(`a2 ${shorter} 0001 ${properties} 0001 ff`, version)).toBe(
        version === 5 ? 0x81 : undefined,
      )
    },
  )

  test('MQTT-3.8.3-2 MQTT-3.10.3-2: without a filter they are protocol errors', async () => {
    expect(await reasonFor('82 03 0001 00')).toBe(0x82)
    expect(await reasonFor('a2 03 0001 00')).toBe(0x82)
    expect(await reasonFor('82 02 0001', 4)).toBeUndefined()
    expect(await reasonFor('a2 02 0001', 4)).toBeUndefined()
  })

  test('MQTT-3.8.3-3: no local leaves out the messages of the own client id', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    for (const [filter, qos, nl] of [
      ['a', 0, true],
      ['b', 1, true],
      ['c', 1, false],
    ] as const)
      await client.subscribe(filter, { qos, nl })
    const other = await test.connected(5)
    for (const sender of [client, other]) for (const topic of ['a', 'b', 'c']) await sender.sure(topic, topic)
    const seen: string[] = []
    for (let count = 0; count < 4; count += 1) seen.push((await client.next('publish')).topic)
    await client.settled()
    expect(seen.sort()).toEqual(['a', 'b', 'c', 'c'])
    expect(client.packets).toEqual([])
  })

  test('MQTT-3.8.3-4: no local for a shared subscription is a protocol error', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$share/g/t', qos: 1, nl: true }] } as never)
    await client.closed
    expect((await client.next('disconnect')).reasonCode).toBe(0x82)
  })

  test('MQTT-3.8.3-5 MQTT-3-8.3-4: reserved bits of the options are malformed, and retain handling 3 a protocol error', async () => {
    expect(await reasonFor('82 07 0001 00 0001 61 40')).toBe(0x81)
    expect(await reasonFor('82 07 0001 00 0001 61 03')).toBe(0x81)
    expect(await reasonFor('82 07 0001 00 0001 61 30')).toBe(0x82)
    expect(await reasonFor('82 06 0001 0001 61 04', 4)).toBeUndefined()
    expect(await reasonFor('82 06 0001 0001 61 03', 4)).toBeUndefined()
  })

  test.each(bothVersions)(
    'MQTT-3.8.4-1 MQTT-3.8.4-2 MQTT-3.8.4-5 MQTT-3.8.4-6 MQTT-3.8.4-7 MQTT-3.9.3-1 MQTT-3.9.3-2 MQTT-2.2.1-6 MQTT-2.3.1-7 MQTT-3.8.4-4: level %d, one SUBACK answers every filter in order',
    async (version) => {
      const test = await MqttBroker.open({ mqtt: { refusedFilters: ['no'] } })
      const client = await test.connected(version)
      const subscriptions = ['a', 'no', 'b/#', 'c', 'bad/#/x', '$share/g/d'].map((topic, index) => ({
        topic,
        qos: (index % 3) as 0 | 1 | 2,
      }))
      client.send({ cmd: 'subscribe', messageId: 300, subscriptions } as never)
      const { messageId, granted } = await client.next('suback')
      expect(messageId).toBe(300)
      expect(granted).toEqual(version === 5 ? [0, 0x87, 2, 0, 0x8f, 1] : [0, 0x80, 2, 0, 0x80, 1])
    },
  )

  test('MQTT-3.8.4-3: the same filter again replaces the subscription, with another QoS and identifier', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    const producer = await test.connected(5)
    const seen: unknown[] = []
    for (const [qos, id] of [
      [2, 1],
      [1, 2],
      [0, 3],
      [1, 4],
    ] as const) {
      await client.subscribe('t', qos, { subscriptionIdentifier: id })
      producer.publish('t', 'x', { qos: 2, messageId: id })
      await producer.next('pubrec')
      const got = await client.next('publish')
      seen.push([got.qos, got.properties?.subscriptionIdentifier])
    }
    expect(seen).toEqual([
      [2, 1],
      [1, 2],
      [0, 3],
      [1, 4],
    ])
    await client.settled()
    expect(client.packets).toEqual([])
  })

  test('MQTT-3.8.4-4: nothing under way is lost when a subscription is replaced', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5, { properties: { receiveMaximum: 1 } })
    await client.subscribe('t', 1)
    const producer = await test.connected(5)
    for (const body of ['a', 'b', 'c']) await producer.sure('t', body)
    await client.subscribe('t', { qos: 2, nl: true })
    expect(await client.payloads(3)).toEqual(['a', 'b', 'c'])
  })

  test.each(bothVersions)(
    'MQTT-3.8.4-8 MQTT-3.8.4-6: level %d, the QoS is the lower of published and granted',
    async (version) => {
      const test = await MqttBroker.open()
      const seen: number[] = []
      for (const granted of [0, 1, 2] as const) {
        const client = await test.connected(version)
        await client.subscribe('t', granted)
        const producer = await test.connected()
        for (const qos of [0, 1, 2] as const) {
          producer.publish('t', 'x', { qos, messageId: 1 })
          seen.push((await client.next('publish')).qos)
        }
        client.disconnect()
        await client.closed
      }
      expect(seen).toEqual([0, 0, 0, 0, 1, 1, 0, 1, 2])
    },
  )

  test.each(bothVersions)(
    'MQTT-3.10.4-1 MQTT-3.10.4-2 MQTT-3.10.4-4 MQTT-3.10.4-5 MQTT-3.10.4-6 MQTT-3.11.3-1 MQTT-3.11.3-2: level %d, one UNSUBACK answers every filter, known or not, and nothing new comes',
    async (version) => {
      const test = await MqttBroker.open()
      const client = await test.connected(version)
      for (const [filter, qos] of [
        ['a/#', 0],
        ['b', 1],
        ['$queue/q', 1],
        ['$share/g/s', 1],
      ] as const)
        await client.subscribe(filter, qos)
      const unsubscriptions = ['b', 'a/+', 'a/#', '$queue/q', '$share/g/s', 'x/#/y']
      client.send({ cmd: 'unsubscribe', messageId: 301, unsubscriptions })
      const unsuback = await client.next('unsuback')
      expect(unsuback.messageId).toBe(301)
      if (version === 5) expect(unsuback.granted).toEqual([0, 0x11, 0, 0, 0, 0x8f])
      const producer = await test.connected()
      for (const topic of ['a/x', 'b', '$queue/q', 's']) await producer.sure(topic, 'x')
      await client.settled()
      expect(client.packets).toEqual([])
    },
  )

  test.each(bothVersions)(
    'MQTT-3.10.4-3: level %d, what was under way when its filter was given up is delivered to the end, over a new connection too',
    async (version) => {
      const test = await MqttBroker.open()
      const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 100 } }
      const first = await test.connected(version, kept)
      await first.subscribe('t', 2)
      const producer = await test.connected()
      producer.publish('t', 'x', { qos: 2, messageId: 1 })
      const { messageId } = await first.next('publish')
      first.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['t'] })
      await first.next('unsuback')
      first.close()
      await first.closed
      await producer.sure('t', 'later')
      const second = await test.connected(version, kept)
      expect(await second.next('publish')).toMatchObject({ messageId, dup: true, qos: 2 })
      second.send({ cmd: 'pubrec', messageId: messageId as number })
      expect((await second.next('pubrel')).messageId).toBe(messageId)
      second.send({ cmd: 'pubcomp', messageId: messageId as number })
      await second.settled()
      expect(second.packets).toEqual([])
    },
  )
})

describe('PINGREQ, DISCONNECT, AUTH', () => {
  test.each(bothVersions)('MQTT-3.12.4-1: level %d, a ping is answered', async (version) => {
    const test = await MqttBroker.open()
    await (await test.connected(version)).settled()
  })

  test.each(bothVersions)(
    'MQTT-3.14.4-3 MQTT-3.1.2-10 MQTT-3.1.2-12: level %d, a normal DISCONNECT drops the will, and nothing is read after it',
    async (version) => {
      const test = await MqttBroker.open()
      const watcher = await watching(test, '#')
      const client = await test.connected(version, { will })
      client.writeHex(version === 5 ? 'e0 00 30 05 0001 61 00 78' : 'e0 00 30 04 0001 61 78')
      await client.closed
      await watcher.settled()
      expect(watcher.packets).toEqual([])
    },
  )

  test('MQTT-3.1.2-8: a DISCONNECT with reason 4 publishes the will', async () => {
    const test = await MqttBroker.open()
    const watcher = await watching(test, 'w')
    const client = await test.connected(5, { will })
    client.send({ cmd: 'disconnect', reasonCode: 4 })
    expect(await watcher.payloads(1)).toEqual(['will'])
  })

  test('MQTT-3.14.2-2: a DISCONNECT can change when the session ends, but not keep one that was to end', async () => {
    const test = await MqttBroker.open()
    const first = await test.connected(5, { clientId: 'c', properties: { sessionExpiryInterval: 100 } })
    await first.subscribe('t', 1)
    first.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 0 } })
    await first.closed
    expect(test.broker.subscriptionsOf('c')).toEqual([])
    const second = await test.connected(5, { clientId: 'c' })
    second.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 5 } })
    await second.closed
    expect((await second.next('disconnect')).reasonCode).toBe(0x82)
  })

  test('MQTT-3.14.4-1 MQTT-3.14.4-2 MQTT-4.13.2-1: the DISCONNECT of the server is the last of the connection', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    await client.subscribe('a', 0)
    client.writeHex('00 00 30 05 0001 61 00 78')
    await client.closed
    expect(client.packets.map(({ cmd }) => cmd)).toEqual(['disconnect'])
  })

  test('MQTT-4.12.0-1: a method of authentication that is not known is refused', async () => {
    const test = await MqttBroker.open()
    const client = test.client(5)
    const connack = await client.connect({ properties: { authenticationMethod: 'GUESS' } })
    expect(connack.reasonCode).toBe(0x8c)
    await client.closed
  })

  /** Asks twice for the word, and then once more. */
  const word: AuthMethod = {
    begin: ({ clientId }) => {
      let asked = 0
      return {
        step(data, answer) {
          asked += 1
          if (String(data) !== 'word') answer(new BrokerError('not-authenticated', 'wrong word'))
          else if (asked < 2) answer({ data: Buffer.from('again'), identity: undefined })
          else answer({ data: Buffer.from('done'), identity: { principal: 'p', clientId } })
        },
      }
    },
  }
  const methods = new Map([['WORD', word]])
  const authenticating = (data: string) => ({ authenticationMethod: 'WORD', authenticationData: Buffer.from(data) })

  test('MQTT-4.12.0-2 MQTT-4.12.0-3 MQTT-4.12.0-5 MQTT-4.12.1-1 MQTT-3.15.2-1: a method asks until it knows, at the CONNECT and again later', async () => {
    const test = await MqttBroker.open({ methods })
    const client = test.client(5)
    client.sendConnect({ properties: authenticating('word') })
    expect(await client.next('auth')).toMatchObject({ reasonCode: 0x18, properties: authenticating('again') })
    client.send({ cmd: 'auth', reasonCode: 0x18, properties: authenticating('word') } as never)
    expect(await client.next('connack')).toMatchObject({ reasonCode: 0, properties: authenticating('done') })
    client.send({ cmd: 'auth', reasonCode: 0x19, properties: authenticating('word') } as never)
    expect(await client.next('auth')).toMatchObject({ reasonCode: 0x18 })
    await client.settled()
    client.send({ cmd: 'auth', reasonCode: 0x18, properties: authenticating('word') } as never)
    expect(await client.next('auth')).toMatchObject({ reasonCode: 0, properties: authenticating('done') })
  })

  test('MQTT-4.12.0-4 MQTT-4.12.1-2: a method that says no ends the connection', async () => {
    const test = await MqttBroker.open({ methods })
    const early = test.client(5)
    expect((await early.connect({ properties: authenticating('guess') })).reasonCode).toBe(0x87)
    await early.closed
    const client = test.client(5)
    client.sendConnect({ properties: authenticating('word') })
    await client.next('auth')
    client.send({ cmd: 'auth', reasonCode: 0x18, properties: authenticating('word') } as never)
    await client.next('connack')
    client.send({ cmd: 'auth', reasonCode: 0x19, properties: authenticating('guess') } as never)
    await client.closed
    expect((await client.next('disconnect')).reasonCode).toBe(0x87)
  })

  test.each([
    ['another method', 'f0 0c 18 0a 15 0007 4f544845523132'],
    ['an unknown reason', 'f0 09 20 07 15 0004 574f5244'],
    ['a PUBLISH', '30 05 0001 61 00 78'],
    ['a second CONNECT', '10 0e 0004 4d515454 05 02 0000 00 0001 61'],
  ])('MQTT-3.1.2-30 MQTT-4.12.0-5 MQTT-3.15.2-1: %s while a method asks ends the connection', async (_, digits) => {
    const test = await MqttBroker.open({ methods })
    const client = test.client(5)
    client.sendConnect({ properties: authenticating('word') })
    await client.next('auth')
    client.writeHex(digits)
    await client.closed
    expect(client.packets.every(({ cmd }) => cmd === 'connack')).toBe(true)
  })

  test('MQTT-4.12.0-6: without a method there is no AUTH, and none in the CONNACK', async () => {
    const test = await MqttBroker.open({ methods })
    expect((await test.client(5).connect()).properties?.authenticationMethod).toBeUndefined()
  })

  test('MQTT-4.12.0-7 MQTT-4.12.1-1: AUTH without a method agreed on is a protocol error', async () => {
    expect(await reasonFor('f0 00')).toBe(0x82)
  })
})

describe('topics', () => {
  test.each([
    ['#', ['a', 'a/b', '/a', 'a/']],
    ['a/#', ['a', 'a/b', 'a/b/c', 'a/']],
    ['+', ['a', 'b']],
    ['a/+', ['a/b', 'a/']],
    ['+/+', ['a/b', '/a', 'a/']],
    ['/+', ['/a']],
    ['$SYS/#', ['$SYS/x']],
    ['+/x', []],
    ['A', []],
  ])(
    'MQTT-4.7.1-1 MQTT-4.7.1-2 MQTT-4.7.1-3 MQTT-4.7.2-1 MQTT-3.3.2-3: the filter %s covers %j',
    async (filter, expected) => {
      const test = await MqttBroker.open({ mqtt: { systemTopicsMs: 1000 } })
      const client = await test.connected(5)
      await client.subscribe(filter.replace('$SYS/#', '$SYS/broker/version'), { qos: 1, rh: 2 })
      const producer = await test.connected(5)
      for (const topic of ['a', 'a/b', 'a/b/c', '/a', 'a/', 'b']) {
        if (topic === 'a/b/c' && filter === '#') continue
        if (topic === 'b' && filter === '#') continue
        await producer.sure(topic, 'x')
      }
      test.clock.advance(10)
      await client.settled()
      const topics = client.packets.map((packet) => (packet as IPublishPacket).topic)
      expect(topics).toEqual(filter === '$SYS/#' ? ['$SYS/broker/version'] : expected)
    },
  )

  test.each(['a#', 'a/#/b', 'a+', '+a/b', '$share/g', '$share//t', '$share/g+/t', '$share/g/'])(
    'MQTT-4.7.1-1 MQTT-4.7.1-2 MQTT-4.8.2-1 MQTT-4.8.2-2: the filter %s is invalid',
    async (filter) => {
      const test = await MqttBroker.open()
      expect(await (await test.connected(5)).subscribe(filter, 0)).toEqual([0x8f])
    },
  )

  test('MQTT-4.7.3-3: a name or filter that is too long is refused', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    expect(await client.subscribe('x'.repeat(4097), 0)).toEqual([0x8f])
    expect(await client.subscribe('x/'.repeat(128), 0)).toEqual([0x8f])
    client.publish('x'.repeat(5000), 'x')
    await client.closed
    expect((await client.next('disconnect')).reasonCode).toBe(0x90)
  })

  test('MQTT-4.8.2-3: a shared subscription keeps the QoS it was granted, which is 1 at most', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    expect(await client.subscribe('$share/g/t', 2)).toEqual([1])
    const producer = await test.connected(5)
    producer.publish('t', 'x', { qos: 2, messageId: 1 })
    expect((await client.next('publish')).qos).toBe(1)
    expect(await client.subscribe('$share/g/t', 0)).toEqual([0])
    producer.publish('t', 'x', { qos: 2, messageId: 2 })
    expect((await client.next('publish')).qos).toBe(0)
  })

  test('MQTT-4.8.2-6: what one of a group refuses goes to no other', async () => {
    const test = await MqttBroker.open()
    const clients = [await test.connected(5), await test.connected(5)]
    for (const client of clients) await client.subscribe('$share/g/t', 1)
    await (await test.connected(5)).sure('t', 'x')
    const taker = await Promise.race(clients.map(async (client) => ({ client, got: await client.next('publish') })))
    taker.client.writeHex(`40 03 ${(taker.got.messageId as number).toString(16).padStart(4, '0')} 87`)
    for (const client of clients) await client.settled()
    expect(clients.flatMap(({ packets }) => packets)).toEqual([])
  })
})
