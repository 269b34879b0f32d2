import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { decodeCheckpoint } from '../../src/store/checkpoint.ts'
import { frameHeaderBytes, readFrameHeader } from '../../src/store/frame.ts'

const blockBytes = 512

/** Bytes that the files of a folder take on the disk. */
export function folderBytes(folder: string): number {
  let bytes = 0
  for (const name of readdirSync(folder)) bytes += statSync(join(folder, name), { throwIfNoEntry: false })?.blocks ?? 0
  return bytes * blockBytes
}

/** Has the operating system forget what it has in memory of the files of a folder, as far as that is on disk. */
export function dropFromCache(folder: string): void {
  for (const name of readdirSync(folder)) {
    const { status, stderr } = spawnSync('dd', [`if=${join(folder, name)}`, 'iflag=nocache', 'count=0'])
    if (status !== 0) throw new Error(`${name} stays in the cache: ${stderr?.toString().trim()}`)
  }
}

/** Bytes of frames that come after the newest checkpoint, all of which the next start has to read. */
export function replayBytes(folder: string): number {
  let start = { number: 0, segment: 0, offset: 0, frame: 0 }
  for (const name of ['ckpt-A', 'ckpt-B']) {
    const path = join(folder, name)
    const found = existsSync(path) ? decodeCheckpoint(readFileSync(path)) : undefined
    if (found !== undefined && found.number > start.number) start = found
  }
  let bytes = 0
  const ids = readdirSync(folder).flatMap((name) => (name.startsWith('seg-') ? [Number(name.slice(4))] : []))
  for (const id of ids) {
    if (id < start.segment) continue
    bytes += frameBytes(join(folder, `seg-${id}`), id, id === start.segment ? start.offset : 0, start.frame)
  }
  return bytes
}

function frameBytes(path: string, segment: number, from: number, firstFrame: number): number {
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    const head = Buffer.alloc(frameHeaderBytes)
    let at = from
    while (at < size) {
      readSync(file, head, 0, frameHeaderBytes, at)
      const header = readFrameHeader(head, 0)
      if (header === undefined || header.segment !== segment || header.number < firstFrame) break
      at += header.bytes
    }
    return at - from
  } finally {
    closeSync(file)
  }
}
