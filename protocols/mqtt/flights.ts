import type { Broker, Delivery, Session } from '../../src/core.ts'
import type { Attachment } from './attachment.ts'
import { writeAck } from './encoder.ts'
import type { SessionKeys } from './keys.ts'
import { dupFlag, type Grant, type Lane, lastGrant } from './lane.ts'
import { PacketType, Reason } from './packet.ts'

/** Where an exchange with the client is (4.3): PUBLISH sent and PUBACK or PUBREC awaited, or PUBREL sent and PUBCOMP awaited. */
const Phase = { published: 1, published2: 2, released: 3 } as const

interface Flight {
  readonly id: number
  readonly lane: Lane | undefined
  readonly delivery: Delivery | undefined
  phase: (typeof Phase)[keyof typeof Phase]
  /** True if the store has the packet id. */
  readonly isKept: boolean
}

/** A packet id whose delivery is to come again, and the QoS with which it was sent. */
interface Reserved {
  readonly id: number
  readonly qos: number
  readonly isKept: boolean
}

const idMax = 65_535
const slotsMin = 16

/**
 * Messages of QoS 1 and 2 on their way to one client. Packet ids count from 1 in each session; the last bits of one say in which
 * slot its flight is, and an id whose slot is taken is left out. What a client that went away had not acknowledged keeps its id and
 * does not expire any more [MQTT-4.4.0-1], [MQTT-4.3.3-7]. That outlives the broker too: ids of QoS 2 are in the store before they
 * leave, those of QoS 1 whose messages can expire go there as they leave.
 */
export class Flights {
  readonly #keys: SessionKeys
  readonly #broker: Broker
  #attached: Attachment | undefined
  #slots: (Flight | undefined)[]
  #count: number
  #lastId: number
  /** Deliveries for which the window has no room. */
  #waiting: { readonly lane: Lane; readonly delivery: Delivery }[]
  #waitingHead: number
  /** Those of deliveries that were on their way when the connection ended, by lane and sequence. */
  #resend: Map<string, Reserved> | undefined
  /** Their ids. */
  #reserved: Set<number> | undefined

  constructor(keys: SessionKeys, broker: Broker) {
    this.#keys = keys
    this.#broker = broker
    this.#attached = undefined
    this.#slots = []
    this.#count = 0
    this.#lastId = 0
    this.#waiting = []
    this.#waitingHead = 0
    this.#resend = undefined
    this.#reserved = undefined
  }

  /** The client is there: it is told again what it was told before [MQTT-4.4.0-1]. */
  attach(attached: Attachment): void {
    this.#attached = attached
    const released = this.#slots.filter((flight) => flight?.phase === Phase.released)
    for (const flight of released) if (flight !== undefined) this.#release(flight.id, attached)
  }

  /** The client has gone: what it has not acknowledged is about to go back to the core, and keeps its id. */
  detach(): void {
    this.#attached = undefined
    this.#waiting = []
    this.#waitingHead = 0
    for (const flight of this.#slots) {
      if (flight?.lane === undefined || flight.delivery === undefined || flight.phase === Phase.released) continue
      this.#free(flight)
      if (flight.lane.isCompeting) continue
      const { delivery, id, isKept, lane, phase } = flight
      this.#reserve(placeOf(lane, delivery), { id, qos: phase === Phase.published ? 1 : 2, isKept })
      if (delivery.message.expiresAt > 0) this.#broker.keepBegun(this.#keys.clientId, lane.name, delivery.sequence)
    }
  }

  /** Takes in what the store has kept of a packet id. */
  restore(id: number, kept: string): void {
    this.#lastId = Math.max(this.#lastId, id)
    if (kept === receivedMark) {
      this.#put({ id, lane: undefined, delivery: undefined, phase: Phase.released, isKept: true })
      return
    }
    const { qos, sequence, lane, place } = readKept(kept)
    this.#reserve(place, { id, qos, isKept: true })
    this.#broker.keepBegun(this.#keys.clientId, lane, sequence)
  }

  /** Nothing waits for the client: ids that were kept for what has been purged meanwhile are free again. */
  forgetReserved(session: Session): void {
    for (const id of this.#reserved ?? []) session.putState(this.#keys.sent(id), undefined)
    this.#resend = undefined
    this.#reserved = undefined
  }

  /** Ids in use, for the store to forget. */
  get ids(): readonly number[] {
    const flying = this.#slots.flatMap((flight) => (flight === undefined ? [] : [flight.id]))
    return [...flying, ...(this.#reserved ?? [])]
  }

  /** Sends a message of QoS 1 or 2, or keeps it until there is room. */
  send(lane: Lane, delivery: Delivery): void {
    const attached = this.#attached
    if (attached === undefined) return
    if (this.#count >= attached.window || this.#waiting.length > this.#waitingHead)
      this.#waiting.push({ lane, delivery })
    else this.#start(lane, delivery, attached)
  }

  /** True if the delivery had a packet id when an earlier connection ended. */
  isUnderWay(lane: Lane, delivery: Delivery): boolean {
    return this.#resend?.has(placeOf(lane, delivery)) ?? false
  }

  /** PUBACK. */
  acknowledged(id: number, reason: number): void {
    const flight = this.#find(id)
    if (flight === undefined || flight.phase !== Phase.published) return
    this.#finish(flight, reason)
  }

  /** PUBREC: the client has the message; that is on disk before the PUBREL leaves. */
  received(id: number, reason: number): void {
    const attached = this.#attached
    if (attached === undefined) return
    const flight = this.#find(id)
    if (flight === undefined || flight.phase === Phase.published) {
      if (reason < Reason.unspecified) this.#unknown(id, attached)
      return
    }
    if (reason >= Reason.unspecified) {
      this.#finish(flight, reason)
      return
    }
    const { lane, delivery } = flight
    if (flight.phase === Phase.published2 && lane !== undefined && delivery !== undefined) {
      lane.done(delivery)
      if (flight.isKept) attached.session.putState(this.#keys.sent(id), Buffer.from(receivedMark))
      this.#put({ id, lane: undefined, delivery: undefined, phase: Phase.released, isKept: flight.isKept })
    }
    this.#release(id, attached)
  }

  /** PUBCOMP. */
  completed(id: number): void {
    const flight = this.#find(id)
    if (flight === undefined || flight.phase !== Phase.released) return
    this.#free(flight)
    this.#forgetId(flight)
    this.#pump()
  }

  #unknown(id: number, { link: { output, request } }: Attachment): void {
    writeAck(output, PacketType.pubrel, id, Reason.packetIdNotFound, request.level)
  }

  /** The PUBREL leaves once what the client has received is safe. */
  #release(id: number, { session, syncReplies }: Attachment): void {
    syncReplies.add(session.sync(), PacketType.pubrel, id, Reason.success)
  }

  #start(lane: Lane, delivery: Delivery, { session, syncReplies }: Attachment): void {
    const { message } = delivery
    const known = this.#reserved === undefined ? undefined : this.#claim(lane, delivery)
    if (known !== undefined) {
      this.#resume(lane, delivery, known)
      return
    }
    const grant = lane.grantOf(message)
    const qos = grant === undefined ? 0 : lane.qosOf(message, grant)
    if (grant === undefined || qos === 0) {
      lane.done(delivery)
      return
    }
    if (message.expiresAt > 0 && message.expiresAt <= this.#broker.clock.now()) {
      lane.giveBack(delivery)
      return
    }
    const id = this.#freeId()
    const isKept = this.#keepId(id, qos, lane, delivery, session)
    this.#put({ id, lane, delivery, phase: qos === 1 ? Phase.published : Phase.published2, isKept })
    const flags = lane.flagsOf(delivery, grant, qos)
    if (qos === 2 && isKept) syncReplies.defer(session.sync(), () => this.#write(id, delivery, flags, grant))
    else this.#write(id, delivery, flags, grant)
  }

  /** Sends again what the client may have from an earlier connection. */
  #resume(lane: Lane, delivery: Delivery, { id, qos, isKept }: Reserved): void {
    const grant = lane.grantOf(delivery.message) ?? lastGrant
    this.#put({ id, lane, delivery, phase: qos === 1 ? Phase.published : Phase.published2, isKept })
    this.#write(id, delivery, lane.flagsOf(delivery, grant, qos) | dupFlag, grant)
  }

  /** Has the store keep an id that is to outlive the broker. True if it does. */
  #keepId(id: number, qos: number, lane: Lane, delivery: Delivery, session: Session): boolean {
    if (!lane.isDurable || lane.isCompeting || (qos === 1 && delivery.message.expiresAt === 0)) return false
    const kept = Buffer.from(`${qos}/${placeOf(lane, delivery)}`)
    return session.putState(this.#keys.sent(id), kept) === undefined
  }

  #write(id: number, delivery: Delivery, flags: number, grant: Grant): void {
    const sender = this.#attached?.sender
    const flight = this.#find(id)
    if (sender === undefined || flight?.lane === undefined || flight.delivery !== delivery) return
    if (sender.send(delivery.message, flags, id, grant.ids)) return
    // [MQTT-3.1.2-25]: as if it had been sent and acknowledged; what a queue holds is for others.
    this.#finish(flight, Reason.packetTooLarge)
  }

  /** An exchange is over. A queue's message that the client refuses is given up; a topic's counts as delivered [MQTT-4.4.0-2]. */
  #finish(flight: Flight, reason: number): void {
    const { lane, delivery } = flight
    this.#free(flight)
    this.#forgetId(flight)
    if (lane !== undefined && delivery !== undefined) {
      const isRefused = reason >= Reason.unspecified && lane.isCompeting
      if (isRefused) lane.refuse(delivery, `refused by its consumer with reason 0x${reason.toString(16)}`)
      else lane.done(delivery)
    }
    this.#pump()
  }

  #pump(): void {
    const attached = this.#attached
    if (attached === undefined) return
    while (this.#waitingHead < this.#waiting.length && this.#count < attached.window) {
      const next = this.#waiting[this.#waitingHead]
      this.#waitingHead += 1
      if (next !== undefined) this.#start(next.lane, next.delivery, attached)
    }
    if (this.#waitingHead > 0 && this.#waitingHead === this.#waiting.length) {
      this.#waiting.length = 0
      this.#waitingHead = 0
    }
  }

  #forgetId({ id, isKept }: Flight): void {
    if (isKept) this.#attached?.session.putState(this.#keys.sent(id), undefined)
  }

  #find(id: number): Flight | undefined {
    const flight = this.#slots[id & (this.#slots.length - 1)]
    return flight?.id === id ? flight : undefined
  }

  #put(flight: Flight): void {
    const slot = flight.id & (this.#slots.length - 1)
    const before = this.#slots[slot]
    if (this.#slots.length === 0 || (before !== undefined && before.id !== flight.id)) {
      this.#grow()
      this.#put(flight)
      return
    }
    if (before === undefined) this.#count += 1
    this.#slots[slot] = flight
  }

  #free(flight: Flight): void {
    this.#slots[flight.id & (this.#slots.length - 1)] = undefined
    this.#count -= 1
  }

  #freeId(): number {
    if (this.#count * 2 >= this.#slots.length) this.#grow()
    let id = this.#lastId
    do id = id >= idMax ? 1 : id + 1
    while (this.#slots[id & (this.#slots.length - 1)] !== undefined || this.#reserved?.has(id) === true)
    this.#lastId = id
    return id
  }

  /** Ids that differ in their last bits still do with one bit more. */
  #grow(): void {
    const before = this.#slots
    this.#slots = new Array<Flight | undefined>(Math.max(slotsMin, before.length * 2)).fill(undefined)
    for (const flight of before) {
      if (flight !== undefined) this.#slots[flight.id & (this.#slots.length - 1)] = flight
    }
  }

  #reserve(place: string, reserved: Reserved): void {
    this.#resend ??= new Map()
    this.#reserved ??= new Set()
    this.#resend.set(place, reserved)
    this.#reserved.add(reserved.id)
  }

  /** What the delivery had before the connection ended, if it was on its way. */
  #claim(lane: Lane, delivery: Delivery): Reserved | undefined {
    const place = placeOf(lane, delivery)
    const reserved = this.#resend?.get(place)
    if (reserved === undefined) return undefined
    this.#resend?.delete(place)
    this.#reserved?.delete(reserved.id)
    if (this.#reserved?.size === 0) {
      this.#resend = undefined
      this.#reserved = undefined
    }
    return reserved
  }
}

/** Stands in the store for a delivery that the client has received. */
const receivedMark = '-'

/** Names a delivery for as long as its subscription lives. */
function placeOf(lane: Lane, delivery: Delivery): string {
  return `${delivery.sequence}/${lane.name}`
}

/** Reads what the store has kept of a packet id that was on its way: a QoS, and then a place. */
function readKept(kept: string): { qos: number; sequence: number; lane: string; place: string } {
  const place = kept.slice(2)
  const slash = place.indexOf('/')
  return { qos: Number(kept[0]), sequence: Number(place.slice(0, slash)), lane: place.slice(slash + 1), place }
}
