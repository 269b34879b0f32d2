import type { ControlLink, ErrorFields } from './control.ts'
import type { Flow, Frame, Transfer } from './decoder.ts'
import type { AmqpFault } from './frame.ts'
import { decodeFault, serialGap } from './frame.ts'
import { closeLink, type Link } from './link.ts'
import type { ReceivedTags } from './resume.ts'

/** One whole delivery on an incoming link; used again for the next one. */
export interface IncomingDelivery {
  bytes: Buffer
  start: number
  end: number
  /** The bytes are the delivery's own and may be kept; else they are written over. */
  isOwn: boolean
  id: number
  messageFormat: number
  settled: boolean
  /** The sender settles after us. */
  isSecond: boolean
  /** The encoded delivery state; empty if there is none. */
  state: Buffer
  /** Undefined: nobody asks for it. */
  tag: string | undefined
  /** Its source takes `rejected` for an answer; else the link has to say it. */
  canReject: boolean
  /** It has been here before, and is in the unsettled map of its link: only its outcome is asked for. */
  isResumed: boolean
}

/** One to be used again and again. */
export function newDelivery(): IncomingDelivery {
  return {
    bytes: Buffer.alloc(0),
    start: 0,
    end: 0,
    isOwn: false,
    id: 0,
    messageFormat: 0,
    settled: false,
    isSecond: false,
    state: Buffer.alloc(0),
    tag: undefined,
    canReject: true,
    isResumed: false,
  }
}

/** What a link does with its deliveries: sends them to a queue or topic, or takes them for requests to the coordinator. */
export interface DeliverySink {
  /** One delivery. Returns what closes the link, if anything. */
  take(delivery: IncomingDelivery, link: IncomingLink): ErrorFields | undefined
  /** The link is over. */
  closed(isForGood: boolean): void
}

/** What an incoming link needs of its session. */
export interface IncomingHost {
  /** False: senders get no more credit for now. */
  readonly grantsCredit: boolean
  writeFlow(handle: number, deliveryCount: number, linkCredit: number, drain: boolean): void
  /** Counts the bytes of incomplete deliveries; false: there are too many. */
  holdPartial(bytes: number): boolean
  readonly delivery: IncomingDelivery
}

export interface IncomingLinkOptions {
  readonly control: ControlLink
  readonly sink: DeliverySink
  readonly credit: number
  readonly messageBytesMax: number
  readonly initialDeliveryCount: number
  readonly isSecond: boolean
  /** The sender's source takes `rejected` for an answer. */
  readonly canReject: boolean
  /** What is remembered of deliveries, if anything. */
  readonly tags: ReceivedTags | undefined
  /** Our unsettled map did not fit: the sender may only resume. */
  readonly onlyResumes: boolean
}

/** What the first frame of a delivery of several says. */
interface First {
  id: number
  messageFormat: number
  settled: boolean
  isSecond: boolean
  state: Buffer
  tag: string | undefined
  resume: 'no' | 'known' | 'unknown'
}

const noBytes = Buffer.alloc(0)

/** A link on which the broker receives. */
export class IncomingLink implements Link {
  readonly control: ControlLink
  isClosed: boolean
  readonly #host: IncomingHost
  readonly #sink: DeliverySink
  readonly #creditMax: number
  readonly #messageBytesMax: number
  readonly #isSecond: boolean
  readonly #canReject: boolean
  readonly #tags: ReceivedTags | undefined
  readonly #onlyResumes: boolean
  #isOver: boolean
  #credit: number
  #deliveryCount: number
  /** A delivery whose last frame has not come: its bytes, and what its first frame said. */
  #pieces: Buffer[] | undefined
  #partialBytes: number
  #first: First

  constructor(host: IncomingHost, options: IncomingLinkOptions) {
    this.control = options.control
    this.isClosed = false
    this.#host = host
    this.#sink = options.sink
    this.#creditMax = options.credit
    this.#messageBytesMax = options.messageBytesMax
    this.#isSecond = options.isSecond
    this.#canReject = options.canReject
    this.#tags = options.tags
    this.#onlyResumes = options.onlyResumes
    this.#isOver = false
    this.#credit = 0
    this.#deliveryCount = options.initialDeliveryCount
    this.#pieces = undefined
    this.#partialBytes = 0
    this.#first = {
      id: -1,
      messageFormat: 0,
      settled: false,
      isSecond: false,
      state: noBytes,
      tag: undefined,
      resume: 'no',
    }
  }

  /** Gives credit again once half of it is used, unless the connection holds its senders. */
  replenish(): void {
    if (this.isClosed || this.#credit > this.#creditMax / 2 || !this.#host.grantsCredit) return
    this.#credit = this.#creditMax
    this.#answer()
  }

  onFlow(flow: Flow): void {
    const skipped = flow.deliveryCount < 0 ? 0 : serialGap(this.#deliveryCount, flow.deliveryCount)
    if (skipped > 0) {
      // A sender that ran out of messages gives its credit back by its delivery-count (part 2, section 2.6.7).
      this.#deliveryCount = flow.deliveryCount
      this.#credit = Math.max(this.#credit - skipped, 0)
      this.replenish()
    }
    if (flow.echo) this.#answer()
  }

  onTransfer(transfer: Transfer, frame: Frame): AmqpFault | undefined {
    if (this.#pieces === undefined) return this.#begin(transfer, frame)
    const first = this.#first
    if (transfer.deliveryId >= 0 && transfer.deliveryId !== first.id) {
      return decodeFault(`a transfer of delivery ${transfer.deliveryId} before delivery ${first.id} was complete`)
    }
    if (transfer.aborted) {
      this.#forgetPartial()
      this.replenish()
      return undefined
    }
    if (transfer.settled === true) first.settled = true
    this.#collect(transfer, frame)
    if (!transfer.more && this.#pieces !== undefined) this.#complete(this.#pieces)
    return undefined
  }

  onDetach(closed: boolean): void {
    this.#end(closed)
  }

  drop(): void {
    this.#end(false)
  }

  /** The state that the first frame of a delivery named whose last one has not come; empty if there is none. */
  get partialState(): Buffer {
    return this.#pieces === undefined ? noBytes : this.#first.state
  }

  /** The sender has settled deliveries. */
  onSettled(first: number, last: number): void {
    this.#tags?.settled(first, last)
  }

  /** Closes the link for an error of the broker. */
  refuse(error: ErrorFields): void {
    closeLink(this, error)
  }

  #end(isForGood: boolean): void {
    this.isClosed = true
    this.#forgetPartial()
    if (this.#isOver) return
    this.#isOver = true
    this.#sink.closed(isForGood)
  }

  #begin(transfer: Transfer, frame: Frame): AmqpFault | undefined {
    if (transfer.deliveryId < 0) return decodeFault('the first transfer of a delivery has no delivery-id')
    if (this.#credit === 0) {
      this.refuse({ condition: 'amqp:link:transfer-limit-exceeded', description: 'a transfer without credit' })
      return undefined
    }
    this.#credit -= 1
    this.#deliveryCount = (this.#deliveryCount + 1) >>> 0
    // Aborted at once: nothing of it counts (part 2, section 2.6.14).
    if (transfer.aborted) {
      this.replenish()
      return undefined
    }
    if (this.#onlyResumes && !transfer.resume) {
      // Part 2, section 2.7.3, incomplete-unsettled.
      this.refuse({
        condition: 'amqp:not-allowed',
        description: 'a new delivery while the unsettled map is incomplete',
      })
      return undefined
    }
    const tag = this.#tags === undefined ? undefined : tagOf(transfer, frame)
    const resume = transfer.resume
      ? tag !== undefined && this.#tags?.resumable(tag) !== undefined
        ? 'known'
        : 'unknown'
      : 'no'
    const isSecond = transfer.rcvSettleMode < 0 ? this.#isSecond : transfer.rcvSettleMode === 1
    const state =
      transfer.stateEnd > transfer.stateStart ? frame.bytes.subarray(transfer.stateStart, transfer.stateEnd) : noBytes
    if (transfer.more) {
      this.#pieces = []
      this.#first.id = transfer.deliveryId
      this.#first.messageFormat = Math.max(transfer.messageFormat, 0)
      this.#first.settled = transfer.settled === true
      this.#first.isSecond = isSecond
      this.#first.tag = tag
      this.#first.resume = resume
      this.#first.state = state.length === 0 ? noBytes : Buffer.from(state)
      this.#collect(transfer, frame)
      return undefined
    }
    if (resume === 'unknown') {
      this.replenish()
      return undefined
    }
    const { delivery } = this.#host
    delivery.tag = tag
    delivery.isResumed = resume === 'known'
    delivery.bytes = frame.bytes
    delivery.start = transfer.payloadStart
    delivery.end = frame.end
    delivery.isOwn = frame.isOwn
    delivery.id = transfer.deliveryId
    delivery.messageFormat = Math.max(transfer.messageFormat, 0)
    delivery.settled = transfer.settled === true
    delivery.isSecond = isSecond
    delivery.state = state
    this.#take(delivery)
    return undefined
  }

  #collect(transfer: Transfer, frame: Frame): void {
    // What is resumed is here already, or not to be looked at (part 2, section 2.7.5).
    if (this.#first.resume !== 'no') return
    const bytes = frame.end - transfer.payloadStart
    this.#partialBytes += bytes
    if (this.#partialBytes > this.#messageBytesMax) {
      this.refuse({
        condition: 'amqp:link:message-size-exceeded',
        description: `a message of more than ${this.#messageBytesMax} bytes`,
      })
    } else if (!this.#host.holdPartial(bytes)) {
      this.refuse({
        condition: 'amqp:resource-limit-exceeded',
        description: 'the incomplete deliveries of this connection take too much memory',
      })
    } else {
      const piece = frame.bytes.subarray(transfer.payloadStart, frame.end)
      // A frame is kept for its payload's sake only if that is most of it: the rest is not counted.
      this.#pieces?.push(frame.isOwn && bytes * 2 > frame.bytes.length ? piece : Buffer.from(piece))
    }
  }

  #complete(pieces: readonly Buffer[]): void {
    const { delivery } = this.#host
    const first = this.#first
    const bytes = Buffer.concat(pieces)
    this.#forgetPartial()
    if (first.resume === 'unknown') {
      this.replenish()
      return
    }
    delivery.tag = first.tag
    delivery.isResumed = first.resume === 'known'
    delivery.bytes = bytes
    delivery.start = 0
    delivery.end = bytes.length
    delivery.isOwn = true
    delivery.id = first.id
    delivery.messageFormat = first.messageFormat
    delivery.settled = first.settled
    delivery.isSecond = first.isSecond
    delivery.state = first.state
    this.#take(delivery)
  }

  #take(delivery: IncomingDelivery): void {
    const size = delivery.end - delivery.start
    if (size > this.#messageBytesMax) {
      this.refuse({
        condition: 'amqp:link:message-size-exceeded',
        description: `a message of ${size} bytes; the most is ${this.#messageBytesMax}`,
      })
      return
    }
    delivery.canReject = this.#canReject
    const error = this.#sink.take(delivery, this)
    if (error === undefined) this.replenish()
    else this.refuse(error)
  }

  #forgetPartial(): void {
    if (this.#pieces === undefined) return
    for (const piece of this.#pieces) this.#host.holdPartial(-piece.length)
    this.#pieces = undefined
    this.#partialBytes = 0
  }

  #answer(): void {
    this.#host.writeFlow(this.control.local.handle, this.#deliveryCount, this.#credit, false)
  }
}

/** The bytes of a tag as characters. */
function tagOf({ tagStart, tagLength }: Transfer, { bytes }: Frame): string | undefined {
  return tagLength < 0 ? undefined : bytes.toString('latin1', tagStart, tagStart + tagLength)
}
