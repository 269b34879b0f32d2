import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { embeddedFormat } from '../../../../src/embedded-format.ts'
import type { JournalSizes } from '../../../../src/store/journal-limits.ts'
import { JournalStore } from '../../../../src/store/journal-store.ts'
import { FileDisk } from '../../../../src/store/log/file-disk.ts'
import { PoolLane } from '../../../../src/store/log/pool-lane.ts'
import { messageOf } from '../../../support/messages.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

const sizes: JournalSizes = {
  segmentBytes: 64 * 1024,
  frameBytesMax: 16 * 1024,
  partBytes: 8 * 1024,
  eagerBytes: 1024,
  patientBytes: Number.POSITIVE_INFINITY,
  checkpointBytes: 128 * 1024,
  pageCacheBytes: 64 * 1024,
  pageEntries: 64,
}
const messages = 4000
const bodyBytes = 900

let folder: string
let clock: VirtualClock
let store: JournalStore
let owner: number

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-segments-'))
  clock = new VirtualClock()
  store = new JournalStore(await FileDisk.open(folder, new PoolLane(), () => Promise.resolve()), clock, sizes)
  await store.open(() => embeddedFormat)
  const batch = store.batch()
  owner = batch.define({ kind: 'queue', name: 'q', settings: {} })
  await commit(batch)
  for (let first = 1; first <= messages; first += 20) {
    const puts = store.batch()
    for (let sequence = first; sequence < first + 20; sequence += 1) {
      puts.put(owner, sequence, messageOf({ body: 'x'.repeat(bodyBytes) }), 0)
    }
    await commit(puts)
  }
})

afterEach(async () => {
  await store.close()
  rmSync(folder, { recursive: true })
})

function commit(batch: ReturnType<JournalStore['batch']>): Promise<void> {
  return new Promise((resolve, reject) => {
    store.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
  })
}

/** Takes all messages but one in so many. */
async function takeAllBut(every: number): Promise<void> {
  for (let first = 1; first <= messages; first += 100) {
    const acks = store.batch()
    for (let sequence = first; sequence < first + 100; sequence += 1) {
      if (sequence % every !== 0) acks.ack(owner, 4, sequence, true)
    }
    await commit(acks)
  }
}

const files = (prefix: string): string[] => readdirSync(folder).filter((name) => name.startsWith(prefix))

/** Lets time pass until so many files are left, or much too long. */
async function untilFiles(count: number): Promise<void> {
  for (let tries = 0; tries < 200 && files('seg-').length + files('free-').length > count; tries += 1) {
    clock.advance(31_000)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('a journal that was drained but for a few forgotten messages shrinks when little happens', {
  timeout: 60_000,
}, async () => {
  expect(files('seg-').length).toBeGreaterThan(50)
  await takeAllBut(500)
  await untilFiles(7)
  expect(files('seg-').length + files('free-').length).toBeLessThanOrEqual(7)
  const left = await store.read(owner, 4, 0, 100)
  expect(left.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 8 }, (_, index) => (index + 1) * 500))
  expect(left.every(({ message }) => message.bodySize === bodyBytes)).toBe(true)
})

test('a journal that was drained has no index either after a while in which nothing happens', {
  timeout: 60_000,
}, async () => {
  await takeAllBut(Number.POSITIVE_INFINITY)
  const bytes = (): number => files('index-').reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
  const before = bytes()
  expect(before).toBeGreaterThan(0)
  for (let tries = 0; tries < 200 && bytes() > 0; tries += 1) {
    clock.advance(31_000)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  expect(bytes()).toBeLessThan(before / 10)
  expect(await store.read(owner, 4, 0, 1)).toEqual([])
})

test('a journal that is full keeps spares beside what is alive', { timeout: 60_000 }, async () => {
  await takeAllBut(2)
  await untilFiles(7)
  const left = await store.read(owner, 4, 0, messages)
  expect(left).toHaveLength(messages / 2)
  const liveFiles = Math.ceil(((messages / 2) * bodyBytes) / sizes.segmentBytes)
  expect(files('seg-').length).toBeGreaterThanOrEqual(liveFiles)
  expect(files('seg-').length + files('free-').length).toBeLessThanOrEqual(4 * (liveFiles + 6) + 7)
})
