import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CommitLane } from '../../../../src/store/log/commit-lane.ts'
import { FileDisk } from '../../../../src/store/log/file-disk.ts'
import { assertKept, assertKeptSync, isDoubtful } from '../../../../src/store/log/lost-growth.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-disk-'))
})

afterEach(() => rmSync(folder, { recursive: true }))

/** Notes which commits are to be asked about. */
class NotingLane implements CommitLane {
  readonly asked: boolean[] = []

  allocate(bytes: number): Buffer {
    return Buffer.alloc(bytes)
  }

  commit(...[, , , , asks]: Parameters<CommitLane['commit']>): void {
    this.asked.push(asks)
  }

  poll(): void {}

  async close(): Promise<void> {}
}

test('what a file grows by is asked about after its flush where the file system is ext4, what is written over is not', async () => {
  const asks = await isDoubtful(folder)
  const lane = new NotingLane()
  writeFileSync(join(folder, 'seg-1'), Buffer.alloc(100))
  const disk = await FileDisk.open(folder, lane, () => Promise.resolve())
  const file = await disk.open('seg-1')
  const memory = disk.allocate(60)
  for (const offset of [0, 40, 50, 50, 110, 100, 0]) disk.commit(file, memory, 60, offset, () => undefined)
  expect(lane.asked).toEqual([false, false, true, false, true, false, false].map((grows) => grows && asks))
  await file.close()
  await disk.close()
})

test('a file that is kept is no error, one that cannot be asked is', async () => {
  const disk = await FileDisk.open(folder, new NotingLane(), () => Promise.resolve())
  await disk.writeFile('meta', Buffer.from('x'))
  await disk.flushFolder()
  const file = await disk.open('meta')
  await disk.flush(file)
  await file.close()
  await disk.close()
  const gone = 2 ** 20
  expect(() => assertKeptSync(gone)).toThrow('EBADF')
  await expect(assertKept(gone)).rejects.toThrow('EBADF')
})
