import type { Environment } from './environment.ts'
import { aborted, ConnectionError, closed, ManifoldError } from './errors.ts'
import type { Dialled } from './peer.ts'
import type { Endpoint, Target } from './url.ts'

export interface Attempts {
  dial(endpoint: Endpoint, signal: AbortSignal): Promise<Dialled>
  /** The next attempt comes after so long. */
  waiting(attempt: number, delayMs: number, endpoint: Endpoint): void
}

/** Errors after which the same broker would only say the same again. */
const finalCodes = new Set(['not-authenticated', 'not-authorised', 'invalid-request'])

/** Finds a broker of a list, again and again. */
export class Reconnect {
  readonly #target: Target
  readonly #environment: Environment
  readonly #attempts: Attempts
  #isFirst: boolean

  constructor(target: Target, environment: Environment, attempts: Attempts) {
    this.#target = target
    this.#environment = environment
    this.#attempts = attempts
    this.#isFirst = true
  }

  /** A connection; rejects when it is given up, or with the reason of the signal. */
  async connect(signal: AbortSignal): Promise<Dialled> {
    const { reconnect, isFailover } = this.#target
    const startupMax = reconnect.startupMaxReconnectAttempts
    const furtherMax = reconnect.maxReconnectAttempts
    const isFirst = this.#isFirst
    const max = isFirst ? (isFailover ? (startupMax >= 0 ? startupMax : furtherMax) : 0) : furtherMax
    let delayMs = reconnect.initialReconnectDelay
    for (let attempt = 0; ; attempt += 1) {
      const failure = await this.#round(signal)
      if (!(failure instanceof Error)) {
        this.#isFirst = false
        return failure
      }
      if (signal.aborted) throw reasonOf(signal)
      if (failure instanceof ManifoldError && finalCodes.has(failure.code)) throw failure
      if (max >= 0 && attempt >= max) throw failure
      const waitMs = reconnect.jitter ? this.#environment.random() * delayMs : delayMs
      this.#attempts.waiting(attempt + 1, waitMs, this.#target.endpoints[0] as Endpoint)
      await this.#sleep(waitMs, signal)
      if (reconnect.useExponentialBackOff) {
        delayMs = Math.min(delayMs * reconnect.backOffMultiplier, reconnect.maxReconnectDelay)
      }
    }
  }

  /** Tries every broker once. */
  async #round(signal: AbortSignal): Promise<Dialled | Error> {
    let failure: Error = new ConnectionError('connection-refused', 'no broker was tried', { retryable: true })
    for (const endpoint of this.#order()) {
      if (signal.aborted) return failure
      try {
        return await this.#attempts.dial(endpoint, signal)
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error))
      }
    }
    return failure
  }

  #order(): readonly Endpoint[] {
    const { endpoints, reconnect } = this.#target
    if (!reconnect.randomize || endpoints.length === 1) return endpoints
    const shuffled = [...endpoints]
    for (let index = shuffled.length - 1; index > 0; index -= 1) {
      const other = Math.floor(this.#environment.random() * (index + 1))
      const held = shuffled[index] as Endpoint
      shuffled[index] = shuffled[other] as Endpoint
      shuffled[other] = held
    }
    return shuffled
  }

  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onOver = (): void => {
        timer.cancel()
        forget?.()
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      const timer = this.#environment.after(ms, onOver)
      const forget = this.#environment.onWake?.(onOver)
      const onAbort = (): void => {
        timer.cancel()
        forget?.()
        reject(reasonOf(signal))
      }
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }
}

function reasonOf(signal: AbortSignal): ManifoldError {
  return signal.reason instanceof ManifoldError
    ? signal.reason
    : signal.aborted
      ? aborted('connecting', signal)
      : closed()
}
