import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { type Delivery, failed, released } from '../../../../src/session.ts'
import { policyRule } from '../../../support/policy-rule.ts'
import { TestBroker, type TestClient, type TestConsumer } from '../../../support/test-broker.ts'

function numbered(count: number, prefix = 'm'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}

function textOf(delivery: Delivery): string {
  return Buffer.from(delivery.message.content).toString()
}

function remove(test: TestBroker, name: string): boolean {
  return test.broker.router.deleteDestination(Address.must('queue', name))
}

/** Has the consumer do something, from inside its deliver, with the delivery of that text. */
function onDelivery(consumer: TestConsumer, text: string, act: (delivery: Delivery) => void): void {
  consumer.deliver = (delivery) => {
    consumer.deliveries.push(delivery)
    if (textOf(delivery) === text) act(delivery)
  }
}

describe('expiry', () => {
  test('finds a message that was at a consumer when the queue was swept', async () => {
    const test = await TestBroker.open({ policies: [policyRule('orders', { expired: 'queue' })] })
    const [client, reader] = [test.connect(), test.connect()]
    client.sendAll('orders', ['a', 'b'])
    client.send('orders', 'short', { expiresAt: test.clock.now() + 1000 })
    const consumer = reader.subscribe('orders')
    await test.settle()
    expect(consumer.texts).toEqual(['a', 'b', 'short'])
    await test.advance(5000)
    reader.session.close()
    await test.advance(5000)
    expect([test.queue('orders').readyCount, test.queue('ExpiryQueue.orders').count]).toEqual([2, 1])
  })

  test('finds a message that waited for its redelivery when the queue was swept', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders', { credit: 2 })
    client.send('orders', 'a')
    client.send('orders', 'short', { expiresAt: test.clock.now() + 1000 })
    await test.settle()
    consumer.settle(1, { kind: 'modified', delayMs: 10_000 })
    consumer.settle(0, released)
    await test.advance(5000)
    expect([test.queue('orders').readyCount, test.queue('orders').delayedCount]).toEqual([1, 1])
    await test.advance(10_000)
    expect(test.queue('orders').count).toBe(1)
    expect(test.queue('orders').counters.expired).toBe(1)
  })

  test('finds a message whose time to live ends before its time to be delivered', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const now = test.clock.now()
    client.send('orders', 'a', { expiresAt: now + 1000, deliverAt: now + 2000 })
    const consumer = client.subscribe('orders')
    await test.advance(10_000)
    expect([consumer.texts, test.queue('orders').count]).toEqual([[], 0])
  })

  test('leaves a consumer what it has', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.send('orders', 'a', { expiresAt: test.clock.now() + 1000 })
    await test.settle()
    await test.advance(5000)
    expect(test.queue('orders').unsettledCount).toBe(1)
    consumer.settle(0)
    expect(test.queue('orders').counters).toMatchObject({ acknowledged: 1, expired: 0 })
  })

  test('takes expired messages out of a paused queue too', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.subscribe('orders')
    test.queue('orders').pause()
    client.send('orders', 'a', { expiresAt: test.clock.now() + 1000 })
    await test.advance(5000)
    expect(test.queue('orders').count).toBe(0)
  })

  test('is looked for a batch at a time, with other work between', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const expiresAt = test.clock.now() + 1000
    for (let index = 0; index < 60_000; index += 1) client.send('orders', '', { expiresAt })
    await test.settle()
    const queue = test.queue('orders')
    while (queue.counters.expired === 0) test.clock.advance(1)
    expect(queue.counters.expired).toBeLessThanOrEqual(60_000)
    test.clock.advance(1_000)
    expect(queue.counters.expired).toBe(60_000)
  })
})

describe('delayed messages', () => {
  test('of the same time come in the order of sending', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.sendAll('orders', numbered(20), { deliverAt: test.clock.now() + 1000 })
    await test.advance(2000)
    expect(consumer.texts).toEqual(numbered(20))
  })

  test('due while the queue is paused wait for it', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.send('orders', 'a')
    await test.settle()
    test.queue('orders').pause()
    consumer.settle(0, { kind: 'modified', delayMs: 1000 })
    client.send('orders', 'b', { deliverAt: test.clock.now() + 1000 })
    await test.advance(2000)
    expect([consumer.texts, test.queue('orders').readyCount]).toEqual([['a'], 2])
    test.queue('orders').resume()
    await test.settle()
    expect(consumer.texts).toEqual(['a', 'a', 'b'])
  })

  test('that come back take their old places', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(4))
    const consumer = client.subscribe('orders', { credit: 3 })
    await test.settle()
    consumer.settle(0, { kind: 'modified', delayMs: 1000 })
    consumer.settle(1, { kind: 'modified', delayMs: 500 })
    await test.advance(2000)
    consumer.take()
    consumer.subscription.addCredit(10)
    await test.settle()
    expect(consumer.texts).toEqual(['m0', 'm1', 'm3'])
  })

  test('count against the limit of a queue that drops', async () => {
    const test = await TestBroker.open({
      policies: [policyRule('orders', { messagesMax: 3, overflow: 'drop-oldest' })],
    })
    const client = test.connect()
    const consumer = client.subscribe('orders')
    for (const [index, text] of numbered(5).entries()) {
      client.send('orders', text, { deliverAt: test.clock.now() + 1000 + index })
    }
    expect(test.queue('orders').count).toBe(3)
    await test.advance(2000)
    expect(consumer.texts).toEqual(['m2', 'm3', 'm4'])
  })
})

describe('a queue that drops its oldest', () => {
  test('drops nothing that a consumer has, and the newest takes the place of the last that waited', async () => {
    const test = await TestBroker.open({
      policies: [policyRule('orders', { messagesMax: 2, overflow: 'drop-oldest' })],
    })
    const client = test.connect()
    const consumer = client.subscribe('orders', { credit: 2 })
    client.sendAll('orders', numbered(2))
    await test.settle()
    client.sendAll('orders', numbered(3, 'n'))
    await test.settle()
    expect([test.queue('orders').unsettledCount, test.queue('orders').readyCount]).toEqual([2, 1])
    consumer.settleAll()
    consumer.subscription.addCredit(5)
    await test.settle()
    expect(consumer.texts).toEqual(['m0', 'm1', 'n2'])
    expect(client.refusals).toEqual([])
  })

  test('drops what has just come back first, if that is the oldest', async () => {
    const test = await TestBroker.open({
      policies: [policyRule('orders', { messagesMax: 2, overflow: 'drop-oldest' })],
    })
    const client = test.connect()
    client.sendAll('orders', numbered(2))
    const consumer = client.subscribe('orders', { credit: 1 })
    await test.settle()
    consumer.settle(0, released)
    client.send('orders', 'm2')
    consumer.take()
    consumer.subscription.addCredit(5)
    await test.settle()
    expect(consumer.texts).toEqual(['m1', 'm2'])
  })
})

describe('a selective queue', () => {
  test('keeps to the budget of a turn', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(5000))
    const consumer = client.subscribe('orders', { credit: 10_000, selector: 'TRUE' })
    test.turn()
    expect(consumer.deliveries.length).toBeLessThanOrEqual(2048)
    await test.settle()
    expect(consumer.texts).toEqual(numbered(5000))
  })

  test('offers what was passed over to a consumer that comes later, and what came back to all', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    for (const [index, color] of ['red', 'blue', 'red', 'green', 'blue'].entries()) {
      client.send('orders', `${color}${index}`, { properties: { color } })
    }
    const red = client.subscribe('orders', { selector: "color = 'red'" })
    const blue = client.subscribe('orders', { selector: "color = 'blue'", credit: 1 })
    await test.settle()
    expect([red.texts, blue.texts]).toEqual([['red0', 'red2'], ['blue1']])
    red.settle(0, released)
    blue.settle(0, released)
    blue.subscription.addCredit(2)
    await test.settle()
    expect([red.texts, blue.texts]).toEqual([
      ['red0', 'red2', 'red0'],
      ['blue1', 'blue1', 'blue4'],
    ])
    const any = client.subscribe('orders')
    await test.settle()
    expect(any.texts).toEqual(['green3'])
  })

  test('keeps its place when what it looked at last is taken by another or expires', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const red = client.subscribe('orders', { selector: "color = 'red'" })
    client.send('orders', 'blue', { properties: { color: 'blue' } })
    client.send('orders', 'short', { properties: { color: 'blue' }, expiresAt: test.clock.now() + 100 })
    await test.settle()
    const any = client.subscribe('orders', { credit: 1 })
    await test.advance(5000)
    expect(any.texts).toEqual(['blue'])
    client.send('orders', 'red', { properties: { color: 'red' } })
    await test.settle()
    expect(red.texts).toEqual(['red'])
  })

  test('keeps its place over a purge', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const red = client.subscribe('orders', { selector: "color = 'red'" })
    client.sendAll('orders', numbered(3), { properties: { color: 'blue' } })
    await test.settle()
    expect(test.queue('orders').purge()).toBe(3)
    client.send('orders', 'red', { properties: { color: 'red' } })
    await test.settle()
    expect(red.texts).toEqual(['red'])
  })
})

describe('message groups', () => {
  test('wait for a consumer that is suspended, and move when it goes', async () => {
    const test = await TestBroker.open()
    const [slow, quick] = [test.connect(), test.connect()]
    const first = slow.subscribe('orders')
    quick.send('orders', 'g0', { groupId: 'g' })
    await test.settle()
    slow.session.suspend()
    const second = quick.subscribe('orders')
    quick.send('orders', 'g1', { groupId: 'g' })
    quick.send('orders', 'h0', { groupId: 'h' })
    await test.settle()
    expect([first.texts, second.texts]).toEqual([['g0'], ['h0']])
    slow.session.close('lost')
    await test.settle()
    expect(second.texts).toEqual(['h0', 'g0', 'g1'])
  })

  test('keep their order when a message of one comes back', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumers = [client.subscribe('orders', { credit: 1 }), client.subscribe('orders', { credit: 1 })]
    for (const text of numbered(3)) client.send('orders', text, { groupId: 'g' })
    await test.settle()
    const holder = consumers.find((consumer) => consumer.texts.length > 0)!
    holder.settle(0, failed)
    holder.subscription.addCredit(5)
    await test.settle()
    expect(holder.texts).toEqual(['m0', 'm0', 'm1', 'm2'])
  })
})

describe('an exclusive consumer', () => {
  async function scene(selector?: string): Promise<{ test: TestBroker; owner: TestClient; consumers: TestConsumer[] }> {
    const test = await TestBroker.open()
    const [owner, other] = [test.connect(), test.connect()]
    const exclusive = owner.subscribe('orders', { exclusive: true, credit: 1, selector })
    const ordinary = other.subscribe('orders')
    other.sendAll('orders', ['a', 'b'])
    await test.settle()
    expect([exclusive.texts, ordinary.texts]).toEqual([['a'], []])
    return { test, owner, consumers: [exclusive, ordinary] }
  }

  test.each([undefined, 'TRUE'])('without credit keeps the others waiting (selector: %s)', async (selector) => {
    const { test, consumers } = await scene(selector)
    consumers[0]!.subscription.addCredit(1)
    await test.settle()
    expect(consumers.map((consumer) => consumer.texts)).toEqual([['a', 'b'], []])
  })

  test.each([undefined, 'TRUE'])('suspended keeps the others waiting (selector: %s)', async (selector) => {
    const { test, owner, consumers } = await scene(selector)
    owner.session.suspend()
    consumers[0]!.subscription.addCredit(1)
    await test.settle()
    expect(consumers.map((consumer) => consumer.texts)).toEqual([['a'], []])
    owner.session.resume()
    await test.settle()
    expect(consumers[0]!.texts).toEqual(['a', 'b'])
  })

  test.each([undefined, 'TRUE'])('that leaves lets the others on (selector: %s)', async (selector) => {
    const { test, owner, consumers } = await scene(selector)
    owner.session.close('lost')
    await test.settle()
    expect(consumers[1]!.texts).toEqual(['a', 'b'])
  })

  test('that comes later takes over what is still waiting', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const ordinary = client.subscribe('orders', { credit: 1 })
    client.sendAll('orders', ['a', 'b'])
    await test.settle()
    const exclusive = client.subscribe('orders', { exclusive: true })
    ordinary.subscription.addCredit(5)
    await test.settle()
    expect([ordinary.texts, exclusive.texts]).toEqual([['a'], ['b']])
  })
})

describe('a consumer of a pattern', () => {
  test('goes on with the other queues when one is deleted', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders.*')
    for (const name of ['orders.eu', 'orders.us']) client.send(name, name)
    await test.settle()
    expect(remove(test, 'orders.eu')).toBe(true)
    client.sendAll('orders.us', ['more'])
    client.send('orders.eu', 'anew')
    await test.settle()
    expect(consumer.isOver).toBe(false)
    expect(consumer.texts.sort()).toEqual(['anew', 'more', 'orders.eu', 'orders.us'])
    consumer.settleAll()
    expect([consumer.subscription.unsettledCount, test.broker.memory.bytes]).toEqual([0, 0])
  })

  test('goes on when its only queue is deleted, as it would with none', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders.*')
    client.send('orders.eu', 'a')
    await test.settle()
    remove(test, 'orders.eu')
    expect(consumer.isOver).toBe(false)
    client.send('orders.us', 'b')
    await test.settle()
    expect(consumer.texts).toEqual(['a', 'b'])
  })

  test('has one credit for all its queues', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders.>', { credit: 3 })
    for (const name of ['orders.a', 'orders.b', 'orders.c']) client.sendAll(name, numbered(2, name))
    await test.settle()
    expect(consumer.texts).toHaveLength(3)
    consumer.subscription.addCredit(10)
    await test.settle()
    expect(consumer.texts).toHaveLength(6)
  })
})

describe('a browser', () => {
  test('shows nothing twice that is taken and given back behind it', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(6))
    const browser = client.subscribe('orders', { browse: true, credit: 3 })
    await test.settle()
    const consumer = client.subscribe('orders', { credit: 4 })
    await test.settle()
    for (const index of [3, 1, 2, 0]) consumer.settle(index, released)
    consumer.subscription.close()
    await test.settle()
    browser.subscription.addCredit(10)
    await test.settle()
    expect(browser.texts).toEqual(numbered(6))
    expect(browser.isOver).toBe(true)
  })

  test('shows what it has not come to yet and is given back before it does', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(5))
    const browser = client.subscribe('orders', { browse: true, credit: 1 })
    await test.settle()
    const consumer = client.subscribe('orders', { credit: 4 })
    await test.settle()
    consumer.settle(2, released)
    await test.settle()
    browser.subscription.addCredit(10)
    await test.settle()
    expect(browser.texts).toEqual(['m0', 'm2', 'm4'])
  })

  test.each([0, 1, 3])('of %i messages with credit for as many ends after the last one', async (count) => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(count))
    client.send('orders', 'other', { properties: { color: 'blue' } })
    const browser = client.subscribe('orders', { browse: true, credit: count, selector: 'color IS NULL' })
    await test.settle()
    expect([browser.texts, browser.isOver, browser.endedBy]).toEqual([numbered(count), true, undefined])
  })

  test('without credit waits before the next message, of which it is told once', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(3))
    const browser = client.subscribe('orders', { browse: true, credit: 1 })
    for (let count = 1; count <= 3; count += 1) {
      await test.settle()
      client.send('orders', 'later')
      await test.settle()
      expect([browser.texts, browser.isOver]).toEqual([numbered(count), count === 3])
      browser.subscription.addCredit(1)
    }
  })

  test('shows nothing that has expired, though it has not been swept yet', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders', 'a')
    client.send('orders', 'first', { expiresAt: test.clock.now() + 1000 })
    await test.settle()
    test.clock.advance(1000)
    client.send('orders', 'second', { expiresAt: test.clock.now() + 100 })
    test.clock.advance(100)
    const browser = client.subscribe('orders', { browse: true })
    await test.settle()
    expect([browser.texts, browser.isOver]).toEqual([['a'], true])
  })

  test('goes on after a purge with what is left, which is nothing', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(4))
    const browser = client.subscribe('orders', { browse: true, credit: 2 })
    await test.settle()
    test.queue('orders').purge()
    client.send('orders', 'later')
    browser.subscription.addCredit(10)
    await test.settle()
    expect([browser.texts, browser.isOver, browser.endedBy]).toEqual([['m0', 'm1'], true, undefined])
  })

  test('looks at a paused queue, and ends with a deleted one', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(4))
    test.queue('orders').pause()
    const browser = client.subscribe('orders', { browse: true, credit: 2 })
    await test.settle()
    remove(test, 'orders')
    expect([browser.texts, browser.endedBy?.code]).toEqual([['m0', 'm1'], 'deleted'])
  })

  test('may close itself from inside a delivery', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(4))
    const browser = client.subscribe('orders', { browse: true })
    onDelivery(browser, 'm1', () => browser.subscription.close())
    await test.settle()
    expect([browser.texts, test.queue('orders').readyCount]).toEqual([['m0', 'm1'], 4])
  })
})

describe('many messages that come back at once', () => {
  test('take their places in one pass', async () => {
    const test = await TestBroker.open()
    const [client, leaving] = [test.connect(), test.connect()]
    for (let index = 0; index < 200_000; index += 1) client.send('orders', '')
    leaving.subscribe('orders', { credit: 100_000 })
    await test.settle()
    leaving.session.close()
    await test.settle()
    const consumer = client.subscribe('orders', { credit: 200_000 })
    await test.settle()
    const orders = consumer.deliveries.map((delivery) => delivery.sequence)
    expect(orders).toEqual(Array.from({ length: 200_000 }, (_, index) => index + 1))
  })
})

describe('a queue that is longer than its window', () => {
  test('drops its oldest wherever that is', async () => {
    const test = await TestBroker.open({
      policies: [policyRule('orders', { messagesMax: 17_000, overflow: 'drop-oldest' })],
    })
    const client = test.connect()
    client.sendAll('orders', numbered(40_000))
    expect(test.queue('orders').count).toBe(17_000)
    const consumer = client.subscribe('orders', { credit: 1 })
    await test.settle()
    expect(consumer.texts).toEqual(['m23000'])
  })

  test('gives a selecting consumer all of a higher priority before any of a lower', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(30_000), { properties: { color: 'blue' } })
    client.send('orders', 'low', { priority: 0, properties: { color: 'red' } })
    client.send('orders', 'high', { properties: { color: 'red' } })
    const consumer = client.subscribe('orders', { selector: "color = 'red'" })
    await test.settle()
    expect(consumer.texts).toEqual(['high', 'low'])
  })

  test('gives a delayed message that comes in between back to the place where it was', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders', 'delayed', { deliverAt: test.clock.now() + 1000 })
    client.sendAll('orders', numbered(20_000))
    await test.advance(1000)
    const consumer = client.subscribe('orders', { credit: 20_001 })
    await test.settle()
    const texts = consumer.texts
    expect(texts).toHaveLength(20_001)
    expect(texts.filter((text) => text !== 'delayed')).toEqual(numbered(20_000))
    consumer.subscription.close()
    const next = client.subscribe('orders', { credit: 20_001 })
    await test.settle()
    expect(next.texts).toEqual(texts)
  })
})

describe('a dead letter', () => {
  test('of a destination with the longest of names has a queue to go to, and can be sent back', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const names = ['x'.repeat(4096), 'x.'.repeat(127)]
    for (const name of names) {
      const consumer = client.subscribe(name, { credit: 1 })
      client.send(name, 'a')
      await test.settle()
      consumer.settle(0, { kind: 'rejected', reason: '' })
    }
    expect(test.queue('DLQ').readyCount).toBe(2)
    expect(await test.broker.sendBack(Address.must('queue', 'DLQ'), 10)).toBe(2)
    expect(names.map((name) => test.queue(name).readyCount)).toEqual([1, 1])
  })
})

describe('a consumer that from inside a delivery', () => {
  async function scene(count = 4): Promise<{ test: TestBroker; client: TestClient; consumer: TestConsumer }> {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.sendAll('orders', numbered(count))
    return { test, client, consumer }
  }

  test('settles it has it settled', async () => {
    const { test, consumer } = await scene()
    onDelivery(consumer, 'm1', (delivery) => consumer.subscription.settle(delivery, { kind: 'accepted' }))
    await test.settle()
    expect([test.queue('orders').count, consumer.texts]).toEqual([3, numbered(4)])
  })

  test('releases it has it again, once more for each time', async () => {
    const { test, consumer } = await scene()
    onDelivery(consumer, 'm1', (delivery) => {
      if (consumer.deliveries.length < 10) consumer.subscription.settle(delivery, released)
    })
    await test.settle()
    expect(consumer.texts.filter((text) => text === 'm1')).toHaveLength(7)
    expect(test.queue('orders').unsettledCount).toBe(4)
  })

  test('sends gets what it sent', async () => {
    const { test, client, consumer } = await scene()
    onDelivery(consumer, 'm3', () => client.sendAll('orders', ['n0', 'n1']))
    await test.settle()
    expect(consumer.texts).toEqual([...numbered(4), 'n0', 'n1'])
    expect(client.confirmedUpTo).toBe(6)
  })

  test('closes its subscription gets nothing more, and all go back', async () => {
    const { test, client, consumer } = await scene()
    onDelivery(consumer, 'm1', () => consumer.subscription.close())
    await test.settle()
    expect([consumer.texts, test.queue('orders').readyCount]).toEqual([['m0', 'm1'], 4])
    const next = client.subscribe('orders')
    await test.settle()
    expect(next.texts).toEqual(numbered(4))
  })

  test('pauses the queue gets nothing more of any priority', async () => {
    const { test, client, consumer } = await scene()
    client.send('orders', 'low', { priority: 0 })
    onDelivery(consumer, 'm1', () => test.queue('orders').pause())
    await test.settle()
    expect([consumer.texts, test.queue('orders').readyCount]).toEqual([['m0', 'm1'], 3])
  })

  test('purges the queue gets nothing more and keeps what it has', async () => {
    const { test, consumer } = await scene()
    onDelivery(consumer, 'm1', () => expect(test.queue('orders').purge()).toBe(2))
    await test.settle()
    expect([consumer.texts, test.queue('orders').count]).toEqual([['m0', 'm1'], 2])
    consumer.settleAll()
    expect(test.broker.memory.bytes).toBe(0)
  })

  test.each([undefined, 'TRUE'])('deletes the queue is ended, and nothing is left (selector: %s)', async (selector) => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumers = [client.subscribe('orders', { selector }), client.subscribe('orders', { selector })]
    client.sendAll('orders', numbered(6), { durable: true })
    onDelivery(consumers[0]!, 'm2', () => remove(test, 'orders'))
    await test.settle()
    expect(consumers.map((consumer) => consumer.endedBy?.code)).toEqual(['deleted', 'deleted'])
    expect(consumers.flatMap((consumer) => consumer.texts).sort()).toEqual(['m0', 'm1', 'm2'])
    expect(test.broker.memory.bytes).toBe(0)
  })

  test('subscribes again, selecting: the new consumer gets only what it selects', async () => {
    const { test, client, consumer } = await scene()
    let selective: TestConsumer | undefined
    onDelivery(consumer, 'm0', () => {
      selective = client.subscribe('orders', { selector: 'FALSE' })
    })
    await test.settle()
    expect([selective!.texts, consumer.texts]).toEqual([[], numbered(4)])
  })

  test('sends the first message of a group: the group is for one consumer', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumers = [client.subscribe('orders'), client.subscribe('orders')]
    client.send('orders', 'start')
    onDelivery(consumers[0]!, 'start', () => {
      for (const text of numbered(4)) client.send('orders', text, { groupId: 'g' })
    })
    await test.settle()
    const counts = consumers.map((consumer) => consumer.texts.filter((text) => text !== 'start').length)
    expect(counts.sort()).toEqual([0, 4])
  })

  test('adds credit is handed the next one in the same turn', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders', { credit: 1 })
    consumer.deliver = (delivery) => {
      consumer.deliveries.push(delivery)
      consumer.subscription.addCredit(1)
    }
    client.sendAll('orders', numbered(5))
    await test.settle()
    expect([consumer.texts, consumer.subscription.credit]).toEqual([numbered(5), 1])
  })
})

describe('a sender that from inside the call that frees it', () => {
  const policies = [policyRule('orders', { messagesMax: 10 })]

  test('ends a consumer that is settling leaves it what was settled by then', async () => {
    const test = await TestBroker.open({ policies })
    const [sender, reader] = [test.connect(), test.connect()]
    const consumer = reader.subscribe('orders')
    sender.sendAll('orders', numbered(11))
    await test.settle()
    sender.unblocked = () => consumer.subscription.close()
    const settled = consumer.subscription.settleThrough(consumer.deliveries[10]!, { kind: 'accepted' })
    expect(settled.map(textOf)).toEqual(['m0', 'm1'])
    expect([test.queue('orders').readyCount, test.queue('orders').unsettledCount]).toEqual([9, 0])
  })

  test('ends a selecting consumer, when expired messages make room before it, leaves the rest to others', async () => {
    const test = await TestBroker.open({ policies })
    const [sender, reader] = [test.connect(), test.connect()]
    sender.send('orders', 'swept', { expiresAt: test.clock.now() + 10 })
    test.clock.advance(10)
    sender.sendAll('orders', ['a', 'b'], { expiresAt: test.clock.now() + 10 })
    sender.sendAll('orders', numbered(9), { groupId: 'g' })
    test.clock.advance(10)
    const consumer = reader.subscribe('orders', { selector: 'TRUE' })
    sender.unblocked = () => reader.session.close()
    await test.settle()
    expect([consumer.texts, test.queue('orders').readyCount, test.queue('orders').unsettledCount]).toEqual([[], 9, 0])
    const next = test.connect().subscribe('orders')
    await test.settle()
    expect(next.texts).toEqual(numbered(9))
  })

  test('ends a consumer that is being given a message has it given nothing after', async () => {
    const test = await TestBroker.open({ policies })
    const [sender, reader] = [test.connect(), test.connect()]
    sender.sendAll('orders', numbered(11))
    const consumer = reader.subscribe('orders', { presettled: true })
    const late: string[] = []
    sender.unblocked = () => {
      reader.session.close()
      consumer.deliver = (delivery) => late.push(textOf(delivery))
    }
    await test.settle()
    expect([late, consumer.texts.length + test.queue('orders').count]).toEqual([[], 11])
  })
})

describe('a message', () => {
  test('of a priority outside 0 to 9 has the nearest, or the normal one if it is no number', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    for (const priority of [-7, 12, Number.NaN, 5.9, 4, 0, 9, Number.POSITIVE_INFINITY]) {
      client.send('orders', `p${priority}`, { priority, durable: true })
    }
    const consumer = client.subscribe('orders')
    await test.settle()
    expect(consumer.texts).toEqual(['p12', 'p9', 'pInfinity', 'p5.9', 'pNaN', 'p4', 'p-7', 'p0'])
    const next = await TestBroker.open({ store: test.store })
    expect(next.queue('orders').count).toBe(8)
  })
})

describe('a temporary queue', () => {
  test('leaves no queue of the dead behind', async () => {
    const test = await TestBroker.open({ policies: [policyRule('queue://>', { expired: 'queue' })] })
    const client = test.connect()
    const address = client.session.createTemporary('queue')
    if (address instanceof BrokerError) throw address
    client.send(`${address}`, 'rejected', { durable: true })
    const consumer = client.subscribe(`${address}`, { credit: 1 })
    await test.settle()
    consumer.settle(0, { kind: 'rejected', reason: 'odd' })
    client.send(`${address}`, 'expires', { expiresAt: test.clock.now() + 1 })
    await test.advance(5_000)
    expect([...test.broker.router.queues].map((queue) => queue.address.name)).toEqual([address.name])
    expect([test.queue(address.name).count, test.broker.memory.bytes]).toEqual([0, 0])
  })
})
