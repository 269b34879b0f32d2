import { Address } from '../../src/address.ts'
import { openAccess } from '../../src/broker/access.ts'
import { Broker, type BrokerOptions } from '../../src/broker/broker.ts'
import type { PolicyRule } from '../../src/broker/policy.ts'
import type { BrokerSession } from '../../src/broker/session.ts'
import { BrokerError } from '../../src/errors.ts'
import { defaultLimits, type Limits, type QueueWindow } from '../../src/limits.ts'
import type { Message } from '../../src/message.ts'
import type {
  Consumer,
  Delivery,
  Outcome,
  SendNumber,
  SessionEvents,
  SubscribeRequest,
  Subscription,
} from '../../src/session.ts'
import { accepted } from '../../src/session.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { Turn } from '../../src/turn.ts'
import { type MessageGiven, messageOf, testFormats } from './messages.ts'
import { VirtualClock } from './virtual-clock.ts'

export interface TestBrokerOptions {
  readonly policies?: readonly PolicyRule[]
  readonly limits?: Partial<Limits>
  readonly window?: QueueWindow | undefined
  readonly store?: BrokerOptions['store']
  readonly clock?: VirtualClock
  readonly access?: BrokerOptions['access']
  readonly formats?: BrokerOptions['formats']
}

/** A broker on a virtual clock whose turns run only when the test says so. */
export class TestBroker {
  readonly clock: VirtualClock
  readonly store: BrokerOptions['store']
  readonly broker: Broker
  readonly failures: BrokerError[]
  readonly #runs: (() => void)[]

  private constructor(options: TestBrokerOptions) {
    this.clock = options.clock ?? new VirtualClock()
    this.store = options.store ?? new MemoryStore()
    this.failures = []
    this.#runs = []
    this.broker = new Broker({
      name: 'test',
      clock: this.clock,
      turn: new Turn((run) => this.#runs.push(run)),
      store: this.store,
      access: options.access ?? openAccess,
      limits: { ...defaultLimits, ...options.limits },
      window: options.window,
      policies: options.policies ?? [],
      runId: 't',
      formats: options.formats ?? testFormats,
      onFailure: (error) => this.failures.push(error),
    })
  }

  static async open(options: TestBrokerOptions = {}): Promise<TestBroker> {
    const made = new TestBroker(options)
    await made.broker.open()
    return made
  }

  /** Runs turns and commits until nothing is left to do. How many turns that took. */
  async settle(): Promise<number> {
    let count = 0
    for (let idle = 0; idle < 3; ) {
      const runs = this.#runs.splice(0)
      for (const run of runs) run()
      count += runs.length
      idle = runs.length === 0 ? idle + 1 : 0
      await Promise.resolve()
    }
    return count
  }

  /** As {@link settle}, for a store that takes its time. */
  async settleSlowly(): Promise<void> {
    for (let idle = 0; idle < 3; ) {
      idle = (await this.settle()) === 0 ? idle + 1 : 0
      await new Promise(setImmediate)
    }
  }

  /** Runs the turns that are due, without waiting for commits. */
  turn(): void {
    for (const run of this.#runs.splice(0)) run()
  }

  async advance(ms: number): Promise<void> {
    this.clock.advance(ms)
    await this.settle()
  }

  connect(clientId?: string): TestClient {
    return new TestClient(this, clientId)
  }

  queue(name: string) {
    return this.broker.router.queue(Address.must('queue', name))
  }

  async close(): Promise<void> {
    const closed = this.broker.close()
    let isOver = false
    void closed.then(() => {
      isOver = true
    })
    while (!isOver) {
      await this.settle()
      this.clock.advance(1000)
    }
  }
}

/** A session that writes down what it is told. */
export class TestClient implements SessionEvents {
  readonly session: BrokerSession
  readonly refusals: { readonly send: SendNumber; readonly error: BrokerError }[]
  confirmedUpTo: SendNumber
  syncedUpTo: SendNumber
  isBlocked: boolean
  closedBy: BrokerError | undefined
  readonly #test: TestBroker

  constructor(test: TestBroker, clientId: string | undefined) {
    this.refusals = []
    this.confirmedUpTo = 0
    this.syncedUpTo = 0
    this.isBlocked = false
    this.closedBy = undefined
    this.#test = test
    const session = test.broker.connect({ principal: clientId ?? 'anonymous', clientId }, this)
    if (session instanceof BrokerError) throw session
    this.session = session
  }

  confirmed(upTo: SendNumber): void {
    this.confirmedUpTo = upTo
  }

  synced(upTo: SendNumber): void {
    this.syncedUpTo = upTo
  }

  refused(send: SendNumber, error: BrokerError): void {
    this.refusals.push({ send, error })
  }

  blocked(): void {
    this.isBlocked = true
  }

  unblocked(): void {
    this.isBlocked = false
  }

  closed(error: BrokerError): void {
    this.closedBy = error
  }

  message(to: string, text: string, given: MessageGiven = {}): Message {
    return messageOf({
      address: to,
      body: text,
      source: this.session.source,
      number: this.session.source.next(),
      timestamp: this.#test.clock.now(),
      ...given,
    })
  }

  send(to: string, text: string, given: MessageGiven = {}): SendNumber {
    return this.session.send(this.message(to, text, given))
  }

  sendAll(to: string, texts: readonly string[], given: MessageGiven = {}): void {
    for (const text of texts) this.send(to, text, given)
  }

  /** Subscribes with plenty of credit unless told otherwise. */
  subscribe(to: string, request: Partial<SubscribeRequest> & { readonly credit?: number } = {}): TestConsumer {
    const consumer = new TestConsumer()
    const address = Address.parse(to)
    if (address instanceof BrokerError) throw address
    const { credit = 1000, ...rest } = request
    const subscription = this.session.subscribe({ address, consumer, presettled: false, ...rest })
    if (subscription instanceof BrokerError) throw subscription
    consumer.subscription = subscription
    subscription.addCredit(credit)
    return consumer
  }
}

/** A consumer that keeps what it gets. */
export class TestConsumer implements Consumer {
  readonly deliveries: Delivery[]
  isOver: boolean
  endedBy: BrokerError | undefined
  #subscription: Subscription | undefined

  constructor() {
    this.deliveries = []
    this.isOver = false
    this.endedBy = undefined
    this.#subscription = undefined
  }

  get subscription(): Subscription {
    if (this.#subscription === undefined) throw new Error('not subscribed')
    return this.#subscription
  }

  set subscription(subscription: Subscription) {
    this.#subscription = subscription
  }

  get texts(): string[] {
    return this.deliveries.map((delivery) => Buffer.from(delivery.message.content).toString())
  }

  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery)
  }

  ended(error?: BrokerError): void {
    this.isOver = true
    this.endedBy = error
  }

  /** Takes what has been delivered so far off the record. */
  take(): Delivery[] {
    return this.deliveries.splice(0)
  }

  settle(index: number, outcome: Outcome = accepted): void {
    const delivery = this.deliveries[index]
    if (delivery === undefined) throw new Error(`no delivery ${index}`)
    this.subscription.settle(delivery, outcome)
  }

  settleAll(outcome: Outcome = accepted): void {
    for (const delivery of this.deliveries) this.subscription.settle(delivery, outcome)
  }
}
