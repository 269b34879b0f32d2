/** The door for tests of users' own programs: a broker that keeps nothing and says nothing, and means to look into it. */
import { Address } from './address.ts'
import { BrokerError } from './errors.ts'
import type { Consumer, Delivery, Session, SessionEvents, Subscription } from './session.ts'
import { TestBroker, type TestBrokerOptions } from './testing/test-broker.ts'

export type { FaultPoint } from './testing/faults.ts'
export type { Expectation, Expected, MessagePattern, ReceivedMessage } from './testing/received.ts'
export type { IdleOptions, TestBroker, TestBrokerOptions } from './testing/test-broker.ts'

/** A broker in memory, without a log, that listens on free ports of this machine for the protocols named. */
export function startTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  return TestBroker.start(options)
}

/** Where a {@link Collector} takes from: a test broker or any other. */
export interface Connectable {
  connect(events: SessionEvents): Session
}

const silent: SessionEvents = {
  confirmed: () => undefined,
  refused: () => undefined,
  blocked: () => undefined,
  unblocked: () => undefined,
  closed: () => undefined,
}

/** Takes every message of a destination, accepting each, and hands them out one by one. */
export class Collector implements Consumer {
  readonly #waiting: ((delivery: Delivery) => void)[]
  readonly #received: Delivery[]
  readonly #subscription: Subscription
  readonly #close: () => void

  /** Throws a BrokerError if there is nothing to take from. */
  constructor(broker: Connectable, destination: string) {
    const address = Address.parse(destination)
    if (address instanceof BrokerError) throw address
    this.#waiting = []
    this.#received = []
    const session = broker.connect(silent)
    this.#close = () => session.close()
    const subscription = session.subscribe({ address, consumer: this, presettled: true })
    if (subscription instanceof BrokerError) throw subscription
    this.#subscription = subscription
    subscription.addCredit(1)
  }

  /** The next message, as soon as it is there. */
  next(): Promise<Delivery> {
    const received = this.#received.shift()
    if (received !== undefined) return Promise.resolve(received)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** The bodies of what has come and was not asked for yet. */
  get bodies(): string[] {
    return this.#received.map(({ message }) => Buffer.from(message.content.subarray(message.bodyOffset)).toString())
  }

  deliver(delivery: Delivery): void {
    this.#subscription.addCredit(1)
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#received.push(delivery)
    else waiting(delivery)
  }

  ended(): void {
    // Nothing more comes; whoever waits goes on waiting, and the test says so by its time-out.
  }

  close(): void {
    this.#close()
  }
}
