import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../../src/clock.ts'
import { embeddedFormat } from '../../../../src/embedded-format.ts'
import { framesOf, JournalCopy } from '../../../../src/store/journal-copy.ts'
import type { JournalSizes } from '../../../../src/store/journal-limits.ts'
import { JournalStore } from '../../../../src/store/journal-store.ts'
import { FileDisk } from '../../../../src/store/log/file-disk.ts'
import { PoolLane } from '../../../../src/store/log/pool-lane.ts'
import { unfinishedBatch } from '../../../../src/store/recovery.ts'
import { messageOf } from '../../../support/messages.ts'

const sizes: JournalSizes = {
  segmentBytes: 64 * 1024,
  frameBytesMax: 16 * 1024,
  partBytes: 8 * 1024,
  eagerBytes: 1024,
  patientBytes: 1024,
  checkpointBytes: 128 * 1024,
  pageCacheBytes: 64 * 1024,
  pageEntries: 64,
}

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-copy-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

const events = { copied: () => undefined }

async function openStore(name: string): Promise<JournalStore> {
  const disk = await FileDisk.open(join(folder, name), new PoolLane(), () => Promise.resolve())
  return new JournalStore(disk, systemClock, sizes)
}

/** Puts numbered messages in and takes most of them out again, as fast as it can. */
class Churn {
  readonly store: JournalStore
  put = 0
  taken = 0
  isRunning = true

  constructor(store: JournalStore) {
    this.store = store
  }

  async run(): Promise<void> {
    await this.store.open(() => embeddedFormat)
    const batch = this.store.batch()
    const owner = batch.define({ kind: 'queue', name: 'q', settings: {} })
    await this.#commit(batch)
    while (this.isRunning) {
      const next = this.store.batch()
      for (let count = 0; count < 20; count += 1)
        next.put(owner, this.put + count + 1, messageOf({ body: 'x'.repeat(200) }), 0)
      if (this.put > 400) for (let count = 0; count < 20; count += 1) next.ack(owner, 4, this.taken + count + 1, true)
      await this.#commit(next)
      if (this.put > 400) this.taken += 20
      this.put += 20
    }
  }

  #commit(batch: ReturnType<JournalStore['batch']>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.store.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
    })
  }
}

describe('a copy of a journal that is being written', () => {
  let churn: Churn
  let running: Promise<void>

  afterEach(async () => {
    churn.isRunning = false
    await running
    await churn.store.close()
  })

  test('opens without damage with everything that was on disk before it began', { timeout: 60_000 }, async () => {
    churn = new Churn(await openStore('journal'))
    running = churn.run()
    while (churn.put < 2000) await new Promise((resolve) => setTimeout(resolve, 5))
    for (let round = 0; round < 8; round += 1) {
      const name = `copy-${round}`
      const { put } = churn
      const copy = new JournalCopy(join(folder, 'journal'), join(folder, name), events)
      let isNeeded = true
      let opened: JournalStore | undefined
      while (isNeeded) {
        const { missing } = await copy.all()
        const { taken } = churn
        const trial = `${name}-trial`
        rmSync(join(folder, trial), { recursive: true, force: true })
        mkdirSync(join(folder, trial))
        for (const file of readdirSync(join(folder, name)))
          copyFileSync(join(folder, name, file), join(folder, trial, file))
        opened = await openStore(trial)
        const [owner] = await opened.open(() => embeddedFormat)
        isNeeded = false
        for (const segment of missing) for await (const _ of opened.entriesIn(segment)) isNeeded = true
        if (isNeeded) {
          await opened.close()
          continue
        }
        expect(opened.report.damages.filter(({ reason }) => reason !== unfinishedBatch)).toEqual([])
        expect(owner?.lastSequence).toBeGreaterThanOrEqual(put)
        const entries = await opened.read(owner?.id ?? 0, 4, 0, 1_000_000)
        const first = entries[0]?.sequence ?? 0
        expect(first - 1).toBeLessThanOrEqual(taken + 20)
        expect(entries.map(({ sequence }) => sequence)).toEqual(entries.map((_, index) => first + index))
        expect(entries.at(-1)?.sequence).toBe(owner?.lastSequence)
        await opened.close()
      }
    }
    expect(churn.taken).toBeGreaterThan(0)
  })
})

describe('frames of a segment', () => {
  let bytes: Buffer
  let whole: number

  beforeEach(async () => {
    const store = await openStore('journal')
    await store.open(() => embeddedFormat)
    const batch = store.batch()
    const owner = batch.define({ kind: 'queue', name: 'q', settings: {} })
    for (let sequence = 1; sequence <= 5; sequence += 1) batch.put(owner, sequence, messageOf({ body: 'x' }), 0)
    await new Promise<void>((resolve) => store.commit(batch, () => resolve()))
    await store.close()
    bytes = readFileSync(join(folder, 'journal', 'seg-1'))
    whole = framesOf(bytes, 1).end
  })

  test('are found to their end', () => {
    expect(framesOf(bytes, 1)).toEqual({ end: bytes.length, isWhole: true })
    expect(framesOf(Buffer.concat([bytes, Buffer.alloc(5000, 7)]), 1)).toEqual({ end: whole, isWhole: true })
  })

  test('of another segment are none', () => {
    expect(framesOf(bytes, 2)).toEqual({ end: 0, isWhole: true })
  })

  test('behind one that is not whole are found, and the gap is told', () => {
    const torn = Buffer.from(bytes)
    torn[50] = (torn[50] as number) ^ 1
    expect(framesOf(torn, 1)).toEqual({ end: whole, isWhole: false })
  })

  test('that end in a torn one end before it', () => {
    const torn = Buffer.from(bytes)
    torn[whole - 1] = (torn[whole - 1] as number) ^ 1
    const { end, isWhole } = framesOf(torn, 1)
    expect([end < whole, isWhole]).toEqual([true, true])
  })
})

test('segments that go away before they are copied are told to be missing', async () => {
  const churn = new Churn(await openStore('journal'))
  const running = churn.run()
  while (churn.put < 3000) await new Promise((resolve) => setTimeout(resolve, 5))
  churn.isRunning = false
  await running
  await churn.store.close()
  const journal = join(folder, 'journal')
  const sealed = readdirSync(journal).filter((name) => name.startsWith('seg-'))
  const oldest = Math.min(...sealed.map((name) => Number(name.slice(4))))
  const copy = new JournalCopy(journal, join(folder, 'copy'), {
    copied: () => {
      if (readdirSync(journal).includes(`seg-${oldest}`))
        renameSync(join(journal, `seg-${oldest}`), join(journal, 'free-99'))
    },
  })
  expect([...(await copy.all()).missing]).toContain(oldest)
  expect(readdirSync(join(folder, 'copy'))).not.toContain(`seg-${oldest}`)
})
