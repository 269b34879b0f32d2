import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import { accepted, bodyOf, conditionOf, detach, lost, text } from '../../../support/amqp-frames.ts'
import {
  composite,
  descriptorOf,
  fieldsOf,
  type ReceivedFrame,
  type Seen,
  sectionsOf,
  t,
  type Wired,
} from '../../../support/amqp-peer.ts'

/** The sender settles last: exactly once. */
const second = { rcvSettleMode: 1 }

function terminus(code: number, address: string, policy?: string, timeout = 0, durable = 0): Wired {
  const symbol = policy === undefined ? undefined : t.symbol(policy)
  return composite(code, t.string(address), t.uint(durable), symbol, t.uint(timeout))
}

const target = (policy?: string, timeout = 0): Wired => terminus(0x29, 'queue://a', policy, timeout)
const source = (policy?: string, timeout = 0): Wired => terminus(0x28, 'queue://a', policy, timeout)

/** The unsettled map of an answer: the descriptor of each state by its tag, null if there is none. */
function told(answer: ReceivedFrame): Record<string, Seen> | null {
  const map = answer.fields[7] as ReadonlyMap<Buffer, Seen> | null
  if (map === null) return null
  return Object.fromEntries([...map].map(([tag, state]) => [tag.toString('latin1'), descriptorOf(state) ?? null]))
}

function left(broker: AmqpBroker): number {
  return [...broker.broker.router.queues].reduce((sum, queue) => sum + queue.count, 0)
}

describe('expiry of a terminus', () => {
  test.each<[string | undefined, number, string, number]>([
    [undefined, 0, 'link-detach', 0],
    ['session-end', 0, 'link-detach', 0],
    ['session-end', 30, 'session-end', 30],
    ['link-detach', 30, 'link-detach', 30],
    ['connection-close', 0, 'connection-close', 0],
    ['never', 0, 'never', 0],
    ['never', 30, 'never', 0],
    ['session-end', 2 ** 32 - 1, 'session-end', 86_400],
    ['whenever', 30, 'link-detach', 0],
  ])('%s and %d s are answered with %s and %d s', async (policy, timeout, granted, seconds) => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const sender = await peer.sender('s', target(policy, timeout))
    expect(fieldsOf(sender.fields[6]).slice(2, 4)).toEqual([granted, seconds])
    const receiver = await peer.receiver('r', source(policy, timeout))
    expect(fieldsOf(receiver.fields[5]).slice(2, 4)).toEqual([granted, seconds])
  })

  test('of a durable subscription is never', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const durable = await peer.receiver('d', terminus(0x28, 'topic://t', 'session-end', 30, 2), { handle: 2 })
    expect(fieldsOf(durable.fields[5]).slice(1, 4)).toEqual([2, 'never', 0])
  })
})

describe('a sender that attaches again (part 2, section 2.6.13)', () => {
  test('is told what was accepted before the connection was lost, and does not send it twice', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', target('never'), second)
    peer.transfer(0, text('x'), { tag: 'one' })
    await peer.next(0x15)
    await lost(peer)

    const again = await broker.begun()
    const answer = await again.sender('s', target('never'), {
      ...second,
      unsettled: t.tags({ one: t.null(), two: t.null() }),
    })
    expect(told(answer)).toEqual({ one: 0x24 })
    again.transfer(0, Buffer.alloc(0), { tag: 'one', resume: true })
    const { fields } = await again.next(0x15)
    expect([fields[1], fields[3], descriptorOf(fields[4])]).toEqual([0, false, 0x24])
    again.transfer(1, text('y'), { tag: 'two' })
    await again.next(0x15)
    expect(left(broker)).toBe(2)
  })

  test('finds it again and again, and settles it without an answer', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', target('connection-close'), second)
    peer.transfer(0, text('x'), { tag: 'one' })
    await peer.next(0x15)
    const unsettled = t.tags({ one: t.null() })
    for (let round = 0; round < 3; round += 1) {
      await detach(peer, 0)
      expect(told(await peer.sender('s', target('connection-close'), { ...second, unsettled }))).toEqual({ one: 0x24 })
    }
    peer.transfer(1, Buffer.alloc(0), { tag: 'one', resume: true, settled: true })
    await peer.synced()
    expect(peer.frames.filter(({ code }) => code === 0x15)).toEqual([])
    await detach(peer, 0)
    expect(told(await peer.sender('s', target('connection-close'), { ...second, unsettled }))).toEqual({})
    expect(left(broker)).toBe(1)
  })

  test('what was not confirmed yet, and it resumes whole, in several frames, is not stored again', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', target('never'))
    peer.transfer(0, text('x'), { tag: 'one' })
    await lost(peer)
    const again = await broker.begun()
    const answer = await again.sender('s', target('never'), { unsettled: t.tags({ one: t.null() }) })
    expect(told(answer)).toEqual({ one: null })
    const payload = text('x')
    again.transfer(0, payload.subarray(0, 3), { tag: 'one', resume: true, hasMore: true })
    again.transfer(0, payload.subarray(3), { tag: 'one' })
    expect(descriptorOf((await again.next(0x15)).fields[4])).toBe(0x24)
    expect(left(broker)).toBe(1)
  })

  test('what was refused stays refused, with the reason', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', target('never'), second)
    peer.transfer(0, Buffer.from([1, 2, 3]), { tag: 'bad' })
    await peer.next(0x15)
    await lost(peer)
    const again = await broker.begun()
    const answer = await again.sender('s', target('never'), { ...second, unsettled: t.tags({ bad: t.null() }) })
    const [state] = [...(answer.fields[7] as ReadonlyMap<Buffer, Seen>).values()]
    expect([descriptorOf(state), fieldsOf(fieldsOf(state)[0])[0]]).toEqual([0x25, 'amqp:decode-error'])
    again.transfer(0, Buffer.alloc(0), { tag: 'bad', resume: true })
    const { fields } = await again.next(0x15)
    expect(fieldsOf(fieldsOf(fields[4])[0])[0]).toBe('amqp:decode-error')
  })

  test('what it resumes and nobody knows is ignored (section 2.7.5, resume)', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    for (const policy of [undefined, 'never']) {
      await peer.sender('s', target(policy), { ...second, unsettled: t.tags({ one: t.null() }) })
      peer.transfer(0, text('x'), { tag: 'one', resume: true })
      peer.transfer(1, text('x').subarray(0, 2), { tag: 'two', resume: true, hasMore: true })
      peer.transfer(1, text('x').subarray(2), { tag: 'two', resume: true })
      peer.transfer(2, text('new'), { tag: 'three' })
      expect((await peer.next(0x15)).fields.slice(1, 3)).toEqual([2, null])
      await detach(peer, 0)
    }
    expect(left(broker)).toBe(2)
  })

  test('what it does not name is settled; unless it says that its map is incomplete', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', target('never'), second)
    for (const tag of ['one', 'two', 'three']) {
      peer.transfer(0, text('x'), { tag })
      await peer.next(0x15)
    }
    await detach(peer, 0)
    const one = t.tags({ one: t.null() })
    const partial = await peer.sender('s', target('never'), { ...second, unsettled: one, incomplete: true })
    expect(told(partial)).toEqual({ one: 0x24, two: 0x24, three: 0x24 })
    await detach(peer, 0)
    expect(told(await peer.sender('s', target('never'), { ...second, unsettled: one }))).toEqual({ one: 0x24 })
    await detach(peer, 0)
    expect(told(await peer.sender('s', target('never'), second))).toBeNull()
    await detach(peer, 0)
    expect(told(await peer.sender('s', target('never'), { ...second, unsettled: one }))).toEqual({})
  })

  test('a map that does not fit in its frames is incomplete: until it has attached again it may only resume', async () => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    await peer.open('peer', t.uint(512))
    await peer.begin()
    await peer.sender('s', target('connection-close'), second)
    const tags = Array.from({ length: 50 }, (_, index) => `tag ${index}`)
    for (const [id, tag] of tags.entries()) peer.transfer(id, text('x'), { tag })
    await peer.synced()
    await detach(peer, 0)
    const unsettled = t.tags(Object.fromEntries(tags.map((tag) => [tag, t.null()])))
    const answer = await peer.sender('s', target('connection-close'), { ...second, unsettled })
    const known = Object.keys(told(answer) ?? {})
    expect(known.length).toBeGreaterThan(0)
    expect([known.length < 50, answer.fields[8]]).toEqual([true, true])
    peer.transfer(50, Buffer.alloc(0), { tag: 'tag 49', resume: true })
    peer.transfer(51, text('new'), { tag: 'new' })
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:not-allowed')
    expect(left(broker)).toBe(50)
  })

  test.each([
    ['link-detach', 0, 0, false],
    ['link-detach', 10, 9, true],
    ['link-detach', 10, 10, false],
    ['connection-close', 0, 0, false],
    ['connection-close', 10, 9, true],
    ['session-end', 10, 10, false],
    ['never', 0, 1_000_000, true],
  ])('%s and %d s: %d s after a lost connection it is known: %s', async (policy, timeout, seconds, isKnown) => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', target(policy, timeout), second)
    peer.transfer(0, text('x'), { tag: 'one' })
    await peer.next(0x15)
    await lost(peer)
    broker.clock.advance(seconds * 1000)
    const again = await broker.begun()
    const answer = await again.sender('s', target(policy, timeout), { ...second, unsettled: t.tags({ one: t.null() }) })
    expect(told(answer)).toEqual(isKnown ? { one: 0x24 } : {})
  })

  test('is known by its container, its name and its target', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', target('never'), second)
    peer.transfer(0, text('x'), { tag: 'one' })
    await peer.next(0x15)
    await lost(peer)
    const unsettled = t.tags({ one: t.null() })
    const other = await broker.begun('other')
    expect(told(await other.sender('s', target('never'), { ...second, unsettled }))).toEqual({})
    const again = await broker.begun()
    expect(told(await again.sender('t', target('never'), { ...second, unsettled }))).toEqual({})
    const elsewhere = terminus(0x29, 'queue://b', 'never')
    expect(told(await again.sender('s', elsewhere, { ...second, handle: 1, unsettled }))).toEqual({})
    expect(told(await again.sender('s', target('never'), { ...second, handle: 2, unsettled }))).toEqual({ one: 0x24 })
  })

  test('a link that is closed for good leaves nothing', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', target('never'), second)
    peer.transfer(0, text('x'), { tag: 'one' })
    await detach(peer, 0, true)
    const unsettled = t.tags({ one: t.null() })
    expect(told(await peer.sender('s', target('never'), { ...second, unsettled }))).toEqual({})
  })

  test('that may use a tag again, for we or it have settled it, is never told that the new delivery came', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const unsettled = t.tags({ one: t.null() })
    await peer.sender('s', target('connection-close'))
    peer.transfer(0, text('x'), { tag: 'one' })
    await peer.next(0x15)
    await detach(peer, 0)
    expect(told(await peer.sender('s', target('connection-close'), { unsettled }))).toEqual({})
    peer.transfer(1, Buffer.from([1]), { tag: 'one' })
    await peer.next(0x15)
    await detach(peer, 0)
    expect(told(await peer.sender('s', target('connection-close'), { ...second, unsettled }))).toEqual({})
    for (const [id, tag] of ['zero', 'one', 'two'].entries()) {
      peer.transfer(2 + id, text('x'), { tag })
      await peer.next(0x15)
    }
    peer.send(composite(0x15, t.boolean(false), t.uint(3), t.uint(3), t.boolean(true)))
    await detach(peer, 0)
    const all = t.tags({ zero: t.null(), one: t.null(), two: t.null() })
    const answer = await peer.sender('s', target('connection-close'), { ...second, unsettled: all })
    expect(told(answer)).toEqual({ zero: 0x24, two: 0x24 })
  })
})

describe('a receiver that attaches again', () => {
  async function delivered(broker: AmqpBroker, from: Wired, count: number): Promise<ReceivedFrame[]> {
    const peer = await broker.begun()
    await peer.receiver('r', from, { credit: 10 })
    const address = (fieldsOf((peer.history.find(({ code }) => code === 0x12) as ReceivedFrame).fields[5])[0] ??
      '') as string
    await peer.sender('s', address)
    for (let id = 0; id < count; id += 1) peer.transfer(id, text(`m${id}`))
    const frames = await peer.transfers(count)
    await lost(peer)
    return frames
  }

  const tagOf = (frame: ReceivedFrame | undefined): string =>
    ((frame as ReceivedFrame).fields[2] as Buffer).toString('latin1')

  test.each([
    ['a queue', source('never')],
    ['a durable subscription', terminus(0x28, 'topic://t', 'never', 0, 2)],
  ])('of %s is not sent again what it has accepted or refused; all else is, as new deliveries', async (_, from) => {
    const broker = await AmqpBroker.open()
    const frames = await delivered(broker, from, 4)
    const states = { [tagOf(frames[0])]: accepted, [tagOf(frames[1])]: composite(0x25), [tagOf(frames[2])]: t.null() }
    const again = await broker.begun()
    const answer = await again.receiver('r', from, { credit: 2, unsettled: t.tags({ ...states, strange: accepted }) })
    expect(told(answer)).toEqual({})
    const [third, fourth] = await again.transfers(2)
    expect([bodyOf(third as ReceivedFrame), bodyOf(fourth as ReceivedFrame)]).toEqual(['m2', 'm3'])
    const header = fieldsOf({ descriptor: 0x70, value: sectionsOf((third as ReceivedFrame).payload).get(0x70) as Seen })
    expect(header.slice(3)).toEqual([false, 1])
    again.disposition(0, 1, accepted)
    await again.synced()
    const queues = [...broker.broker.router.queues].filter(({ address }) => address.name === 'a')
    expect(queues.map(({ count }) => count)).toEqual(queues.map(() => 0))
  })

  test('is sent everything again if the terminus is over, or it has forgotten', async () => {
    const broker = await AmqpBroker.open()
    const [frame] = await delivered(broker, source(), 1)
    const again = await broker.begun()
    await again.receiver('r', source(), { credit: 1, unsettled: t.tags({ [tagOf(frame)]: accepted }) })
    expect(bodyOf(await again.next(0x14))).toBe('m0')
  })

  test('with an incomplete map is sent nothing new until it attaches again (section 2.7.3)', async () => {
    const broker = await AmqpBroker.open()
    const frames = await delivered(broker, source('never'), 2)
    const again = await broker.begun()
    const unsettled = t.tags({ [tagOf(frames[0])]: accepted })
    await again.receiver('r', source('never'), { credit: 5, unsettled, incomplete: true })
    again.credit(1, 5, 0, 0, true)
    expect((await again.next(0x13)).fields.slice(5, 7)).toEqual([5, 0])
    expect(again.frames.filter(({ code }) => code === 0x14)).toEqual([])
    await detach(again, 1)
    await again.receiver('r', source('never'), { credit: 5, unsettled: t.tags({}) })
    expect(bodyOf(await again.next(0x14))).toBe('m1')
    await again.synced()
    expect(again.frames.filter(({ code }) => code === 0x14)).toEqual([])
  })

  test('is sent the first message of a queue that was made again, though another was in its place', async () => {
    const broker = await AmqpBroker.open()
    const [frame] = await delivered(broker, source('never'), 1)
    broker.broker.router.deleteDestination(Address.must('queue', 'a'))
    const again = await broker.begun()
    await again.receiver('r', source('never'), { credit: 1, unsettled: t.tags({ [tagOf(frame)]: accepted }) })
    await again.sender('s', 'queue://a')
    again.transfer(0, text('new'))
    expect(bodyOf(await again.next(0x14))).toBe('new')
  })

  test('that was closed for good has nothing to be told', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    await peer.receiver('r', source('never'), { credit: 1 })
    peer.transfer(0, text('x'))
    const frame = await peer.next(0x14)
    await detach(peer, 1, true)
    await peer.receiver('r', source('never'), { credit: 1, unsettled: t.tags({ [tagOf(frame)]: accepted }) })
    expect(bodyOf(await peer.next(0x14))).toBe('x')
  })

  test('gives the reason why it refused a message, which the dead letter keeps', async () => {
    const broker = await AmqpBroker.open()
    const [frame] = await delivered(broker, source('never'), 1)
    const why = composite(0x25, composite(0x1d, t.symbol('app:bad'), t.string('no such colour')))
    const again = await broker.begun()
    await again.receiver('r', source('never'), { credit: 1, unsettled: t.tags({ [tagOf(frame)]: why }) })
    await again.receiver('d', 'queue://DLQ.a', { handle: 2, credit: 1 })
    const annotations = sectionsOf((await again.next(0x14)).payload).get(0x72) as ReadonlyMap<Seen, Seen>
    expect(annotations.get('x-opt-dead-letter-reason')).toBe('app:bad: no such colour')
  })
})
