import { describe, expect, test } from 'vitest'
import { MemoryStore } from '../../../../src/store/memory-store.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { TestBroker } from '../../../support/test-broker.ts'

/** More than a queue has waiting as deliveries. */
const windowMessages = 16_384

function numbered(count: number, prefix = 'm'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}

function textsOf(test: TestBroker, queue: string): string[] {
  return [...test.queue(queue).waiting()].map(({ message }) => Buffer.from(message.content).toString())
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
    expect(consumer.texts.at(-1)).toBe('delayed')
    expect(test.queue('orders').purge()).toBe(10_001)
    await rest(test)
    expect(test.queue('orders').count).toBe(windowMessages + 1)
    const second = await TestBroker.open({ store: store.inner, clock: test.clock })
    expect(textsOf(second, 'orders')).toEqual(['delayed'])
  })
})
