import { isUtf8 } from 'node:buffer'
import { formatTime } from '../config/units.ts'
import type { CommandClient, Received, Wanted } from './clients/client.ts'
import { openClient, prefetchMax, type Reach } from './clients/open.ts'
import { CommandError } from './failure.ts'
import { Progress } from './progress.ts'

export interface ConsumeOptions extends Reach {
  readonly count?: number
  /** Milliseconds without a message after which it is over. */
  readonly timeout?: number
  readonly selector?: string
  readonly json?: boolean
}

/** Takes messages from a queue or topic, prints and acknowledges them. */
export async function consume(destination: string, options: ConsumeOptions): Promise<void> {
  const prefetch = Math.min(prefetchMax, options.count ?? prefetchMax)
  const intake = new Intake(await openClient(options, { prefetch }), options)
  const count = await intake.run({ destination, settles: true })
  if (options.count !== undefined && count < options.count && !intake.isInterrupted) {
    const waited = formatTime(options.timeout ?? 0)
    throw new CommandError(`${count} of ${options.count} messages had come when none came for ${waited}`)
  }
}

/** Prints the messages of a queue and leaves them there. */
export async function browse(destination: string, options: ConsumeOptions): Promise<void> {
  if (/^(topic:\/|\/topic)\//.test(destination))
    throw new CommandError(`${destination} is a topic: only a queue keeps messages to look at`)
  const intake = new Intake(await openClient(options), options)
  await intake.run({ destination, browses: true, settles: false })
}

/** One run over the messages of a subscription. */
class Intake {
  isInterrupted: boolean
  readonly #client: CommandClient
  readonly #options: ConsumeOptions
  #received: number
  #onOver: () => void
  #idle: NodeJS.Timeout | undefined

  constructor(client: CommandClient, options: ConsumeOptions) {
    this.isInterrupted = false
    this.#client = client
    this.#options = options
    this.#received = 0
    this.#onOver = () => undefined
    this.#idle = undefined
  }

  /** Runs until all has come that was asked for, none comes any more, or somebody interrupts. Returns how many came. */
  async run(wanted: Omit<Wanted, 'selector'>): Promise<number> {
    const { selector } = this.#options
    // Without a terminal to spoil, what is printed shows how far it is.
    const progress = process.stdout.isTTY ? undefined : new Progress('received', this.#options.count)
    const over = new Promise<void>((resolve) => {
      this.#onOver = resolve
    })
    const interrupt = () => {
      this.isInterrupted = true
      this.#onOver()
    }
    process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
    process.stdout.once('error', interrupt)
    try {
      this.#client.subscribe(
        { ...wanted, selector },
        {
          message: (message) => {
            this.#receive(message)
            if (progress !== undefined) progress.count = this.#received
          },
          end: () => this.#onOver(),
        },
      )
      this.#awaitNext()
      await Promise.race([over, this.#client.failed])
    } finally {
      clearTimeout(this.#idle)
      progress?.end()
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
    }
    await this.#client.close()
    return this.#received
  }

  #receive(message: Received): void {
    const { count } = this.#options
    if (this.isInterrupted || this.#received === count) return
    this.#received += 1
    process.stdout.write(this.#options.json === true ? jsonLine(message) : Buffer.concat([message.body, lineEnd]))
    message.accept()
    if (this.#received === count) this.#onOver()
    else this.#awaitNext()
  }

  #awaitNext(): void {
    const { timeout } = this.#options
    if (timeout === undefined) return
    if (this.#idle === undefined) this.#idle = setTimeout(this.#onOver, timeout)
    else this.#idle.refresh()
  }
}

const lineEnd = Buffer.from('\n')

/** One line: the headers, and the body as text or, if it is none, in base64. */
function jsonLine(message: Received): string {
  const { body } = message
  const content = isUtf8(body) ? { body: body.toString() } : { bodyBase64: body.toString('base64') }
  return `${JSON.stringify({ headers: message.headers(), ...content })}\n`
}
