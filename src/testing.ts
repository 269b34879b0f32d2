/** The door for tests of users' own programs: a broker that keeps nothing and says nothing, and a consumer to look at. */
import { Address } from './address.ts'
import { BrokerError } from './errors.ts'
import { Server, type ServerOptions } from './server.ts'
import type { Consumer, Delivery, SessionEvents, Subscription } from './session.ts'

/** A broker in memory, without a log, that listens on free ports of this machine for the protocols named. */
export function startTestBroker(options: ServerOptions = {}): Promise<Server> {
  const listeners = { ...options.listeners }
  for (const name of Object.keys(listeners) as (keyof typeof listeners)[]) {
    if (listeners[name] !== undefined) Object.assign(listeners, { [name]: { port: 0, ...listeners[name] } })
  }
  return Server.start({ store: 'memory', log: false, ...options, listeners })
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
  constructor(broker: Server, destination: string) {
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
