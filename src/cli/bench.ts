import { type Connection, connect } from '../client.ts'
import { defaultUrl } from './default-url.ts'

export interface BenchOptions {
  readonly url?: string
  readonly size: number
  /** Milliseconds. */
  readonly duration: number
  readonly producers: number
  readonly consumers: number
  readonly persistent?: boolean
  /** Messages between a producer and the consumers. */
  readonly window: number
  readonly json?: boolean
}

/** What came of it. */
interface Figures {
  readonly sent: number
  readonly received: number
  readonly perSecond: number
  readonly megabytesPerSecond: number
  /** Milliseconds from `send` to the broker's confirm. */
  readonly confirmMs: { readonly p50: number; readonly p99: number; readonly max: number }
}

/** Sends and takes as fast as the broker lets it for a while, and prints the rate. */
export async function bench(destination: string, options: BenchOptions): Promise<void> {
  const client = await connect(options.url ?? defaultUrl)
  const figures = await new Load(client, destination, options).run()
  await client.drain()
  const { sent, received, perSecond, megabytesPerSecond, confirmMs } = figures
  const line = options.json
    ? JSON.stringify({ destination, size: options.size, ...figures })
    : [
        `sent ${sent}, received ${received}: ${Math.round(perSecond)} a second, ${megabytesPerSecond.toFixed(1)} MB/s`,
        `confirmed after ${confirmMs.p50.toFixed(2)} ms (median), ${confirmMs.p99.toFixed(2)} (99 %), ${confirmMs.max.toFixed(2)} (most)`,
      ].join('\n')
  process.stdout.write(`${line}\n`)
}

/** One run. */
class Load {
  readonly #client: Connection
  readonly #destination: string
  readonly #options: BenchOptions
  readonly #confirmMs: number[]
  #sent: number
  #received: number

  constructor(client: Connection, destination: string, options: BenchOptions) {
    this.#client = client
    this.#destination = destination
    this.#options = options
    this.#confirmMs = []
    this.#sent = 0
    this.#received = 0
  }

  async run(): Promise<Figures> {
    const { producers, consumers, duration, size } = this.#options
    const queue = this.#client.queue(this.#destination)
    const workers = Array.from({ length: consumers }, () =>
      queue.consume((message) => this.#take(message), { concurrency: 1000, credit: 1000, creditBytes: 8_000_000 }),
    )
    await Promise.all(workers.map(({ started }) => started))
    const start = performance.now()
    await Promise.all(Array.from({ length: producers }, () => this.#produce(start + duration)))
    const seconds = (performance.now() - start) / 1000
    await Promise.all(workers.map((worker) => worker.close()))
    const perSecond = (consumers === 0 ? this.#sent : this.#received) / seconds
    return {
      sent: this.#sent,
      received: this.#received,
      perSecond,
      megabytesPerSecond: (perSecond * size) / 1e6,
      confirmMs: this.#percentiles(),
    }
  }

  async #produce(until: number): Promise<void> {
    const { size, persistent = false, window, consumers } = this.#options
    const body = Buffer.alloc(size, 'x')
    const producer = this.#client.queue(this.#destination).producer({ persistent })
    const isFull = (): boolean =>
      producer.pendingCount >= window || (consumers > 0 && this.#sent - this.#received >= window)
    while (performance.now() < until) {
      const sentAt = performance.now()
      this.#sent += 1
      const confirmed = producer.send(body)
      // One in sixteen is enough to see how long confirms take.
      if (this.#sent % 16 === 1) void confirmed.then(() => this.#confirmMs.push(performance.now() - sentAt))
      if (this.#sent % 64 === 0 || isFull()) await this.#room(isFull)
    }
    await producer.flushed()
  }

  #take(message: { accept(): Promise<void> }): void {
    this.#received += 1
    void message.accept()
  }

  /** Waits until there is room, or for the next turn of the event loop. */
  async #room(isFull: () => boolean): Promise<void> {
    do await new Promise<void>((resolve) => setImmediate(resolve))
    while (isFull())
  }

  #percentiles(): Figures['confirmMs'] {
    const sorted = this.#confirmMs.sort((left, right) => left - right)
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
    return { p50: at(0.5), p99: at(0.99), max: at(1) }
  }
}
