import type { CommandClient, Outgoing, Received } from './clients/client.ts'
import { openClient, type Reach } from './clients/open.ts'

export interface BenchOptions extends Reach {
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

/** Messages that a broker may have sent ahead to each consumer. */
const prefetch = 1000
/** One confirm in so many is timed: enough to see how long they take. */
const timedEvery = 16

/** Sends and takes as fast as the broker lets it for a while, and prints the rate. */
export async function bench(destination: string, options: BenchOptions): Promise<void> {
  const figures = await new Load(destination, options).run()
  const { sent, received, perSecond, megabytesPerSecond, confirmMs } = figures
  const line = options.json
    ? JSON.stringify({ destination, size: options.size, ...figures })
    : [
        `sent ${sent}, received ${received}: ${Math.round(perSecond)} a second, ${megabytesPerSecond.toFixed(1)} MB/s`,
        `confirmed after ${confirmMs.p50.toFixed(2)} ms (median), ${confirmMs.p99.toFixed(2)} (99 %), ${confirmMs.max.toFixed(2)} (most)`,
      ].join('\n')
  process.stdout.write(`${line}\n`)
}

/** One run. Every producer and consumer has a connection of its own. */
class Load {
  readonly #destination: string
  readonly #options: BenchOptions
  readonly #confirmMs: number[]
  #sent: number
  #received: number

  constructor(destination: string, options: BenchOptions) {
    this.#destination = destination
    this.#options = options
    this.#confirmMs = []
    this.#sent = 0
    this.#received = 0
  }

  async run(): Promise<Figures> {
    const { duration, size } = this.#options
    const producers = await this.#open(this.#options.producers)
    const consumers = await this.#open(this.#options.consumers)
    const lost = Promise.race([...producers, ...consumers].map(({ failed }) => failed))
    for (const consumer of consumers) {
      const message = (received: Received): void => {
        this.#received += 1
        received.accept()
      }
      consumer.subscribe({ destination: this.#destination, settles: true }, { message, end: () => undefined })
    }
    const start = performance.now()
    await Promise.race([Promise.all(producers.map((client) => this.#produce(client, start + duration))), lost])
    const seconds = (performance.now() - start) / 1000
    await Promise.all([...producers, ...consumers].map((client) => client.close()))
    const perSecond = (consumers.length === 0 ? this.#sent : this.#received) / seconds
    return {
      sent: this.#sent,
      received: this.#received,
      perSecond,
      megabytesPerSecond: (perSecond * size) / 1e6,
      confirmMs: this.#percentiles(),
    }
  }

  #open(count: number): Promise<CommandClient[]> {
    return Promise.all(Array.from({ length: count }, () => openClient(this.#options, { prefetch })))
  }

  async #produce(client: CommandClient, until: number): Promise<void> {
    const { size, persistent = false, window, consumers } = this.#options
    const body = Buffer.alloc(size, 'x')
    const message: Outgoing = { destination: this.#destination, body, isText: false, persistent, properties: {} }
    let pending = 0
    const onConfirmed = (): void => {
      pending -= 1
    }
    const isFull = (): boolean => pending >= window || (consumers > 0 && this.#sent - this.#received >= window)
    while (performance.now() < until) {
      const sentAt = performance.now()
      const onTimed = (): void => {
        pending -= 1
        this.#confirmMs.push(performance.now() - sentAt)
      }
      pending += 1
      this.#sent += 1
      client.send(message, this.#sent % timedEvery === 1 ? onTimed : onConfirmed)
      if (this.#sent % 64 === 0 || isFull()) await this.#room(isFull)
    }
    await this.#room(() => pending > 0)
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
