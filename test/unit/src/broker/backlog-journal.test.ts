import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Delivery, released } from '../../../../src/session.ts'
import { defaultJournalSizes } from '../../../../src/store/journal-limits.ts'
import { JournalStore } from '../../../../src/store/journal-store.ts'
import { FileDisk } from '../../../../src/store/log/file-disk.ts'
import { PoolLane } from '../../../../src/store/log/pool-lane.ts'
import { type MessageGiven, testFormats } from '../../../support/messages.ts'
import { policyRule } from '../../../support/policy-rule.ts'
import { TestBroker, type TestConsumer } from '../../../support/test-broker.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

/** More than a queue keeps waiting as deliveries. */
const longer = 24_000
/** What a queue may keep waiting as deliveries: the window, and what is filled up from the backlog. */
const residentMax = 16_384 + 4_096
/** The clock stands still most of the time: nothing waits to be accepted. */
const sizes = { ...defaultJournalSizes, patientBytes: Number.POSITIVE_INFINITY }
const policies = [policyRule('queue://>', { expired: 'queue' })]

let folder: string
let clock: VirtualClock
let current: TestBroker | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-backlog-'))
  clock = new VirtualClock()
  current = undefined
})

afterEach(async () => {
  if (current !== undefined) await stop(current)
  rmSync(folder, { recursive: true, force: true })
})

/** A broker on the journal in the test's folder, after the one before it was stopped. */
async function next(): Promise<TestBroker> {
  if (current !== undefined) await stop(current)
  const disk = await FileDisk.open(folder, new PoolLane(), () => Promise.resolve())
  current = await TestBroker.open({
    store: new JournalStore(disk, clock, sizes),
    clock,
    policies,
    formats: testFormats,
  })
  return current
}

async function stop(test: TestBroker): Promise<void> {
  let isOver = false
  void test.broker.close().then(() => {
    isOver = true
  })
  clock.advance(test.broker.limits.drainMsMax)
  current = undefined
  await until(test, () => isOver)
}

/** Runs turns, and lets the disk work, until something is so. */
async function until(test: TestBroker, condition: () => boolean): Promise<void> {
  const end = performance.now() + 20_000
  while (!condition()) {
    test.turn()
    await new Promise(setImmediate)
    if (performance.now() > end) throw new Error(`it never came to be so: ${condition}`)
  }
}

/** Sends numbered messages of 64 bytes to the queue and waits until they are safe. */
async function fill(
  test: TestBroker,
  count: number,
  given: (index: number) => MessageGiven = () => ({}),
): Promise<void> {
  const client = test.connect()
  let last = 0
  for (let index = 0; index < count; index += 1) {
    last = client.send('q', `${index}`.padEnd(64, '.'), { durable: true, ...given(index) })
    if (index % 2_000 === 1_999) await until(test, () => client.confirmedUpTo >= last - 10_000)
  }
  await until(test, () => client.confirmedUpTo === last)
}

function indexOf(delivery: Delivery): number {
  return Number.parseInt(Buffer.from(delivery.message.content).toString('latin1', 0, 10), 10)
}

function residentOf(test: TestBroker): number {
  return [...test.queue('q').residents()].length
}

/** Accepts all that comes, and takes more. */
function drainInto(consumer: TestConsumer, indexes: number[]): void {
  consumer.deliver = (delivery) => {
    indexes.push(indexOf(delivery))
    consumer.subscription.settle(delivery, { kind: 'accepted' })
    consumer.subscription.addCredit(1)
  }
}

function numbers(count: number, isIn: (index: number) => boolean = () => true): number[] {
  return Array.from({ length: count }, (_, index) => index).filter(isIn)
}

/** Cheaper than a deep comparison of long arrays. */
function expectSame(found: readonly number[], expected: readonly number[]): void {
  const at = expected.findIndex((one, index) => found[index] !== one)
  expect([found.length, at, found[at]]).toEqual([expected.length, -1, undefined])
}

describe('a queue longer than its window, in the journal', () => {
  test('keeps 200,000 messages without an object each, over a restart, and gives each once and in order', async () => {
    const count = 200_000
    const first = await next()
    await fill(first, count)
    expect(first.queue('q').count).toBe(count)
    expect(residentOf(first)).toBeLessThanOrEqual(residentMax)
    const indexes: number[] = []
    let residentPeak = 0
    for (const share of [count / 2, count]) {
      const test = share === count ? await next() : first
      const consumer = test.connect().subscribe('q', { credit: 500 })
      drainInto(consumer, indexes)
      let looked = indexes.length
      await until(test, () => {
        if (indexes.length - looked > 10_000) {
          looked = indexes.length
          residentPeak = Math.max(residentPeak, residentOf(test))
        }
        return indexes.length >= share
      })
      consumer.subscription.close()
    }
    expect(residentPeak).toBeLessThanOrEqual(residentMax)
    expectSame(indexes, numbers(count))
    const third = await next()
    expect(third.queue('q').count).toBe(0)
  }, 60_000)

  test('shows a browser all of it, also while a consumer has some', async () => {
    const test = await next()
    await fill(test, longer)
    const taker = test.connect().subscribe('q', { credit: 10 })
    await until(test, () => taker.deliveries.length === 10)
    const browser = test.connect().subscribe('q', { credit: longer + 1, browse: true })
    await until(test, () => browser.isOver)
    expectSame(
      browser.deliveries.map(indexOf),
      numbers(longer, (index) => index >= 10),
    )
    expect(test.queue('q').count).toBe(longer)
  })

  test('shows a browser all of it after a restart, and what is not kept beside what is', async () => {
    await fill(await next(), longer)
    const test = await next()
    const client = test.connect()
    for (let index = longer; index < longer + 3_000; index += 1) {
      client.send('q', `${index}`.padEnd(64, '.'), { durable: index % 3 === 0 })
    }
    const browser = test.connect().subscribe('q', { credit: longer + 3_001, browse: true })
    await until(test, () => browser.isOver)
    expectSame(browser.deliveries.map(indexOf), numbers(longer + 3_000))
  })

  test.each([undefined, 'JMSPriority = 4'])('is drained to its end, on disk too (selector %s)', async (selector) => {
    await fill(await next(), longer)
    const test = await next()
    const consumer = test.connect().subscribe('q', { credit: longer + 7, selector })
    const told: number[][] = []
    consumer.subscription.drain((creditLeft) => told.push([creditLeft, consumer.deliveries.length]))
    await until(test, () => told.length > 0)
    expect(told).toEqual([[7, longer]])
  })

  test('is purged of all but what a consumer has, in the store too', async () => {
    const first = await next()
    await fill(first, longer)
    const taker = first.connect().subscribe('q', { credit: 100 })
    await until(first, () => taker.deliveries.length === 100)
    expect(first.queue('q').purge()).toBe(longer - 100)
    for (const [index, delivery] of taker.deliveries.entries()) {
      taker.subscription.settle(delivery, index < 50 ? { kind: 'accepted' } : released)
    }
    taker.subscription.close()
    const client = first.connect()
    const last = client.send('q', '90000', { durable: true })
    await until(first, () => client.confirmedUpTo === last)
    expect(first.queue('q').count).toBe(51)
    const second = await next()
    const indexes: number[] = []
    drainInto(second.connect().subscribe('q'), indexes)
    await until(second, () => indexes.length === 51)
    expectSame(indexes, [...numbers(100, (index) => index >= 50), 90_000])
    expect(second.queue('q').count).toBe(0)
  })

  test('delivers nothing that has expired, and what was delayed once it is due', async () => {
    const isShort = (index: number) => index % 10 === 3
    const isLate = (index: number) => index % 7 === 2 && !isShort(index)
    await fill(await next(), longer, (index) => ({
      expiresAt: isShort(index) ? clock.now() + 1_000 : 0,
      deliverAt: isLate(index) ? clock.now() + 60_000 : 0,
    }))
    const test = await next()
    clock.advance(2_000)
    const indexes: number[] = []
    drainInto(test.connect().subscribe('q'), indexes)
    const wanted = numbers(longer, (index) => !isShort(index) && !isLate(index))
    await until(test, () => indexes.length >= wanted.length && test.queue('q').readyCount === 0)
    expectSame(indexes, wanted)
    expect(test.queue('ExpiryQueue.q').count).toBe(numbers(longer, isShort).length)
    clock.advance(60_000)
    const late = numbers(longer, isLate)
    await until(test, () => indexes.length >= wanted.length + late.length)
    expectSame(indexes.slice(wanted.length), late)
    expect(test.queue('q').count).toBe(0)
  })

  test.each(['as it is', 'after a restart'])('gives the higher priority first, %s', async (when) => {
    let test = await next()
    await fill(test, 2 * longer, (index) => ({ priority: index % 2 === 0 ? 4 : 8 }))
    if (when === 'after a restart') test = await next()
    const indexes: number[] = []
    drainInto(test.connect().subscribe('q'), indexes)
    await until(test, () => indexes.length === 2 * longer)
    const odd = numbers(2 * longer, (index) => index % 2 === 1)
    expectSame(indexes, [...odd, ...numbers(2 * longer, (index) => index % 2 === 0)])
  })

  test.each(['as it is', 'after a restart'])('finds what a selector wants at its end, %s', async (when) => {
    let test = await next()
    await fill(test, longer, (index) => ({ expiresAt: index === longer - 1 ? clock.now() + 1e9 : 0 }))
    if (when === 'after a restart') test = await next()
    const chosen = test.connect().subscribe('q', { selector: 'JMSExpiration > 0' })
    await until(test, () => chosen.deliveries.length === 1)
    expect(chosen.deliveries.map(indexOf)).toEqual([longer - 1])
    chosen.settleAll()
    const indexes: number[] = []
    drainInto(test.connect().subscribe('q'), indexes)
    await until(test, () => indexes.length === longer - 1)
    expectSame(indexes, numbers(longer - 1))
  })

  test.each(['as it is', 'after a restart'])('gives each group to one consumer and in order, %s', async (when) => {
    let test = await next()
    await fill(test, longer, (index) => ({ groupId: `g${index % 5}` }))
    if (when === 'after a restart') test = await next()
    const taken: number[][] = [[], [], []]
    for (const indexes of taken) drainInto(test.connect().subscribe('q', { credit: 50 }), indexes)
    await until(test, () => taken.reduce((sum, { length }) => sum + length, 0) === longer)
    for (let group = 0; group < 5; group += 1) {
      const isOf = (index: number) => index % 5 === group
      const holders = taken.filter((indexes) => indexes.some(isOf))
      expect(holders.length).toBe(1)
      expectSame(holders[0]?.filter(isOf) ?? [], numbers(longer, isOf))
    }
  })
})
