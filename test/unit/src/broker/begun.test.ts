import { describe, expect, test } from 'vitest'
import { MemoryStore } from '../../../../src/store/memory-store.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { TestBroker } from '../../../support/test-broker.ts'

const window = { messages: 4, bytes: 1_000_000, messagesLow: 2, readCount: 8 }
const named = { name: 'mine', durable: true } as const
const lifeMs = 10_000

/** A subscription that is kept and holds m1 to m20, which expire; the third, the eighth and the last have begun. */
async function scene(isPaging: boolean, isRestarted: boolean) {
  const store = new HeldStore(new MemoryStore(), isPaging)
  let test = await TestBroker.open({ store, window })
  const subscriber = test.connect('c')
  subscriber.subscribe('topic://t', { ...named, credit: 0 })
  subscriber.session.close()
  const sender = test.connect()
  const expiresAt = test.clock.now() + lifeMs
  for (let number = 1; number <= 20; number += 1) sender.send('topic://t', `m${number}`, { durable: true, expiresAt })
  await rest(test)
  if (isRestarted) test = await TestBroker.open({ store, window, clock: test.clock })
  for (const sequence of [3, 8, 20]) test.broker.keepBegun('c', 'mine', sequence)
  return test
}

/** Until all has been looked through that has expired. */
async function outlive(test: TestBroker): Promise<void> {
  for (const ms of [1, lifeMs, 2000]) {
    await test.advance(ms)
    await rest(test)
  }
}

async function rest(test: TestBroker): Promise<void> {
  for (let round = 0; round < 30; round += 1) await test.settle()
}

function messageCount(test: TestBroker): number | undefined {
  return test.broker.subscriptionsOf('c')[0]?.messageCount
}

describe.each([
  ['in memory', false, false],
  ['in the store', true, false],
  ['in memory after a restart', false, true],
  ['in the store after a restart', true, true],
] as const)('what has begun, %s', (_, isPaging, isRestarted) => {
  test('does not expire while nobody is there, and is delivered', async () => {
    const test = await scene(isPaging, isRestarted)
    await outlive(test)
    expect(messageCount(test)).toBe(3)
    const consumer = test.connect('c').subscribe('topic://t', named)
    await rest(test)
    expect(consumer.texts).toEqual(['m3', 'm8', 'm20'])
    consumer.settleAll()
    await rest(test)
    expect([messageCount(test), test.broker.memory.bytes, test.failures]).toEqual([0, test.broker.states.bytes, []])
  })

  test('does not expire while it is read for a consumer that has no credit', async () => {
    const test = await scene(isPaging, isRestarted)
    const consumer = test.connect('c').subscribe('topic://t', { ...named, credit: 1 })
    await rest(test)
    expect(consumer.texts).toEqual(['m1'])
    await outlive(test)
    expect(messageCount(test)).toBe(4)
    consumer.subscription.addCredit(10)
    await rest(test)
    expect(consumer.texts).toEqual(['m1', 'm3', 'm8', 'm20'])
  })

  test('is forgotten when all is purged', async () => {
    const test = await scene(isPaging, isRestarted)
    for (const queue of test.broker.subscriptions.queues) {
      queue.purge()
      expect(queue.begun).toBeUndefined()
    }
    expect(messageCount(test)).toBe(0)
  })
})

test('what has begun is forgotten once it is settled', async () => {
  const test = await scene(true, false)
  const consumer = test.connect('c').subscribe('topic://t', named)
  await rest(test)
  for (const [index, { sequence }] of consumer.deliveries.entries()) if (sequence === 3) consumer.settle(index)
  for (const queue of test.broker.subscriptions.queues) expect([...(queue.begun ?? [])]).toEqual([8, 20])
})
