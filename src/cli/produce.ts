import type { CommandClient, Outgoing } from './clients/client.ts'
import { openClient, type Reach } from './clients/open.ts'
import { Progress } from './progress.ts'

export interface ProduceOptions extends Reach {
  readonly message?: string
  readonly count: number
  readonly size?: number
  readonly rate?: number
  readonly property?: Readonly<Record<string, string>>
  readonly priority?: number
  readonly persistent?: boolean
  readonly ttl?: number
  readonly json?: boolean
}

/** Messages that may wait for their confirm. */
const windowMax = 1000
/** How often messages are sent that a rate allows. */
const paceMs = 10

/** Sends messages and waits until the broker has confirmed each. */
export async function produce(destination: string, options: ProduceOptions): Promise<void> {
  const client = await openClient(options)
  const progress = new Progress('sent', options.count)
  const run = new Run(client, destination, options, progress)
  try {
    await Promise.race([run.done, client.failed])
  } finally {
    run.stop()
    progress.end()
  }
  const ms = Math.round(progress.elapsedMs)
  await client.close()
  const { count } = options
  const line = options.json
    ? JSON.stringify({ destination, sent: count, ms, perSecond: Math.round(count / (ms / 1000 || 1)) })
    : `sent ${count} ${count === 1 ? 'message' : 'messages'} to ${destination} in ${ms} ms`
  process.stdout.write(`${line}\n`)
}

/** One run: keeps the window full and the rate. */
class Run {
  readonly done: Promise<void>
  readonly #client: CommandClient
  readonly #destination: string
  readonly #options: ProduceOptions
  readonly #progress: Progress
  readonly #body: Buffer | undefined
  readonly #startedAt: number
  readonly #timer: NodeJS.Timeout | undefined
  readonly #onConfirmed: () => void
  #onDone: () => void
  #sent: number

  constructor(client: CommandClient, destination: string, options: ProduceOptions, progress: Progress) {
    this.#client = client
    this.#destination = destination
    this.#options = options
    this.#progress = progress
    this.#body = bodyOf(options)
    this.#startedAt = performance.now()
    this.#onConfirmed = () => this.#confirmed()
    this.#onDone = () => undefined
    this.#sent = 0
    this.done = new Promise((resolve) => {
      this.#onDone = resolve
    })
    this.#timer = options.rate === undefined ? undefined : setInterval(() => this.#fill(), paceMs)
    this.#fill()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #confirmed(): void {
    this.#progress.count += 1
    if (this.#progress.count === this.#options.count) this.#onDone()
    else this.#fill()
  }

  #fill(): void {
    const until = Math.min(this.#options.count, this.#progress.count + windowMax, this.#due())
    while (this.#sent < until) {
      this.#sent += 1
      this.#client.send(this.#message(), this.#onConfirmed)
    }
  }

  /** How many messages the rate allows by now; the first one goes at once. */
  #due(): number {
    const { rate } = this.#options
    if (rate === undefined) return Number.POSITIVE_INFINITY
    return Math.floor(((performance.now() - this.#startedAt) / 1000) * rate) + 1
  }

  #message(): Outgoing {
    const { size, persistent = false, priority, ttl, property = {} } = this.#options
    return {
      destination: this.#destination,
      body: this.#body ?? Buffer.from(`message ${this.#sent}`),
      isText: size === undefined,
      persistent,
      priority,
      ttlMs: ttl,
      properties: property,
    }
  }
}

/** The body of every message; undefined if each has its own. */
function bodyOf({ message, size }: ProduceOptions): Buffer | undefined {
  if (size !== undefined) return Buffer.alloc(size, message ?? 'x')
  return message === undefined ? undefined : Buffer.from(message)
}
