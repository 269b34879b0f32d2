import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import type { Policy, PolicyRule } from '../../../../src/broker/policy.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { failed, released } from '../../../../src/session.ts'
import { TestBroker } from '../../../support/test-broker.ts'

function rule(match: string, set: Partial<Policy>): PolicyRule {
  const address = Address.parse(match)
  if (address instanceof BrokerError) throw address
  return { match: address, set }
}

function numbered(count: number, prefix = 'm'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}

describe('order', () => {
  test('hands out messages first in, first out', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.sendAll('orders', ['a', 'b', 'c'])
    await test.settle()
    expect(consumer.texts).toEqual(['a', 'b', 'c'])
    expect(client.confirmedUpTo).toBe(3)
  })

  test('serves higher priorities first, in order within each', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders', 'low', { priority: 1 })
    client.send('orders', 'normal')
    client.send('orders', 'high', { priority: 9 })
    client.send('orders', 'high too', { priority: 9 })
    const consumer = client.subscribe('orders')
    await test.settle()
    expect(consumer.texts).toEqual(['high', 'high too', 'normal', 'low'])
  })

  test('delivers no more than the credit given', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(5))
    const consumer = client.subscribe('orders', { credit: 2 })
    await test.settle()
    expect(consumer.texts).toEqual(['m0', 'm1'])
    consumer.subscription.addCredit(1)
    await test.settle()
    expect(consumer.texts).toEqual(['m0', 'm1', 'm2'])
    expect(consumer.subscription.credit).toBe(0)
  })

  test('goes on over many turns when there is more than one budget of work', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(10_000))
    const consumer = client.subscribe('orders', { credit: 10_000 })
    await test.settle()
    expect(consumer.texts).toEqual(numbered(10_000))
  })
})

describe('consumers', () => {
  test('share a queue round-robin', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const first = client.subscribe('orders')
    const second = client.subscribe('orders')
    const third = client.subscribe('orders')
    client.sendAll('orders', numbered(6))
    await test.settle()
    expect([first.texts, second.texts, third.texts]).toEqual([
      ['m0', 'm3'],
      ['m1', 'm4'],
      ['m2', 'm5'],
    ])
  })

  test('of higher priority come first while they have credit', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const normal = client.subscribe('orders')
    const preferred = client.subscribe('orders', { priority: 5, credit: 2 })
    client.sendAll('orders', numbered(4))
    await test.settle()
    expect(preferred.texts).toEqual(['m0', 'm1'])
    expect(normal.texts).toEqual(['m2', 'm3'])
  })

  test('wait while another one has the queue to itself, and take over when it leaves', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const ordinary = client.subscribe('orders')
    const exclusive = client.subscribe('orders', { exclusive: true })
    const standby = client.subscribe('orders', { exclusive: true })
    client.sendAll('orders', ['a', 'b'])
    await test.settle()
    expect([ordinary.texts, exclusive.texts, standby.texts]).toEqual([[], ['a', 'b'], []])
    exclusive.settleAll()
    exclusive.subscription.close()
    client.send('orders', 'c')
    await test.settle()
    expect([ordinary.texts, standby.texts]).toEqual([[], ['c']])
  })

  test('that are suspended get nothing until they resume', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.session.suspend()
    client.send('orders', 'a')
    await test.settle()
    expect(consumer.texts).toEqual([])
    client.session.resume()
    await test.settle()
    expect(consumer.texts).toEqual(['a'])
  })

  test('of a pattern get messages of every queue it covers, those made later included', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders.eu', 'before')
    const consumer = client.subscribe('orders.*')
    client.send('orders.us', 'after')
    client.send('orders.us.east', 'not covered')
    await test.settle()
    expect(consumer.texts.sort()).toEqual(['after', 'before'])
    consumer.subscription.close()
    client.send('orders.eu', 'late')
    await test.settle()
    expect(consumer.texts).toHaveLength(2)
    expect(test.queue('orders.eu').readyCount).toBe(2)
  })
})

describe('settlement', () => {
  test('accepted removes the message', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.send('orders', 'a')
    await test.settle()
    expect(test.queue('orders').count).toBe(1)
    consumer.settle(0)
    consumer.settle(0)
    expect(test.queue('orders').count).toBe(0)
    expect(test.broker.memory.bytes).toBe(0)
  })

  test('through a delivery settles all before it and none after', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.sendAll('orders', numbered(5))
    await test.settle()
    const third = consumer.deliveries[2]!
    expect(consumer.subscription.settleThrough(third, { kind: 'accepted' })).toHaveLength(3)
    expect(consumer.subscription.unsettledCount).toBe(2)
    expect(consumer.subscription.settleThrough(third, { kind: 'accepted' })).toHaveLength(0)
  })

  test('released goes back to its place, the count unchanged', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(4))
    const consumer = client.subscribe('orders', { credit: 2 })
    await test.settle()
    consumer.settle(1, released)
    consumer.settle(0, released)
    consumer.take()
    consumer.subscription.addCredit(4)
    await test.settle()
    expect(consumer.texts).toEqual(['m0', 'm1', 'm2', 'm3'])
    expect(consumer.deliveries.map((delivery) => delivery.redelivered)).toEqual([true, true, false, false])
    expect(consumer.deliveries[0]!.deliveryCount).toBe(0)
  })

  test('modified comes back after its delay with the count grown', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.send('orders', 'a')
    await test.settle()
    consumer.settle(0, { kind: 'modified', delayMs: 5_000 })
    await test.advance(4_999)
    expect(consumer.deliveries).toHaveLength(1)
    await test.advance(2)
    expect(consumer.deliveries).toHaveLength(2)
    expect(consumer.deliveries[1]).toMatchObject({ deliveryCount: 1, redelivered: true })
  })

  test('backs off by the policy of the queue up to the cap', async () => {
    const set = { redeliveryDelayMs: 100, redeliveryBackoff: 3, redeliveryDelayMsMax: 500 }
    const test = await TestBroker.open({ policies: [rule('queue://orders', set)] })
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.send('orders', 'a')
    await test.settle()
    for (const delay of [100, 300, 500, 500]) {
      consumer.settle(consumer.deliveries.length - 1, failed)
      await test.advance(delay - 1)
      const before = consumer.deliveries.length
      await test.advance(2)
      expect(consumer.deliveries.length).toBe(before + 1)
    }
  })

  test('past the last allowed delivery the message goes to the dead-letter queue with its history', async () => {
    const test = await TestBroker.open({ policies: [rule('queue://orders', { deliveriesMax: 3 })] })
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.send('orders', 'poison')
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await test.settle()
      consumer.settle(attempt, failed)
    }
    const dead = client.subscribe('DLQ.orders')
    await test.settle()
    expect(consumer.deliveries).toHaveLength(3)
    expect(dead.texts).toEqual(['poison'])
    expect(dead.deliveries[0]!.message.annotations).toEqual({
      'dead-letter-address': 'queue://orders',
      'dead-letter-reason': 'not accepted in 3 deliveries',
      'dead-letter-count': 3,
      'dead-letter-time': test.clock.now(),
    })
    expect(dead.deliveries[0]!.deliveryCount).toBe(0)
  })

  test('rejected goes to the dead-letter queue at once, and can be sent back', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.send('orders', 'a')
    await test.settle()
    consumer.settle(0, { kind: 'rejected', reason: 'no such customer' })
    await test.settle()
    expect(test.queue('DLQ.orders').readyCount).toBe(1)
    expect(await test.broker.sendBack(Address.must('queue', 'DLQ.orders'), 10)).toBe(1)
    await test.settle()
    expect(consumer.texts).toEqual(['a', 'a'])
    expect(consumer.deliveries[1]!.message.annotations).toEqual({})
    expect(test.queue('DLQ.orders').count).toBe(0)
  })

  test('nothing that consumers say of a dead letter removes it but accepting it', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('DLQ.orders', 'a')
    const consumer = client.subscribe('DLQ.orders')
    for (let attempt = 0; attempt < 20; attempt += 1) {
      await test.settle()
      consumer.settle(attempt, attempt % 2 === 0 ? { kind: 'rejected', reason: '' } : failed)
    }
    await test.settle()
    expect(test.queue('DLQ.orders').count).toBe(1)
    consumer.settle(20)
    expect(test.queue('DLQ.orders').count).toBe(0)
  })

  test('is undone when the consumer leaves: unsettled messages go back in order, flagged', async () => {
    const test = await TestBroker.open()
    const first = test.connect()
    const second = test.connect()
    const leaving = first.subscribe('orders', { credit: 3 })
    second.sendAll('orders', numbered(5))
    await test.settle()
    const staying = second.subscribe('orders')
    await test.settle()
    expect(staying.texts).toEqual(['m3', 'm4'])
    leaving.settle(1)
    first.session.close('lost')
    await test.settle()
    expect(staying.texts).toEqual(['m3', 'm4', 'm0', 'm2'])
    expect(staying.deliveries[2]).toMatchObject({ redelivered: true, deliveryCount: 1 })
  })

  test('a clean close does not count as a failed delivery', async () => {
    const test = await TestBroker.open()
    const first = test.connect()
    first.subscribe('orders')
    first.send('orders', 'a')
    await test.settle()
    first.session.close('clean')
    const consumer = test.connect().subscribe('orders')
    await test.settle()
    expect(consumer.deliveries[0]).toMatchObject({ redelivered: true, deliveryCount: 0 })
  })
})

describe('expiry', () => {
  test('an expired message is not delivered', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders', 'stale', { expiresAt: test.clock.now() + 100 })
    client.send('orders', 'fresh')
    await test.settle()
    test.clock.advance(100)
    const consumer = client.subscribe('orders')
    await test.settle()
    expect(consumer.texts).toEqual(['fresh'])
    expect(test.queue('orders').counters.expired).toBe(1)
  })

  test('is swept without any consumer, to the expiry queue where the policy says so', async () => {
    const test = await TestBroker.open({ policies: [rule('queue://orders', { expired: 'queue' })] })
    const client = test.connect()
    for (let index = 0; index < 10; index += 1) {
      client.send('orders', `m${index}`, { expiresAt: test.clock.now() + 1000 + index * 10 })
    }
    client.send('orders', 'kept')
    await test.settle()
    await test.advance(5_000)
    expect(test.queue('orders').readyCount).toBe(1)
    const dead = client.subscribe('ExpiryQueue.orders')
    await test.settle()
    expect(dead.texts).toEqual(numbered(10))
    expect(dead.deliveries[0]!.message.annotations).toMatchObject({ 'dead-letter-reason': 'expired' })
    expect(dead.deliveries[0]!.message.expiresAt).toBe(0)
  })

  test('sweeps more messages than fit in one batch', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const expiresAt = test.clock.now() + 1000
    for (let index = 0; index < 120_000; index += 1)
      client.send('orders', '', { expiresAt: index % 2 === 0 ? expiresAt : 0 })
    await test.settle()
    await test.advance(3_000)
    expect(test.queue('orders').readyCount).toBe(60_000)
  })
})

describe('delayed delivery', () => {
  test('keeps a message until its time, then puts it at the end', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders', 'later', { deliverAt: test.clock.now() + 1000 })
    client.send('orders', 'now')
    await test.settle()
    expect(test.queue('orders').delayedCount).toBe(1)
    const consumer = client.subscribe('orders')
    await test.settle()
    expect(consumer.texts).toEqual(['now'])
    await test.advance(1001)
    expect(consumer.texts).toEqual(['now', 'later'])
    expect(consumer.deliveries[1]!.redelivered).toBe(false)
  })

  test('delivers in the order of times, not of sending', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    for (const delay of [300, 100, 200]) client.send('orders', `${delay}`, { deliverAt: test.clock.now() + delay })
    await test.settle()
    await test.advance(1000)
    expect(consumer.texts).toEqual(['100', '200', '300'])
  })
})

describe('browsing', () => {
  test('shows what waits, highest priority first, changes nothing, and ends', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(3))
    client.send('orders', 'first', { priority: 9 })
    const browser = client.subscribe('orders', { browse: true, credit: 10_000 })
    await test.settle()
    expect(browser.texts).toEqual(['first', 'm0', 'm1', 'm2'])
    expect(browser.isOver).toBe(true)
    expect(test.queue('orders').readyCount).toBe(4)
    const consumer = client.subscribe('orders')
    await test.settle()
    expect(consumer.deliveries.every((delivery) => !delivery.redelivered)).toBe(true)
    expect(consumer.deliveries).toHaveLength(4)
  })

  test('goes at the pace of its credit while consumers take messages from under it', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(6))
    const browser = client.subscribe('orders', { browse: true, credit: 2 })
    await test.settle()
    const consumer = client.subscribe('orders', { credit: 3 })
    await test.settle()
    expect(consumer.texts).toEqual(['m0', 'm1', 'm2'])
    client.send('orders', 'too late')
    browser.subscription.addCredit(10)
    await test.settle()
    expect(browser.texts).toEqual(['m0', 'm1', 'm3', 'm4', 'm5'])
    expect(browser.isOver).toBe(true)
  })

  test('shows only what the selector matches', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders', 'red', { properties: { color: 'red' } })
    client.send('orders', 'blue', { properties: { color: 'blue' } })
    const browser = client.subscribe('orders', { browse: true, selector: "color = 'blue'" })
    await test.settle()
    expect(browser.texts).toEqual(['blue'])
  })

  test('an empty queue ends at once', async () => {
    const test = await TestBroker.open()
    const browser = test.connect().subscribe('nothing', { browse: true, credit: 1 })
    await test.settle()
    expect(browser.isOver).toBe(true)
  })
})

describe('selectors', () => {
  test('each consumer gets only what it selects, and the rest waits for somebody', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const red = client.subscribe('orders', { selector: "color = 'red'" })
    for (const color of ['red', 'blue', 'red', 'green']) client.send('orders', color, { properties: { color } })
    await test.settle()
    expect(red.texts).toEqual(['red', 'red'])
    const rest = client.subscribe('orders')
    await test.settle()
    expect(rest.texts).toEqual(['blue', 'green'])
  })

  test('a selecting consumer passes a long queue of other messages only once', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    for (let index = 0; index < 20_000; index += 1) client.send('orders', 'other', { properties: { color: 'blue' } })
    const red = client.subscribe('orders', { selector: "color = 'red'" })
    await test.settle()
    for (let index = 0; index < 500; index += 1) {
      client.send('orders', `red${index}`, { properties: { color: 'red' } })
      await test.settle()
    }
    expect(red.texts).toEqual(numbered(500, 'red'))
  })

  test('a message that comes back is offered again to those who passed its place', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const first = client.subscribe('orders', { selector: 'n > 0', credit: 2 })
    for (const n of [1, 2, 3]) client.send('orders', `${n}`, { properties: { n: { type: 'int', value: n } } })
    await test.settle()
    const second = client.subscribe('orders', { selector: 'n < 10' })
    await test.settle()
    expect(second.texts).toEqual(['3'])
    first.settleAll(released)
    await test.settle()
    expect(second.texts).toEqual(['3', '1', '2'])
  })
})

describe('message groups', () => {
  test('stay with one consumer, in order', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumers = [client.subscribe('orders'), client.subscribe('orders')]
    for (let index = 0; index < 20; index += 1) {
      client.send('orders', `g${index % 4}-${index}`, { groupId: `g${index % 4}` })
    }
    await test.settle()
    const owners = new Map<string, number>()
    for (const [number, consumer] of consumers.entries()) {
      for (const text of consumer.texts) {
        const group = text.split('-')[0]!
        expect(owners.get(group) ?? number).toBe(number)
        owners.set(group, number)
      }
    }
    expect(owners.size).toBe(4)
    expect(consumers[0]!.texts.length + consumers[1]!.texts.length).toBe(20)
    expect(Math.min(consumers[0]!.texts.length, consumers[1]!.texts.length)).toBeGreaterThan(0)
  })

  test('move to another consumer when theirs leaves', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const first = client.subscribe('orders')
    client.send('orders', 'a', { groupId: 'g' })
    await test.settle()
    const second = client.subscribe('orders')
    client.send('orders', 'b', { groupId: 'g' })
    await test.settle()
    expect([first.texts, second.texts]).toEqual([['a', 'b'], []])
    first.subscription.close()
    await test.settle()
    expect(second.texts).toEqual(['a', 'b'])
  })

  test('a group that waits for its consumer does not hold up the others', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const slow = client.subscribe('orders', { credit: 1 })
    client.send('orders', 'g1', { groupId: 'g' })
    await test.settle()
    const quick = client.subscribe('orders')
    client.send('orders', 'g2', { groupId: 'g' })
    client.send('orders', 'other', { groupId: 'h' })
    client.send('orders', 'none')
    await test.settle()
    expect(slow.texts).toEqual(['g1'])
    expect(quick.texts).toEqual(['other', 'none'])
  })
})

describe('limits', () => {
  test('reject refuses what does not fit', async () => {
    const test = await TestBroker.open({ policies: [rule('queue://orders', { messagesMax: 2, overflow: 'reject' })] })
    const client = test.connect()
    client.sendAll('orders', ['a', 'b', 'c'])
    await test.settle()
    expect(client.refusals).toMatchObject([{ send: 3, error: { code: 'resource-exhausted' } }])
    expect(test.queue('orders').count).toBe(2)
  })

  test('drop-oldest makes room at the head of the lowest priority', async () => {
    const set: Partial<Policy> = { messagesMax: 3, overflow: 'drop-oldest' }
    const test = await TestBroker.open({ policies: [rule('queue://orders', set)] })
    const client = test.connect()
    client.send('orders', 'important', { priority: 9 })
    client.sendAll('orders', ['a', 'b', 'c', 'd'])
    const consumer = client.subscribe('orders')
    await test.settle()
    expect(consumer.texts).toEqual(['important', 'c', 'd'])
    expect(client.refusals).toEqual([])
  })

  test('block withholds confirms and tells the sender, until there is room; past the hard limit it refuses', async () => {
    const test = await TestBroker.open({
      policies: [rule('queue://orders', { messagesMax: 10 })],
      limits: { hardLimitFactor: 1.2 },
    })
    const client = test.connect()
    client.sendAll('orders', numbered(10))
    await test.settle()
    expect([client.isBlocked, client.confirmedUpTo]).toEqual([false, 10])
    client.send('orders', 'over')
    await test.settle()
    expect([client.isBlocked, client.confirmedUpTo]).toEqual([true, 10])
    client.sendAll('orders', ['over too', 'refused'])
    await test.settle()
    expect(client.refusals.map((refusal) => refusal.send)).toEqual([13])
    const consumer = test.connect().subscribe('orders')
    await test.settle()
    consumer.settleAll()
    await test.settle()
    expect([client.isBlocked, client.confirmedUpTo]).toEqual([false, 13])
  })

  test('bytes count as well as messages', async () => {
    const test = await TestBroker.open({ policies: [rule('queue://orders', { bytesMax: 2000, overflow: 'reject' })] })
    const client = test.connect()
    client.send('orders', 'x'.repeat(2000))
    client.send('orders', 'y')
    expect(client.refusals).toHaveLength(1)
  })
})

describe('administration', () => {
  test('a paused queue keeps its messages until it is resumed', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    test.queue('orders').pause()
    client.send('orders', 'a')
    await test.settle()
    expect(consumer.texts).toEqual([])
    test.queue('orders').resume()
    await test.settle()
    expect(consumer.texts).toEqual(['a'])
  })

  test('purge drops what no consumer holds', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.sendAll('orders', numbered(5), { durable: true })
    client.send('orders', 'later', { deliverAt: test.clock.now() + 1000 })
    const consumer = client.subscribe('orders', { credit: 2 })
    await test.settle()
    expect(test.queue('orders').purge()).toBe(4)
    expect(test.queue('orders').count).toBe(2)
    consumer.settleAll()
    expect(test.broker.memory.bytes).toBe(0)
  })

  test('deleting a queue ends its consumers with the reason', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.send('orders', 'a')
    await test.settle()
    expect(test.broker.router.deleteDestination(Address.must('queue', 'orders'))).toBe(true)
    expect(consumer.endedBy?.code).toBe('deleted')
    consumer.settleAll()
    client.send('orders', 'b')
    await test.settle()
    expect(test.queue('orders').readyCount).toBe(1)
    expect(test.broker.memory.bytes).toBe(401)
  })

  test('an idle queue goes when its policy says so, and not before', async () => {
    const test = await TestBroker.open({ policies: [rule('queue://scratch.>', { idleMsMax: 60_000 })] })
    const client = test.connect()
    const consumer = client.subscribe('scratch.a')
    client.send('scratch.a', 'x')
    await test.settle()
    await test.advance(200_000)
    expect(test.broker.find(Address.must('queue', 'scratch.a'))).toBeDefined()
    consumer.settleAll()
    consumer.subscription.close()
    await test.advance(50_000)
    expect(test.broker.find(Address.must('queue', 'scratch.a'))).toBeDefined()
    await test.advance(20_000)
    expect(test.broker.find(Address.must('queue', 'scratch.a'))).toBeUndefined()
  })
})
