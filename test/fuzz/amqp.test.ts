import { expect, test } from 'vitest'
import { AmqpBroker } from '../support/amqp-broker.ts'
import { type AmqpPeer, composite, encode, frameBytes, headers, t, type Wired } from '../support/amqp-peer.ts'
import { drawsOf, startSeed } from '../support/seed.ts'
import { malformed } from '../vectors/amqp/malformed.ts'

const environment: { readonly FUZZ_FRAMES?: string } = process.env
const frameCount = Number(environment.FUZZ_FRAMES ?? 20_000)
/** Frames that one peer may send before the next one comes: most are cut off long before. */
const framesPerPeer = 40

const seed = startSeed()
const { below, chance, pick } = drawsOf(seed)

const words = [
  'queue://a',
  'topic://t',
  'constructor',
  '__proto__',
  'x',
  '',
  '$temp.x',
  'queue',
  'shared',
  'copy',
  'never',
]

/** Any value, of the right type now and then. */
function anything(depth = 0): Wired {
  const choice = below(depth > 3 ? 9 : 13)
  switch (choice) {
    case 0:
      return t.null()
    case 1:
      return t.boolean(chance(50))
    case 2:
      return t.uint(chance(70) ? below(8) : below(2 ** 32))
    case 3:
      return t.ubyte(below(4))
    case 4:
      return t.string(pick(words))
    case 5:
      return t.symbol(pick(words))
    case 6:
      return t.binary(Buffer.alloc(below(20), 7))
    case 7:
      return t.ulong(below(2 ** 32))
    case 8:
      return t.long(-below(1000))
    case 9:
      return t.list(...Array.from({ length: below(5) }, () => anything(depth + 1)))
    case 10:
      return t.map({ [pick(words)]: anything(depth + 1), [pick(words)]: anything(depth + 1) })
    case 11:
      return t.symbols(...Array.from({ length: 1 + below(3) }, () => pick(words)))
    default:
      return composite(
        pick([0x1d, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2b, 0x30, 0x33, 0x34]),
        ...fields(depth + 1),
      )
  }
}

function fields(depth = 0): Wired[] {
  return Array.from({ length: below(8) }, () => anything(depth))
}

const message = [
  composite(0x70, t.boolean(true)),
  t.described(0x72, t.map({ 'x-opt-delivery-delay': t.uint(1) })),
  composite(0x73, t.string('id'), undefined, t.string('queue://a')),
  t.described(0x74, t.map({ a: t.uint(1) })),
  t.described(0x77, t.string('body')),
]

function performative(): Wired {
  const handle = t.uint(below(4))
  switch (below(9)) {
    case 0:
      return composite(
        0x12,
        t.string(pick(words)),
        handle,
        t.boolean(chance(50)),
        t.ubyte(below(3)),
        t.ubyte(below(2)),
        source(),
        target(),
        ...fields(),
      )
    case 1:
      return composite(
        0x14,
        handle,
        t.uint(below(10)),
        t.binary('t'),
        t.uint(0),
        t.boolean(chance(50)),
        t.boolean(chance(30)),
      )
    case 2:
      return composite(
        0x13,
        t.uint(0),
        t.uint(below(10)),
        t.uint(0),
        t.uint(10),
        handle,
        t.uint(0),
        t.uint(below(20)),
        undefined,
        t.boolean(chance(30)),
        t.boolean(chance(30)),
      )
    case 3:
      return composite(
        0x15,
        t.boolean(chance(80)),
        t.uint(below(10)),
        t.uint(below(2 ** 32)),
        t.boolean(chance(80)),
        anything(),
      )
    case 4:
      return composite(0x16, handle, t.boolean(chance(50)))
    case 5:
      return composite(0x11, undefined, t.uint(0), t.uint(below(100)), t.uint(10))
    case 6:
      return composite(pick([0x17, 0x18]), ...fields())
    case 7:
      return composite(pick([0x10, 0x41, 0x43, 0x99]), ...fields())
    default:
      return composite(0x10 + below(9), ...fields())
  }
}

function source(): Wired {
  if (chance(20)) return anything()
  return composite(
    0x28,
    t.string(pick(words)),
    t.uint(below(3)),
    chance(30) ? t.symbol('never') : undefined,
    undefined,
    t.boolean(chance(20)),
    undefined,
    chance(20) ? t.symbol('copy') : undefined,
  )
}

function target(): Wired {
  if (chance(20)) return anything()
  return chance(20) ? composite(0x30) : composite(0x29, t.string(pick(words)))
}

function payload(): Buffer {
  if (chance(30)) return Buffer.alloc(below(60), below(256))
  return encode(...message.filter(() => chance(70)))
}

/** One frame, sound or not. */
function frame(): Buffer {
  if (chance(3)) return pick(malformed).bytes
  const whole = frameBytes(encode(performative()), chance(40) ? payload() : undefined, below(3), chance(3) ? 1 : 0)
  if (chance(60)) return whole
  const broken = Buffer.from(whole)
  for (let flips = 1 + below(3); flips > 0; flips -= 1) {
    const from = chance(90) ? 8 : 0
    if (broken.length > from)
      broken[from + below(broken.length - from)] = chance(50) ? below(256) : pick([0, 0x40, 0xf0, 0xd1, 0xff, 0x45])
  }
  return chance(10) ? broken.subarray(0, below(broken.length)) : broken
}

async function peerIn(broker: AmqpBroker): Promise<AmqpPeer> {
  const peer = broker.peer()
  if (chance(25)) {
    if (chance(70)) peer.write(pick([headers.sasl, headers.amqp]))
    return peer
  }
  await peer.open(pick(words) || 'peer')
  if (chance(90)) {
    await peer.begin(0)
    if (chance(70)) await peer.sender('s', 'queue://a', { handle: 0 })
    if (chance(70)) await peer.receiver('r', 'queue://a', { handle: 1, credit: 5 })
  }
  return peer
}

test(`${frameCount} frames of peers that know no bounds harm nobody else (FUZZ_SEED=${seed})`, {
  timeout: 3_600_000,
}, async () => {
  const broker = await AmqpBroker.open({ limits: { memoryBytesMax: 64 * 2 ** 20 } })
  let sent = 0
  while (sent < frameCount) {
    const peer = await peerIn(broker)
    for (let count = 0; count < framesPerPeer && !peer.isClosed; count += 1) {
      peer.write(frame())
      sent += 1
      // Input is read between some of the writes, as it would be from a network.
      if (chance(25)) await new Promise((resolve) => setImmediate(resolve))
      if (chance(5)) broker.clock.advance(below(200))
    }
    peer.cut()
    await peer.closed
  }
  await new Promise((resolve) => setImmediate(resolve))
  expect(broker.broker.sessionCount).toBe(0)
  const healthy = await broker.begun('healthy')
  await healthy.sender('s', 'queue://healthy')
  await healthy.receiver('r', 'queue://healthy', { credit: 1 })
  healthy.transfer(0, encode(t.described(0x77, t.string('x'))))
  await healthy.next(0x14)
})
