import {
  accepted,
  type BrokerError,
  type Consumer,
  type Delivery,
  failed,
  type Message,
  type Outcome,
  type Subscription,
  type Transaction,
  type Value,
} from '../../src/core.ts'
import { errorOf } from './conditions.ts'
import { amqpFormat, annotate, annotationEntries, bufferOf, opaqueFormat, opaqueHeadBytes } from './content.ts'
import type { ControlLink } from './control.ts'
import type { Flow } from './decoder.ts'
import { type OutgoingTransfer, tagOfId } from './encoder.ts'
import { type AmqpFault, serialGap } from './frame.ts'
import { creditMax } from './limits.ts'
import { closeLink, type Link } from './link.ts'
import { mergeAnnotations, readAnnotations } from './outcomes.ts'
import type { OutgoingLane } from './outgoing.ts'
import { type KeptSent, type Placed, placed, tagsMax } from './resume.ts'

const noBytes = new Uint8Array(0)
/** A header section and added annotations, as a rule. */
const headBytesMax = 256
const statusOfRetained = ['x-opt-retained', true] as const

export interface OutgoingLinkOptions {
  readonly control: ControlLink
  /** What is sent is sent settled. */
  readonly presettled: boolean
  /** Bytes of the largest message that the receiver takes; 0: any. */
  readonly messageBytesMax: number
  /** For deliveries that are settled without an outcome (part 3, section 3.5.3). */
  readonly defaultOutcome: Outcome
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** The peer has closed the link for good: what belongs to it is deleted. */
  readonly onClosed: () => void
  /** The link is over: what was unsettled, and has gone back. */
  readonly onDropped: (kept: KeptSent) => void
  /** Outcomes of deliveries before the link was attached again, by their places in the queue. */
  readonly answered: Map<Placed, Outcome>
  /** The receiver has sent an incomplete unsettled map: no new deliveries (part 2, section 2.7.3). */
  readonly isMute: boolean
}

/** A link on which the broker sends: one subscription. */
export class OutgoingLink implements Link, Consumer {
  readonly control: ControlLink
  readonly presettled: boolean
  readonly defaultOutcome: Outcome
  isClosed: boolean
  readonly #messageBytesMax: number
  readonly #lane: OutgoingLane
  readonly #now: () => number
  readonly #onClosed: () => void
  readonly #onDropped: (kept: KeptSent) => void
  readonly #isMute: boolean
  /** Undefined when there are none, as nearly always. */
  #answered: Map<Placed, Outcome> | undefined
  #isOver: boolean
  #subscription: Subscription | undefined
  /** Part 2, section 2.6.7: what the receiver allows, and how many deliveries there have been, modulo 2^32. */
  #credit: number
  #deliveryCount: number
  #isDraining: boolean
  /** The session's window is shut: the core has been given no credit. */
  #isWithheld: boolean

  constructor(lane: OutgoingLane, options: OutgoingLinkOptions) {
    this.control = options.control
    this.presettled = options.presettled
    this.defaultOutcome = options.defaultOutcome
    this.isClosed = false
    this.#messageBytesMax = options.messageBytesMax
    this.#lane = lane
    this.#now = options.now
    this.#onClosed = options.onClosed
    this.#onDropped = options.onDropped
    this.#isMute = options.isMute
    this.#answered = options.answered.size === 0 ? undefined : options.answered
    this.#isOver = false
    this.#subscription = undefined
    this.#credit = 0
    this.#deliveryCount = 0
    this.#isDraining = false
    this.#isWithheld = false
  }

  open(subscription: Subscription): void {
    this.#subscription = subscription
    this.#isWithheld = this.#isMute || this.#lane.isShut
  }

  onTransfer(): AmqpFault {
    return { condition: 'amqp:not-allowed', sentence: 'a transfer on a link whose receiver is the peer' }
  }

  /** Part 2, section 2.6.7: link-credit counts from the delivery-count that the receiver had seen. */
  onFlow(flow: Flow): void {
    if (flow.acquires) {
      // Part 4, section 4.4.3.
      closeLink(this, { condition: 'amqp:not-implemented', description: 'there is no transactional acquisition' })
      return
    }
    if (flow.linkCredit >= 0) {
      const seen = Math.max(flow.deliveryCount, 0)
      const ahead = serialGap(seen, this.#deliveryCount)
      this.#setCredit(Math.min(Math.max(flow.linkCredit - ahead, 0), creditMax))
    }
    if (flow.drain) this.#drain()
    else if (this.#isDraining) this.#stopDraining()
    if (flow.echo && !flow.drain) this.#answer()
  }

  deliver(delivery: Delivery): void {
    if (this.#answered !== undefined && this.#isAnswered(delivery, this.#answered)) return
    const { message } = delivery
    const lane = this.#lane
    if (this.#messageBytesMax > 0 && !this.#fits(delivery)) return
    const transfer = lane.transfer
    transfer.handle = this.control.local.handle
    transfer.settled = this.presettled
    transfer.deliveryId = this.presettled ? lane.unsettled.skip() : lane.unsettled.add(delivery, this)
    this.#fill(transfer, message, delivery)
    this.#credit -= 1
    this.#deliveryCount = (this.#deliveryCount + 1) >>> 0
    lane.write()
  }

  /** Settles what the receiver has told of when it attached again; it used up no credit of the link. */
  #isAnswered(delivery: Delivery, answered: Map<Placed, Outcome>): boolean {
    const place = placed(delivery)
    const outcome = answered.get(place)
    if (outcome === undefined) return false
    answered.delete(place)
    if (answered.size === 0) this.#answered = undefined
    this.#subscription?.settle(delivery, outcome)
    this.#subscription?.addCredit(1)
    return true
  }

  /**
   * Whether the receiver takes a message of that size (part 2, section 2.7.3); if not it waits for another one. Of what is sent
   * settled the core is told here.
   */
  #fits(delivery: Delivery): boolean {
    const fits = this.#contentOf(delivery.message).length + headBytesMax <= this.#messageBytesMax
    const subscription = this.#subscription
    if (!fits) {
      subscription?.settle(delivery, { kind: 'modified', hasFailed: false, isUndeliverableHere: true })
      // It used up no credit of the link.
      subscription?.addCredit(1)
    } else if (this.presettled) subscription?.settle(delivery, accepted)
    return fits
  }

  ended(error?: BrokerError): void {
    this.#subscription = undefined
    if (error !== undefined) closeLink(this, errorOf(error))
    else if (this.#isDraining) this.#drained()
  }

  onDetach(closed: boolean): void {
    // Closed for good, nothing of it is kept.
    if (closed) this.#isOver = true
    this.drop()
    if (closed) this.#onClosed()
  }

  /** Unsettled deliveries go back. */
  drop(): void {
    this.isClosed = true
    const subscription = this.#subscription
    this.#subscription = undefined
    if (!this.#isOver) this.#onDropped(this.#kept())
    this.#isOver = true
    this.#lane.forget(this)
    subscription?.close()
  }

  #kept(): KeptSent {
    const held = this.#lane.unsettled.ofLink(this).slice(-tagsMax)
    const unsettled = new Map(held.map(([id, delivery]) => [tagOfId(id), placed(delivery)]))
    return { role: 'sender', unsettled, answered: this.#answered ?? new Map() }
  }

  settle(delivery: Delivery, outcome: Outcome, transaction?: Transaction): void {
    this.#subscription?.settle(delivery, merged(delivery, outcome), transaction)
  }

  /** A transaction that had settled it was rolled back, and the receiver has forgotten it: a failed delivery. */
  giveBack(delivery: Delivery): void {
    this.#subscription?.settle(delivery, failed)
  }

  /** The session may send no more frames, or may again. */
  withhold(isShut: boolean): void {
    if (this.#isMute || this.#isWithheld === isShut || this.isClosed) return
    this.#isWithheld = isShut
    const subscription = this.#subscription
    if (subscription === undefined) return
    if (isShut) subscription.addCredit(-subscription.credit)
    else {
      subscription.addCredit(this.#credit - subscription.credit)
      if (this.#isDraining) this.#drainCore(subscription)
    }
  }

  #setCredit(credit: number): void {
    const subscription = this.#subscription
    this.#credit = credit
    if (subscription !== undefined && !this.#isWithheld) subscription.addCredit(credit - subscription.credit)
  }

  /** Part 2, section 2.6.7: sends all there is, then uses up the rest of the credit and says so. */
  #drain(): void {
    this.#isDraining = true
    const subscription = this.#subscription
    if (subscription === undefined || this.#isMute) this.#drained()
    else if (!this.#isWithheld) this.#drainCore(subscription)
  }

  #drainCore(subscription: Subscription): void {
    subscription.drain(() => this.#drained())
  }

  #stopDraining(): void {
    this.#isDraining = false
    this.#subscription?.drain(undefined)
  }

  #drained(): void {
    this.#isDraining = false
    this.#deliveryCount = (this.#deliveryCount + this.#credit) >>> 0
    this.#credit = 0
    this.#lane.writeFlow(this.control.local.handle, this.#deliveryCount, 0, true)
  }

  #answer(): void {
    this.#lane.writeFlow(this.control.local.handle, this.#deliveryCount, this.#credit, this.#isDraining)
  }

  #contentOf(message: Message): Uint8Array {
    const { format } = message
    return format === amqpFormat || format === opaqueFormat ? message.content : this.#lane.encoded(message)
  }

  #fill(transfer: OutgoingTransfer, message: Message, delivery: Delivery): void {
    const { format } = message
    transfer.messageFormat = 0
    transfer.annotations = noBytes
    transfer.contentStart = 0
    if (format === opaqueFormat) {
      const content = bufferOf(message.content)
      transfer.hasHeader = false
      transfer.messageFormat = content.readUInt32BE(0)
      transfer.content = content
      transfer.contentStart = opaqueHeadBytes
      return
    }
    transfer.hasHeader = true
    transfer.durable = message.durable
    transfer.priority = message.priority
    transfer.ttlMs = message.expiresAt > 0 ? Math.min(Math.max(message.expiresAt - this.#now(), 0), 2 ** 32 - 1) : -1
    transfer.firstAcquirer = !delivery.redelivered
    transfer.deliveryCount = delivery.deliveryCount
    transfer.content = this.#contentOf(message)
    if (message.annotations === undefined && !delivery.isRetained && delivery.annotations === undefined) return
    const section = annotate(bufferOf(transfer.content), extrasOf(delivery))
    transfer.annotations = section.bytes
    transfer.contentStart = section.contentStart
  }
}

function extrasOf(delivery: Delivery): readonly (readonly [string, Value])[] {
  const { annotations } = delivery.message
  const extras: (readonly [string, Value])[] = [
    ...(delivery.annotations === undefined ? [] : readAnnotations(delivery.annotations)),
    // Of one name, what the broker says stands.
    ...(annotations === undefined ? [] : annotationEntries(annotations)),
    ...(delivery.isRetained ? [statusOfRetained] : []),
  ]
  return [...new Map(extras)]
}

function merged(delivery: Delivery, outcome: Outcome): Outcome {
  if (outcome.kind !== 'modified' || outcome.annotations === undefined) return outcome
  return { ...outcome, annotations: mergeAnnotations(delivery.annotations, outcome.annotations) }
}
