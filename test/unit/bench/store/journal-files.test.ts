import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { JournalEngine } from '../../../../bench/store/journal-engine.ts'
import { dropFromCache, folderBytes, replayBytes } from '../../../../bench/store/journal-files.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-bench-files-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

test('what a start has to read is what came after the newest checkpoint', async () => {
  const journal = join(folder, 'journal')
  const engine = new JournalEngine(folder, true)
  await engine.open()
  await engine.exchange(
    0,
    Array.from({ length: 1000 }, (_, number) => bodyOf(number)),
    0,
    0,
  )
  const open = replayBytes(journal)
  expect(open).toBeGreaterThan(1000 * 1024)
  expect(open).toBeLessThan(1000 * 1400)
  expect(folderBytes(journal)).toBeGreaterThanOrEqual(open)
  await engine.close()
  expect(replayBytes(journal)).toBe(0)
})

test('a folder that the operating system has forgotten is as it was', async () => {
  const engine = new JournalEngine(folder, true)
  await engine.open()
  await engine.exchange(0, [bodyOf(0), bodyOf(1)], 0, 1)
  await engine.close()
  dropFromCache(join(folder, 'journal'))
  await engine.open()
  expect(await engine.read(0, 10)).toEqual([bodyOf(1)])
  await engine.close()
})

function bodyOf(number: number): Buffer {
  const body = Buffer.alloc(1024)
  body.writeDoubleLE(number)
  return body
}
