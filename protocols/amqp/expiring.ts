import type { Broker, BrokerError, Deadline, Due } from '../../src/core.ts'
import type { Expiry } from './resume.ts'

const keyPrefix = 'amqp/expiring/'
const present = Uint8Array.of(1)

/** A subscription that its client may come back to for a while. */
class Expiring implements Due {
  readonly clientId: string | undefined
  readonly name: string
  readonly timeoutMs: number
  readonly deadline: Deadline
  /** The session or connection with whose end the time begins. */
  scope: object | undefined
  readonly #owner: ExpiringSubscriptions

  constructor(
    owner: ExpiringSubscriptions,
    broker: Broker,
    clientId: string | undefined,
    name: string,
    timeoutMs: number,
  ) {
    this.clientId = clientId
    this.name = name
    this.timeoutMs = timeoutMs
    this.scope = undefined
    this.#owner = owner
    this.deadline = broker.deadline(this)
  }

  due(): void {
    this.#owner.expire(this)
  }
}

/**
 * Topic subscriptions that are not durable and whose terminus outlives its link for a time (part 3, section 3.5.6). The core keeps
 * them as it keeps durable ones; here is noted that they go when their time is over, or with the broker.
 */
export class ExpiringSubscriptions {
  readonly #broker: Broker
  readonly #all: Map<string, Expiring>

  /** Of the state of a terminus without durability nothing outlives the broker: what was there before it is removed. */
  constructor(broker: Broker) {
    this.#broker = broker
    this.#all = new Map()
    for (const [key] of [...broker.statesOf(keyPrefix)]) {
      const [clientId, name] = JSON.parse(key.slice(keyPrefix.length)) as [string | null, string]
      broker.deleteSubscription(clientId ?? undefined, name)
      broker.putState(key, undefined)
    }
  }

  get count(): number {
    return this.#all.size
  }

  /** A link has it now. `expiry`: undefined if it is durable, and stays. Returns why it cannot be noted, if so. */
  attached(clientId: string | undefined, name: string, expiry: Expiry | undefined): BrokerError | undefined {
    const key = keyOf(clientId, name)
    this.#all.get(key)?.deadline.clear()
    if (expiry === undefined) {
      this.#remove(key)
      return undefined
    }
    const refusal = this.#broker.putState(key, present)
    if (refusal !== undefined) return refusal
    this.#all.set(key, new Expiring(this, this.#broker, clientId, name, expiry.timeout * 1000))
    return undefined
  }

  /** Its link is gone, and not for good. `scope`: the session or connection that its policy names. */
  detached(clientId: string | undefined, name: string, scope: object | undefined): void {
    const expiring = this.#all.get(keyOf(clientId, name))
    if (expiring === undefined) return
    expiring.scope = scope
    if (scope === undefined) this.#start(expiring)
  }

  /** A session or connection is over. */
  ended(scope: object): void {
    for (const expiring of this.#all.values()) {
      if (expiring.scope !== scope) continue
      expiring.scope = undefined
      this.#start(expiring)
    }
  }

  /** Its client has deleted it. */
  forget(clientId: string | undefined, name: string): void {
    const key = keyOf(clientId, name)
    this.#all.get(key)?.deadline.clear()
    this.#remove(key)
  }

  expire({ clientId, name }: Expiring): void {
    this.#remove(keyOf(clientId, name))
    this.#broker.deleteSubscription(clientId, name)
  }

  #start(expiring: Expiring): void {
    expiring.deadline.set(this.#broker.clock.now() + expiring.timeoutMs)
  }

  #remove(key: string): void {
    if (this.#all.delete(key)) this.#broker.putState(key, undefined)
  }
}

function keyOf(clientId: string | undefined, name: string): string {
  return keyPrefix + JSON.stringify([clientId ?? null, name])
}
