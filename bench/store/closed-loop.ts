import { readFileSync } from 'node:fs'
import { Histogram } from '../histogram.ts'
import { Ledger } from '../ledger.ts'
import { monotonicMs } from '../monotonic.ts'
import type { Engine } from './engine.ts'
import type { Figures, LoopJob, StoreResult } from './job.ts'
import { ReadAhead } from './read-ahead.ts'

/** Bodies that are in memory: more than are ever on their way. */
const newestBodies = 4096
/** Messages in one batch while a backlog is built up, and read at a time when all is counted at the end. */
const bulkMessages = 1000
const fillerByte = 120

/**
 * Messages in at one end of an engine and out at the other, in order, from several lanes: each hands in a batch of new messages
 * together with the acknowledgements of as many of the oldest that are on disk, waits until that is on disk, and does it again.
 */
export class ClosedLoop {
  readonly #engine: Engine
  readonly #job: LoopJob
  readonly #bodies: readonly Buffer[]
  readonly #ledger: Ledger
  readonly #readAhead: ReadAhead | undefined
  #commits: Histogram
  /** Numbers below which all messages were handed in, are on disk, and were taken out. */
  #handedIn: number
  #onDisk: number
  #taken: number
  /** How many acknowledgements are on disk. */
  #gone: number
  #isRunning: boolean
  #altered: number

  constructor(engine: Engine, job: LoopJob) {
    this.#engine = engine
    this.#job = job
    this.#bodies = Array.from({ length: newestBodies }, () => Buffer.alloc(job.bodyBytes, fillerByte))
    this.#ledger = new Ledger({ producers: 1, consumers: job.lanes + 1, isTopic: false })
    this.#readAhead = job.backlog === 0 ? undefined : new ReadAhead(engine)
    this.#commits = new Histogram()
    this.#handedIn = 0
    this.#onDisk = 0
    this.#taken = 0
    this.#gone = 0
    this.#isRunning = false
    this.#altered = 0
  }

  /** Measures for so many seconds, and until something has gone through, after so many that are not measured. */
  async run(seconds: number, warmUpSeconds: number): Promise<StoreResult> {
    await this.#engine.open()
    const emptyRss = process.memoryUsage.rss()
    const fillPerSecond = await this.#fill()
    const { lanes } = this.#job
    this.#isRunning = true
    const running = Array.from({ length: lanes }, (_, lane) => this.#runLane(lane))
    await sleep(warmUpSeconds * 1000)
    const before = this.#reading()
    this.#commits = new Histogram()
    await sleep(seconds * 1000)
    while (this.#gone === before.gone) await sleep(10)
    const after = this.#reading()
    const commits = this.#commits
    const rssMib = process.memoryUsage.rss() / 2 ** 20
    this.#isRunning = false
    await Promise.all(running)
    await this.#countTheRest()
    const messages = after.gone - before.gone
    const perSecond = (messages * 1000) / (after.atMs - before.atMs)
    const figures: Figures = {
      perSecond,
      mbPerSecond: (perSecond * this.#job.bodyBytes) / 1e6,
      p50Ms: commits.quantile(0.5) / 1000,
      p99Ms: commits.quantile(0.99) / 1000,
      cpuUs: (after.cpuUs - before.cpuUs) / messages,
      mainCpuUs: (after.mainCpuUs - before.mainCpuUs) / messages,
      fillPerSecond,
      rssMib,
      extraRssMib: rssMib - emptyRss / 2 ** 20,
    }
    const findings = this.#ledger.findings([this.#handedIn])
    const altered = findings.altered + this.#altered
    return { figures, trouble: { ...findings, altered, unconfirmed: 0, errors: [] } }
  }

  /** Builds up the backlog. Returns how many messages a second it took; 0 if there is none. */
  async #fill(): Promise<number> {
    const { backlog, lanes } = this.#job
    if (backlog === 0) return 0
    const startMs = monotonicMs()
    const fillLane = async (): Promise<void> => {
      while (this.#handedIn < backlog) await this.#exchange(Math.min(bulkMessages, backlog - this.#handedIn), 0, 0)
    }
    await Promise.all(Array.from({ length: lanes }, fillLane))
    return (backlog * 1000) / (monotonicMs() - startMs)
  }

  async #runLane(lane: number): Promise<void> {
    const batch = this.#job.window / this.#job.lanes
    while (this.#isRunning) {
      const from = this.#taken
      const to = Math.min(from + batch, this.#onDisk)
      this.#taken = to
      await this.#take(lane, from, to)
      const startMs = monotonicMs()
      await this.#exchange(batch, from, to)
      this.#gone += to - from
      this.#commits.record((monotonicMs() - startMs) * 1000)
    }
  }

  async #exchange(count: number, goneFrom: number, goneTo: number): Promise<void> {
    const first = this.#handedIn
    this.#handedIn += count
    const bodies: Buffer[] = []
    for (let number = first; number < first + count; number += 1) {
      const body = this.#bodies[number % newestBodies] as Buffer
      body.writeDoubleLE(number)
      bodies.push(body)
    }
    await this.#engine.exchange(first, bodies, goneFrom, goneTo)
    this.#onDisk = Math.max(this.#onDisk, first + count)
  }

  /** Takes out messages as a consumer does: from memory, or behind a backlog from the engine. */
  async #take(lane: number, from: number, to: number): Promise<void> {
    if (from === to) return
    const bodies = await this.#readAhead?.take(to - from)
    for (let number = from; number < to; number += 1) {
      const body = bodies === undefined ? this.#bodies[number % newestBodies] : bodies[number - from]
      if (body !== undefined) this.#enter(lane, body)
    }
  }

  #enter(consumer: number, body: Buffer): void {
    if (body.length !== this.#job.bodyBytes) this.#altered += 1
    this.#ledger.take(consumer, 0, body.readDoubleLE())
  }

  /** What was not taken out must still be there when the engine is opened anew, and nothing else. */
  async #countTheRest(): Promise<void> {
    const { lanes } = this.#job
    await this.#readAhead?.idle()
    await this.#engine.close()
    await this.#engine.open()
    for (let from = 0; ; ) {
      const bodies = await this.#engine.read(from, bulkMessages)
      for (const body of bodies) this.#enter(lanes, body)
      const last = bodies.at(-1)
      if (last === undefined) break
      from = last.readDoubleLE() + 1
    }
    await this.#engine.close()
  }

  #reading(): { readonly atMs: number; readonly gone: number; readonly cpuUs: number; readonly mainCpuUs: number } {
    const { user, system } = process.cpuUsage()
    return { atMs: monotonicMs(), gone: this.#gone, cpuUs: user + system, mainCpuUs: mainThreadUs() }
  }
}

/** Processor time of the main thread, microseconds: what the scheduler says. */
function mainThreadUs(): number {
  const [nanoseconds] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')
  return Number(nanoseconds) / 1000
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
