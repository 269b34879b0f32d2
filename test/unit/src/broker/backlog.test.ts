import { describe, expect, test, vi } from 'vitest'
import { Address } from '../../../../src/address.ts'
import { MemoryStore } from '../../../../src/store/memory-store.ts'
import type { MessageStore, StoredEntry } from '../../../../src/store/store.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { policyRule } from '../../../support/policy-rule.ts'
import { TestBroker, type TestBrokerOptions } from '../../../support/test-broker.ts'

/** More than a queue has waiting as deliveries. */
const windowMessages = 16_384

function numbered(count: number, prefix = 'm'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}

function textsOf(test: TestBroker, queue: string): string[] {
  return [...test.queue(queue).residents()].map(({ message }) => Buffer.from(message.content).toString())
}

/** A broker that leaves what is stored to its store, and a queue whose window is full. */
async function scene() {
  const store = new HeldStore(new MemoryStore(), true)
  const test = await TestBroker.open({ store })
  const client = test.connect()
  client.sendAll('orders', numbered(windowMessages, 'w'))
  await test.settle()
  return { store, test, client }
}

/** Lets reads and commits that follow on one another come to an end. */
async function rest(test: TestBroker): Promise<void> {
  for (let round = 0; round < 10; round += 1) await test.settle()
}

const durable = { durable: true } as const

describe('a queue whose backlog is in the store', () => {
  test('hands out stored messages and others in the order in which they came', async () => {
    const { test, client } = await scene()
    const texts = numbered(300)
    for (const [index, text] of texts.entries()) client.send('orders', text, { durable: index % 3 !== 0 })
    await test.settle()
    const consumer = client.subscribe('orders', { credit: 100_000 })
    await rest(test)
    expect(consumer.texts).toEqual([...numbered(windowMessages, 'w'), ...texts])
    consumer.settleAll()
    await rest(test)
    expect([test.queue('orders').count, test.broker.memory.bytes]).toEqual([0, 0])
  })

  test('keeps in memory only what is not stored', async () => {
    const { test, client } = await scene()
    const before = test.broker.memory.bytes
    client.sendAll('orders', numbered(1000), durable)
    expect(test.broker.memory.bytes).toBeGreaterThan(before)
    await test.settle()
    expect([test.broker.memory.bytes, test.queue('orders').count]).toEqual([before, windowMessages + 1000])
  })

  test('shows a browser all of it once, in order, but for what is delayed', async () => {
    const { test, client } = await scene()
    const texts = numbered(600)
    for (const [index, text] of texts.entries()) {
      client.send('orders', text, { durable: index % 100 < 50 })
      if (index % 40 === 0) client.send('orders', 'later', { ...durable, deliverAt: test.clock.now() + 60_000 })
    }
    const browser = client.subscribe('orders', { browse: true, credit: 100_000 })
    await rest(test)
    expect([browser.texts, browser.isOver]).toEqual([[...numbered(windowMessages, 'w'), ...texts], true])
  })

  test('shows a browser what has been read back for a consumer and waits again', async () => {
    const { test, client } = await scene()
    client.sendAll('orders', numbered(100), durable)
    await test.settle()
    const consumer = client.subscribe('orders', { credit: windowMessages + 10 })
    await rest(test)
    expect(consumer.texts.at(-1)).toBe('m9')
    const browser = client.subscribe('orders', { browse: true, credit: 1000 })
    await rest(test)
    expect(browser.texts).toEqual(numbered(100).slice(10))
  })

  test('purged leaves a consumer what it has, in the store too', async () => {
    const { store, test, client } = await scene()
    client.sendAll('orders', numbered(9_000), durable)
    client.send('orders', 'delayed', { ...durable, deliverAt: test.clock.now() + 1000 })
    client.send('orders', 'delayed more', { ...durable, deliverAt: test.clock.now() + 5000 })
    client.sendAll('orders', numbered(1_000), durable)
    await test.advance(1000)
    const consumer = client.subscribe('orders', { credit: windowMessages + 1 })
    await rest(test)
    expect(consumer.texts.at(-1)).toBe('m0')
    expect(test.queue('orders').purge()).toBe(10_001)
    await rest(test)
    expect(test.queue('orders').count).toBe(windowMessages + 1)
    const second = await TestBroker.open({ store: store.inner, clock: test.clock })
    expect(textsOf(second, 'orders')).toEqual(['m0'])
  })
})

/** A broker over what a store has kept, whose queues have room for three deliveries; the rest is in the store. */
async function narrow(store: HeldStore, options: TestBrokerOptions = {}): Promise<TestBroker> {
  const window = { messages: 3, bytes: 1_000_000, messagesLow: 2, readCount: 4 }
  return await TestBroker.open({ store, window, ...options })
}

/** All that waits in a queue. */
async function walked(test: TestBroker, queue: string): Promise<string[]> {
  const texts: string[] = []
  const walk = test.queue(queue).walk(({ message }) => {
    texts.push(Buffer.from(message.content).toString())
    return 'leave'
  })
  await rest(test)
  await walk
  return texts
}

describe('a queue with a narrow window', () => {
  test('puts a delayed message that comes due behind its backlog, over a restart too', async () => {
    const store = new HeldStore(new MemoryStore(), true)
    const test = await narrow(store)
    const client = test.connect()
    client.sendAll('orders', numbered(4), durable)
    client.send('orders', 'due', { ...durable, deliverAt: test.clock.now() + 1000 })
    client.send('orders', 'also due', { deliverAt: test.clock.now() + 1000 })
    client.sendAll('orders', ['m4', 'm5'], durable)
    await test.advance(1000)
    client.send('orders', 'm6', durable)
    const texts = [...numbered(6), 'due', 'also due', 'm6']
    expect(await walked(test, 'orders')).toEqual(texts)
    const consumer = client.subscribe('orders')
    await rest(test)
    expect(consumer.texts).toEqual(texts)
    consumer.subscription.close()
    await rest(test)
    const second = await narrow(store, { clock: test.clock })
    const again = second.connect().subscribe('orders')
    await rest(second)
    expect(again.texts).toEqual([...numbered(6), 'due', 'm6'])
    again.settleAll()
    await rest(second)
    const third = await narrow(store, { clock: test.clock })
    expect([third.queue('orders').count, second.broker.memory.bytes]).toEqual([0, 0])
  })

  test('gives a delayed message that comes due behind a full window to the consumer that waits for it', async () => {
    const test = await narrow(new HeldStore())
    const client = test.connect()
    const consumer = client.subscribe('orders', { selector: "color = 'red'" })
    client.send('orders', 'due', { deliverAt: test.clock.now() + 1000, properties: { color: 'red' } })
    client.sendAll('orders', numbered(3))
    await test.settle()
    await test.advance(1000)
    expect(consumer.texts).toEqual(['due'])
  })

  test('drops the oldest at once though it is in the store, and it does not come back', async () => {
    const store = new HeldStore(new MemoryStore(), true)
    const policies = [policyRule('queue://orders', { messagesMax: 10, overflow: 'drop-oldest' })]
    const first = await narrow(store, { policies })
    first.connect().sendAll('orders', numbered(10, 'a'), durable)
    await first.settle()
    const test = await narrow(store, { policies })
    const client = test.connect()
    const queue = test.queue('orders')
    for (const text of numbered(6, 'b')) {
      client.send('orders', text, durable)
      expect(queue.count).toBe(10)
    }
    const kept = [...numbered(10, 'a').slice(6), ...numbered(6, 'b')]
    expect(await walked(test, 'orders')).toEqual(kept)
    client.sendAll('orders', numbered(3, 'c'), durable)
    const consumer = client.subscribe('orders')
    await rest(test)
    const texts = [...kept.slice(3), ...numbered(3, 'c')]
    expect([consumer.texts, queue.counters.dropped]).toEqual([texts, 9])
    const third = await narrow(store, { policies })
    expect(await walked(third, 'orders')).toEqual(texts)
  })

  test('drops all that the store has for as many new ones', async () => {
    const store = new HeldStore(new MemoryStore(), true)
    const policies = [policyRule('queue://orders', { messagesMax: 6, overflow: 'drop-oldest' })]
    const first = await narrow(store, { policies })
    first.connect().sendAll('orders', numbered(6, 'a'), durable)
    await first.settle()
    const test = await narrow(store, { policies })
    test.connect().sendAll('orders', numbered(9, 'b'), durable)
    await rest(test)
    const texts = numbered(9, 'b').slice(3)
    expect(await walked(test, 'orders')).toEqual(texts)
    const third = await narrow(store, { policies })
    expect(await walked(third, 'orders')).toEqual(texts)
  })

  test('sends back dead letters from its backlog, and leaves those whose place has gone', async () => {
    const store = new HeldStore(new MemoryStore(), true)
    const policies = [policyRule('queue://orders', { deliveriesMax: 1 })]
    const first = await narrow(store, { policies })
    const client = first.connect('c')
    const gone = client.subscribe('topic://gone', { name: 'gone', durable: true })
    const consumer = client.subscribe('orders')
    for (let index = 0; index < 20; index += 1) {
      client.send(index % 4 === 3 ? 'topic://gone' : 'orders', `m${index}`, durable)
    }
    await rest(first)
    for (const one of [consumer, gone]) one.settleAll({ kind: 'rejected', reason: 'odd' })
    gone.subscription.close()
    client.session.deleteSubscription('gone')
    await rest(first)
    const test = await narrow(store, { policies })
    const sent = test.broker.sendBack(Address.must('queue', 'DLQ.orders'), 12)
    const stayed = test.broker.sendBack(Address.must('queue', 'DLQ.gone'), 100)
    await rest(test)
    expect([await sent, await stayed]).toEqual([12, 0])
    const back = numbered(20).filter((_, index) => index % 4 !== 3)
    expect(await walked(test, 'orders')).toEqual(back.slice(0, 12))
    expect(await walked(test, 'DLQ.orders')).toEqual(back.slice(12))
    expect(test.queue('DLQ.gone').count).toBe(5)
    const third = await narrow(store, { policies })
    expect(await walked(third, 'orders')).toEqual(back.slice(0, 12))
    expect(await walked(third, 'DLQ.orders')).toEqual(back.slice(12))
  })

  test.each(['as it is', 'after a restart'])(
    'expires on time what is in the store, without a consumer, %s',
    async (when) => {
      const store = new HeldStore(new MemoryStore(), true)
      const policies = [policyRule('queue://orders', { expired: 'queue' })]
      let test = await narrow(store, { policies })
      const client = test.connect()
      for (let index = 0; index < 5000; index += 1) {
        const expiresAt = index % 5 === 0 ? test.clock.now() + (index % 2 === 0 ? 10_000 : 60_000) : 0
        client.send('orders', `m${index}`, { ...durable, expiresAt })
      }
      await rest(test)
      if (when === 'after a restart') test = await narrow(store, { policies, clock: test.clock })
      await test.advance(9_000)
      await rest(test)
      expect(test.queue('orders').count).toBe(5000)
      await test.advance(2_500)
      for (let round = 0; round < 20; round += 1) await rest(test)
      expect([test.queue('orders').count, test.queue('ExpiryQueue.orders').count]).toEqual([4500, 500])
      await test.advance(60_000)
      for (let round = 0; round < 20; round += 1) await rest(test)
      expect([test.queue('orders').count, test.queue('ExpiryQueue.orders').count]).toEqual([4000, 1000])
      const left = numbered(5000).filter((_, index) => index % 5 !== 0)
      const consumer = test.connect().subscribe('orders', { credit: 5000 })
      for (let round = 0; round < 100; round += 1) await rest(test)
      expect(consumer.texts).toEqual(left)
    },
  )

  test('shows a browser nothing that has left since it was read for it', async () => {
    const test = await narrow(new HeldStore(new MemoryStore(), true))
    const client = test.connect()
    for (const [index, text] of numbered(40).entries()) client.send('orders', text, { durable: index % 2 === 0 })
    await rest(test)
    const browser = client.subscribe('orders', { browse: true, credit: 20 })
    for (let round = 0; round < 50; round += 1) await rest(test)
    expect(browser.texts).toEqual(numbered(20))
    test.queue('orders').purge()
    browser.subscription.addCredit(40)
    await rest(test)
    expect([browser.texts, browser.isOver]).toEqual([numbered(20), true])
  })

  test('leaves the store alone once that is closed, though a look for what has expired is under way', async () => {
    const store = new HeldStore(new MemoryStore(), true)
    const test = await narrow(store)
    const client = test.connect()
    for (let index = 0; index < 5000; index += 1) {
      client.send('orders', `m${index}`, { ...durable, expiresAt: test.clock.now() + 1000 })
    }
    await rest(test)
    test.clock.advance(1000)
    const closed = test.close()
    for (let round = 0; round < 50; round += 1) await rest(test)
    await closed
    const next = await narrow(store, { clock: test.clock })
    expect(next.queue('orders').count).toBeGreaterThan(0)
    expect(test.failures).toEqual([])
  })

  test('is not read to look for what expires if nothing does', async () => {
    const store = new HeldStore(new MemoryStore(), true)
    const first = await narrow(store)
    const client = first.connect()
    client.sendAll('orders', numbered(50), durable)
    client.send('late', 'm', { ...durable, expiresAt: first.clock.now() + 5 })
    const consumer = first.connect().subscribe('late')
    await rest(first)
    consumer.settleAll()
    await first.close()
    const test = await narrow(store, { clock: first.clock })
    const read = vi.spyOn(store, 'read')
    await test.advance(100_000)
    await rest(test)
    expect([read.mock.calls.length, [...test.broker.statesOf('')]]).toEqual([0, []])
  })
})

/** Finds every second entry damaged, as a store over a bad disk would: takes it out and says so. */
class HalfUnreadableStore extends HeldStore {
  override async read(...given: Parameters<MessageStore['read']>): Promise<readonly StoredEntry[]> {
    const [owner, priority, after, count, onUnreadable] = given
    const entries = await this.inner.read(owner, priority, after, count)
    const [sound, damaged] = [entries.filter(isSound), entries.filter((entry) => !isSound(entry))]
    const batch = this.batch()
    for (const { sequence } of damaged) batch.ack(owner, priority, sequence, false)
    await new Promise<void>((resolve) => this.commit(batch, () => resolve()))
    for (const { sequence } of damaged) onUnreadable?.(sequence)
    return sound
  }
}

function isSound({ message }: StoredEntry): boolean {
  return !Buffer.from(message.content).toString().endsWith('1')
}

test('a queue goes on, and counts right, when its store has to take out what is damaged', async () => {
  const test = await TestBroker.open({ store: new HalfUnreadableStore(new MemoryStore(), true) })
  const client = test.connect()
  client.sendAll('orders', numbered(windowMessages, 'w'))
  await test.settle()
  const texts = numbered(300)
  client.sendAll('orders', texts, durable)
  await test.settle()
  const browser = client.subscribe('orders', { browse: true, credit: 100_000 })
  await rest(test)
  const left = texts.filter((text) => !text.endsWith('1'))
  expect(browser.texts.slice(windowMessages)).toEqual(left)
  expect(test.queue('orders').count).toBe(windowMessages + left.length)
  client.sendAll('orders', ['last 1', 'last 2'], durable)
  const consumer = client.subscribe('orders', { credit: 100_000 })
  await rest(test)
  expect(consumer.texts.slice(windowMessages)).toEqual([...left, 'last 2'])
  consumer.settleAll()
  await rest(test)
  expect([test.queue('orders').count, test.broker.memory.bytes]).toEqual([0, 0])
})
