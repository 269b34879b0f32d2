import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import type { Message } from '../../../../src/message.ts'
import { type Delivery, failed } from '../../../../src/session.ts'
import { MemoryStore } from '../../../../src/store/memory-store.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { policyRule } from '../../../support/policy-rule.ts'
import { TestBroker, type TestBrokerOptions } from '../../../support/test-broker.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

function numbered(count: number, prefix = 'm'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}

function textsOf(test: TestBroker, queue: string): string[] {
  return [...test.queue(queue).residents()].map(({ message }) => textOf(message))
}

function textOf(message: Message): string {
  return Buffer.from(message.content).toString()
}

/** What consumers have added to the message. */
function addedTo({ annotations }: Delivery): string {
  return Buffer.from(annotations ?? []).toString()
}

/** One broker after the other over the same store, on the same clock. */
class Succession {
  readonly store: MemoryStore
  readonly clock: VirtualClock
  readonly how: 'closed' | 'abandoned'
  #current: TestBroker | undefined

  constructor(how: 'closed' | 'abandoned') {
    this.store = new MemoryStore()
    this.clock = new VirtualClock()
    this.how = how
    this.#current = undefined
  }

  async next(options: TestBrokerOptions = {}): Promise<TestBroker> {
    const before = this.#current
    await before?.settle()
    if (this.how === 'closed') await before?.close()
    this.#current = await TestBroker.open({ store: this.store, clock: this.clock, ...options })
    return this.#current
  }
}

const durable = { durable: true } as const

describe.each(['closed', 'abandoned'] as const)('a broker opened after one was %s', (how) => {
  test('has the durable messages back in order, by priority, and no others', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    const sender = first.connect()
    for (const [index, priority] of [4, 9, 4, 0, 9].entries()) {
      sender.send('orders', `p${priority}-${index}`, { ...durable, priority })
      sender.send('orders', 'passing', { priority })
    }
    sender.send('passing', 'passing')
    const second = await brokers.next()
    expect([second.queue('orders').readyCount, second.broker.memory.bytes]).toEqual([5, 5 * 404])
    const consumer = second.connect().subscribe('orders')
    await second.settle()
    expect(consumer.texts).toEqual(['p9-1', 'p9-4', 'p4-0', 'p4-2', 'p0-3'])
    expect(consumer.deliveries.every(({ redelivered }) => !redelivered)).toBe(true)
    consumer.settleAll()
    expect(second.broker.memory.bytes).toBe(0)
    const third = await brokers.next()
    expect(third.queue('orders').count).toBe(0)
  })

  test('has back more messages than fit in one page, and goes on after them', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    first.connect().sendAll('orders', numbered(10_000), durable)
    const second = await brokers.next()
    second.connect().send('orders', 'after', durable)
    const consumer = second.connect().subscribe('orders', { credit: 20_000 })
    await second.settle()
    expect(consumer.texts).toEqual([...numbered(10_000), 'after'])
    const sequences = consumer.deliveries.map(({ sequence }) => sequence)
    expect(new Set(sequences).size).toBe(10_001)
  })

  test('has back what was delivered and not settled, but not what was accepted', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    const client = first.connect()
    const consumer = client.subscribe('orders')
    client.sendAll('orders', numbered(4), durable)
    await first.settle()
    consumer.settle(1)
    const second = await brokers.next()
    expect(textsOf(second, 'orders')).toEqual(['m0', 'm2', 'm3'])
  })

  test('knows the delivery counts and the delays', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next({ policies: [policyRule('orders', { deliveriesMax: 3 })] })
    const client = first.connect()
    const consumer = client.subscribe('orders', { credit: 3 })
    client.sendAll('orders', numbered(3), durable)
    client.send('orders', 'later', { ...durable, deliverAt: first.clock.now() + 60_000 })
    await first.settle()
    consumer.settle(0, failed)
    consumer.settle(1, { kind: 'modified', delayMs: 30_000 })
    await first.settle()
    const second = await brokers.next({ policies: [policyRule('orders', { deliveriesMax: 3 })] })
    const { readyCount, delayedCount } = second.queue('orders')
    expect([readyCount, delayedCount]).toEqual([2, 2])
    const back = second.connect().subscribe('orders')
    await second.settle()
    expect(back.texts).toEqual(['m0', 'm2'])
    expect(back.deliveries[0]).toMatchObject({ deliveryCount: 1, redelivered: true })
    await second.advance(30_000)
    expect(back.deliveries[2]).toMatchObject({ deliveryCount: 1, redelivered: true })
    await second.advance(60_000)
    expect(back.texts).toEqual(['m0', 'm2', 'm1', 'later'])
    back.settle(0, failed)
    await second.settle()
    back.settle(4, failed)
    await second.settle()
    expect(second.queue('DLQ.orders').readyCount).toBe(1)
  })

  test('delivers what came due meanwhile, and expires what expired', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    const client = first.connect()
    const now = first.clock.now()
    client.send('orders', 'due', { ...durable, deliverAt: now + 10_000 })
    client.send('orders', 'short', { ...durable, expiresAt: now + 10_000 })
    client.send('orders', 'b', durable)
    await first.settle()
    if (how === 'closed') await first.close()
    brokers.clock.advance(20_000)
    const second = await brokers.next()
    const consumer = second.connect().subscribe('orders')
    await second.settle()
    expect(consumer.texts).toEqual(['due', 'b'])
  })

  test('has the durable subscriptions back with selector and no-local, and what they collected', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    const mine = { name: 'mine', durable: true, selector: "color = 'red'", noLocal: true }
    const [me, other] = [first.connect('me'), first.connect('other')]
    me.subscribe('topic://prices.*', mine)
    other.subscribe('topic://prices.*', { name: 'ours', durable: true, shared: true }).subscription.close()
    me.subscribe('topic://prices.*', { name: 'ours', shared: true })
    const send = (client: typeof me, color: string) =>
      client.send('topic://prices.eu', `${client.session.clientId} ${color}`, { ...durable, properties: { color } })
    for (const client of [me, other]) for (const color of ['red', 'blue']) send(client, color)
    other.send('topic://prices.eu', 'passing', { properties: { color: 'red' } })

    const second = await brokers.next()
    const [again, stranger] = [second.connect('me'), second.connect('other')]
    expect(again.session.findSubscription('mine')).toMatchObject({
      address: Address.must('topic', 'prices.*'),
      selector: "color = 'red'",
    })
    for (const client of [again, stranger]) for (const color of ['red', 'blue']) send(client, color)
    const consumer = again.subscribe('topic://prices.*', mine)
    await second.settle()
    expect(consumer.texts).toEqual(['other red', 'other red'])
    const all = stranger.subscribe('topic://prices.*', { name: 'ours', durable: true, shared: true })
    await second.settle()
    expect(all.texts).toHaveLength(8)
    expect(again.session.findSubscription('ours')).toBeUndefined()
  })

  test('does not have back a subscription that was deleted or replaced', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    const me = first.connect('me')
    for (const name of ['gone', 'replaced']) {
      me.subscribe('topic://prices', { name, durable: true }).subscription.close()
    }
    me.send('topic://prices', 'old', durable)
    me.session.deleteSubscription('gone')
    me.subscribe('topic://prices', { name: 'replaced', durable: true, selector: 'TRUE' }).subscription.close()
    me.send('topic://prices', 'new', durable)
    const second = await brokers.next()
    const again = second.connect('me')
    expect(again.session.findSubscription('gone')).toBeUndefined()
    const consumer = again.subscribe('topic://prices', { name: 'replaced', durable: true, selector: 'TRUE' })
    await second.settle()
    expect(consumer.texts).toEqual(['new'])
  })

  test('has the retained messages back, replaced and cleared ones not', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    const client = first.connect()
    const retain = { ...durable, retain: true }
    for (const text of ['old', 'new']) client.send('topic://a.x', text, retain)
    client.send('topic://a.y', 'cleared', retain)
    client.send('topic://a.y', '', retain)
    client.send('topic://a.z', 'passing', { retain: true })
    const second = await brokers.next()
    const consumer = second.connect().subscribe('topic://a.*')
    await second.settle()
    expect(consumer.texts).toEqual(['new'])
    expect(consumer.deliveries[0]).toMatchObject({ isRetained: true })
    consumer.settleAll()
    second.connect().send('topic://a.x', '', retain)
    await second.settle()
    consumer.settleAll()
    expect([second.broker.retained.count, second.broker.memory.bytes]).toEqual([0, 0])
    const third = await brokers.next()
    expect(third.broker.retained.count).toBe(0)
  })

  test('has the copies of retained messages back that a durable subscription was given, each as what it is', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    const request = { ...durable, name: 'sub' }
    const client = first.connect('me')
    for (const name of ['a', 'b', 'c', 'd']) client.send(`topic://t.${name}`, name, { ...durable, retain: true })
    client.send('topic://t.e', 'passing', { retain: true })
    const consumer = client.subscribe('topic://t.*', { ...request, credit: 3 })
    await first.settle()
    expect(consumer.texts.length).toBe(3)
    const [accepted, failedOnce, unsettled] = consumer.texts
    client.send('topic://t.f', 'after', durable)
    consumer.settle(0)
    consumer.settle(1, failed)
    await first.settle()
    const second = await brokers.next()
    const back = second.connect('me').subscribe('topic://t.*', request)
    await second.settle()
    const kept = [...'abcd'].filter((text) => text !== accepted)
    const told = back.deliveries.map(({ message, isRetained }) => [textOf(message), isRetained])
    expect(new Set(told.map(String))).toEqual(new Set([...kept.map((text) => `${text},true`), 'after,false']))
    expect(told.length).toBe(4)
    expect(told.at(-1)).toEqual(['after', false])
    const flagged = back.deliveries.filter(({ redelivered }) => redelivered).map(({ message }) => textOf(message))
    expect(flagged).toEqual(expect.arrayContaining([failedOnce]))
    expect(kept).toContain(unsettled)
    back.settleAll()
    await second.settle()
    const third = await brokers.next()
    const last = third.connect('me').subscribe('topic://t.*', request)
    await third.settle()
    expect(last.texts).toEqual([])
  })

  test('has the dead letters back with what is said of them, and can send them back', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    const client = first.connect('me')
    const consumers = [client.subscribe('orders'), client.subscribe('topic://orders', { name: 'mine', durable: true })]
    client.send('orders', 'from the queue', durable)
    client.send('topic://orders', 'from the topic', durable)
    await first.settle()
    for (const consumer of consumers) consumer.settleAll({ kind: 'rejected', reason: 'odd' })
    const second = await brokers.next()
    expect(second.queue('orders').count).toBe(0)
    const dead = [...second.queue('DLQ.orders').residents()]
    expect(dead.map(({ message }) => message.annotations?.['dead-letter-address'])).toEqual([
      'queue://orders',
      'topic://orders',
    ])
    expect(dead[0]?.message.annotations).toMatchObject({ 'dead-letter-reason': 'odd', 'dead-letter-count': 0 })
    expect(await second.broker.sendBack(Address.must('queue', 'DLQ.orders'), 10)).toBe(2)
    const third = await brokers.next()
    expect([textsOf(third, 'orders'), third.queue('DLQ.orders').count]).toEqual([['from the queue'], 0])
    const again = third.connect('me').subscribe('topic://orders', { name: 'mine', durable: true })
    await third.settle()
    expect(again.texts).toEqual(['from the topic'])
  })

  test('has back what consumers have added to a message, and its dead letter has it too', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    const client = first.connect()
    client.sendAll('orders', ['a', 'b', 'c'], durable)
    const consumer = client.subscribe('orders')
    await first.settle()
    const [additions, isUndeliverableHere] = [Buffer.from('added'), true]
    consumer.settle(0, { kind: 'modified', annotations: additions, isUndeliverableHere })
    consumer.settle(1, { kind: 'modified', annotations: additions, hasFailed: false })
    consumer.settle(2, { kind: 'modified', annotations: Buffer.from('b'), hasFailed: false, isUndeliverableHere })
    additions.fill(0)
    const second = await brokers.next({ policies: [policyRule('queue://orders', { deliveriesMax: 2 })] })
    const again = second.connect().subscribe('orders')
    await second.settle()
    const told = again.deliveries.map((delivery) => [
      textOf(delivery.message),
      addedTo(delivery),
      delivery.deliveryCount,
    ])
    expect(told).toEqual([
      ['a', 'added', 1],
      ['b', 'added', 0],
      ['c', 'b', 0],
    ])
    again.settle(0, { kind: 'modified', annotations: Buffer.from('more'), isUndeliverableHere })
    again.settle(2, { kind: 'rejected', reason: 'odd' })
    const third = await brokers.next()
    const dead = third.connect().subscribe('DLQ.orders')
    await third.settle()
    expect(dead.deliveries.map((delivery) => [textOf(delivery.message), addedTo(delivery)])).toEqual([
      ['a', 'more'],
      ['c', 'b'],
    ])
    expect(dead.deliveries[0]?.message.annotations).toMatchObject({ 'dead-letter-count': 2 })
    dead.settleAll({ kind: 'released' })
    expect(await third.broker.sendBack(Address.must('queue', 'DLQ.orders'), 10)).toBe(2)
    const fourth = await brokers.next()
    const back = fourth.connect().subscribe('orders')
    await fourth.settle()
    expect(back.deliveries.map((delivery) => [textOf(delivery.message), addedTo(delivery)])).toEqual([
      ['b', 'added'],
      ['a', 'more'],
      ['c', 'b'],
    ])
    back.settleAll()
    expect([fourth.broker.memory.bytes, fourth.queue('orders').bytes]).toEqual([0, 0])
  })

  test('has back a durable message that died where nothing is kept', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    const client = first.connect()
    const consumer = client.subscribe('topic://prices')
    client.send('topic://prices', 'a', durable)
    client.send('topic://prices', 'passing')
    await first.settle()
    consumer.settleAll({ kind: 'rejected', reason: 'odd' })
    expect(first.queue('DLQ.prices').count).toBe(2)
    const second = await brokers.next()
    expect(textsOf(second, 'DLQ.prices')).toEqual(['a'])
  })

  test('keeps what is sent as the policy of the destination says', async () => {
    const policies = [
      policyRule('always.>', { persistent: 'always' }),
      policyRule('never.>', { persistent: 'never' }),
      policyRule('topic://never.>', { persistent: 'never' }),
    ]
    const brokers = new Succession(how)
    const first = await brokers.next({ policies })
    const client = first.connect('me')
    const named = { name: 'mine', durable: true }
    client.subscribe('topic://never.t', named).subscription.close()
    client.send('always.a', 'a')
    for (const to of ['never.a', 'topic://never.t']) client.send(to, 'b', durable)
    const second = await brokers.next({ policies })
    expect([second.queue('always.a').count, second.queue('never.a').count]).toEqual([1, 0])
    const consumer = second.connect('me').subscribe('topic://never.t', named)
    await second.settle()
    expect(consumer.texts).toEqual([])
  })

  test('can do without what its policy no longer keeps', async () => {
    const brokers = new Succession(how)
    const first = await brokers.next()
    first.connect().sendAll('orders', numbered(4), durable)
    const policies = [policyRule('orders', { persistent: 'never' })]
    const second = await brokers.next({ policies })
    const client = second.connect()
    const consumer = client.subscribe('orders', { credit: 3 })
    client.send('orders', 'new', durable)
    await second.settle()
    consumer.settle(0)
    consumer.settle(1, failed)
    consumer.settle(2, { kind: 'rejected', reason: '' })
    const third = await brokers.next({ policies })
    expect([textsOf(third, 'orders').sort(), textsOf(third, 'DLQ.orders')]).toEqual([['m1', 'm3'], ['m2']])
  })

  test('has none of what was purged, deleted, dropped or temporary', async () => {
    const policies = [policyRule('short', { messagesMax: 2, overflow: 'drop-oldest' })]
    const brokers = new Succession(how)
    const first = await brokers.next({ policies })
    const client = first.connect()
    const temporary = client.session.createTemporary('queue')
    for (const to of ['purged', 'deleted', 'short', `${temporary}`]) client.sendAll(to, numbered(3), durable)
    await first.settle()
    first.queue('purged').purge()
    first.broker.router.deleteDestination(Address.must('queue', 'deleted'))
    const second = await brokers.next({ policies })
    expect(second.broker.find(Address.must('queue', 'deleted'))).toBeUndefined()
    expect([second.queue('purged').count, textsOf(second, 'short')]).toEqual([0, ['m1', 'm2']])
    expect([...second.broker.router.queues].some((queue) => queue.address.isTemporary)).toBe(false)
  })
})

describe('a broker abandoned while commits are under way', () => {
  test('leaves what was committed and nothing of the rest', async () => {
    const store = new HeldStore()
    const first = await TestBroker.open({ store })
    const client = first.connect()
    const consumer = client.subscribe('orders', { credit: 1 })
    client.sendAll('orders', ['a', 'b'], durable)
    await first.settle()
    store.isHeld = true
    consumer.settle(0)
    client.send('orders', 'c', durable)
    await first.settle()
    client.send('orders', 'd', durable)
    await first.settle()
    expect([client.confirmedUpTo, store.heldCount]).toEqual([2, 2])
    store.letGo(1)
    await first.settle()
    expect(client.confirmedUpTo).toBe(3)
    const second = await TestBroker.open({ store: store.inner })
    expect(textsOf(second, 'orders')).toEqual(['b', 'c'])
  })

  test('leaves all of a transaction or nothing', async () => {
    for (const isDone of [false, true]) {
      const store = new HeldStore()
      const first = await TestBroker.open({ store })
      const client = first.connect()
      const consumer = client.subscribe('orders')
      client.sendAll('orders', ['a', 'b'], durable)
      await first.settle()
      store.isHeld = true
      const transaction = client.session.begin()
      if (transaction instanceof Error) throw transaction
      for (const to of ['copies', 'more']) client.session.send(client.message(to, 'x', durable), transaction)
      for (const delivery of consumer.deliveries) {
        consumer.subscription.settle(delivery, { kind: 'accepted' }, transaction)
      }
      transaction.commit()
      await first.settle()
      if (isDone) store.letGo()
      await first.settle()
      const second = await TestBroker.open({ store: store.inner })
      expect(['orders', 'copies', 'more'].map((name) => second.queue(name).count)).toEqual(
        isDone ? [0, 1, 1] : [2, 0, 0],
      )
    }
  })
})
