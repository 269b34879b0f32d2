import { type Address, type AddressKind, covers } from '../address.ts'

/** What a full destination does with one more message. */
export type Overflow = 'block' | 'reject' | 'drop-oldest'
/** What a topic does when a non-durable subscriber's buffer is full. */
export type SlowConsumer = 'drop-oldest' | 'drop-newest' | 'disconnect'

/** How one destination behaves. The settings of all patterns that cover it are merged in order. */
export interface Policy {
  /** Deliveries of one message before it is dead-lettered. */
  readonly deliveriesMax: number
  /** Delay before the first redelivery, in milliseconds. */
  readonly redeliveryDelayMs: number
  /** Factor by which each further delay grows; 1: constant. */
  readonly redeliveryBackoff: number
  readonly redeliveryDelayMsMax: number
  /** Where rejected and too often delivered messages go: `DLQ.<name>`, or nowhere. */
  readonly deadLetter: 'queue' | 'drop'
  /** Where expired messages go: `ExpiryQueue.<name>`, or nowhere. */
  readonly expired: 'queue' | 'drop'
  readonly messagesMax: number
  readonly bytesMax: number
  readonly overflow: Overflow
  /** Messages a non-durable topic subscriber may have waiting. */
  readonly subscriberMessagesMax: number
  readonly subscriberBytesMax: number
  readonly slowConsumer: SlowConsumer
  /** Empty and unused for this long, the destination is deleted; Infinity: never. */
  readonly idleMsMax: number
  /** False: a send or subscription to a destination that does not exist is refused. */
  readonly autoCreate: boolean
  /** Whether messages are kept on disk: `as-sent` follows each message. */
  readonly persistent: 'always' | 'as-sent' | 'never'
}

export const defaultQueuePolicy: Policy = {
  deliveriesMax: 10,
  redeliveryDelayMs: 0,
  redeliveryBackoff: 1,
  redeliveryDelayMsMax: 3_600_000,
  deadLetter: 'queue',
  expired: 'drop',
  messagesMax: Number.POSITIVE_INFINITY,
  bytesMax: Number.POSITIVE_INFINITY,
  overflow: 'block',
  subscriberMessagesMax: 10_000,
  subscriberBytesMax: 64 * 1024 * 1024,
  slowConsumer: 'drop-oldest',
  idleMsMax: Number.POSITIVE_INFINITY,
  autoCreate: true,
  persistent: 'as-sent',
}

/** Topics come and go with their users. */
export const defaultTopicPolicy: Policy = { ...defaultQueuePolicy, idleMsMax: 60_000 }

/** Settings for the destinations that `match` covers. */
export interface PolicyRule {
  readonly match: Address
  readonly set: Partial<Policy>
}

/** Finds the policy of a destination: the defaults, overlaid by each rule that covers it, in the order of the rules. */
export class Policies {
  readonly #rules: readonly PolicyRule[]
  /** Each policy once, however many destinations have it: by kind and the numbers of its rules. */
  readonly #made: Map<string, Policy>
  readonly #ofSubscribers: Map<Policy, Policy>

  constructor(rules: readonly PolicyRule[]) {
    this.#rules = rules
    this.#made = new Map()
    this.#ofSubscribers = new Map()
  }

  of(address: Address): Policy {
    if (this.#rules.length === 0) return defaultOf(address.kind)
    let key = ''
    for (const [number, { match }] of this.#rules.entries()) {
      if (match.kind === address.kind && covers(match.levels, address.levels)) key += ` ${number}`
    }
    return key === '' ? defaultOf(address.kind) : this.#merged(address.kind, key)
  }

  /** What the policy of the topics that it covers means for the queue of one non-durable subscriber. */
  ofSubscriber(address: Address): Policy {
    const policy = this.of(address)
    const found = this.#ofSubscribers.get(policy)
    if (found !== undefined) return found
    const made: Policy = {
      ...policy,
      messagesMax: policy.subscriberMessagesMax,
      bytesMax: policy.subscriberBytesMax,
      overflow: policy.slowConsumer === 'drop-oldest' ? 'drop-oldest' : 'block',
      persistent: 'never',
    }
    this.#ofSubscribers.set(policy, made)
    return made
  }

  #merged(kind: AddressKind, numbers: string): Policy {
    const key = kind + numbers
    const found = this.#made.get(key)
    if (found !== undefined) return found
    const rules = numbers.trim().split(' ')
    const made: Policy = Object.assign({}, defaultOf(kind), ...rules.map((number) => this.#rules[Number(number)]?.set))
    this.#made.set(key, made)
    return made
  }
}

function defaultOf(kind: AddressKind): Policy {
  return kind === 'queue' ? defaultQueuePolicy : defaultTopicPolicy
}

/** Milliseconds that a message waits before it is delivered again, after so many failed deliveries. */
export function redeliveryDelay(policy: Policy, failures: number): number {
  const { redeliveryDelayMs, redeliveryBackoff, redeliveryDelayMsMax } = policy
  return Math.min(redeliveryDelayMs * redeliveryBackoff ** (failures - 1), redeliveryDelayMsMax)
}
