import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ClosedLoop } from '../../../../bench/store/closed-loop.ts'
import { type Engine, NoEngine } from '../../../../bench/store/engine.ts'
import type { LoopJob } from '../../../../bench/store/job.ts'
import { JournalEngine } from '../../../../bench/store/journal-engine.ts'
import { LmdbEngine } from '../../../../bench/store/lmdb-engine.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-bench-store-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

const job: LoopJob = {
  kind: 'loop',
  engine: 'nothing',
  bodyBytes: 64,
  window: 20,
  lanes: 2,
  backlog: 0,
  isPoolBusy: false,
}

/** Long enough for some batches. */
const seconds = 0.05
const nothingWrong = { lost: 0, duplicated: 0, reordered: 0, foreign: 0, altered: 0, unconfirmed: 0, errors: [] }

test.each([
  ['the journal', (): Engine => new JournalEngine(folder, true), 0],
  ['the journal behind a backlog', (): Engine => new JournalEngine(folder, true), 12_000],
  ['lmdb', (): Engine => new LmdbEngine(folder), 0],
  ['lmdb behind a backlog', (): Engine => new LmdbEngine(folder), 12_000],
  ['nothing', (): Engine => new NoEngine(64), 0],
])('%s gives back everything once, in order', async (_name, make, backlog) => {
  const { figures, trouble } = await new ClosedLoop(make(), { ...job, backlog }).run(seconds, seconds)
  expect(trouble).toEqual(nothingWrong)
  expect(figures.perSecond).toBeGreaterThan(0)
  expect(figures.mainCpuUs).toBeGreaterThan(0)
})

/** Confirms what it does not do. */
class LyingEngine extends NoEngine {
  readonly #lie: (bodies: readonly Buffer[]) => readonly Buffer[]

  constructor(lie: (bodies: readonly Buffer[]) => readonly Buffer[]) {
    super(64)
    this.#lie = lie
  }

  override async read(from: number, count: number): Promise<readonly Buffer[]> {
    return this.#lie(await super.read(from, count))
  }
}

describe('an engine', () => {
  test('that loses the last of its messages is found out', async () => {
    const { trouble } = await new ClosedLoop(new LyingEngine(() => []), job).run(seconds, seconds)
    expect(trouble.lost).toBeGreaterThan(0)
  })

  test('that brings back what was acknowledged is found out', async () => {
    let isFirst = true
    const resurrect = (bodies: readonly Buffer[]): readonly Buffer[] => {
      if (!isFirst) return bodies
      isFirst = false
      return [Buffer.alloc(64), ...bodies]
    }
    const { trouble } = await new ClosedLoop(new LyingEngine(resurrect), job).run(seconds, seconds)
    expect(trouble.duplicated).toBe(1)
  })

  test('that changes the order is found out', async () => {
    const lie = (bodies: readonly Buffer[]): readonly Buffer[] => [
      ...bodies.slice(1, 2),
      ...bodies.slice(0, 1),
      ...bodies.slice(2),
    ]
    const { trouble } = await new ClosedLoop(new LyingEngine(lie), job).run(seconds, seconds)
    expect(trouble.reordered).toBeGreaterThan(0)
  })

  test('that cuts off a body is found out', async () => {
    const lie = (bodies: readonly Buffer[]): readonly Buffer[] => bodies.map((body) => body.subarray(0, 32))
    const { trouble } = await new ClosedLoop(new LyingEngine(lie), job).run(seconds, seconds)
    expect(trouble.altered).toBeGreaterThan(0)
  })
})
