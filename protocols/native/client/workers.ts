import type { Consumer, Sink } from './consumer.ts'
import { ManifoldError } from './errors.ts'
import type { Hub } from './hub.ts'
import type { Message } from './message.ts'
import { watch } from './wait.ts'

/** What a handler is given beside its message. */
export interface HandlerContext {
  /** Aborted when the message is no longer this handler's to settle, or the client is closed: whatever it does is in vain. */
  readonly signal: AbortSignal
}

export type Handler<T> = (message: Message<T>, context: HandlerContext) => unknown

export interface WorkerOptions {
  /** Messages handled at the same time. Default 1. */
  readonly concurrency?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Of a handler that throws: milliseconds until the message is delivered again. Default: as the destination has it. */
  readonly retryDelay?: number | undefined
}

/** Handlers at work on the messages of a consumer. */
export class Workers<T> implements Sink, AsyncDisposable {
  readonly #consumer: Consumer<T>
  readonly #handler: Handler<T>
  readonly #hub: Hub
  readonly #concurrency: number
  readonly #settles: boolean
  readonly #retryDelay: number | undefined
  readonly #busy: Map<Message<T>, AbortController | undefined>
  readonly #release: (() => void) | undefined
  #onIdle: (() => void)[]
  #isStopped: boolean
  #onDone: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined
  /** Resolves when no more messages come; rejects if that is because of an error. */
  readonly done: Promise<void>
  /** Resolves once the broker has the consumer; rejects if it refuses. */
  readonly started: Promise<void>

  /** `settles`: accepts when the handler returns and fails when it throws. @internal */
  constructor(consumer: Consumer<T>, handler: Handler<T>, hub: Hub, settles: boolean, options: WorkerOptions) {
    this.#consumer = consumer
    this.#handler = handler
    this.#hub = hub
    this.#concurrency = Math.max(1, options.concurrency ?? 1)
    this.#settles = settles
    this.#retryDelay = options.retryDelay
    this.#busy = new Map()
    this.#onIdle = []
    this.#isStopped = false
    this.done = new Promise((resolve, reject) => {
      this.#onDone = { resolve, reject }
    })
    // Whoever awaits it is told; nobody need.
    this.done.catch(() => undefined)
    this.started = consumer.start(this)
    this.started.catch((error: ManifoldError) => this.over(error))
    const { signal } = options
    this.#release = watch('consuming', { signal }, hub.environment, () => void this.close())
  }

  /** Handlers at work. */
  get busyCount(): number {
    return this.#busy.size
  }

  /** Takes no more, waits for the handlers at work, and closes the consumer. */
  async close(): Promise<void> {
    await this.finish()
    await this.#consumer.close()
    this.over(undefined)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Takes no more and waits for the handlers at work. */
  finish(): Promise<void> {
    this.#isStopped = true
    this.#consumer.stop()
    if (this.#busy.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#onIdle.push(resolve))
  }

  /** @internal */
  ready(): void {
    while (this.#busy.size < this.#concurrency && !this.#isStopped) {
      const message = this.#consumer.take()
      if (message === undefined) return
      void this.#work(message)
    }
  }

  /** @internal */
  over(error: ManifoldError | undefined): void {
    this.#isStopped = true
    this.#release?.()
    if (error?.code === 'closed') for (const controller of this.#busy.values()) controller?.abort(error)
    const onDone = this.#onDone
    this.#onDone = undefined
    if (error === undefined || error.code === 'closed') onDone?.resolve()
    else onDone?.reject(error)
  }

  /** @internal */
  interrupted(): void {
    const reason = new ManifoldError('connection-lost', 'the connection is lost: the message will be delivered again')
    for (const controller of this.#busy.values()) controller?.abort(reason)
  }

  async #work(message: Message<T>): Promise<void> {
    // The controller is made when it is asked for: most handlers never look.
    let controller: AbortController | undefined
    this.#busy.set(message, undefined)
    const busy = this.#busy
    const context: HandlerContext = {
      get signal(): AbortSignal {
        controller ??= new AbortController()
        if (busy.has(message)) busy.set(message, controller)
        return controller.signal
      },
    }
    try {
      const result = await this.#handler(message, context)
      if (this.#settles) {
        if (result !== undefined && message.replyTo !== undefined) await message.reply(result as never)
        void message.accept()
      }
    } catch (error) {
      if (this.#settles) void message.fail(this.#retryDelay === undefined ? {} : { delay: this.#retryDelay })
      this.#hub.reportError(error instanceof Error ? error : new Error(String(error)))
    }
    this.#busy.delete(message)
    if (this.#busy.size === 0) for (const resolve of this.#onIdle.splice(0)) resolve()
    this.ready()
  }
}
