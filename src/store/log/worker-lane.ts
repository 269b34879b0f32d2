import { getSystemErrorMap } from 'node:util'
import { Worker } from 'node:worker_threads'
import type { CommitLane } from './commit-lane.ts'
import { Turn, Word, wordCount } from './commit-words.ts'
import type { Flushed } from './disk.ts'

const frameAreaBytes = 2 * 4 * 1024 * 1024 + 4096

/**
 * A thread of the journal's own that sleeps on shared memory: a commit costs no message between threads, and no other work in
 * the process can hold it up, as work in libuv's pool can.
 */
export class WorkerLane implements CommitLane {
  readonly #words: Int32Array
  readonly #memory: SharedArrayBuffer
  readonly #worker: Worker
  #allocated: number
  #isClosed: boolean
  /** How many commits there have been. */
  #commits: number
  /** Whom the commit under way is to tell, and why the thread can commit no more. */
  #flushed: Flushed | undefined
  #death: Error | undefined

  /** `flushes`: false if somebody else flushes what is written. */
  constructor(flushes = true) {
    this.#memory = new SharedArrayBuffer(frameAreaBytes)
    this.#words = new Int32Array(new SharedArrayBuffer(wordCount * 4))
    this.#words[Word.flushes] = flushes ? 1 : 0
    this.#allocated = 0
    this.#isClosed = false
    this.#commits = 0
    this.#flushed = undefined
    this.#death = undefined
    this.#worker = new Worker(
      new URL(`./commit-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
      {
        workerData: { words: this.#words.buffer, memory: this.#memory },
      },
    )
    this.#worker.on('error', (error) => this.#die(error))
    this.#worker.on('exit', () => this.#die(new Error('the thread of the journal has ended')))
    this.#worker.unref()
  }

  /** True once the thread is there: until then nothing has been written. */
  get hasBegun(): boolean {
    return Atomics.load(this.#words, Word.begun) === 1
  }

  allocate(bytes: number): Buffer {
    const start = this.#allocated
    if (start + bytes > this.#memory.byteLength) throw new Error('the memory for frames is used up')
    this.#allocated = start + bytes
    return Buffer.from(this.#memory, start, bytes)
  }

  commit(fd: number, memory: Buffer, bytes: number, offset: number, asks: boolean, flushed: Flushed): void {
    const death = this.#death
    if (death !== undefined) {
      queueMicrotask(() => flushed(death))
      return
    }
    this.#commits += 1
    this.#flushed = flushed
    const words = this.#words
    words[Word.fd] = fd
    words[Word.memoryStart] = memory.byteOffset
    words[Word.bytes] = bytes
    words[Word.offset] = offset
    words[Word.asks] = asks ? 1 : 0
    words[Word.fault] = 0
    Atomics.store(words, Word.state, Turn.work)
    Atomics.notify(words, Word.state)
    // Waiting on shared memory alone would not keep the process from ending.
    this.#worker.ref()
    this.#await(this.#commits)
  }

  poll(): void {
    if (this.#flushed !== undefined && this.#turn === Turn.done) this.#finish(this.#flushed)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    Atomics.store(this.#words, Word.state, Turn.stop)
    Atomics.notify(this.#words, Word.state)
    await this.#worker.terminate()
  }

  get #turn(): number {
    return Atomics.load(this.#words, Word.state)
  }

  /** Hears of the end of that commit from the event loop, unless {@link poll} has been told of it before. */
  #await(commit: number): void {
    const heard = (): void => {
      if (this.#flushed === undefined || commit !== this.#commits) return
      const turn = this.#turn
      if (turn === Turn.work) this.#await(commit)
      else if (turn === Turn.done) this.#finish(this.#flushed)
    }
    const wait = Atomics.waitAsync(this.#words, Word.state, Turn.work)
    if (wait.async) void wait.value.then(heard)
    else queueMicrotask(heard)
  }

  #finish(flushed: Flushed): void {
    this.#flushed = undefined
    // Whoever closes the lane waits for the thread's end, which the process must live to see.
    if (!this.#isClosed) this.#worker.unref()
    const fault = this.#words[Word.fault] ?? 0
    if (fault === 0) flushed()
    else flushed(faultOf(-fault))
  }

  /** Without its thread the lane commits nothing any more, and says so. */
  #die(error: Error): void {
    if (this.#isClosed) return
    this.#death ??= error
    const flushed = this.#flushed
    this.#flushed = undefined
    flushed?.(this.#death)
  }
}

function faultOf(errno: number): Error {
  const [code = `errno ${-errno}`, sentence = 'the journal cannot be written'] = getSystemErrorMap().get(errno) ?? []
  return Object.assign(new Error(`${code}: ${sentence}`), { errno, code })
}
