import {
  ConnectionError,
  type ConnectOptions,
  type Dial,
  type Dialled,
  type Endpoint,
  type Environment,
  heldMsMin,
  helloOf,
  machine,
} from '../../protocols/native/client/index.ts'
import type { FailoverTarget } from './failover-options.ts'
import { Leavable } from './leavable.ts'
import { Standby } from './standby.ts'

/** How long one broker may take to let the client in before the next one is tried. */
const reachMsMax = 30_000
/** How long a broker that is left for a preferred one may take to hang up. */
const leaveMsMax = 2_000
/** How long what is in hand is waited for before that. */
export const finishMsMax = 30_000

/** A connection that the client has. */
interface Current {
  readonly endpoint: Endpoint
  readonly dialled: Dialled
  readonly since: number
  /** If there is a broker that it may be left for. */
  readonly leavable: Leavable | undefined
}

/**
 * Stands between a connection and what dials for it: keeps connections to other brokers ready, and leaves a broker for a
 * preferred one that is back, once nothing is in hand.
 */
export class Failover {
  readonly #target: FailoverTarget
  readonly #options: ConnectOptions
  readonly #environment: Environment
  readonly #reach: Dial
  readonly #warn: (sentence: string) => void
  #standbys: Standby[]
  #current: Current | undefined
  /** Brokers that have ended a connection soon, and how long they are not connected to beforehand. */
  readonly #shunned: Map<Endpoint, { readonly until: number; readonly delayMs: number }>
  #isKeeping: boolean
  /** A wait for the next attempt, which may be cut short. */
  #wake: (() => void) | undefined
  #signal: AbortSignal | undefined
  /** While a broker is being left: ends the wait for what is in hand, then cuts off one that does not hang up. */
  #leaving: { cancel(): void } | undefined
  #failures: number

  constructor(
    target: FailoverTarget,
    options: ConnectOptions,
    reach: Dial,
    warn: (sentence: string) => void = (sentence) => process.emitWarning(sentence, 'ManifoldWarning'),
  ) {
    this.#target = target
    this.#options = options
    this.#environment = options.environment ?? machine
    this.#reach = reach
    this.#warn = warn
    this.#standbys = []
    this.#current = undefined
    this.#shunned = new Map()
    this.#isKeeping = false
    this.#wake = undefined
    this.#signal = undefined
    this.#leaving = undefined
    this.#failures = 0
  }

  /** A connection that is ready, to whichever broker; otherwise a new one to this broker. */
  readonly dial: Dial = async (endpoint, given, events, signal) => {
    this.#watch(signal)
    this.#endLeaving()
    if (this.#current !== undefined) this.#judge(this.#current.endpoint, this.#current.since)
    this.#current = undefined
    const { length: preferredCount } = this.#target.preferred
    const leavable = preferredCount > 0 ? new Leavable(events, this.#environment.soon) : undefined
    const told = leavable?.events ?? events
    const ready = this.#standbys.shift()
    if (ready !== undefined) return this.#connected(ready.endpoint, ready.promote(told), leavable)
    try {
      return this.#connected(endpoint, await this.#within(endpoint, given, told, signal), leavable)
    } catch (error) {
      this.#failed()
      throw error
    }
  }

  #connected(endpoint: Endpoint, made: Dialled, leavable: Leavable | undefined): Dialled {
    const dialled = leavable?.over(made) ?? made
    this.#failures = 0
    this.#current = { endpoint, dialled, leavable, since: this.#environment.now() }
    const { backup, priorityBackup } = this.#target.reconnect
    if (backup || priorityBackup) this.#keep()
    return dialled
  }

  /** A connection has been lost. A broker that ends them soon is kept ready, or gone back to, less and less often. */
  #judge(endpoint: Endpoint, since: number): void {
    const { initialReconnectDelay, maxReconnectDelay, backOffMultiplier } = this.#target.reconnect
    const now = this.#environment.now()
    const before = this.#shunned.get(endpoint)?.delayMs ?? 0
    if (now - since >= Math.max(heldMsMin, before)) this.#shunned.delete(endpoint)
    else {
      const delayMs = Math.min(Math.max(1, initialReconnectDelay, before * backOffMultiplier), maxReconnectDelay)
      this.#shunned.set(endpoint, { delayMs, until: now + delayMs })
    }
  }

  #failed(): void {
    const { endpoints, reconnect } = this.#target
    this.#failures += 1
    const rounds = this.#failures / endpoints.length
    const every = reconnect.warnAfterReconnectAttempts
    if (every <= 0 || !Number.isInteger(rounds) || rounds % every !== 0) return
    this.#warn(`none of ${endpoints.map(({ text }) => text).join(', ')} is reached after ${rounds} attempts; trying on`)
  }

  /** Lets go of everything when the connection is closed. */
  #watch(signal: AbortSignal): void {
    if (this.#signal === signal) return
    this.#signal = signal
    signal.addEventListener('abort', () => {
      for (const standby of this.#standbys.splice(0)) standby.close()
      this.#endLeaving()
      this.#wake?.()
    })
  }

  /** Sees to it that what should be ready is, now and from now on. */
  #keep(): void {
    this.#wake?.()
    if (this.#isKeeping) return
    this.#isKeeping = true
    void this.#keepReady()
  }

  async #keepReady(): Promise<void> {
    try {
      await this.#whileWanting()
    } finally {
      this.#isKeeping = false
    }
  }

  async #whileWanting(): Promise<void> {
    const { initialReconnectDelay, maxReconnectDelay, backOffMultiplier, useExponentialBackOff } =
      this.#target.reconnect
    let delayMs = initialReconnectDelay
    while (this.#isWanting) {
      const before = this.#standbys.length
      for (const endpoint of this.#candidates()) {
        if (this.#isWanting && this.#isFree(endpoint)) await this.#prepare(endpoint)
      }
      if (!this.#isWanting) return
      if (this.#standbys.length > before) delayMs = initialReconnectDelay
      await this.#sleep(delayMs)
      if (useExponentialBackOff) delayMs = Math.min(Math.max(1, delayMs) * backOffMultiplier, maxReconnectDelay)
    }
  }

  get #isWanting(): boolean {
    if (this.#signal?.aborted !== false || this.#current === undefined) return false
    const { backup, backupPoolSize } = this.#target.reconnect
    const isFull = this.#standbys.length >= Math.min(backupPoolSize, this.#target.endpoints.length - 1)
    return (backup && !isFull) || (this.#isAstray && this.#leaving === undefined)
  }

  /** Whether it is connected to a broker while it prefers others. */
  get #isAstray(): boolean {
    const { preferred } = this.#target
    return this.#current?.leavable !== undefined && !preferred.includes(this.#current.endpoint)
  }

  #candidates(): readonly Endpoint[] {
    const { backup } = this.#target.reconnect
    return backup ? this.#target.endpoints : this.#target.preferred
  }

  #isFree(endpoint: Endpoint): boolean {
    if ((this.#shunned.get(endpoint)?.until ?? 0) > this.#environment.now()) return false
    return endpoint !== this.#current?.endpoint && this.#standbys.every((standby) => standby.endpoint !== endpoint)
  }

  async #prepare(endpoint: Endpoint): Promise<void> {
    const ended = this.#signal
    if (ended === undefined) return
    const begun = this.#environment.now()
    const standby = new Standby(endpoint, (lost) => {
      this.#judge(endpoint, begun)
      this.#lost(lost)
    })
    const given = { hello: helloOf(this.#options, endpoint), environment: this.#environment }
    try {
      await standby.open((events) => this.#within(endpoint, given, events, ended))
    } catch {
      // It is tried again; whoever needs it is told why it cannot be had.
      return
    }
    if (ended.aborted) standby.close()
    else this.#ready(standby)
  }

  /** Reaches a broker, or gives it up: one that says nothing must not keep the others from being tried. */
  async #within(...[endpoint, given, events, signal]: Parameters<Dial>): Promise<Dialled> {
    const late = new AbortController()
    const timer = this.#environment.after(reachMsMax, () => late.abort())
    try {
      return await this.#reach(endpoint, given, events, AbortSignal.any([signal, late.signal]))
    } finally {
      timer.cancel()
    }
  }

  #ready(standby: Standby): void {
    if (!standby.isOpen) return
    const isPreferred = this.#isPreferred(standby)
    if (isPreferred) this.#standbys.unshift(standby)
    else this.#standbys.push(standby)
    if (isPreferred && this.#isAstray) this.#leave()
  }

  /** Has the client finish what is in hand with this broker, and leaves it then. */
  #leave(): void {
    const { leavable } = this.#current ?? {}
    if (leavable === undefined || this.#leaving !== undefined) return
    leavable.leave(() => this.#hangUp())
    this.#leaving = this.#environment.after(finishMsMax, () => {
      if (!leavable.hasSends) {
        this.#hangUp()
        return
      }
      // They would be sent a second time: better here than there.
      this.#stay()
      this.#leave()
    })
  }

  /** Ends the current connection, so that the next one is asked for. */
  #hangUp(): void {
    this.#endLeaving()
    const { peer } = this.#current?.dialled ?? {}
    this.#current = undefined
    peer?.end()
    this.#leaving = this.#environment.after(leaveMsMax, () => {
      peer?.destroy(new ConnectionError('connection-lost', 'it was left for a preferred broker', { retryable: true }))
    })
  }

  #stay(): void {
    this.#endLeaving()
    this.#current?.leavable?.stay()
  }

  #endLeaving(): void {
    this.#leaving?.cancel()
    this.#leaving = undefined
  }

  #lost(standby: Standby): void {
    this.#standbys = this.#standbys.filter((one) => one !== standby)
    if (this.#current !== undefined && !this.#standbys.some((one) => this.#isPreferred(one))) this.#stay()
    this.#keep()
  }

  #isPreferred({ endpoint }: Standby): boolean {
    return this.#target.preferred.includes(endpoint)
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        timer.cancel()
        this.#wake = undefined
        resolve()
      }
      const timer = this.#environment.after(ms, wake)
      this.#wake = wake
    })
  }
}
