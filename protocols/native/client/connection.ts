import { addressOf } from './address.ts'
import type { Payload, SendOptions } from './body.ts'
import type { Codec } from './codecs.ts'
import { Destination, type DestinationHost } from './destination.ts'
import { type Environment, machine } from './environment.ts'
import { closed, ManifoldError } from './errors.ts'
import { Hub } from './hub.ts'
import { Inbox } from './inbox.ts'
import { connectedStatus, Notices, type Status } from './notices.ts'
import type { Dialled, PeerEvents } from './peer.ts'
import { Producer } from './producer.ts'
import { Reconnect } from './reconnect.ts'
import { TransactionScope } from './transaction.ts'
import type { Endpoint, ReconnectOptions, Target } from './url.ts'
import { type WaitOptions, within } from './wait.ts'
import type { HelloOptions } from './wire-peer.ts'
import type { Workers } from './workers.ts'

export interface ConnectOptions {
  /** Names the client for durable subscriptions and named producers. */
  readonly clientId?: string | undefined
  /** Default: what the URL has. */
  readonly user?: string | undefined
  readonly password?: string | undefined
  /** Ends the connection, and connecting. */
  readonly signal?: AbortSignal | undefined
  /** Milliseconds that connecting, and each call after it, may take. Default: 30 s for connecting, without end for `failover:`; no limit for calls. */
  readonly timeout?: number | undefined
  /** How a lost connection is tried again; `false`: not at all. Options of a `failover:` URL come before these. */
  readonly reconnect?: Partial<ReconnectOptions> | false | undefined
  /** How often each side says something at least, in milliseconds. Default 10,000; 0: never. */
  readonly heartBeat?: number | undefined
  /** The largest frame that is taken, in bytes. Default 1 MiB. */
  readonly frameBytesMax?: number | undefined
  /** Clock and chance, for tests. */
  readonly environment?: Environment | undefined
}

/** Reaches one broker. */
export type Dial = (
  endpoint: Endpoint,
  given: { readonly hello: HelloOptions; readonly environment: Environment },
  events: PeerEvents,
  signal: AbortSignal,
) => Promise<Dialled>

const connectMsDefault = 30_000
const heartBeatMsDefault = 10_000
const closeMsMax = 2_000
const frameBytesDefault = 1024 * 1024
/** Destinations that have a producer of their own for `send`; the others share one. */
const sharedProducersMax = 1024

/** A connection to a broker that comes back when it is lost, with everything that was opened on it. */
export class Connection implements DestinationHost, AsyncDisposable {
  /** @internal */
  readonly hub: Hub
  /** @internal */
  readonly inbox: Inbox
  /** @internal */
  readonly timeout: number | undefined
  readonly #options: ConnectOptions
  readonly #environment: Environment
  readonly #dial: Dial
  readonly #notices: Notices
  readonly #reconnect: Reconnect
  readonly #ended: AbortController
  readonly #shared: Map<string | undefined, Producer<Payload>>
  readonly #workers: Set<Workers<never>>
  #lastTransaction: number
  #isConnected: boolean
  #wasConnected: boolean
  #onLost: (() => void) | undefined

  private constructor(target: Target, options: ConnectOptions, dial: Dial) {
    const environment = options.environment ?? machine
    const { timeout } = target.reconnect
    this.#options = options
    this.#environment = environment
    this.#dial = dial
    this.timeout = options.timeout ?? (timeout < 0 ? undefined : timeout)
    this.#notices = new Notices()
    this.hub = new Hub(
      environment,
      {
        connected: (welcome) => {
          this.#isConnected = true
          this.#notices.tell(connectedStatus(this.#wasConnected ? 'resumed' : 'connected', welcome))
          this.#wasConnected = true
        },
        interrupted: (error) => this.#interrupted(error),
        failed: (error) => this.#notices.tell({ type: 'error', error }),
      },
      this.timeout,
    )
    this.replyWith = this.replyWith.bind(this)
    this.inbox = new Inbox(this.hub, this.replyWith)
    this.#reconnect = new Reconnect(target, environment, {
      dial: (endpoint, signal) => this.#reach(endpoint, signal),
      waiting: (attempt, delayMs, endpoint) =>
        this.#notices.tell({ type: 'reconnecting', attempt, delayMs, url: endpoint.text }),
    })
    this.#ended = new AbortController()
    this.#shared = new Map()
    this.#workers = new Set()
    this.#lastTransaction = 0
    this.#isConnected = false
    this.#wasConnected = false
    this.#onLost = undefined
  }

  /** Connects; rejects with the reason if that cannot be. @internal */
  static async open(target: Target, options: ConnectOptions, dial: Dial): Promise<Connection> {
    const connection = new Connection(target, options, dial)
    const { signal, timeout = target.isFailover ? connection.timeout : connectMsDefault } = options
    signal?.addEventListener('abort', () => connection.#close(closed()), { once: true })
    try {
      const first = connection.#reconnect.connect(connection.#ended.signal)
      connection.hub.attach(await within(first, 'connecting', { signal, timeout }, connection.#environment))
    } catch (error) {
      connection.#close(closed())
      throw error
    }
    return connection
  }

  get isConnected(): boolean {
    return this.#isConnected
  }

  get isClosed(): boolean {
    return this.#ended.signal.aborted
  }

  /** A queue: each message goes to one consumer. With a codec its messages have a type: `queue('orders', json<Order>())`. */
  queue<T = unknown>(name: string, codec?: Codec<T>): Destination<T> {
    return new Destination<T>(this, addressOf(name), codec)
  }

  /** A topic: each message goes to every subscription. `prices.*` and `prices.>` are patterns for consumers. */
  topic<T = unknown>(name: string, codec?: Codec<T>): Destination<T> {
    return new Destination<T>(this, addressOf(name, 'topic'), codec)
  }

  /** A queue that lives as long as this connection, and of which only it may consume. */
  async temporaryQueue<T = unknown>(codec?: Codec<T>, options?: WaitOptions): Promise<Destination<T>> {
    return new Destination<T>(this, await this.hub.temporaryQueue(options), codec)
  }

  /** Sends to any destination: `queue://orders`, `topic://prices.eu`. */
  send(to: string, payload: Payload, options?: SendOptions & WaitOptions): Promise<void> {
    return this.anonymous.sendTo(addressOf(to), payload, options, 0)
  }

  /**
   * Runs the function; what it sends and receives with the scope happens when it returns, and not at all if it throws. `options`: how
   * long the commit may take.
   */
  async transaction<T>(work: (scope: TransactionScope) => Promise<T> | T, options?: WaitOptions): Promise<T> {
    this.#lastTransaction += 1
    const scope = new TransactionScope(this, this.#lastTransaction)
    let result: T
    try {
      result = await work(scope)
    } catch (error) {
      await scope.rollback()
      throw error
    }
    await this.hub.within(scope.commit(), 'committing', options)
    return result
  }

  /** Calls back when that happens to the connection. Returns how to stop it. */
  on<Type extends Status['type']>(
    type: Type,
    listener: (status: Extract<Status, { readonly type: Type }>) => void,
  ): () => void {
    return this.#notices.on(type, listener)
  }

  /** Everything that happens to the connection from now on, until it is closed. */
  status(): AsyncIterableIterator<Status> {
    return this.#notices.loop()
  }

  /** Ends in order: takes no more messages, finishes the handlers, waits for every send to be answered, and closes. */
  async drain(options: WaitOptions = {}): Promise<void> {
    await within(this.#drained(), 'draining', options, this.#environment)
    await this.close()
  }

  /** Closes now, after what has been written. Sends without an answer reject with `outcome: 'unknown'`. */
  async close(): Promise<void> {
    this.hub.flush()
    const { peer } = this.hub
    const lost = new Promise<void>((resolve) => {
      if (peer === undefined) resolve()
      else this.#onLost = resolve
    })
    this.#close(closed())
    // A broker that does not hang up is not waited for.
    const timer = this.#environment.after(closeMsMax, () => peer?.destroy(closed()))
    await lost
    timer.cancel()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal */
  sharedProducer(address: string | undefined): Producer<Payload> {
    const found = this.#shared.get(address)
    if (found?.isClosed === false) return found
    if (this.#shared.size >= sharedProducersMax) this.#dropOldest()
    const made = new Producer<Payload>(this.hub, address, {}, undefined)
    this.#shared.set(address, made)
    return made
  }

  /** The producer for sends to anywhere. @internal */
  get anonymous(): Producer<Payload> {
    return this.sharedProducer(undefined)
  }

  /** Answers go out as they come, and are not kept. @internal */
  replyWith(to: string, payload: Payload, options: SendOptions): Promise<void> {
    return this.anonymous.sendTo(to, payload, { persistent: false, ...options }, 0)
  }

  /** @internal */
  started(workers: Workers<never>): void {
    this.#workers.add(workers)
    void workers.done.catch(() => undefined).then(() => this.#workers.delete(workers))
  }

  #dropOldest(): void {
    for (const [address, producer] of this.#shared) {
      if (producer.pendingCount > 0) continue
      this.#shared.delete(address)
      void producer.close()
      return
    }
  }

  async #drained(): Promise<void> {
    await Promise.all([...this.#workers].map((workers) => workers.close()))
    this.hub.flush()
    await this.hub.flushed()
  }

  async #reach(endpoint: Endpoint, signal: AbortSignal): Promise<Dialled> {
    const given = { hello: helloOf(this.#options, endpoint), environment: this.#environment }
    return await this.#dial(endpoint, given, this.hub, signal)
  }

  #interrupted(error: ManifoldError): void {
    this.#isConnected = false
    const onLost = this.#onLost
    this.#onLost = undefined
    onLost?.()
    if (this.#ended.signal.aborted) return
    this.#notices.tell({ type: 'interrupted', error })
    if (this.#options.reconnect === false) {
      this.#close(error)
      return
    }
    const { signal } = this.#ended
    this.#reconnect.connect(signal, error).then(
      (dialled) => {
        if (signal.aborted) dialled.peer.destroy(closed())
        else this.hub.attach(dialled)
      },
      (failure: unknown) => {
        if (!signal.aborted) this.#close(failure instanceof ManifoldError ? failure : error)
      },
    )
  }

  #close(error: ManifoldError): void {
    if (this.#ended.signal.aborted) return
    this.#ended.abort(error)
    const { peer } = this.hub
    this.hub.close(error)
    peer?.end()
    if (peer === undefined) this.#onLost?.()
    this.#notices.tell({ type: 'closed', error: error.code === 'closed' ? undefined : error })
  }
}

/** What a broker is told first. */
export function helloOf(options: ConnectOptions, { url }: Endpoint): HelloOptions {
  const { clientId, heartBeat = heartBeatMsDefault, frameBytesMax = frameBytesDefault } = options
  const said = (part: string): string | undefined => (part === '' ? undefined : decodeURIComponent(part))
  const user = options.user ?? said(url.username)
  const password = options.password ?? said(url.password)
  return { clientId, user, password, heartBeatMs: heartBeat, frameBytesMax }
}
