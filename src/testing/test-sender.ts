import type { Draft } from '../embedded-format.ts'
import { BrokerError } from '../errors.ts'
import type { Server } from '../server.ts'
import type { Session, SessionEvents } from '../session.ts'

interface Waiting {
  readonly number: number
  readonly resolve: () => void
  readonly reject: (error: BrokerError) => void
}

/** Sends messages within the process and tells when each is confirmed. */
export class TestSender implements SessionEvents {
  readonly #server: Server
  #session: Session | undefined
  #waiting: Waiting[]
  /** Of the send under way: refusals come before it returns. */
  #refusal: BrokerError | undefined

  constructor(server: Server) {
    this.#server = server
    this.#session = undefined
    this.#waiting = []
    this.#refusal = undefined
  }

  /** Resolves when the message is confirmed; rejects with a BrokerError if the broker does not take it. */
  async send(draft: Draft): Promise<void> {
    this.#session ??= this.#server.connect(this, { principal: 'test' })
    const message = this.#server.message(this.#session, draft)
    this.#refusal = undefined
    const number = this.#session.send(message)
    if (this.#refusal !== undefined) throw this.#refusal
    await new Promise<void>((resolve, reject) => this.#waiting.push({ number, resolve, reject }))
  }

  confirmed(upTo: number): void {
    const confirmed = this.#waiting.filter(({ number }) => number <= upTo)
    this.#waiting = this.#waiting.filter(({ number }) => number > upTo)
    for (const { resolve } of confirmed) resolve()
  }

  refused(_number: number, error: BrokerError): void {
    this.#refusal = error
  }

  blocked(): void {
    // Its confirms come when there is room again.
  }

  unblocked(): void {
    // Nothing was held back here.
  }

  closed(error = new BrokerError('shutting-down', 'the broker is closed')): void {
    this.#session = undefined
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}
