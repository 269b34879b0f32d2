import { describe, expect, test } from 'vitest'
import type { Access } from '../../../../src/broker/access.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import { conditionOf } from '../../../support/amqp-frames.ts'
import { type AmqpPeer, composite, encode, frameBytes, headers, t } from '../../../support/amqp-peer.ts'

const guarded: Access = {
  authenticate(login, answer) {
    if (login.user === 'alice' && login.password === 'sesame') answer({ principal: 'alice', clientId: login.clientId })
    else answer(new BrokerError('not-authenticated', 'no such user, or another password'))
  },
  authorise: () => undefined,
}

function init(mechanism: string, response?: string): Buffer {
  const fields = [t.symbol(mechanism), response === undefined ? undefined : t.binary(response)]
  return frameBytes(encode(composite(0x41, ...fields)), undefined, 0, 1)
}

function openFrame(containerId: string, ...fields: Parameters<typeof t.list>): Buffer {
  return frameBytes(encode(composite(0x10, t.string(containerId), undefined, ...fields)))
}

async function isGone(peer: AmqpPeer): Promise<void> {
  await peer.closed
  expect(peer.isClosed).toBe(true)
}

describe('SASL (part 5, section 5.3)', () => {
  test('offers PLAIN and ANONYMOUS and takes the right password', async () => {
    const broker = await AmqpBroker.open({ access: guarded })
    const peer = broker.peer()
    peer.write(headers.sasl)
    expect((await peer.next(0x40)).fields).toEqual([['PLAIN', 'ANONYMOUS']])
    peer.write(init('PLAIN', '\0alice\0sesame'))
    expect((await peer.next(0x44)).fields).toEqual([0])
    peer.write(headers.amqp, openFrame('c'))
    expect((await peer.next(0x10)).fields[0]).toBe('test')
  })

  test('asks for the response of PLAIN if it did not come with the init', async () => {
    const broker = await AmqpBroker.open({ access: guarded })
    const peer = broker.peer()
    peer.write(headers.sasl, init('PLAIN'))
    await peer.next(0x42)
    peer.write(frameBytes(encode(composite(0x43, t.binary('\0alice\0sesame'))), undefined, 0, 1))
    expect((await peer.next(0x44)).fields).toEqual([0])
  })

  test.each(['\0alice\0wrong', '\0bob\0sesame', 'alice', '\0\0', ''])(
    'hangs up after one attempt: %j',
    async (response) => {
      const broker = await AmqpBroker.open({ access: guarded })
      const peer = broker.peer()
      peer.write(headers.sasl, init('PLAIN', response), init('PLAIN', '\0alice\0sesame'))
      expect((await peer.next(0x44)).fields).toEqual([1])
      await isGone(peer)
      expect(peer.frames.filter((frame) => frame.code === 0x44)).toEqual([])
    },
  )

  test('reads what was sent along with the init once the outcome is known', async () => {
    const broker = await AmqpBroker.open({ access: guarded })
    const peer = broker.peer()
    const begin = frameBytes(encode(composite(0x11, undefined, t.uint(0), t.uint(1), t.uint(1))))
    const all = [headers.sasl, init('PLAIN', '\0alice\0sesame'), headers.amqp, openFrame('eager'), begin]
    peer.write(...all)
    await peer.next(0x11)
    expect(peer.history.map((frame) => frame.code)).toEqual([-1, 0x40, 0x44, -1, 0x10, 0x11])
  })

  test('may be left out where nobody needs a password', async () => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    peer.write(headers.amqp, openFrame('plain'))
    await peer.next(0x10)
  })

  test('may not be left out where somebody does: the open is answered, and the close says why', async () => {
    const broker = await AmqpBroker.open({ access: guarded })
    const peer = broker.peer()
    peer.write(headers.amqp, openFrame('plain'))
    const open = await peer.next(0x10)
    expect((open.fields[9] as ReadonlyMap<string, unknown>).get('amqp:connection-establishment-failed')).toBe(true)
    expect(conditionOf(await peer.next(0x18))).toBe('amqp:unauthorized-access')
    await isGone(peer)
  })
})

describe('open (part 2, section 2.7.1)', () => {
  test('tells product, limits and what is offered', async () => {
    const broker = await AmqpBroker.open({ amqp: { sessionsMax: 8, idleMsMax: 60_000 } })
    const peer = broker.peer()
    const open = await peer.open()
    expect(open.fields.slice(2, 5)).toEqual([131_072, 7, 30_000])
    expect(open.fields[7]).toContain('ANONYMOUS-RELAY')
    expect([...(open.fields[9] as ReadonlyMap<string, unknown>)]).toContainEqual(['product', 'ManifoldMQ'])
  })

  test('of a container that wants to be alone refuses the second', async () => {
    const broker = await AmqpBroker.open()
    const sole = [
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      t.symbols('sole-connection-for-container'),
    ]
    const first = broker.peer()
    await first.open('solo', ...sole)
    const second = broker.peer()
    const open = await second.open('solo')
    expect((open.fields[9] as ReadonlyMap<string, unknown>).get('amqp:connection-establishment-failed')).toBe(true)
    expect(conditionOf(await second.next(0x18))).toBe('amqp:invalid-field')
    await isGone(second)
    first.cut()
    await isGone(first)
    const third = broker.peer()
    await third.open('solo')
    await third.begin()
  })

  test('comes in time, or the connection ends', async () => {
    const broker = await AmqpBroker.open({ amqp: { connectMsMax: 1000 } })
    const peer = broker.peer()
    broker.clock.advance(1001)
    await isGone(peer)
  })
})

describe('idle time-out (part 2, section 2.4.5)', () => {
  test('empty frames go out twice in the time that the peer allows', async () => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    await peer.open('quiet', undefined, undefined, t.uint(1000))
    broker.clock.advance(400)
    expect(peer.frames.filter((frame) => frame.code === 0)).toHaveLength(0)
    broker.clock.advance(700)
    await peer.next(0)
    await peer.next(0)
  })

  test('a peer that is silent for too long is told so and cut', async () => {
    const broker = await AmqpBroker.open({ amqp: { idleMsMax: 2000 } })
    const peer = broker.peer()
    await peer.open()
    broker.clock.advance(1500)
    peer.write(Buffer.from('0000000802000000', 'hex'))
    await peer.begin()
    broker.clock.advance(1500)
    expect(peer.isClosed).toBe(false)
    broker.clock.advance(1000)
    expect(conditionOf(await peer.next(0x18))).toBe('amqp:resource-limit-exceeded')
    await isGone(peer)
  })
})

describe('the end', () => {
  test('a close is answered with a close', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    peer.send(composite(0x18))
    expect(conditionOf(await peer.next(0x18))).toBeUndefined()
    await isGone(peer)
    expect(broker.broker.sessionCount).toBe(0)
  })

  test('an end is answered with an end, and the channel may be used again at once', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    peer.send(composite(0x17))
    peer.send(composite(0x11, undefined, t.uint(0), t.uint(10), t.uint(10)))
    await peer.next(0x17)
    await peer.next(0x11)
    await peer.sender('s', 'queue://a')
  })

  test('the broker closes with amqp:connection:forced when it stops', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const closed = broker.broker.close()
    expect(conditionOf(await peer.next(0x18))).toBe('amqp:connection:forced')
    await isGone(peer)
    await closed
  })

  test('what comes after our end is not looked at', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    peer.send(composite(0x16, t.uint(9)))
    expect(conditionOf(await peer.next(0x17))).toBe('amqp:session:unattached-handle')
    peer.transfer(0, Buffer.alloc(0))
    peer.credit(0, 1)
    peer.send(composite(0x12, t.string('x'), t.uint(0), t.boolean(false)))
    peer.send(composite(0x17))
    await peer.begin()
    expect(peer.isClosed).toBe(false)
  })
})
