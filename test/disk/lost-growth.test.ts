import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LoopDisk } from '../../interop/loop-disk.ts'
import { endBlock, frameHeaderBytes, readFrameHeader, writeFrameHeader } from '../../src/store/frame.ts'
import type { CommitLane } from '../../src/store/log/commit-lane.ts'
import { FileDisk } from '../../src/store/log/file-disk.ts'
import { PoolLane } from '../../src/store/log/pool-lane.ts'

/** Without `assertKept` every seventh of these has lost its last frame. */
const files = 40
const flushedMin = 50
const frameBytes = 4096
const testMs = 60_000

/** The journal's thread runs what has been built. */
async function workerLane(): Promise<CommitLane> {
  const module: { readonly WorkerLane: new () => CommitLane } = await import(
    new URL('../../dist/src/store/log/worker-lane.js', import.meta.url).href
  )
  return new module.WorkerLane()
}

/** How many frames of a new file were flushed, by the disk's word, until it refused: it is cut off meanwhile. */
async function flushedUntilCut(disk: LoopDisk, lane: CommitLane): Promise<number> {
  const folder = await FileDisk.open(disk.mountPoint, lane, () => Promise.resolve())
  const file = await folder.open('frames')
  const memory = folder.allocate(frameBytes)
  let aborted: Promise<void> | undefined
  for (let number = 1; ; number += 1) {
    const given = { bytes: frameBytes, recordCount: 0, epoch: 1, segment: 1, number, continues: false }
    writeFrameHeader(memory, given)
    endBlock(memory, frameHeaderBytes, frameBytes)
    const offset = (number - 1) * frameBytes
    const fault = await new Promise<Error | undefined>((resolve) => {
      folder.commit(file, memory, frameBytes, offset, resolve)
    })
    if (fault !== undefined) {
      expect(String(fault)).toMatch(/EIO|EROFS/)
      await aborted
      await file.close()
      await folder.close()
      return number - 1
    }
    if (number === flushedMin) aborted = disk.abort()
  }
}

test.each([
  ['the pool', () => new PoolLane()],
  ['a thread', workerLane],
] as const)(
  `what %s has flushed while a disk is cut off is there afterwards, ${files} times`,
  async (_, laneOf) => {
    for (let count = 1; count <= files; count += 1) {
      const disk = await LoopDisk.make()
      try {
        await disk.mount()
        const flushed = await flushedUntilCut(disk, await laneOf())
        await disk.unmount()
        await disk.mount()
        const bytes = await readFile(join(disk.mountPoint, 'frames'))
        for (let number = 1; number <= flushed; number += 1) {
          const found = readFrameHeader(bytes, (number - 1) * frameBytes)?.number
          expect(found, `${flushed} frames are flushed, file ${count}`).toBe(number)
        }
      } finally {
        await disk.remove()
      }
    }
  },
  testMs,
)
