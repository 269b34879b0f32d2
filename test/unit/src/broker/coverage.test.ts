import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import { MemoryStore } from '../../../../src/store/memory-store.ts'
import { TestBroker } from '../../../support/test-broker.ts'

function topic(name: string): Address {
  return Address.must('topic', name)
}

describe('a subscription of several filters', () => {
  test('gets a message once, however many of them cover it', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('topic://a.b')
    expect(consumer.subscription.cover({ address: topic('a.*') })).toBeUndefined()
    expect(consumer.subscription.cover({ address: topic('c') })).toBeUndefined()
    client.sendAll('topic://a.b', ['both'])
    client.sendAll('topic://a.c', ['pattern'])
    client.sendAll('topic://c', ['other'])
    client.sendAll('topic://d', ['none'])
    await test.settle()
    expect(consumer.texts).toEqual(['both', 'pattern', 'other'])
  })

  test('loses a filter and keeps what that has brought in', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('topic://a', { credit: 0 })
    consumer.subscription.cover({ address: topic('b') })
    client.send('topic://a', 'a1')
    consumer.subscription.uncover(topic('a'))
    consumer.subscription.uncover(topic('unknown'))
    client.send('topic://a', 'a2')
    client.send('topic://b', 'b1')
    consumer.subscription.addCredit(10)
    await test.settle()
    expect(consumer.texts).toEqual(['a1', 'b1'])
  })

  test('leaves out its own messages under the filters that say so only', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const other = test.connect()
    const consumer = client.subscribe('topic://a')
    consumer.subscription.cover({ address: topic('b'), noLocal: true })
    for (const sender of [client, other]) {
      sender.send('topic://a', 'a')
      sender.send('topic://b', 'b')
    }
    await test.settle()
    expect(consumer.texts).toEqual(['a', 'a', 'b'])
    consumer.subscription.cover({ address: topic('b'), noLocal: false })
    client.send('topic://b', 'own')
    await test.settle()
    expect(consumer.texts.at(-1)).toBe('own')
  })

  test.each([
    ['send', ['r', 'r']],
    ['if-new', ['r']],
    ['none', []],
  ] as const)('retained messages with %s come as for a subscription', async (retained, expected) => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('topic://b', 'r', { retain: true })
    const consumer = client.subscribe('topic://a')
    for (let count = 0; count < 2; count += 1) consumer.subscription.cover({ address: topic('b'), retained })
    await test.settle()
    expect(consumer.texts).toEqual(expected)
  })

  test('is refused for queues, and for subscriptions that are shared', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const address = topic('b')
    const queue = client.subscribe('queue://q')
    expect(queue.subscription.cover({ address })?.code).toBe('invalid-request')
    const shared = client.subscribe('topic://a', { name: 's', shared: true })
    expect(shared.subscription.cover({ address })?.code).toBe('invalid-request')
    const plain = client.subscribe('topic://a')
    expect(plain.subscription.cover({ address: Address.must('queue', 'q') })?.code).toBe('invalid-request')
  })

  test('has them all again after a restart if it is durable, without those it gave up', async () => {
    const store = new MemoryStore()
    const before = await TestBroker.open({ store })
    const consumer = before.connect('c').subscribe('topic://a', { name: 'n', durable: true })
    consumer.subscription.cover({ address: topic('b') })
    consumer.subscription.cover({ address: topic('c.#'), noLocal: true })
    consumer.subscription.cover({ address: topic('d') })
    consumer.subscription.uncover(topic('a'))
    consumer.subscription.uncover(topic('d'))
    await before.settle()
    const after = await TestBroker.open({ store })
    const [own, other] = [after.connect('c'), after.connect('x')]
    for (const sender of [own, other]) {
      for (const name of ['a', 'b', 'c.x', 'd']) sender.send(`topic://${name}`, name, { durable: true })
    }
    const again = own.subscribe('topic://a', { name: 'n', durable: true })
    await after.settle()
    expect(again.texts).toEqual(['b', 'b', 'c.x'])
    again.settleAll()
    again.subscription.close()
    expect(own.session.deleteSubscription('n')).toBeUndefined()
    await after.settle()
    expect([...store.states.keys()]).toEqual([])
  })
})

test('a last level # covers the levels before it and everything below', async () => {
  const test = await TestBroker.open()
  const client = test.connect()
  client.send('topic://a', 'kept', { retain: true })
  const consumer = client.subscribe('topic://a.#')
  const all = client.subscribe('topic://#', { retained: 'none' })
  for (const name of ['a', 'a.b', 'a.b.c', 'b', '$SYS.a']) client.send(`topic://${name}`, name)
  await test.settle()
  expect(consumer.texts).toEqual(['kept', 'a', 'a.b', 'a.b.c'])
  expect(all.texts).toEqual(['a', 'a.b', 'a.b.c', 'b'])
})

describe('a message for a presettled subscriber of a topic', () => {
  test('goes to it at once when nothing waits, and behind what waits otherwise', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('topic://t', { presettled: true, credit: 2 })
    client.sendAll('topic://t', ['a', 'b', 'c'])
    expect(consumer.texts).toEqual(['a', 'b'])
    consumer.subscription.addCredit(10)
    client.send('topic://t', 'd')
    await test.settle()
    expect(consumer.texts).toEqual(['a', 'b', 'c', 'd'])
    expect(test.broker.memory.bytes).toBe(0)
  })

  test('waits while the session is suspended', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('topic://t', { presettled: true })
    client.session.suspend()
    client.send('topic://t', 'a')
    await test.settle()
    expect(consumer.texts).toEqual([])
    client.session.resume()
    await test.settle()
    expect(consumer.texts).toEqual(['a'])
  })

  test('waits for its time, and does not come when that has passed', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('topic://t', { presettled: true })
    const now = test.clock.now()
    client.send('topic://t', 'later', { deliverAt: now + 1000 })
    client.send('topic://t', 'over', { expiresAt: now - 1 })
    await test.settle()
    expect(consumer.texts).toEqual([])
    await test.advance(1000)
    expect(consumer.texts).toEqual(['later'])
  })

  test('goes by the queue no more than so often in one turn', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumers = Array.from({ length: 70 }, () => client.subscribe('topic://t', { presettled: true }))
    for (let count = 0; count < 1000; count += 1) client.send('topic://t', 'x')
    const atOnce = consumers.reduce((sum, consumer) => sum + consumer.deliveries.length, 0)
    expect(atOnce).toBe(65_536)
    await test.settle()
    for (const consumer of consumers) expect(consumer.deliveries.length).toBe(1000)
  })
})
