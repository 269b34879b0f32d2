import type { Address } from '../address.ts'
import type { Clock } from '../clock.ts'
import { BrokerError } from '../errors.ts'
import { defaultQueueWindow, type Limits, type QueueWindow } from '../limits.ts'
import type { ContentFormat, Message } from '../message.ts'
import type { NamedSubscriptionInfo, SessionEvents } from '../session.ts'
import type { MessageStore, OwnerId, OwnerRecord, StoredEntry, WriteBatch } from '../store/store.ts'
import type { Turn } from '../turn.ts'
import type { Access, Identity, Login } from './access.ts'
import { Commits } from './commits.ts'
import type { Death } from './context.ts'
import { coveragePrefix } from './coverage.ts'
import { bury, sendBack } from './dead-letter.ts'
import { Deadline, Deadlines, type Due } from './deadlines.ts'
import type { QueuedDelivery } from './delivery.ts'
import { Memory } from './flow.ts'
import { Policies, type PolicyRule } from './policy.ts'
import { Queue } from './queue.ts'
import { Retained } from './retained.ts'
import { Router } from './router.ts'
import { BrokerSession, type SessionHost } from './session.ts'
import { States } from './states.ts'
import { Subscriptions } from './subscriptions.ts'
import type { Topic } from './topic.ts'

/** Entries read from the store at a time when it is opened. */
const restorePage = 4096

export interface BrokerOptions {
  readonly name: string
  readonly clock: Clock
  readonly turn: Turn
  readonly store: MessageStore
  readonly access: Access
  readonly limits: Limits
  /** Smaller than by default in tests. */
  readonly window?: QueueWindow | undefined
  readonly policies: readonly PolicyRule[]
  /** Tells one run of a broker from every other, in message ids: letters and digits. */
  readonly runId: string
  /** Content formats by name, to read back what the store has kept. */
  readonly formats: (name: string) => ContentFormat | undefined
  /** Told of every message that a destination takes in, dead letters included. */
  readonly received?: ((message: Message) => void) | undefined
  /** The store has failed: every session has been ended, and nothing will be confirmed any more. */
  readonly onFailure: (error: BrokerError) => void
}

/** Queues, topics and sessions: the state machine between the protocols and the store. It opens no socket. */
export class Broker implements SessionHost {
  readonly name: string
  readonly clock: Clock
  readonly turn: Turn
  readonly deadlines: Deadlines
  readonly memory: Memory
  readonly limits: Limits
  readonly window: QueueWindow
  readonly access: Access
  readonly commits: Commits
  readonly router: Router
  readonly subscriptions: Subscriptions
  readonly retained: Retained
  readonly states: States
  readonly received: ((message: Message) => void) | undefined
  isClosing: boolean
  readonly #options: BrokerOptions
  readonly #sessions: Set<BrokerSession>
  #sessionCount: number
  #onDrained: (() => void) | undefined
  #closed: Promise<void> | undefined

  constructor(options: BrokerOptions) {
    this.name = options.name
    this.clock = options.clock
    this.turn = options.turn
    this.limits = options.limits
    this.window = options.window ?? defaultQueueWindow
    this.access = options.access
    this.deadlines = new Deadlines(options.clock)
    this.memory = new Memory(options.limits.memoryBytesMax)
    this.commits = new Commits(options.store, options.turn, this.memory, (error) => this.#fail(error))
    const policies = new Policies(options.policies)
    this.retained = new Retained(this)
    this.states = new States(this)
    this.router = new Router(this, policies, this.retained)
    this.subscriptions = new Subscriptions(this, policies, this)
    this.received = options.received
    this.isClosing = false
    this.#options = options
    this.#sessions = new Set()
    this.#sessionCount = 0
    this.#onDrained = undefined
    this.#closed = undefined
    options.turn.attach(this.commits)
  }

  /** Reads what the store has kept. To be awaited before the first session. */
  async open(): Promise<void> {
    const records = await this.#options.store.open(this.#options.formats)
    this.states.restore(this.#options.store.states)
    for (const record of records) await this.#restore(record)
    this.subscriptions.restoreCoverage(this.states.startingWith(coveragePrefix))
  }

  get sessionCount(): number {
    return this.#sessions.size
  }

  /** Deliveries that clients have not settled. */
  get unsettledCount(): number {
    let count = 0
    for (const session of this.#sessions) count += session.unsettledCount
    return count
  }

  /** Checks a login; answers once, perhaps later. */
  authenticate(login: Login, answer: (result: Identity | BrokerError) => void): void {
    this.access.authenticate(login, answer)
  }

  /** Begins a session for an identity that has been checked. */
  connect(identity: Identity, events: SessionEvents): BrokerSession | BrokerError {
    if (this.isClosing) return new BrokerError('shutting-down', 'the broker is shutting down')
    this.#sessionCount += 1
    const session = new BrokerSession(this, `${this.#options.runId}-${this.#sessionCount}`, identity, events)
    this.#sessions.add(session)
    return session
  }

  /** A deadline of the adapter's own, on the broker's one timer. */
  deadline(target: Due): Deadline {
    return new Deadline(this.deadlines, target)
  }

  /**
   * What protocols have kept under keys with this prefix, over restarts too. Looks at every state there is: for an adapter
   * that is told that the broker has been opened.
   */
  statesOf(prefix: string): Iterable<readonly [key: string, value: Uint8Array]> {
    return this.states.startingWith(prefix)
  }

  /**
   * As {@link BrokerSession.putState}, on nobody's behalf: durable with all else that is asked for before control goes back to
   * the event loop. Nobody is told when.
   */
  putState(key: string, value: Uint8Array | undefined): BrokerError | undefined {
    const refusal = this.states.refusal({ key, value })
    if (refusal === undefined) this.states.put({ key, value })
    return refusal
  }

  /** The named subscriptions of a client; those that belong to no client without one. */
  subscriptionsOf(clientId: string | undefined): readonly NamedSubscriptionInfo[] {
    return this.subscriptions.namedOf(clientId)
  }

  /**
   * A delivery of a client's named subscription, by its sequence, has begun and is to be ended whenever that can be: it does not
   * expire until it is settled, or the broker stops. To be said before it goes back, and again before control goes back to the event
   * loop when the broker has been opened.
   */
  keepBegun(clientId: string, name: string, sequence: number): void {
    const queue = this.subscriptions.queueOfClient(clientId, name)
    if (queue === undefined) return
    queue.begun ??= new Set()
    queue.begun.add(sequence)
  }

  /** Removes a named subscription, with all it has collected, of a client that need not be connected. */
  deleteSubscription(clientId: string | undefined, name: string): BrokerError | undefined {
    return this.subscriptions.remove(clientId, name)
  }

  /** The queue or topic if it exists, for administration. */
  find(address: Address): Queue | Topic | undefined {
    return this.router.existing(address)
  }

  /** Sends up to `count` dead letters of a `DLQ.` or `ExpiryQueue.` queue back to where they died. Returns how many went. */
  sendBack(address: Address, count: number): Promise<number> {
    const dead = this.router.existing(address)
    if (!(dead instanceof Queue)) return Promise.resolve(0)
    const placeOf = (origin: Address, subscription: string | undefined): Queue | undefined => {
      if (subscription !== undefined) return this.subscriptions.queueOf(subscription)
      return origin.kind === 'queue' ? this.router.queue(origin) : undefined
    }
    return sendBack(dead, placeOf, count)
  }

  batch(): WriteBatch {
    return this.commits.batch
  }

  get isPaging(): boolean {
    return this.#options.store.isPaging
  }

  get storeRefusal(): BrokerError | undefined {
    return this.#options.store.refusal
  }

  untilCommitted(message: Message): void {
    this.commits.hold(message)
  }

  afterCommit(callback: () => void): void {
    this.commits.after(callback)
  }

  read(...range: Parameters<MessageStore['read']>): ReturnType<MessageStore['read']> {
    return this.#options.store.read(...range)
  }

  readonly readFailed = (cause: unknown): void => {
    if (this.commits.isOver) return
    const reason = cause instanceof Error ? cause.message : String(cause)
    this.#fail(new BrokerError('store-failed', `the store cannot be read: ${reason}`, { cause }))
  }

  bury(delivery: QueuedDelivery, death: Death): void {
    bury(this, (address) => this.router.queue(address), delivery, death)
  }

  /** A session has nothing unsettled any more; `close` may be waiting for the last of them. */
  drained(): void {
    if (this.#onDrained !== undefined && this.unsettledCount === 0) this.#onDrained()
  }

  ended(session: BrokerSession): void {
    this.#sessions.delete(session)
    this.drained()
  }

  /**
   * Takes no new work, waits a while for deliveries to be settled and releases the others, answers what was asked, and
   * closes the store. Idempotent.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.isClosing = true
    for (const session of this.#sessions) session.suspend()
    await this.#settled()
    await this.commits.idle()
    for (const session of [...this.#sessions])
      session.end(new BrokerError('shutting-down', 'the broker is shutting down'))
    for (const queue of this.router.queues) queue.rememberSeen()
    for (const queue of this.subscriptions.queues) queue.rememberSeen()
    await this.commits.idle()
    // What is still looking through a backlog asks for nothing any more.
    this.commits.close()
    this.deadlines.close()
    await this.#options.store.close()
  }

  #settled(): Promise<void> {
    if (this.unsettledCount === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = this.clock.after(this.limits.drainMsMax, resolve)
      this.#onDrained = () => {
        timer.cancel()
        resolve()
      }
    })
  }

  async #restore(record: OwnerRecord): Promise<void> {
    const place = this.#placeOf(record)
    if (place === undefined) return
    place.restore(record)
    if (this.isPaging && place instanceof Queue) return
    for (const [priority, count] of record.counts.entries()) {
      if (count > 0) await this.#restoreEntries(record.id, priority, place)
    }
  }

  async #restoreEntries(owner: OwnerId, priority: number, place: Queue | Retained): Promise<void> {
    let after = 0
    for (;;) {
      const entries: readonly StoredEntry[] = await this.#options.store.read(owner, priority, after, restorePage)
      for (const entry of entries) place.restoreEntry(entry)
      after = entries.at(-1)?.sequence ?? after
      if (entries.length < restorePage) return
    }
  }

  #placeOf(record: OwnerRecord): Queue | Retained | undefined {
    switch (record.spec.kind) {
      case 'queue':
        return this.router.queueOfName(record.spec.name)
      case 'subscription':
        return this.subscriptions.restore(record)
      case 'retained':
        return this.retained
      default:
        return record.spec.kind satisfies never
    }
  }

  #fail(error: BrokerError): void {
    this.isClosing = true
    for (const session of [...this.#sessions]) session.end(error)
    this.#options.onFailure(error)
  }
}
