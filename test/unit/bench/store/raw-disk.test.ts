import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { append, copy, overwrite, overwriteDsync } from '../../../../bench/store/raw-disk.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-bench-raw-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

test.each([
  ['appending', append],
  ['overwriting', overwrite],
  ['overwriting with O_DSYNC', overwriteDsync],
])('%s is measured in bytes and times, and leaves nothing behind', (_name, measure) => {
  const { perSecond = 0, mbPerSecond = 0, p50Ms = 0, p99Ms = 0 } = measure(folder, 0.05)
  expect(perSecond).toBeGreaterThan(0)
  expect(mbPerSecond / perSecond).toBeCloseTo(measure === append ? 1.048576 : 0.004096, 9)
  expect(p50Ms).toBeGreaterThan(0)
  expect(p99Ms).toBeGreaterThanOrEqual(p50Ms)
  expect(readdirSync(folder)).toEqual([])
})

test('a longer body takes longer to copy', () => {
  expect(copy(16_384, 0.05).cpuUs).toBeGreaterThan(copy(64, 0.05).cpuUs ?? 0)
})
