import { describe, expect, test } from 'vitest'
import { accepted, released } from '../../../../src/session.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { TestBroker, type TestConsumer } from '../../../support/test-broker.ts'

function numbered(count: number, prefix = 'm'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}

/** Drains the consumer; what it is told, with how much it had been given by then. */
function drain(consumer: TestConsumer): { readonly creditLeft: number; readonly given: number }[] {
  const told: { creditLeft: number; given: number }[] = []
  consumer.subscription.drain((creditLeft) => told.push({ creditLeft, given: consumer.deliveries.length }))
  return told
}

describe('a subscription that is drained', () => {
  test('is given what there is, and then loses the rest of its credit', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(3))
    const consumer = client.subscribe('orders', { credit: 10 })
    const told = drain(consumer)
    expect(told).toEqual([])
    test.turn()
    expect(told).toEqual([{ creditLeft: 7, given: 3 }])
    client.send('orders', 'later')
    await test.settle()
    expect([consumer.deliveries.length, consumer.subscription.credit]).toEqual([3, 0])
    consumer.subscription.addCredit(5)
    await test.settle()
    expect([consumer.texts.at(-1), consumer.subscription.credit, told.length]).toEqual(['later', 4, 1])
  })

  test('hears of it when its credit is used up, and at once if it has none', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(3))
    const consumer = client.subscribe('orders', { credit: 2 })
    const told = drain(consumer)
    await test.settle()
    expect(told).toEqual([{ creditLeft: 0, given: 2 }])
    expect(drain(consumer)).toEqual([{ creditLeft: 0, given: 2 }])
  })

  test.each([
    ['an empty queue', 'orders', {}],
    ['a topic', 'topic://news', {}],
    ['a pattern that covers nothing', 'nothing.*', {}],
    ['a durable subscription', 'topic://news', { name: 'n', durable: true, shared: true }],
  ])('hears that nothing waits in %s', async (_what, to, request) => {
    const test = await TestBroker.open()
    const told = drain(test.connect().subscribe(to, { credit: 4, ...request }))
    await test.settle()
    expect(told).toEqual([{ creditLeft: 4, given: 0 }])
  })

  test('waits for every queue that its pattern covers', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    for (const name of ['q.a', 'q.b', 'q.c']) client.sendAll(name, numbered(2))
    const consumer = client.subscribe('q.*', { credit: 10 })
    const told = drain(consumer)
    await test.settle()
    expect(told).toEqual([{ creditLeft: 4, given: 6 }])
  })

  test('does not wait for a queue that is deleted meanwhile', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('q.a', numbered(2))
    const consumer = client.subscribe('q.*', { credit: 10 })
    client.session.suspend()
    const told = drain(consumer)
    await test.settle()
    test.broker.router.deleteDestination(test.queue('q.a').address)
    expect(told).toEqual([{ creditLeft: 10, given: 0 }])
  })

  test('is not told while its session is suspended', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders', { credit: 10 })
    client.session.suspend()
    const told = drain(consumer)
    client.send('orders', 'm')
    await test.settle()
    expect(told).toEqual([])
    client.session.resume()
    await test.settle()
    expect(told).toEqual([{ creditLeft: 9, given: 1 }])
  })

  test('knows what its selector leaves, and what another one is to have', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    for (const color of ['red', 'blue', 'red']) client.send('orders', color, { properties: { color } })
    const red = client.subscribe('orders', { selector: "color = 'red'", credit: 5 })
    const told = drain(red)
    await test.settle()
    expect(told).toEqual([{ creditLeft: 3, given: 2 }])
    const exclusive = client.subscribe('orders', { exclusive: true, credit: 0 })
    const other = client.subscribe('orders', { credit: 5 })
    const otherTold = drain(other)
    await test.settle()
    expect([otherTold, exclusive.texts]).toEqual([[{ creditLeft: 5, given: 0 }], []])
  })

  test('goes before what a paused queue and delays hold back', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders', 'delayed', { deliverAt: test.clock.now() + 1000 })
    client.send('paused', 'waits')
    test.queue('paused').pause()
    const told = ['orders', 'paused'].map((name) => drain(client.subscribe(name, { credit: 3 })))
    await test.settle()
    expect(told.flat()).toEqual([
      { creditLeft: 3, given: 0 },
      { creditLeft: 3, given: 0 },
    ])
  })

  test('is told of the last call only, and of none that was taken back', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders', { credit: 3 })
    const [first, second] = [drain(consumer), drain(consumer)]
    await test.settle()
    expect([first, second]).toEqual([[], [{ creditLeft: 3, given: 0 }]])
    consumer.subscription.addCredit(2)
    const third = drain(consumer)
    consumer.subscription.drain(undefined)
    await test.settle()
    expect([third, consumer.subscription.credit]).toEqual([[], 2])
    const fourth = drain(consumer)
    consumer.subscription.close()
    await test.settle()
    expect(fourth).toEqual([])
  })

  test('waits for the flush that has to come before a delivery', async () => {
    const store = new HeldStore(undefined, true)
    const test = await TestBroker.open({ store })
    const client = test.connect()
    store.isHeld = true
    client.send('orders', 'm', { durable: true })
    const consumer = client.subscribe('orders', { credit: 3 })
    const told = drain(consumer)
    await test.settle()
    expect(told).toEqual([])
    for (let rest = 0; rest < 3; rest += 1) {
      store.letGo()
      await test.settle()
    }
    expect(told).toEqual([{ creditLeft: 2, given: 1 }])
  })
})

describe('credit', () => {
  test('is taken back as far as there is any', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders', { credit: 5 })
    consumer.subscription.addCredit(-2)
    expect(consumer.subscription.credit).toBe(3)
    consumer.subscription.addCredit(-9)
    client.send('orders', 'm')
    await test.settle()
    expect([consumer.subscription.credit, consumer.texts]).toEqual([0, []])
  })
})

describe('a delivery that is modified', () => {
  test('counts as failed unless the consumer says otherwise', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders', 'm', { durable: true })
    const consumer = client.subscribe('orders')
    for (const hasFailed of [undefined, false, true]) {
      await test.settle()
      consumer.subscription.settle(consumer.take()[0]!, { kind: 'modified', hasFailed })
    }
    await test.settle()
    expect(consumer.deliveries[0]).toMatchObject({ deliveryCount: 2, redelivered: true })
    consumer.subscription.settle(consumer.take()[0]!, { kind: 'modified', hasFailed: false, delayMs: 1000 })
    await test.settle()
    expect(test.queue('orders').delayedCount).toBe(1)
    const next = await TestBroker.open({ store: test.store, clock: test.clock })
    const again = next.connect().subscribe('orders')
    await next.advance(1000)
    expect(again.deliveries[0]).toMatchObject({ deliveryCount: 2, redelivered: true })
  })

  test('as undeliverable here goes to another consumer, in its place, and waits for one', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(3))
    const refuser = client.subscribe('orders', { credit: 1 })
    await test.settle()
    refuser.settle(0, { kind: 'modified', hasFailed: false, isUndeliverableHere: true })
    refuser.subscription.addCredit(10)
    await test.settle()
    expect(refuser.texts).toEqual(['m0', 'm1', 'm2'])
    expect(test.queue('orders').readyCount).toBe(1)
    refuser.settle(1, released)
    const other = client.subscribe('orders', { credit: 1 })
    await test.settle()
    expect(other.texts).toEqual(['m0'])
    expect(other.deliveries[0]).toMatchObject({ deliveryCount: 0, redelivered: true })
    other.settle(0, { kind: 'modified', isUndeliverableHere: true })
    refuser.subscription.close()
    other.subscription.close()
    const third = client.subscribe('orders')
    await test.settle()
    expect(third.texts).toEqual(['m0', 'm1', 'm2'])
    expect(third.deliveries[0]).toMatchObject({ deliveryCount: 1 })
    third.settleAll(accepted)
    expect(test.broker.memory.bytes).toBe(0)
  })

  test('shows what has been added to it, which counts as memory', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders', 'm')
    const consumer = client.subscribe('orders')
    await test.settle()
    const before = test.broker.memory.bytes
    const annotations = Buffer.alloc(100, 1)
    expect(consumer.deliveries[0]!.annotations).toBeUndefined()
    consumer.subscription.settle(consumer.take()[0]!, { kind: 'modified', annotations })
    annotations.fill(2)
    await test.settle()
    expect(consumer.deliveries[0]!.annotations).toEqual(new Uint8Array(100).fill(1))
    expect([test.broker.memory.bytes, test.queue('orders').bytes]).toEqual([before + 100, before + 100])
    consumer.subscription.settle(consumer.take()[0]!, { kind: 'modified', annotations: Buffer.alloc(10) })
    await test.settle()
    expect(test.broker.memory.bytes).toBe(before + 10)
    consumer.settle(0)
    expect([test.broker.memory.bytes, test.queue('orders').bytes]).toEqual([0, 0])
  })
})

describe('a subscription to topics', () => {
  test.each([
    ['alone', {}],
    ['durable', { name: 'n', durable: true }],
  ])('that is %s can have the retained messages again', async (_what, request) => {
    const test = await TestBroker.open()
    const client = test.connect('me')
    client.send('topic://a', 'kept', { retain: true })
    const consumer = client.subscribe('topic://*', { retained: 'none', credit: 1, ...request })
    client.sendAll('topic://a', ['x', 'y'])
    await test.settle()
    consumer.subscription.recall()
    consumer.subscription.addCredit(5)
    await test.settle()
    expect(consumer.texts).toEqual(['x', 'kept', 'y'])
    expect(consumer.deliveries.map(({ isRetained }) => isRetained)).toEqual([false, true, false])
    consumer.subscription.close()
    consumer.subscription.recall()
  })
})
