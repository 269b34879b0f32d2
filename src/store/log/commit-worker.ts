/** The thread of a WorkerLane: waits for a frame, seals it, writes it, flushes it, says so. */
import { fdatasyncSync, writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { sealFrame } from '../frame.ts'
import { Turn, Word } from './commit-words.ts'
import { assertKeptSync } from './lost-growth.ts'

const words = new Int32Array(workerData.words as SharedArrayBuffer)
const memory = Buffer.from(workerData.memory as SharedArrayBuffer)

Atomics.store(words, Word.begun, 1)
for (;;) {
  const state = Atomics.load(words, Word.state)
  if (state === Turn.stop) break
  if (state !== Turn.work) {
    Atomics.wait(words, Word.state, state)
    continue
  }
  words[Word.fault] = commit()
  Atomics.store(words, Word.state, Turn.done)
  Atomics.notify(words, Word.state)
}

/** The errno of what went wrong; 0 if nothing did. */
function commit(): number {
  const fd = words[Word.fd] ?? 0
  const start = words[Word.memoryStart] ?? 0
  const bytes = words[Word.bytes] ?? 0
  const offset = words[Word.offset] ?? 0
  try {
    sealFrame(memory.subarray(start, start + bytes))
    let written = 0
    while (written < bytes) written += writeSync(fd, memory, start + written, bytes - written, offset + written)
    if (words[Word.flushes] === 1) {
      fdatasyncSync(fd)
      if (words[Word.asks] === 1) assertKeptSync(fd)
    }
    return 0
  } catch (error) {
    return Math.abs((error as NodeJS.ErrnoException).errno ?? 5)
  }
}
