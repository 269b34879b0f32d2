import type { Environment } from './environment.ts'
import { ConnectionError, ManifoldError } from './errors.ts'
import type { Dialled } from './peer.ts'
import type { Endpoint, Target } from './url.ts'

export interface Attempts {
  dial(endpoint: Endpoint, signal: AbortSignal): Promise<Dialled>
  /** The next attempt comes after so long. */
  waiting(attempt: number, delayMs: number, endpoint: Endpoint): void
}

/** Errors after which the same broker would only say the same again. */
const finalCodes = new Set(['not-authenticated', 'not-authorised', 'invalid-request'])

/** A connection that was lost sooner was no success, whatever the broker said when it began. */
export const heldMsMin = 1000

/** Finds a broker of a list, again and again. */
export class Reconnect {
  readonly #target: Target
  readonly #environment: Environment
  readonly #attempts: Attempts
  #isFirst: boolean
  /** Of the last connection: to whom, and since when. */
  #last: Endpoint | undefined
  #since: number
  /** Connections one after the other that were lost soon. */
  #losses: number
  #delayMs: number

  constructor(target: Target, environment: Environment, attempts: Attempts) {
    this.#target = target
    this.#environment = environment
    this.#attempts = attempts
    this.#isFirst = true
    this.#last = undefined
    this.#since = 0
    this.#losses = 0
    this.#delayMs = target.reconnect.initialReconnectDelay
  }

  /**
   * A connection, in place of the one that was `lost`; rejects when it is given up, or with the reason of the signal. Brokers that let
   * it in only to end it at once are tried no more often than those that are not there.
   */
  async connect(signal: AbortSignal, lost?: Error): Promise<Dialled> {
    const { reconnect, isFailover } = this.#target
    if (lost === undefined || this.#environment.now() - this.#since >= Math.max(heldMsMin, this.#delayMs)) {
      this.#losses = 0
      this.#delayMs = reconnect.initialReconnectDelay
    } else this.#losses += 1
    const startupMax = reconnect.startupMaxReconnectAttempts
    const furtherMax = reconnect.maxReconnectAttempts
    const isFirst = this.#isFirst
    const max = isFirst ? (isFailover ? (startupMax >= 0 ? startupMax : furtherMax) : 0) : furtherMax
    // The first loss is made up for at once.
    let failures = Math.max(0, this.#losses - 1)
    for (let failure = failures > 0 ? lost : undefined; ; failures += 1) {
      if (failure !== undefined) {
        if (failure instanceof ManifoldError && finalCodes.has(failure.code)) throw failure
        if (max >= 0 && failures > max) throw failure
        await this.#wait(failures, signal)
      }
      const found = await this.#round(signal)
      if (!(found instanceof Error)) {
        this.#isFirst = false
        if (this.#losses === 0) this.#delayMs = reconnect.initialReconnectDelay
        this.#since = this.#environment.now()
        return found
      }
      signal.throwIfAborted()
      failure = found
    }
  }

  async #wait(attempt: number, signal: AbortSignal): Promise<void> {
    const { jitter, useExponentialBackOff, backOffMultiplier, maxReconnectDelay } = this.#target.reconnect
    const delayMs = jitter ? this.#environment.random() * this.#delayMs : this.#delayMs
    this.#attempts.waiting(attempt, delayMs, this.#target.endpoints[0] as Endpoint)
    await this.#sleep(delayMs, signal)
    if (useExponentialBackOff) this.#delayMs = Math.min(this.#delayMs * backOffMultiplier, maxReconnectDelay)
  }

  /** Tries every broker once. */
  async #round(signal: AbortSignal): Promise<Dialled | Error> {
    let failure: Error = new ConnectionError('connection-refused', 'no broker was tried', { retryable: true })
    for (const endpoint of this.#order()) {
      if (signal.aborted) return failure
      try {
        const dialled = await this.#attempts.dial(endpoint, signal)
        this.#last = endpoint
        return dialled
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error))
      }
    }
    return failure
  }

  /** The broker that has just ended a connection soon comes last. */
  #order(): readonly Endpoint[] {
    const { endpoints, reconnect } = this.#target
    const isDrawn = reconnect.randomize && endpoints.length > 1
    const placed = endpoints.map((endpoint) => ({
      endpoint,
      place: Number(this.#losses > 0 && endpoint === this.#last) + (isDrawn ? this.#environment.random() : 0),
    }))
    return placed.sort((one, other) => one.place - other.place).map(({ endpoint }) => endpoint)
  }

  /** Until so long from now, or the network may be there again, or it is aborted. */
  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const onOver = (): void => {
        timer.cancel()
        forget?.()
        signal.removeEventListener('abort', onOver)
        resolve()
      }
      const timer = this.#environment.after(ms, onOver)
      const forget = this.#environment.onWake?.(onOver)
      signal.addEventListener('abort', onOver)
    })
  }
}
