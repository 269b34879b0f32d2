import type { Delivery, Message, Outcome, Transaction } from '../../src/core.ts'
import { encodeView } from './content.ts'
import type { Lane } from './control.ts'
import type { Disposition, Flow } from './decoder.ts'
import {
  type ByteSink,
  type FlowState,
  OutgoingTransfer,
  type Payload,
  payloadOf,
  writeDisposition,
  writeFlow,
  writePart,
  writeTransfer,
} from './encoder.ts'
import { serialGap } from './frame.ts'
import type { OutgoingLink } from './outgoing-link.ts'
import { Unsettled } from './unsettled.ts'

/** What a lane needs of its session. */
export interface LaneHost {
  readonly output: ByteSink
  readonly channel: number
  /** The largest frame that the peer reads. */
  readonly frameBytesMax: number
  /** The incoming half of the numbers that every flow carries. */
  readonly incomingState: { readonly nextIncomingId: number; readonly incomingWindow: number }
  /** Every link on which we send. */
  readonly outgoingLinks: Iterable<OutgoingLink>
}

/** What is left to send of a delivery that takes several frames. */
interface Rest {
  readonly transfer: OutgoingTransfer
  readonly payload: Payload
  at: number
}

/** A delivery that a transaction has settled. */
export interface SettledDelivery {
  readonly delivery: Delivery
  readonly link: OutgoingLink
  readonly id: number
  /** Its receiver has settled it: if the transaction is rolled back, it has to come again. */
  readonly isForgotten: boolean
}

/** The transaction within which a disposition settles. */
export interface TransactionalSettlement {
  readonly core: Transaction
  note(settled: SettledDelivery): void
}

const outgoingWindow = 2 ** 31 - 1

/**
 * What the broker sends on one session. Each link has its own credit, and nothing waits here but the rest of one delivery: while
 * the peer's window is shut, the core is asked for nothing.
 */
export class OutgoingLane implements Lane {
  readonly deliveries = { available: (): number => 1 }
  readonly transfer: OutgoingTransfer
  readonly unsettled: Unsettled
  readonly #host: LaneHost
  /** Frames numbered modulo 2^32 (part 2, section 2.5.6), and how many the peer takes. */
  #nextOutgoingId: number
  #window: number
  #rests: Rest[]
  #isShut: boolean
  #encodedMessage: Message | undefined
  #encoded: Buffer | undefined

  constructor(host: LaneHost, window: number) {
    this.transfer = new OutgoingTransfer()
    this.unsettled = new Unsettled()
    this.#host = host
    this.#nextOutgoingId = 0
    this.#window = window
    this.#rests = []
    this.#isShut = window === 0
    this.#encodedMessage = undefined
    this.#encoded = undefined
  }

  get isShut(): boolean {
    return this.#isShut
  }

  process(): void {
    // rhea's own deliveries; there are none.
  }

  on_begin(): void {
    // The window of the peer's begin is given to the constructor.
  }

  /** A message of another format, encoded once for all the links that get it now. */
  encoded(message: Message): Buffer {
    if (this.#encodedMessage !== message || this.#encoded === undefined) {
      this.#encodedMessage = message
      this.#encoded = encodeView(message)
    }
    return this.#encoded
  }

  /** Sends what `transfer` says. */
  write(): void {
    const { output, frameBytesMax, channel } = this.#host
    const { transfer } = this
    transfer.channel = channel
    if (this.#rests.length === 0 && this.#window > 0 && writeTransfer(output, transfer, frameBytesMax)) {
      this.#sentFrame()
      return
    }
    this.#rests.push({ transfer: Object.assign(new OutgoingTransfer(), transfer), payload: payloadOf(transfer), at: 0 })
    this.#writeRests()
  }

  /** Part 2, section 2.5.6: the peer's window, seen from what it had received. */
  onFlow(flow: Flow): void {
    const received = Math.max(flow.nextIncomingId, 0)
    this.#window = Math.max(flow.incomingWindow - serialGap(received, this.#nextOutgoingId), 0)
    this.#writeRests()
    this.#shut(this.#window === 0 || this.#rests.length > 0)
  }

  /** The flow of one link, or of the session alone (-1). */
  writeFlow(handle: number, deliveryCount: number, linkCredit: number, drain: boolean): void {
    const { output, channel } = this.#host
    writeFlow(output, channel, { ...this.flowState(), handle, deliveryCount, linkCredit, drain })
  }

  flowState(): Pick<FlowState, 'nextIncomingId' | 'incomingWindow' | 'nextOutgoingId' | 'outgoingWindow'> {
    return { ...this.#host.incomingState, nextOutgoingId: this.#nextOutgoingId, outgoingWindow }
  }

  /** Forgets the unsettled deliveries of a link, and what is left to send of them. */
  forget(link: OutgoingLink): void {
    this.unsettled.removeAll(link)
    if (this.#rests.length === 0) return
    const { handle } = link.control.local
    this.#rests = this.#rests.filter((rest) => rest.transfer.handle !== handle)
  }

  /** Settles what a disposition names, each with the outcome or else the default one of its link. */
  settle(disposition: Disposition, outcome: Outcome | undefined, transaction?: TransactionalSettlement): void {
    const { unsettled } = this
    unsettled.each(disposition.first, disposition.last, (delivery, link, id) => {
      if (disposition.settled || transaction === undefined) unsettled.remove(id)
      link.settle(delivery, outcome ?? link.defaultOutcome, transaction?.core)
      transaction?.note({ delivery, link, id, isForgotten: disposition.settled })
    })
  }

  /** Tells the receivers of `first` to `last` that we have settled them too. */
  writeSettled(first: number, last: number, state: Uint8Array): void {
    const { output, channel } = this.#host
    writeDisposition(output, channel, false, { first, last }, true, state)
  }

  #writeRests(): void {
    const { output, frameBytesMax } = this.#host
    for (let rest = this.#rests[0]; rest !== undefined && this.#window > 0; rest = this.#rests[0]) {
      rest.at = writePart(output, rest.transfer, rest.payload, rest.at, frameBytesMax)
      if (rest.at === rest.payload.bytes) this.#rests.shift()
      this.#sentFrame()
    }
    if (this.#rests.length > 0) this.#shut(true)
  }

  #sentFrame(): void {
    this.#nextOutgoingId = (this.#nextOutgoingId + 1) >>> 0
    this.#window -= 1
    if (this.#window === 0) this.#shut(true)
  }

  #shut(isShut: boolean): void {
    if (this.#isShut === isShut) return
    this.#isShut = isShut
    for (const link of this.#host.outgoingLinks) link.withhold(isShut)
  }
}
