import {
  type Address,
  accepted,
  type BrokerError,
  type Consumer,
  covers,
  type Delivery,
  type Message,
  released,
  SmallMap,
  type Subscription,
} from '../../src/core.ts'
import { publishedQos } from './content.ts'

/** What a SUBSCRIBE says of one filter (3.8.3.1), and what the session has made of it. */
export interface MqttFilter {
  /** As the client wrote it. */
  readonly text: string
  readonly address: Address
  readonly group: string | undefined
  readonly qos: number
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  /** Subscription identifier; 0: none. */
  readonly id: number
  readonly selector: string | undefined
}

/** What the matching filters of a session make of a message. */
export interface Grant {
  readonly qos: number
  readonly retainAsPublished: boolean
  readonly ids: readonly number[]
}

/** What a lane needs of its session. */
export interface LaneHost {
  readonly clientId: string
  /** Sends a message of QoS 0. */
  sendNow(message: Message, flags: number, grant: Grant): void
  /** Sends a message of QoS 1 or 2, when the client's window has room. */
  sendSurely(lane: Lane, delivery: Delivery): void
  /** True if the client may have it from an earlier connection and has not acknowledged it. */
  isUnderWay(lane: Lane, delivery: Delivery): boolean
  laneEnded(lane: Lane, error: BrokerError | undefined): void
}

/** How the filters of a lane share its messages. */
export type LaneKind =
  /** Filters of QoS 0: handed over and forgotten. */
  | 'live'
  /** Filters of QoS 1 and 2: collected for the session. */
  | 'held'
  /** One filter with a selector, a `$share` group or a queue. */
  | 'selected'
  | 'shared'
  | 'queue'

const noIds: readonly number[] = []

/** Of a message under way for a filter that has been given up. */
export const lastGrant: Grant = { qos: 2, retainAsPublished: false, ids: noIds }

/** Credit of a lane whose messages need no acknowledgement: what the peer has not read is bounded by the wire. */
const endlessCredit = 2 ** 30
const grantsKept = 1024
const retainFlag = 1
/** In the first byte of a PUBLISH that the client may have had before. */
export const dupFlag = 8

/**
 * One subscription of the core on behalf of one or several filters. A message that several filters of a lane cover comes once,
 * with the highest QoS and all identifiers of theirs [MQTT-3.3.4-2], [MQTT-3.3.4-3].
 */
export class Lane implements Consumer {
  readonly name: string
  readonly kind: LaneKind
  readonly isPresettled: boolean
  /** True if what it collects outlives the connection. */
  readonly isDurable: boolean
  subscription: Subscription | undefined
  readonly #host: LaneHost
  readonly #filters: SmallMap<string, MqttFilter>
  #only: Grant | undefined
  #hasNoLocal: boolean
  #grants: Map<string, Grant> | undefined

  constructor(host: LaneHost, name: string, kind: LaneKind, how: { isPresettled: boolean; isDurable: boolean }) {
    this.name = name
    this.kind = kind
    this.isPresettled = how.isPresettled
    this.isDurable = how.isDurable
    this.subscription = undefined
    this.#host = host
    this.#filters = new SmallMap()
    this.#only = undefined
    this.#hasNoLocal = false
    this.#grants = undefined
  }

  /** True if what the client leaves goes to others. */
  get isCompeting(): boolean {
    return this.kind === 'queue' || this.kind === 'shared'
  }

  get isEmpty(): boolean {
    return this.#filters.size === 0
  }

  /** Adds a filter or replaces the one of the same text. */
  add(filter: MqttFilter): void {
    this.#filters.set(filter.text, filter)
    this.#changed()
  }

  remove(text: string): void {
    this.#filters.delete(text)
    this.#changed()
  }

  /** Lets messages come: as many as the client's window holds, or any number. */
  open(window: number): void {
    const { subscription } = this
    if (subscription === undefined || subscription.credit > 0 || subscription.unsettledCount > 0) return
    subscription.addCredit(this.isPresettled ? endlessCredit : window)
  }

  deliver(delivery: Delivery): void {
    const { message } = delivery
    const grant = this.grantOf(message)
    if (grant === undefined) {
      // Its filter has been given up: what had not left yet need not come [MQTT-3.10.4-2], the rest must [MQTT-3.10.4-3].
      if (this.#host.isUnderWay(this, delivery)) this.#host.sendSurely(this, delivery)
      else this.done(delivery)
      return
    }
    if (this.qosOf(message, grant) > 0) {
      this.#host.sendSurely(this, delivery)
      return
    }
    this.#host.sendNow(message, retainBit(delivery, grant), grant)
    this.done(delivery)
  }

  ended(error?: BrokerError): void {
    this.#host.laneEnded(this, error)
  }

  /** A delivery is over and accepted: the next may come. */
  done(delivery: Delivery): void {
    const { subscription } = this
    if (subscription === undefined) return
    if (this.isPresettled) {
      if (subscription.credit < endlessCredit / 2) subscription.addCredit(endlessCredit / 2)
      return
    }
    subscription.settle(delivery, accepted)
    subscription.addCredit(1)
  }

  /** The client need not have it: what becomes of it is up to the core. */
  giveBack(delivery: Delivery): void {
    this.subscription?.settle(delivery, released)
    this.subscription?.addCredit(1)
  }

  /** A delivery is over and given up. */
  refuse(delivery: Delivery, reason: string): void {
    this.subscription?.settle(delivery, { kind: 'rejected', reason })
    this.subscription?.addCredit(1)
  }

  /** What the filters make of a message; undefined if none covers it any more. */
  grantOf(message: Message): Grant | undefined {
    if (this.#only !== undefined) return this.#only
    const isOwn = this.#hasNoLocal && message.source.clientId === this.#host.clientId
    if (isOwn) return this.#collect(message, true)
    const { name } = message.address
    const found = this.#grants?.get(name)
    if (found !== undefined) return found
    const grant = this.#collect(message, false)
    this.#grants ??= new Map()
    if (this.#grants.size >= grantsKept) this.#grants.clear()
    if (grant !== undefined) this.#grants.set(name, grant)
    return grant
  }

  /** A queue's messages come with the QoS of its consumer; a topic's with no higher one than their own [MQTT-3.8.4-8]. */
  qosOf(message: Message, grant: Grant): number {
    return this.kind === 'queue' ? grant.qos : Math.min(grant.qos, publishedQos(message))
  }

  /** The flags of a PUBLISH: [MQTT-3.3.1-1] DUP, [MQTT-3.3.1-8] and [MQTT-3.3.1-12] RETAIN. */
  flagsOf(delivery: Delivery, grant: Grant, qos: number): number {
    return retainBit(delivery, grant) | (qos << 1) | (delivery.redelivered ? dupFlag : 0)
  }

  #collect(message: Message, isOwn: boolean): Grant | undefined {
    const { levels } = message.address
    const matching = [...this.#filters.values()].filter(
      ({ address, noLocal }) => !(isOwn && noLocal) && covers(address.levels, levels),
    )
    return matching.length === 0 ? undefined : merged(matching)
  }

  #changed(): void {
    this.#grants = undefined
    const filters = [...this.#filters.values()]
    this.#hasNoLocal = filters.some(({ noLocal }) => noLocal)
    const [first] = filters
    this.#only = filters.length === 1 && first !== undefined ? merged([first]) : undefined
  }
}

function retainBit(delivery: Delivery, grant: Grant): number {
  return delivery.isRetained || (grant.retainAsPublished && delivery.message.retain) ? retainFlag : 0
}

function merged(filters: readonly MqttFilter[]): Grant {
  return {
    qos: Math.max(...filters.map(({ qos }) => qos)),
    retainAsPublished: filters.some(({ retainAsPublished }) => retainAsPublished),
    ids: filters.every(({ id }) => id === 0) ? noIds : filters.flatMap(({ id }) => (id > 0 ? [id] : [])),
  }
}
