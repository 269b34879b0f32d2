import { closeSync, constants, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { Histogram } from '../histogram.ts'
import { monotonicMs } from '../monotonic.ts'
import type { Figures } from './job.ts'

const appendBytes = 1024 * 1024
const appendedBytesMax = 3 * 1024 ** 3
const overwriteBytes = 4096
const overwrittenBytes = 32 * 1024 * 1024
const frameBytes = 4 * 1024 * 1024

/** Writes 1 MiB and flushes, over and over, at the end of a file that grows. */
export function append(folder: string, seconds: number): Figures {
  return withFile(join(folder, 'append'), (file) => {
    const bytes = Buffer.alloc(appendBytes, 1)
    return repeat(seconds, appendBytes, (index) => {
      if ((index + 1) * appendBytes > appendedBytesMax) return false
      writeSync(file, bytes, 0, appendBytes, index * appendBytes)
      fdatasyncSync(file)
      return true
    })
  })
}

/** Writes 4 KiB and flushes, over and over, from end to end of a file that is there already. */
export function overwrite(folder: string, seconds: number): Figures {
  return withFile(join(folder, 'overwrite'), (file) => {
    lay(file)
    return overwriting(file, seconds, () => fdatasyncSync(file))
  })
}

/** The same with a file that is opened such that each write is flushed by itself: one call to the system instead of two. */
export function overwriteDsync(folder: string, seconds: number): Figures {
  const path = join(folder, 'overwrite')
  return withFile(path, (plain) => {
    lay(plain)
    const file = openSync(path, constants.O_WRONLY | constants.O_DSYNC)
    try {
      return overwriting(file, seconds, () => undefined)
    } finally {
      closeSync(file)
    }
  })
}

/** Writes what is to be overwritten. */
function lay(file: number): void {
  for (let at = 0; at < overwrittenBytes; at += appendBytes)
    writeSync(file, Buffer.alloc(appendBytes, 1), 0, appendBytes, at)
  fdatasyncSync(file)
}

function overwriting(file: number, seconds: number, flush: () => void): Figures {
  const bytes = Buffer.alloc(overwriteBytes, 2)
  return repeat(seconds, overwriteBytes, (index) => {
    writeSync(file, bytes, 0, overwriteBytes, (index * overwriteBytes) % overwrittenBytes)
    flush()
    return true
  })
}

/** Copies bodies into a frame, one after the other, and makes the CRC of the frame when it is full. */
export function copy(bodyBytes: number, seconds: number): Figures {
  const bodies = Array.from({ length: 4096 }, () => Buffer.alloc(bodyBytes, 1))
  const frame = Buffer.from(new SharedArrayBuffer(frameBytes))
  const perFrame = Math.floor(frameBytes / bodyBytes)
  let frames = 0
  const before = process.cpuUsage()
  repeat(seconds, frameBytes, (index) => {
    for (let at = 0; at < perFrame; at += 1) {
      frame.set(bodies[(index * perFrame + at) % bodies.length] as Buffer, at * bodyBytes)
    }
    crc32(frame)
    frames += 1
    return true
  })
  const { user, system } = process.cpuUsage(before)
  return { cpuUs: (user + system) / (frames * perFrame) }
}

/** Does it until the time is over or it says that it is enough. */
function repeat(seconds: number, bytes: number, act: (index: number) => boolean): Figures {
  const times = new Histogram()
  const startMs = monotonicMs()
  let nowMs = startMs
  let count = 0
  while (nowMs - startMs < seconds * 1000 && act(count)) {
    count += 1
    const beforeMs = nowMs
    nowMs = monotonicMs()
    times.record((nowMs - beforeMs) * 1000)
  }
  const perSecond = (count * 1000) / (nowMs - startMs)
  return {
    perSecond,
    mbPerSecond: (perSecond * bytes) / 1e6,
    p50Ms: times.quantile(0.5) / 1000,
    p99Ms: times.quantile(0.99) / 1000,
  }
}

function withFile<T>(path: string, use: (file: number) => T): T {
  const file = openSync(path, 'w')
  try {
    return use(file)
  } finally {
    closeSync(file)
    rmSync(path)
  }
}
