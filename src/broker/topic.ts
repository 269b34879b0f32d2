import type { Address } from '../address.ts'
import type { BrokerError } from '../errors.ts'
import type { Message, MessageSource } from '../message.ts'
import type { Sender } from './flow.ts'
import type { Policy, SlowConsumer } from './policy.ts'
import type { Queue } from './queue.ts'
import type { Retained } from './retained.ts'
import type { Selector } from './selector/selector.ts'
import type { BrokerSubscription } from './subscription.ts'
import type { TopicTrie } from './topic-trie.ts'

/** One subscription's claim on the topics that its filter covers: where their messages go. */
export interface Binding {
  readonly filter: Address
  readonly queue: Queue
  readonly selector: Selector | undefined
  /** Whose messages are left out. */
  readonly noLocal: MessageSource | undefined
  /** What happens when a non-durable subscriber has too much waiting; undefined: the queue's own policy decides. */
  readonly slow: SlowConsumer | undefined
  /** Of a non-durable subscription: ended if it is too slow, and the policy says so. */
  readonly subscriber: BrokerSubscription | undefined
}

/** All claims on topics, and a count of their changes, by which topics know that what they remember is stale. */
export interface Bindings {
  readonly trie: TopicTrie<Binding>
  readonly version: number
  tooSlow(binding: Binding): BrokerError
}

/** What a topic gives a message to: a subscription, by one of its claims or by several. */
interface Place {
  readonly binding: Binding
  /** Further claims on the same queue. */
  readonly others: readonly Binding[] | undefined
}

/** A named topic: hands each message to every subscription that covers it. */
export class Topic {
  readonly address: Address
  readonly policy: Policy
  isDeleted: boolean
  /** Messages published since it was made. */
  publishedCount: number
  /** True if the last message put there was for no subscription. */
  wentNowhere: boolean
  readonly #bindings: Bindings
  readonly #retained: Retained
  #matching: readonly Place[]
  #version: number

  constructor(address: Address, policy: Policy, bindings: Bindings, retained: Retained) {
    this.address = address
    this.policy = policy
    this.isDeleted = false
    this.publishedCount = 0
    this.wentNowhere = false
    this.#bindings = bindings
    this.#retained = retained
    this.#matching = noPlaces
    this.#version = -1
  }

  /** The subscriptions that cover it now. */
  get #places(): readonly Place[] {
    if (this.#version !== this.#bindings.version) {
      this.#matching = placesOf(this.#bindings.trie.covering(this.address.levels))
      this.#version = this.#bindings.version
    }
    return this.#matching
  }

  /** The subscriptions that cover it now, each by one of its claims. */
  get bindings(): readonly Binding[] {
    return this.#places.map(({ binding }) => binding)
  }

  get isIdle(): boolean {
    return !this.#bindings.trie.isCovered(this.address.levels)
  }

  /** The strictest answer of the durable subscriptions; a non-durable one never holds up a publisher. */
  admit(): 'take' | 'hold' | BrokerError {
    let verdict: 'take' | 'hold' = 'take'
    for (const { binding } of this.#places) {
      if (binding.slow !== undefined) continue
      const answer = binding.queue.admit()
      if (answer === 'hold') verdict = 'hold'
      else if (answer !== 'take') return answer
    }
    return verdict
  }

  /** Holds the sender at every durable subscription that is full. */
  hold(sender: Sender): void {
    for (const { binding } of this.#places) if (binding.slow === undefined) binding.queue.hold(sender)
  }

  reserve(message: Message): void {
    for (const place of this.#places) if (isForPlace(place, message)) place.binding.queue.reserve(message)
  }

  unreserve(message: Message): void {
    for (const place of this.#places) if (isForPlace(place, message)) place.binding.queue.unreserve(message)
  }

  /** Gives the message to every subscription it is for. True if the store will hold it. */
  put(message: Message): boolean {
    this.publishedCount += 1
    let isStored = message.retain && this.#retained.keep(message, this.policy.persistent)
    let wentNowhere = true
    for (const place of this.#places) {
      if (!isForPlace(place, message)) continue
      wentNowhere = false
      const { binding } = place
      if (binding.queue.handOver(message)) continue
      if (binding.slow !== undefined && this.#isDropped(binding)) continue
      if (binding.queue.put(message)) isStored = true
    }
    this.wentNowhere = wentNowhere
    return isStored
  }

  #isDropped(binding: Binding): boolean {
    const { queue, slow } = binding
    const waiting = queue.count - queue.unsettledCount
    if (waiting < queue.policy.messagesMax && queue.bytes < queue.policy.bytesMax) return false
    if (slow === 'drop-oldest') return false
    queue.counters.dropped += 1
    if (slow === 'disconnect') binding.subscriber?.end(this.#bindings.tooSlow(binding))
    return true
  }
}

const noPlaces: readonly Place[] = []

/** Claims on one queue are one place: it gets a message once. */
function placesOf(bindings: readonly Binding[]): readonly Place[] {
  const [only] = bindings
  if (only === undefined) return noPlaces
  if (bindings.length === 1) return [{ binding: only, others: undefined }]
  const byQueue = new Map<Queue, Binding[]>()
  for (const binding of bindings) {
    const same = byQueue.get(binding.queue)
    if (same === undefined) byQueue.set(binding.queue, [binding])
    else same.push(binding)
  }
  const places: Place[] = []
  for (const [binding, ...others] of byQueue.values()) {
    if (binding !== undefined) places.push({ binding, others: others.length > 0 ? others : undefined })
  }
  return places
}

function isForPlace({ binding, others }: Place, message: Message): boolean {
  return isFor(binding, message) || (others?.some((other) => isFor(other, message)) ?? false)
}

/** True if the message passes the subscription's selector and was not sent by its own client. */
export function isFor(binding: Binding, message: Message): boolean {
  const { noLocal, selector } = binding
  if (noLocal !== undefined && isOwn(noLocal, message.source)) return false
  return selector === undefined || selector.matches(message)
}

function isOwn(mine: MessageSource, source: MessageSource): boolean {
  return mine === source || (mine.clientId !== undefined && mine.clientId === source.clientId)
}
