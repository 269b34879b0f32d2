import { Address, type AddressKind, covers, temporaryPrefix } from '../address.ts'
import { BrokerError } from '../errors.ts'
import type { Context } from './context.ts'
import { Deadline } from './deadlines.ts'
import type { Policies } from './policy.ts'
import { Queue } from './queue.ts'
import type { Retained } from './retained.ts'
import type { BrokerSession } from './session.ts'
import { type Binding, type Bindings, Topic } from './topic.ts'
import { TopicTrie } from './topic-trie.ts'

export type Destination = Queue | Topic

/** Consumers of every queue that a pattern covers, those to come included. */
export interface QueuePattern {
  readonly levels: readonly string[]
  attach(queue: Queue): void
}

/** Unused destinations are looked for this often. */
const idleSweepMs = 5_000

interface IdleMark {
  readonly since: number
  readonly activity: number
}

/** Where an address leads: makes destinations on first use and takes idle ones away again. */
export class Router {
  readonly bindings: Bindings & { readonly trie: TopicTrie<Binding>; version: number }
  readonly patterns: Set<QueuePattern>
  readonly #context: Context
  readonly #policies: Policies
  readonly #retained: Retained
  readonly #queues: Map<string, Queue>
  readonly #topics: Map<string, Topic>
  /** Who may consume from a temporary destination. */
  readonly #owners: Map<Destination, BrokerSession>
  readonly #idle: Map<Destination, IdleMark>
  readonly #sweep: Deadline

  constructor(context: Context, policies: Policies, retained: Retained) {
    this.bindings = { trie: new TopicTrie<Binding>(), version: 0, tooSlow }
    this.patterns = new Set()
    this.#context = context
    this.#policies = policies
    this.#retained = retained
    this.#queues = new Map()
    this.#topics = new Map()
    this.#owners = new Map()
    this.#idle = new Map()
    this.#sweep = new Deadline(context.deadlines, this)
    this.#sweep.set(context.clock.now() + idleSweepMs)
  }

  get queues(): Iterable<Queue> {
    return this.#queues.values()
  }

  get topics(): Iterable<Topic> {
    return this.#topics.values()
  }

  /** The destination of a send, made now if the policy lets it be made. */
  destination(address: Address): Destination | BrokerError {
    const found = this.existing(address)
    if (found !== undefined) return found
    const refusal = this.#refusal(address)
    if (refusal !== undefined) return refusal
    return address.kind === 'queue' ? this.queue(address) : this.topic(address)
  }

  existing(address: Address): Destination | undefined {
    return address.kind === 'queue' ? this.#queues.get(address.name) : this.#topics.get(address.name)
  }

  /** The queue of that name, made now if need be: asked for by the broker itself, whatever the policy says. */
  queue(address: Address): Queue {
    const found = this.#queues.get(address.name)
    if (found !== undefined) return found
    const policy = this.#policies.of(address)
    const isKept = !address.isTemporary && policy.persistent !== 'never'
    const spec = isKept ? ({ kind: 'queue', name: address.name, settings: {} } as const) : undefined
    const queue = new Queue(this.#context, { address, policy, spec, isShared: true, subscription: undefined })
    this.#queues.set(address.name, queue)
    for (const pattern of this.patterns) if (covers(pattern.levels, address.levels)) pattern.attach(queue)
    return queue
  }

  /** As {@link queue}, for a name that the store has kept. */
  queueOfName(name: string): Queue | undefined {
    const address = Address.of('queue', name)
    return address instanceof BrokerError ? undefined : this.queue(address)
  }

  topic(address: Address): Topic {
    const found = this.#topics.get(address.name)
    if (found !== undefined) return found
    const topic = new Topic(address, this.#policies.of(address), this.bindings, this.#retained)
    this.#topics.set(address.name, topic)
    return topic
  }

  /** Makes a destination of which only the session may consume. */
  createTemporary(owner: BrokerSession, kind: AddressKind, id: string): Address {
    const address = Address.must(kind, temporaryPrefix + id)
    const destination = kind === 'queue' ? this.queue(address) : this.topic(address)
    this.#owners.set(destination, owner)
    return address
  }

  /** True if the session may consume from the address; a temporary one belongs to the session that made it. */
  mayConsume(session: BrokerSession, address: Address): boolean {
    if (!address.isTemporary) return true
    const destination = this.existing(address)
    return destination !== undefined && this.#owners.get(destination) === session
  }

  /** Removes a destination with all it holds. Its consumers are ended. */
  deleteDestination(address: Address): boolean {
    const destination = this.existing(address)
    if (destination === undefined) return false
    if (destination instanceof Queue) {
      this.#queues.delete(address.name)
      destination.end(new BrokerError('deleted', `${address} has been deleted`))
    } else {
      this.#topics.delete(address.name)
      destination.isDeleted = true
    }
    this.#owners.delete(destination)
    this.#idle.delete(destination)
    return true
  }

  bind(binding: Binding): void {
    this.bindings.trie.add(binding.filter.levels, binding)
    this.bindings.version += 1
  }

  unbind(binding: Binding): void {
    this.bindings.trie.remove(binding.filter.levels, binding)
    this.bindings.version += 1
  }

  /** Called by the deadlines: deletes what has been empty and unused for longer than its policy allows. */
  due(now: number): void {
    for (const queue of this.#queues.values()) this.#consider(queue, queue.counters.enqueued, now)
    for (const topic of this.#topics.values()) this.#consider(topic, topic.publishedCount, now)
    this.#sweep.set(now + idleSweepMs)
  }

  #consider(destination: Destination, activity: number, now: number): void {
    const { idleMsMax } = destination.policy
    if (idleMsMax === Number.POSITIVE_INFINITY || this.#owners.has(destination)) return
    if (!destination.isIdle) {
      this.#idle.delete(destination)
      return
    }
    const mark = this.#idle.get(destination)
    if (mark === undefined || mark.activity !== activity) this.#idle.set(destination, { since: now, activity })
    else if (now - mark.since >= idleMsMax) this.deleteDestination(destination.address)
  }

  #refusal(address: Address): BrokerError | undefined {
    if (address.isPattern)
      return new BrokerError('invalid-destination', `${address} is a pattern; a message needs one destination`)
    if (address.isTemporary) return new BrokerError('not-found', `${address} does not exist any more`)
    const { destinationsMax } = this.#context.limits
    if (this.#queues.size + this.#topics.size >= destinationsMax) {
      return new BrokerError('limit-exceeded', `more than ${destinationsMax} destinations`)
    }
    if (this.#policies.of(address).autoCreate) return undefined
    return new BrokerError('not-found', `${address} does not exist, and its policy forbids creating it on first use`)
  }
}

function tooSlow(binding: Binding): BrokerError {
  const { count } = binding.queue
  return new BrokerError('slow-consumer', `the subscription to ${binding.filter} is too slow: ${count} messages wait`)
}
