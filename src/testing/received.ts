import { AssertionError } from 'node:assert'
import { isDeepStrictEqual } from 'node:util'
import type { Message } from '../message.ts'
import { isTyped, type Value } from '../value.ts'

/** A message as a destination has received it. */
export class ReceivedMessage {
  readonly #message: Message

  constructor(message: Message) {
    this.#message = message
  }

  /** `queue://orders` */
  get destination(): string {
    return this.#message.address.toString()
  }

  /** The body as text; bytes are read as UTF-8. */
  get text(): string {
    const { body } = this.#message.view()
    return body.kind === 'text' ? body.text : Buffer.from(this.bytes).toString()
  }

  get bytes(): Uint8Array {
    return this.#message.content.subarray(this.#message.bodyOffset)
  }

  /** The body as JSON; undefined if it is none. */
  get json(): unknown {
    try {
      return JSON.parse(this.text)
    } catch {
      return undefined
    }
  }

  /** The sender's own headers or properties; the first of each name. Typed values without their type. */
  get properties(): Readonly<Record<string, unknown>> {
    const properties: Record<string, unknown> = {}
    for (const [name, value] of this.#message.view().properties) properties[name] ??= plain(value)
    return properties
  }

  get durable(): boolean {
    return this.#message.durable
  }

  get priority(): number {
    return this.#message.priority
  }

  get correlationId(): unknown {
    const { correlationId } = this.#message.view()
    return correlationId === undefined ? undefined : plain(correlationId)
  }

  get replyTo(): string | undefined {
    return this.#message.view().replyTo?.toString()
  }

  get contentType(): string | undefined {
    return this.#message.view().contentType
  }

  get subject(): string | undefined {
    return this.#message.view().subject
  }

  /** Why it died, if it is in a queue of dead letters. */
  get deathReason(): unknown {
    return this.#message.annotations?.['dead-letter-reason']
  }

  /** Any field, to be compared. */
  field(name: string): unknown {
    return name in this ? this[name as keyof this] : undefined
  }
}

/** What a message must be like: every field that is named, and every property that is. */
export interface MessagePattern {
  readonly text?: string | RegExp
  readonly json?: unknown
  readonly properties?: Readonly<Record<string, unknown>>
  readonly durable?: boolean
  readonly priority?: number
  readonly correlationId?: unknown
  readonly replyTo?: string
  readonly contentType?: string
  readonly subject?: string
  readonly deathReason?: string | RegExp
}

/** A text, what a text must match, a pattern, or a function that says whether it is the one. */
export type Expected = string | RegExp | MessagePattern | ((message: ReceivedMessage) => boolean)

/** Every message that a destination has received since the broker was started. */
export class Recorder {
  readonly #received: Map<string, ReceivedMessage[]>
  readonly #waiting: Set<() => void>

  constructor() {
    this.#received = new Map()
    this.#waiting = new Set()
  }

  add(message: Message): void {
    const name = message.address.toString()
    const list = this.#received.get(name)
    if (list === undefined) this.#received.set(name, [new ReceivedMessage(message)])
    else list.push(new ReceivedMessage(message))
    for (const check of [...this.#waiting]) check()
  }

  of(destination: string): readonly ReceivedMessage[] {
    return this.#received.get(destination) ?? []
  }

  /** Resolves when it holds, after `ms` of real time at the latest. */
  until(holds: () => boolean, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        this.#waiting.delete(check)
        resolve()
      }
      const check = () => {
        if (holds()) end()
      }
      const timer = setTimeout(end, ms)
      this.#waiting.add(check)
      check()
    })
  }
}

/** What is expected of a destination of a test broker. Each call fails with an AssertionError that shows what has come. */
export class Expectation {
  readonly #destination: string
  readonly #recorder: Recorder
  readonly #idle: () => Promise<void>
  readonly #waitMs: number

  constructor(destination: string, recorder: Recorder, idle: () => Promise<void>, waitMs: number) {
    this.#destination = destination
    this.#recorder = recorder
    this.#idle = idle
    this.#waitMs = waitMs
  }

  /** All that has been received so far. */
  get received(): readonly ReceivedMessage[] {
    return this.#recorder.of(this.#destination)
  }

  /** These messages have come or come soon, in this order; others may be before, between and after. */
  async toHaveReceived(...expected: readonly Expected[]): Promise<void> {
    const missing = () => firstMissing(this.received, expected)
    await this.#recorder.until(() => missing() === undefined, this.#waitMs)
    const index = missing()
    if (index !== undefined) this.#fail(`has not received ${describe(expected[index])}${place(index, expected)}`)
  }

  /** Exactly these messages come, in this order, until the broker is idle. */
  async toHaveReceivedOnly(...expected: readonly Expected[]): Promise<void> {
    await this.#recorder.until(() => this.received.length >= expected.length, this.#waitMs)
    await this.#idle()
    const { received } = this
    const index = expected.findIndex((one, at) => {
      const message = received[at]
      return message === undefined || !isLike(message, one)
    })
    if (index >= 0) this.#fail(`has not received ${describe(expected[index])}${place(index, expected)}`)
    if (received.length > expected.length) this.#fail(`has received more than the ${expected.length} expected`)
  }

  /** Nothing has come when the broker is idle. */
  async toHaveReceivedNothing(): Promise<void> {
    await this.#idle()
    if (this.received.length > 0) this.#fail('has received something')
  }

  #fail(what: string): never {
    const lines = this.received.slice(-10).map((message) => `  ${summary(message)}`)
    const more = this.received.length > 10 ? [`  (${this.received.length - 10} before these)`] : []
    const list = lines.length === 0 ? 'it has received nothing' : ['it has received:', ...more, ...lines].join('\n')
    throw new AssertionError({ message: `${this.#destination} ${what}; ${list}`, stackStartFn: this.#fail })
  }
}

/** The first of the expected that is not found behind those before it. */
function firstMissing(received: readonly ReceivedMessage[], expected: readonly Expected[]): number | undefined {
  let from = 0
  for (const [index, one] of expected.entries()) {
    const found = received.findIndex((message, at) => at >= from && isLike(message, one))
    if (found < 0) return index
    from = found + 1
  }
  return undefined
}

function isLike(message: ReceivedMessage, expected: Expected): boolean {
  if (typeof expected === 'string') return message.text === expected
  if (expected instanceof RegExp) return expected.test(message.text)
  if (typeof expected === 'function') return expected(message)
  return Object.entries(expected).every(([name, value]) => {
    if (name !== 'properties') return isEqual(message.field(name), value)
    return Object.entries(value as object).every(([key, wanted]) => isEqual(message.properties[key], wanted))
  })
}

function isEqual(actual: unknown, expected: unknown): boolean {
  if (expected instanceof RegExp) return typeof actual === 'string' && expected.test(actual)
  return isDeepStrictEqual(actual, expected)
}

function plain(value: Value): unknown {
  return isTyped(value) ? value.value : value
}

function place(index: number, expected: readonly Expected[]): string {
  return expected.length > 1 ? ` (${index + 1} of ${expected.length})` : ''
}

function describe(expected: Expected | undefined): string {
  if (typeof expected === 'function') return 'one that the function accepts'
  if (expected instanceof RegExp) return String(expected)
  return JSON.stringify(expected, (_key, value: unknown) => (value instanceof RegExp ? String(value) : value))
}

function summary(message: ReceivedMessage): string {
  const { text } = message
  const body = JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
  const properties = Object.keys(message.properties).length > 0 ? ` ${JSON.stringify(message.properties)}` : ''
  return body + properties
}
