import { describe, expect, test } from 'vitest'
import { accepted } from '../../../../src/session.ts'
import { JournalStore } from '../../../../src/store/journal-store.ts'
import type { DiskFile } from '../../../../src/store/log/disk.ts'
import { closeOrHalt, crashSizes } from '../../../support/crash.ts'
import { SimulatedDisk } from '../../../support/simulated-disk.ts'
import { TestBroker } from '../../../support/test-broker.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

/** A disk that answers when it is told to. */
class SlowDisk extends SimulatedDisk {
  /** What waits, while it does. */
  reads: (() => void)[] | undefined
  commits: (() => void)[] | undefined

  constructor() {
    super()
    this.reads = undefined
    this.commits = undefined
  }

  override async open(name: string): Promise<DiskFile> {
    const file = await super.open(name)
    const read = file.read.bind(file)
    return Object.assign(file, {
      read: async (offset: number, bytes: number) => {
        if (this.reads !== undefined) await new Promise<void>((resolve) => this.reads?.push(resolve))
        return await read(offset, bytes)
      },
    })
  }

  override commit(...all: Parameters<SimulatedDisk['commit']>): void {
    if (this.commits === undefined) super.commit(...all)
    else this.commits.push(() => super.commit(...all))
  }

  /** From now on it answers at once. */
  letGo(): void {
    const waiting = [...(this.reads ?? []), ...(this.commits ?? [])]
    this.reads = undefined
    this.commits = undefined
    for (const go of waiting) go()
  }
}

/** Frames are filled when the disk is free for them. */
const sizes = { ...crashSizes, eagerBytes: crashSizes.segmentBytes }

async function on(disk: SlowDisk): Promise<TestBroker> {
  const clock = new VirtualClock()
  return await TestBroker.open({ store: new JournalStore(disk, clock, sizes), clock })
}

/** Turns, and whatever the disk does, until nothing happens any more. */
async function rest(test: TestBroker): Promise<void> {
  for (let turn = 0; turn < 100; turn += 1) {
    test.turn()
    await new Promise(setImmediate)
  }
}

const durable = { durable: true } as const
const numbered = (count: number, prefix: string): string[] => Array.from({ length: count }, (_, at) => `${prefix}${at}`)

test('a consumer whose messages are slow to come from the disk does not slow one whose are there', async () => {
  const disk = new SlowDisk()
  const before = await on(disk)
  before.connect().sendAll('cold', numbered(300, 'c'), durable)
  await rest(before)
  await closeOrHalt(before)
  const broker = await on(disk)
  disk.reads = []
  const cold = broker.connect().subscribe('cold', { credit: 1000 })
  await rest(broker)
  expect(disk.reads.length).toBeGreaterThan(0)
  const sender = broker.connect()
  const hot = broker.connect().subscribe('hot', { credit: 1000 })
  for (let round = 0; round < 10; round += 1) {
    const last = sender.send('hot', `h${round}`, durable)
    await rest(broker)
    expect(sender.confirmedUpTo).toBe(last)
    expect(hot.texts.at(-1)).toBe(`h${round}`)
    hot.settle(round, accepted)
  }
  expect(cold.texts).toEqual([])
  disk.letGo()
  await rest(broker)
  expect(cold.texts).toEqual(numbered(300, 'c'))
})

describe('what a consumer accepts while it waits to be written', () => {
  async function written(disk: SlowDisk, text: string): Promise<boolean> {
    for (const name of await disk.list()) if ((await disk.readFile(name)).includes(text)) return true
    return false
  }

  test('is never written, and its sender is confirmed all the same', async () => {
    const disk = new SlowDisk()
    const broker = await on(disk)
    const sender = broker.connect()
    const consumer = broker.connect().subscribe('q', { credit: 1000 })
    // The store knows that consumers may see what comes.
    sender.send('q', 'first', durable)
    await rest(broker)
    consumer.settle(0, accepted)
    await rest(broker)
    disk.commits = []
    sender.send('other', 'holds the disk up', durable)
    await rest(broker)
    expect(disk.commits.length).toBe(1)
    let last = 0
    for (const text of [...numbered(20, 'taken-'), 'left-behind']) last = sender.send('q', text, durable)
    await rest(broker)
    expect(consumer.texts).toEqual(['first', ...numbered(20, 'taken-'), 'left-behind'])
    for (let index = 1; index <= 20; index += 1) consumer.settle(index, accepted)
    await rest(broker)
    expect(sender.confirmedUpTo).toBeLessThan(last)
    disk.letGo()
    await rest(broker)
    expect(sender.confirmedUpTo).toBe(last)
    expect([await written(disk, 'taken-'), await written(disk, 'left-behind')]).toEqual([false, true])
    await closeOrHalt(broker)
    const again = await on(disk)
    expect([again.queue('q').count, again.queue('other').count]).toEqual([1, 1])
  })
})
