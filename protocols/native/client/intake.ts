import type { Consumer, Sink } from './consumer.ts'
import { type ManifoldError, TimeoutError } from './errors.ts'
import type { Hub } from './hub.ts'
import type { Message } from './message.ts'
import { type WaitOptions, watch } from './wait.ts'

interface Waiting<T> {
  readonly resolve: (result: IteratorResult<Message<T>, undefined>) => void
  readonly reject: (error: Error) => void
}

/** The messages of a consumer as an async iterator. Leaving the loop closes the consumer; what is not settled goes back. */
export class Messages<T> implements AsyncIterableIterator<Message<T>>, Sink, AsyncDisposable {
  readonly #consumer: Consumer<T>
  readonly #release: (() => void) | undefined
  #waiting: Waiting<T>[]
  #failure: Error | undefined
  #isDone: boolean

  constructor(consumer: Consumer<T>, hub: Hub, { signal, timeout }: WaitOptions) {
    this.#consumer = consumer
    this.#waiting = []
    this.#failure = undefined
    this.#isDone = false
    // The signal ends the loop; a time-out is for each message, and is looked to in `next`.
    this.#timeout = timeout
    this.#hub = hub
    this.#release =
      signal === undefined
        ? undefined
        : watch('consuming', { signal }, hub.environment, () => {
            void this.return()
          })
    consumer.start(this).catch((error: ManifoldError) => this.over(error))
  }

  readonly #timeout: number | undefined
  readonly #hub: Hub

  next(): Promise<IteratorResult<Message<T>, undefined>> {
    const value = this.#consumer.take()
    if (value !== undefined) return Promise.resolve({ value, done: false })
    if (this.#isDone) return this.#end()
    return new Promise((resolve, reject) => {
      const waiting = { resolve, reject }
      this.#waiting.push(waiting)
      if (this.#timeout !== undefined) this.#limit(waiting, this.#timeout)
    })
  }

  async return(): Promise<IteratorResult<Message<T>, undefined>> {
    this.over(undefined)
    await this.#consumer.close()
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  ready(): void {
    while (this.#waiting.length > 0) {
      const value = this.#consumer.take()
      if (value === undefined) return
      this.#waiting.shift()?.resolve({ value, done: false })
    }
  }

  over(error: ManifoldError | undefined): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#failure = error?.code === 'closed' ? undefined : error
    this.#release?.()
    for (const waiting of this.#waiting.splice(0)) void this.#end().then(waiting.resolve, waiting.reject)
  }

  #end(): Promise<IteratorResult<Message<T>, undefined>> {
    const failure = this.#failure
    this.#failure = undefined
    return failure === undefined ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(failure)
  }

  #limit(waiting: Waiting<T>, ms: number): void {
    const timer = this.#hub.environment.after(ms, () => {
      const index = this.#waiting.indexOf(waiting)
      if (index < 0) return
      this.#waiting.splice(index, 1)
      waiting.reject(new TimeoutError('waiting for a message', ms))
    })
    const { resolve, reject } = waiting
    Object.assign(waiting, {
      resolve: (result: IteratorResult<Message<T>, undefined>) => {
        timer.cancel()
        resolve(result)
      },
      reject: (error: Error) => {
        timer.cancel()
        reject(error)
      },
    })
  }
}
