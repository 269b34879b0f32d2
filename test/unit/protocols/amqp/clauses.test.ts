import { describe, expect, test } from 'vitest'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import { accepted, bodyOf, conditionOf, source, target, text } from '../../../support/amqp-frames.ts'
import {
  type AmqpPeer,
  composite,
  descriptorOf,
  encode,
  fieldsOf,
  frameBytes,
  headers,
  type ReceivedFrame,
  type Seen,
  sectionsOf,
  t,
  type Wired,
} from '../../../support/amqp-peer.ts'

// What the standard demands and no other test shows; conformance.md names the clause of each.

async function linked(broker: AmqpBroker, credit = 100): Promise<AmqpPeer> {
  const peer = await broker.begun()
  await peer.sender('s', 'queue://a')
  await peer.receiver('r', 'queue://a', { credit })
  return peer
}

function headerOf(frame: ReceivedFrame): readonly Seen[] {
  return fieldsOf({ descriptor: 0x70, value: sectionsOf(frame.payload).get(0x70) as Seen })
}

function codes(peer: AmqpPeer): number[] {
  return peer.history.map(({ code }) => code)
}

describe('connections', () => {
  test('a header that is spoken here is answered with itself', async () => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    peer.write(headers.sasl)
    expect((await peer.next(-1)).payload).toEqual(headers.sasl)
    peer.write(frameBytes(encode(composite(0x41, t.symbol('ANONYMOUS'))), undefined, 0, 1))
    await peer.next(0x44)
    peer.write(headers.amqp)
    peer.send(composite(0x10, t.string('peer')))
    expect((await peer.next(-1)).payload).toEqual(headers.amqp)
    expect(codes(peer)).toEqual([-1, 0x40, 0x44, -1, 0x10])
  })

  test('an extended header is skipped', async () => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    await peer.open()
    const begin = encode(composite(0x11, undefined, t.uint(0), t.uint(10), t.uint(10)))
    const head = Buffer.from([0, 0, 0, 16 + begin.length, 4, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    peer.write(head, begin)
    await peer.next(0x11)
  })

  test('the channel of a SASL frame means nothing', async () => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    peer.write(headers.sasl, frameBytes(encode(composite(0x41, t.symbol('ANONYMOUS'))), undefined, 77, 1))
    expect((await peer.next(0x44)).fields[0]).toBe(0)
  })

  test('a mechanism that was not offered, and a wrong answer to one, are told `auth`', async () => {
    const broker = await AmqpBroker.open()
    for (const fields of [[t.symbol('CRAM-MD5')], [t.symbol('PLAIN'), t.binary('x')]]) {
      const peer = broker.peer()
      peer.write(headers.sasl, frameBytes(encode(composite(0x41, ...fields)), undefined, 0, 1))
      const outcomes = (await peer.closed.then(() => peer.history)).filter(({ code }) => code === 0x44)
      expect(outcomes.map((frame) => frame.fields[0])).toEqual([1])
    }
  })

  test.each<[string, (peer: AmqpPeer) => void]>([
    ['for an error', (peer) => peer.send(composite(0x12), undefined, 9)],
    ['as an answer', (peer) => peer.send(composite(0x18))],
  ])('close is the last thing written, %s', async (_how, provoke) => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    peer.transfer(0, text('x'))
    await peer.next(0x14)
    provoke(peer)
    peer.transfer(1, text('y'))
    await peer.closed
    expect(codes(peer).filter((code) => code === 0x18)).toHaveLength(1)
    expect(codes(peer).at(-1)).toBe(0x18)
  })

  test('empty frames go out on channel 0, and come in on any', async () => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    await peer.open('peer', undefined, undefined, t.uint(2000))
    peer.write(frameBytes(Buffer.alloc(0), undefined, 5))
    broker.clock.advance(1000)
    expect((await peer.next(0)).channel).toBe(0)
    await peer.begin()
  })

  test('capabilities that we cannot know, and locales, are no hindrance', async () => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    const more = [t.symbols('de-DE', 'en-US'), t.symbols('fr'), t.symbols('NEVER-HEARD-OF'), t.symbols('sharks')]
    await peer.open('peer', undefined, undefined, undefined, ...more)
    await peer.begin()
  })
})

describe('sessions', () => {
  test('are announced on the lowest channel, with the channel of the begin they answer', async () => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    await peer.open('peer', undefined, t.ushort(0))
    for (const channel of [7, 3]) {
      const begin = await peer.begin(channel)
      expect([begin.channel, begin.fields[0]]).toEqual([0, channel])
      peer.send(composite(0x17), undefined, channel)
      await peer.next(0x17)
    }
  })

  test('take the number of the next frame from the flow of their peer', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    peer.transfer(0, text('x'))
    await peer.next(0x15)
    const flow = [t.uint(0), t.uint(10), t.uint(2 ** 32 - 1), t.uint(10)]
    const echo = [undefined, undefined, undefined, undefined, undefined, t.boolean(true)]
    peer.send(composite(0x13, ...flow, ...echo))
    expect((await peer.next(0x13)).fields[0]).toBe(2 ** 32 - 1)
    peer.transfer(1, text('y'))
    peer.send(composite(0x13, ...flow.slice(0, 2), t.uint(0), t.uint(10), ...echo))
    expect((await peer.next(0x13)).fields[0]).toBe(0)
  })
})

describe('links', () => {
  test('of ours begin to count at 0, and say so; of theirs we begin where they do', async () => {
    const broker = await AmqpBroker.open({ amqp: { linkCredit: 4 } })
    const peer = await broker.begun()
    expect((await peer.receiver('r', 'queue://a')).fields[9]).toBe(0)
    const ends = [t.ubyte(2), t.ubyte(0), composite(0x28), composite(0x29, t.string('queue://a'))]
    const attach = [t.string('s'), t.uint(0), t.boolean(false), ...ends, undefined, undefined, t.uint(2 ** 32 - 1)]
    peer.send(composite(0x12, ...attach))
    await peer.next(0x12)
    expect((await peer.next(0x13)).fields.slice(4, 7)).toEqual([1, 2 ** 32 - 1, 4])
    peer.transfer(0, text('x'))
    peer.transfer(1, text('x'))
    expect((await peer.next(0x13)).fields.slice(4, 7)).toEqual([1, 1, 4])
  })

  test('of a receiver without target are attached without one', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    peer.send(
      composite(0x12, t.string('r'), t.uint(0), t.boolean(true), undefined, undefined, source('queue://a'), undefined),
    )
    const { fields } = await peer.next(0x12)
    expect([descriptorOf(fields[5] ?? undefined), fields[6]]).toEqual([0x28, null])
  })

  test('say which distribution mode and which outcomes they have', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const fields = fieldsOf((await peer.receiver('r', 'queue://a')).fields[5])
    expect(fields[6]).toBe('move')
    expect(fields[9]).toEqual(['accepted', 'rejected', 'released', 'modified'].map((name) => `amqp:${name}:list`))
  })

  test('apply no filter that is not described', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const filters = t.map({ 'jms-selector': t.string("a = 'b'"), nothing: t.null() })
    const from = composite(0x28, t.string('queue://a'), ...new Array(6).fill(undefined), filters)
    const answer = await peer.receiver('r', from, { credit: 1 })
    expect(fieldsOf(answer.fields[5])[7] ?? null).toBeNull()
  })

  test('that name an address beside `dynamic` get one of ours', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const from = composite(0x28, t.string('queue://mine'), undefined, undefined, undefined, t.boolean(true))
    const [address] = fieldsOf((await peer.receiver('r', from)).fields[5])
    expect(address).not.toBe('queue://mine')
  })

  test('whose sender gives credit back by its delivery-count get it anew', async () => {
    const broker = await AmqpBroker.open({ amqp: { linkCredit: 4 } })
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    peer.transfer(0, text('x'))
    peer.credit(0, 0, 4)
    expect((await peer.next(0x13)).fields.slice(4, 7)).toEqual([0, 4, 4])
    peer.credit(0, 0, 2)
    for (let id = 1; id < 3; id += 1) peer.transfer(id, text('x'))
    expect((await peer.next(0x13)).fields.slice(4, 7)).toEqual([0, 6, 4])
  })

  test('whose deliveries are all aborted get credit for more', async () => {
    const broker = await AmqpBroker.open({ amqp: { linkCredit: 2 } })
    const peer = await linked(broker)
    for (let id = 0; id < 9; id += 1) {
      peer.transfer(id, text('half').subarray(0, 4), { hasMore: true })
      peer.transfer(id, Buffer.from('not looked at'), { aborted: true })
      await peer.next(0x13)
    }
    peer.transfer(9, text('whole'))
    expect(bodyOf(await peer.next(0x14))).toBe('whole')
  })
})

describe('transfers', () => {
  const halves = (body: string): readonly [Buffer, Buffer] => [text(body).subarray(0, 5), text(body).subarray(5)]

  function part(deliveryId: number | undefined, settled: boolean | undefined, hasMore: boolean): Wired {
    const id = deliveryId === undefined ? undefined : t.uint(deliveryId)
    const tag = deliveryId === undefined ? undefined : t.binary('tag')
    const settles = settled === undefined ? undefined : t.boolean(settled)
    return composite(0x14, t.uint(0), id, tag, undefined, settles, t.boolean(hasMore))
  }

  test.each<[string, boolean | undefined, boolean | undefined, boolean]>([
    ['no frame', undefined, undefined, false],
    ['the first frame', true, undefined, true],
    ['the last frame', undefined, true, true],
    ['the first frame, and the last one takes it back', true, false, true],
  ])('are settled if %s says so', async (_how, first, last, isSettled) => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    const [head, tail] = halves('whole')
    peer.send(part(0, first, true), head)
    peer.send(part(undefined, last, false), tail)
    expect(bodyOf(await peer.next(0x14))).toBe('whole')
    await peer.synced()
    expect(codes(peer).filter((code) => code === 0x15)).toHaveLength(isSettled ? 0 : 1)
  })

  test('need no delivery tag and no message format of ours to be understood', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    peer.send(composite(0x14, t.uint(0), t.uint(0)), text('x'))
    expect(bodyOf(await peer.next(0x14))).toBe('x')
  })

  test('say their id, tag and format; tags are as many as deliveries, and short', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    for (let id = 0; id < 3; id += 1) peer.transfer(id, text('x'))
    const frames = await peer.transfers(3)
    expect(frames.map(({ fields }) => [fields[0], fields[1], fields[3]])).toEqual([0, 1, 2].map((id) => [1, id, 0]))
    const tags = frames.map(({ fields }) => (fields[2] as Buffer).toString('hex'))
    expect(new Set(tags).size).toBe(3)
    expect(tags.every((tag) => tag.length > 0 && tag.length <= 64)).toBe(true)
  })

  test.each([
    [0, false],
    [1, true],
    [2, false],
  ])('in mode %d of their receiver come settled: %s', async (sndSettleMode, settled) => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const answer = await peer.receiver('r', 'queue://a', { sndSettleMode, credit: 1 })
    expect(answer.fields[3]).toBe(sndSettleMode)
    await peer.sender('s', 'queue://a')
    peer.transfer(0, text('x'))
    expect((await peer.next(0x14)).fields[4]).toBe(settled)
  })

  test('may ask for mode second each for itself', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker, 0)
    const modes = [t.ubyte(1), t.ubyte(0), undefined]
    for (const [id, mode] of modes.entries()) {
      const tag = t.binary(`t${id}`)
      peer.send(composite(0x14, t.uint(0), t.uint(id), tag, t.uint(0), undefined, undefined, mode), text('x'))
      const { fields } = await peer.next(0x15)
      expect([fields[1], fields[3]]).toEqual([id, id !== 0])
    }
  })

  test('are settled over links, by one disposition', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker, 2)
    await peer.receiver('other', 'queue://b', { handle: 2, credit: 2 })
    await peer.sender('to other', 'queue://b', { handle: 3 })
    for (let id = 0; id < 4; id += 1) peer.transfer(id, text('x'), { handle: id % 2 === 0 ? 0 : 3 })
    await peer.transfers(4)
    peer.disposition(0, 3, accepted)
    await peer.synced()
    for (const { count } of broker.broker.router.queues) expect(count).toBe(0)
  })

  test('a state that is not final settles nothing, and its receiver may go on', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    peer.transfer(0, text('x'))
    await peer.next(0x14)
    peer.disposition(0, 0, composite(0x23, t.uint(0), t.ulong(0)), false)
    await peer.synced()
    expect([...broker.broker.router.queues].map(({ count }) => count)).toEqual([1])
    peer.disposition(0, 0, accepted)
    await peer.synced()
    expect([...broker.broker.router.queues].map(({ count }) => count)).toEqual([0])
  })
})

describe('messages', () => {
  test('without a header have the defaults: not durable, priority 4, never delivered', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker, 0)
    const low = encode(composite(0x70, undefined, t.ubyte(3)))
    peer.transfer(0, Buffer.concat([low, text('low')]))
    peer.transfer(1, text('without'))
    peer.credit(1, 10)
    const [first, second] = await peer.transfers(2)
    expect([first, second].map((frame) => bodyOf(frame as ReceivedFrame))).toEqual(['without', 'low'])
    const [durable, priority, ttl, isFirst, count] = headerOf(first as ReceivedFrame)
    expect([durable ?? false, priority ?? 4, ttl ?? null, isFirst, count ?? 0]).toEqual([false, 4, null, true, 0])
  })

  test('have ten priorities; more than 9 is as 9', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker, 0)
    const sent = [0, 9, 1, 255, 2, 3, 4, 5, 10, 6, 7, 8]
    for (const [id, priority] of sent.entries()) {
      peer.transfer(id, Buffer.concat([encode(composite(0x70, undefined, t.ubyte(priority))), text(`${priority}`)]))
    }
    peer.credit(1, 20)
    const bodies = (await peer.transfers(sent.length)).map(bodyOf)
    expect(bodies).toEqual(['9', '255', '10', '8', '7', '6', '5', '4', '3', '2', '1', '0'])
  })

  test('keep annotations that are nobody’s, by symbol and by ulong', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    // A map of the symbol `x` to true and of the ulong 7 to false.
    const section = Buffer.from('005372 c10f04 a30178 41 800000000000000007 42'.replaceAll(' ', ''), 'hex')
    peer.transfer(0, Buffer.concat([section, text('x')]))
    expect((await peer.next(0x14)).payload.includes(section)).toBe(true)
  })
})

describe('transactions', () => {
  const coordinatorHandle = 9
  const withoutRejected = composite(0x28, ...new Array(9).fill(undefined), t.symbols('amqp:accepted:list'))

  async function declared(peer: AmqpPeer, more: { readonly source?: Wired } = {}): Promise<Buffer> {
    await peer.sender('coordinator', composite(0x30), { handle: coordinatorHandle, ...more })
    request(peer, 1000, composite(0x31))
    for (;;) {
      const { fields } = await peer.next(0x15)
      if (descriptorOf(fields[4]) === 0x33) return fieldsOf(fields[4])[0] as Buffer
    }
  }

  function request(peer: AmqpPeer, id: number, body: Wired): void {
    peer.transfer(id, Buffer.concat([Buffer.from([0, 0x53, 0x77]), encode(body)]), { handle: coordinatorHandle })
  }

  test('a flow that would acquire within one closes its link, and no other', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    const id = await declared(peer)
    const numbers = [t.uint(0), t.uint(10), t.uint(0), t.uint(10), t.uint(1), t.uint(0), t.uint(5)]
    const flow = (properties: Wired): Wired =>
      composite(0x13, ...numbers, undefined, t.boolean(false), t.boolean(false), properties)
    for (const properties of [t.map({}), t.null(), t.map({ other: t.uint(1), 'txn-id': t.null() })])
      peer.send(flow(properties))
    await peer.synced()
    expect(codes(peer)).not.toContain(0x16)
    peer.send(flow(t.map({ other: t.list(t.uint(1)), 'txn-id': t.binary(id) })))
    const closed = await peer.next(0x16)
    expect([closed.fields[1], conditionOf(closed)]).toEqual([true, 'amqp:not-implemented'])
    peer.transfer(0, text('x'))
    await peer.next(0x15)
  })

  test('one of which half a delivery has come is rolled back by its discharge, and its control link closed', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    const id = await declared(peer)
    const state = composite(0x34, t.binary(id))
    peer.transfer(0, text('whole'), { state })
    await peer.next(0x15)
    peer.transfer(1, text('half').subarray(0, 5), { state, hasMore: true })
    request(peer, 1001, composite(0x32, t.binary(id), t.boolean(false)))
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:transaction:rollback')
    peer.transfer(1, text('half').subarray(5))
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:transaction:unknown-id')
    expect(codes(peer)).not.toContain(0x14)
  })

  test('one of which a message was no message can only be discharged with `fail`', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    const id = await declared(peer)
    peer.transfer(0, Buffer.from([1, 2, 3]), { state: composite(0x34, t.binary(id)) })
    const { fields } = await peer.next(0x15)
    expect([descriptorOf(fields[4]), descriptorOf(fieldsOf(fields[4])[1])]).toEqual([0x34, 0x25])
    request(peer, 1001, composite(0x32, t.binary(id), t.boolean(false)))
    const refused = fieldsOf((await peer.next(0x15)).fields[4])[0]
    expect(fieldsOf(refused)[0]).toBe('amqp:transaction:rollback')
    request(peer, 1002, composite(0x31))
    const other = fieldsOf((await peer.next(0x15)).fields[4])[0] as Buffer
    peer.transfer(1, Buffer.from([1, 2, 3]), { state: composite(0x34, t.binary(other)) })
    await peer.next(0x15)
    peer.transfer(2, text('half').subarray(0, 5), { state: composite(0x34, t.binary(other)), hasMore: true })
    request(peer, 1003, composite(0x32, t.binary(other), t.boolean(true)))
    expect(descriptorOf((await peer.next(0x15)).fields[4])).toBe(0x24)
  })

  test('a controller that takes no `rejected` is told by the end of its link', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    await declared(peer, { source: withoutRejected })
    request(peer, 1001, composite(0x32, t.binary('nope')))
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:transaction:unknown-id')
  })

  test('so is a sender that takes none', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', target('queue://a'), { source: withoutRejected })
    peer.transfer(0, Buffer.from([1, 2, 3]))
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:decode-error')
  })

  test('what is settled within one cannot be settled within another at the same time', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    const first = await declared(peer)
    request(peer, 1001, composite(0x31))
    const second = fieldsOf((await peer.next(0x15)).fields[4])[0] as Buffer
    peer.transfer(0, text('x'))
    await peer.next(0x14)
    await peer.next(0x15)
    for (const id of [first, second]) peer.disposition(0, 0, composite(0x34, t.binary(id), accepted), false)
    request(peer, 1002, composite(0x32, t.binary(second), t.boolean(true)))
    await peer.next(0x15)
    expect([...broker.broker.router.queues].map(({ count }) => count)).toEqual([1])
    request(peer, 1003, composite(0x32, t.binary(first), t.boolean(false)))
    await peer.next(0x15)
    await peer.synced()
    expect([...broker.broker.router.queues].map(({ count }) => count)).toEqual([0])
  })
})
