import { type Broker, BrokerError, type Session, SmallMap } from '../../src/core.ts'
import { sizeFault } from './connect.ts'
import type { SessionKeys } from './keys.ts'
import { Lane, type LaneHost, type LaneKind, type MqttFilter } from './lane.ts'
import type { MqttOptions } from './limits.ts'
import { type MqttFault, protocolError, Reason } from './packet.ts'
import { subscribeReason } from './reasons.ts'
import { type Filter, readFilter } from './topics.ts'

/** One topic filter of a SUBSCRIBE with its options (3.8.3). */
export interface FilterOptions {
  readonly text: string
  readonly qos: number
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  /** 0: send retained messages, 1: if the subscription is new, 2: never. */
  readonly retainHandling: number
  readonly id: number
  readonly selector: string | undefined
}

/** What several sessions share: how many of them use each shared subscription. */
export class Shares {
  readonly #broker: Broker
  readonly #counts: Map<string, number>

  constructor(broker: Broker) {
    this.#broker = broker
    this.#counts = new Map()
  }

  join(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }

  /** The last one to leave takes the subscription with it. */
  leave(name: string): void {
    const left = (this.#counts.get(name) ?? 1) - 1
    if (left > 0) this.#counts.set(name, left)
    else {
      this.#counts.delete(name)
      this.#broker.deleteSubscription(undefined, name)
    }
  }

  /** Removes what sessions that were not kept have left behind. */
  sweep(): void {
    for (const { name } of this.#broker.subscriptionsOf(undefined)) {
      if (name.startsWith(sharedPrefix) && !this.#counts.has(name)) this.#broker.deleteSubscription(undefined, name)
    }
  }
}

interface Held {
  readonly filter: MqttFilter
  readonly lane: Lane | undefined
  /** Under which the store keeps it; 0: it does not. */
  readonly number: number
}

const sharedPrefix = 'mqtt-share/'
const heldName = 'mqtt'
const selectedPrefix = 'mqtt-selected/'
const retainedOf = ['send', 'if-new', 'none'] as const

/** The subscriptions of one session. They outlive the connection if the session does. */
export class Filters {
  readonly #host: LaneHost
  readonly #keys: SessionKeys
  readonly #options: MqttOptions
  readonly #shares: Shares
  readonly #held: SmallMap<string, Held>
  readonly #lanes: SmallMap<string, Lane>
  #lastNumber: number

  constructor(host: LaneHost, keys: SessionKeys, options: MqttOptions, shares: Shares) {
    this.#host = host
    this.#keys = keys
    this.#options = options
    this.#shares = shares
    this.#held = new SmallMap()
    this.#lanes = new SmallMap()
    this.#lastNumber = 0
  }

  get count(): number {
    return this.#held.size
  }

  /** Takes in what the store has kept of a subscription. */
  restore(number: number, value: Uint8Array): void {
    const stored = JSON.parse(Buffer.from(value).toString()) as StoredFilter
    const read = readFilter(stored.text)
    if (read instanceof BrokerError) return
    const filter = filterOf(stored, read)
    this.#set({ filter, lane: undefined, number })
    this.#lastNumber = Math.max(this.#lastNumber, number)
    if (filter.group !== undefined) this.#shares.join(nameOf(filter, 'shared'))
  }

  /** The connection is there: what the session has subscribed to comes to it again. */
  attach(session: Session): void {
    for (const held of this.#held.values()) {
      const lane = this.#put(held.filter, session, true, 'none')
      this.#set({ ...held, lane: lane instanceof BrokerError ? undefined : lane })
    }
    this.#attachRest(session)
  }

  /** What is under way for filters that have been given up. */
  #attachRest(session: Session): void {
    const held = session.findSubscription(heldName)
    if (held === undefined || this.#lanes.has(heldName)) return
    const lane = new Lane(this.#host, heldName, 'held', { isPresettled: false, isDurable: true })
    const { address } = held
    const subscription = session.subscribe({
      address,
      consumer: lane,
      presettled: false,
      name: heldName,
      durable: true,
      retained: 'none',
    })
    if (subscription instanceof BrokerError) return
    lane.subscription = subscription
    this.#lanes.set(heldName, lane)
  }

  /** The connection has gone, and with it the core's session. */
  detach(): void {
    this.#lanes.clear()
    for (const held of this.#held.values()) this.#set({ ...held, lane: undefined })
  }

  /** Lets messages come to all subscriptions. */
  open(window: number): void {
    for (const lane of this.#lanes.values()) lane.open(window)
  }

  /**
   * Subscribes to one filter, or changes that subscription [MQTT-3.8.4-3]. Returns its reason code, or what is so wrong that the
   * connection ends. `isDurable`: it outlives the connection.
   */
  subscribe(options: FilterOptions, session: Session, isDurable: boolean): number | MqttFault {
    const read = this.#read(options)
    if (typeof read === 'number') return read
    if (read.group !== undefined && options.noLocal) {
      return protocolError(`no local for the shared subscription "${options.text}" [MQTT-3.8.3-4]`)
    }
    const before = this.#held.get(options.text)
    if (before === undefined && this.count >= this.#options.subscriptionsMax) return Reason.quotaExceeded
    const filter = filterOf(options, read)
    const isSameLane = before?.lane !== undefined && isSame(before, filter)
    if (before !== undefined && !isSameLane) this.#leave(before, session)
    const handling = retainedOf[options.retainHandling] ?? 'none'
    const retained = before !== undefined && handling === 'if-new' ? 'none' : handling
    const lane = this.#put(filter, session, isDurable, retained)
    if (lane instanceof BrokerError) {
      if (before !== undefined) this.#forget(before, session)
      return subscribeReason(lane)
    }
    const number = isDurable ? before?.number || this.#lastNumber + 1 : 0
    this.#lastNumber = Math.max(this.#lastNumber, number)
    if (number > 0) session.putState(this.#keys.filter(number), Buffer.from(JSON.stringify(storedOf(filter))))
    this.#set({ filter, lane, number })
    if (filter.group !== undefined && !isSameLane) this.#shares.join(lane.name)
    return filter.qos
  }

  /** Returns the reason code of an UNSUBACK. */
  unsubscribe(text: string, session: Session): number {
    const read = readFilter(text)
    const held = this.#held.get(text)
    if (read instanceof BrokerError) return Reason.topicFilterInvalid
    if (held === undefined) return Reason.noSubscriptionExisted
    this.#leave(held, session)
    this.#forget(held, session)
    return Reason.success
  }

  /** The broker has ended a lane: its filters are gone. */
  ended(lane: Lane): void {
    this.#lanes.delete(lane.name)
    for (const held of [...this.#held.values()]) if (held.lane === lane) this.#held.delete(held.filter.text)
  }

  /** The session ends: forgets everything, in the store too. The core's session has ended before. */
  discard(broker: Broker): void {
    for (const { filter, number } of this.#held.values()) {
      if (number > 0) broker.putState(this.#keys.filter(number), undefined)
      if (filter.group !== undefined) this.#shares.leave(nameOf(filter, 'shared'))
    }
    for (const { name } of broker.subscriptionsOf(this.#host.clientId)) {
      if (name === heldName || name.startsWith(selectedPrefix)) broker.deleteSubscription(this.#host.clientId, name)
    }
    this.#held.clear()
    this.#lanes.clear()
  }

  #read(options: FilterOptions): Filter | number {
    const { explainsRefusedFilters, limits, refusedFilters } = this.#options
    const read = readFilter(options.text)
    if (read instanceof BrokerError || sizeFault(options.text, limits) !== undefined) return Reason.topicFilterInvalid
    if (!refusedFilters.includes(options.text)) return read
    return explainsRefusedFilters ? Reason.notAuthorized : Reason.unspecified
  }

  /** Puts a filter into its lane, which is made if need be. */
  #put(
    filter: MqttFilter,
    session: Session,
    isDurable: boolean,
    retained: 'send' | 'if-new' | 'none',
  ): Lane | BrokerError {
    const kind = kindOf(filter)
    const name = nameOf(filter, kind)
    const found = this.#lanes.get(name)
    if (found !== undefined) return this.#join(found, filter, retained)
    const lane = this.#makeLane(name, kind, filter, isDurable)
    const held = lane.isDurable && kind !== 'shared' ? session.findSubscription(name) : undefined
    const subscription = session.subscribe({
      address: held?.address ?? filter.address,
      consumer: lane,
      presettled: lane.isPresettled,
      selector: filter.selector,
      noLocal: kind === 'selected' && filter.noLocal,
      ...(lane.isDurable || kind === 'shared' ? { name, durable: lane.isDurable } : {}),
      ...(kind === 'shared' ? { shared: true, isGlobal: true } : {}),
      // The filter is covered below, with its own choice.
      retained: kind === 'live' || kind === 'held' || kind === 'shared' ? 'none' : retained,
    })
    if (subscription instanceof BrokerError) return subscription
    lane.subscription = subscription
    this.#lanes.set(name, lane)
    const isNew = held === undefined && retained === 'if-new'
    return this.#join(lane, filter, isNew ? 'send' : retained)
  }

  #join(lane: Lane, filter: MqttFilter, retained: 'send' | 'if-new' | 'none'): Lane | BrokerError {
    lane.add(filter)
    if (lane.kind !== 'live' && lane.kind !== 'held') return lane
    const { address, noLocal } = filter
    const refusal = lane.subscription?.cover({ address, noLocal, retained })
    if (refusal === undefined) return lane
    lane.remove(filter.text)
    return refusal
  }

  #makeLane(name: string, kind: LaneKind, filter: MqttFilter, isDurable: boolean): Lane {
    // A shared subscription is one for sessions that are kept and those that are not.
    const isKept = kind === 'shared' || (isDurable && (kind === 'held' || (kind === 'selected' && filter.qos > 0)))
    return new Lane(this.#host, name, kind, { isPresettled: filter.qos === 0, isDurable: isKept })
  }

  /** Takes a filter out of its lane, which ends with its last one. */
  #leave({ filter, lane }: Held, session: Session): void {
    if (lane === undefined) return
    lane.remove(filter.text)
    // What is under way to the client is still delivered [MQTT-3.10.4-3], over a reconnection too.
    if (!lane.isEmpty || lane.kind === 'held') {
      lane.subscription?.uncover(filter.address)
      return
    }
    this.#lanes.delete(lane.name)
    lane.subscription?.close()
    if (lane.kind === 'shared') this.#shares.leave(lane.name)
    else if (lane.isDurable) session.deleteSubscription(lane.name)
  }

  #forget({ filter, number }: Held, session: Session): void {
    this.#held.delete(filter.text)
    if (number > 0) session.putState(this.#keys.filter(number), undefined)
  }

  #set(held: Held): void {
    this.#held.set(held.filter.text, held)
  }
}

/** What the store keeps of a filter. */
type StoredFilter = Omit<FilterOptions, 'retainHandling'>

/** What one of several consumers has not acknowledged goes to another: QoS 2 cannot be granted to those (4.8.2). */
function filterOf({ id, noLocal, qos, retainAsPublished, selector, text }: StoredFilter, read: Filter): MqttFilter {
  const { address, group } = read
  const isCompeting = group !== undefined || address.kind === 'queue'
  // Each of a session's own: a literal, since what is spread has a shape of its own.
  return { text, address, group, qos: isCompeting ? Math.min(qos, 1) : qos, noLocal, retainAsPublished, id, selector }
}

function storedOf({ id, noLocal, qos, retainAsPublished, selector, text }: MqttFilter): StoredFilter {
  return { text, qos, noLocal, retainAsPublished, id, selector }
}

/** True if the filter can stay in the lane where it is. */
function isSame({ filter, lane }: Held, wanted: MqttFilter): boolean {
  if (lane === undefined || lane.kind !== kindOf(wanted) || filter.selector !== wanted.selector) return false
  return lane.kind === 'live' || lane.kind === 'held' || (filter.qos === 0) === (wanted.qos === 0)
}

function kindOf({ address, group, qos, selector }: MqttFilter): LaneKind {
  if (address.kind === 'queue') return 'queue'
  if (group !== undefined) return 'shared'
  if (selector !== undefined) return 'selected'
  return qos === 0 ? 'live' : 'held'
}

/** The name of a lane within its session, and of its subscription in the core. */
function nameOf({ address, group, text }: MqttFilter, kind: LaneKind): string {
  switch (kind) {
    case 'live':
      return 'mqtt-live'
    case 'held':
      return heldName
    case 'selected':
      return selectedPrefix + text
    case 'queue':
      return `mqtt-queue/${text}`
    case 'shared':
      return `${sharedPrefix}${group}/${address.name}`
    default:
      return kind satisfies never
  }
}
