import type { BrokerError, SendNumber, Session } from '../../src/core.ts'
import { Confirms } from './confirms.ts'
import { type ControlSession, type ErrorFields, errorFields } from './control.ts'
import type { Disposition, Flow, Frame, Transfer } from './decoder.ts'
import { type ByteSink, writeDisposition } from './encoder.ts'
import type { AmqpFault } from './frame.ts'
import type { IncomingDelivery } from './incoming-link.ts'
import { incomingWindow } from './limits.ts'
import { Links, type LinksConnection, type LinksSession, unattached } from './links.ts'
import type { MessageReader } from './mapping.ts'
import { readState, stateOf } from './outcomes.ts'
import { type LaneHost, OutgoingLane } from './outgoing.ts'
import type { OutgoingLink } from './outgoing-link.ts'
import type { Confirmed } from './resume.ts'
import type { Transactions } from './transactions.ts'
import type { Fields } from './typed.ts'

/** What a session needs of its connection. */
export interface ConnectionHost extends LinksConnection {
  readonly output: ByteSink
  readonly now: number
  readonly reader: MessageReader
  readonly delivery: IncomingDelivery
  readonly transactions: Transactions
  readonly grantsCredit: boolean
  takeRefusal(): BrokerError | undefined
  whenConfirmed(number: SendNumber, done: () => void): void
  holdPartial(bytes: number): boolean
  /** A delivery has to be confirmed; the connection paces its senders by how many there are. */
  awaiting(): void
  sessionEnded(session: AmqpSession): void
  /** Whether a delivery within this transaction has begun, and not ended, in one of the sessions. */
  isPosting(transaction: string): boolean
}

/** One session of a connection (part 2, section 2.5): its links, and the two lanes on which their deliveries go. */
export class AmqpSession implements LaneHost, LinksSession {
  readonly control: ControlSession
  readonly outgoing: OutgoingLane
  readonly confirms: Confirms
  readonly channel: number
  readonly #host: ConnectionHost
  readonly #links: Links
  #nextIncomingId: number
  /** Frames that the peer may still send. */
  #windowLeft: number
  readonly #confirmed: Confirmed
  isEnded: boolean

  constructor(host: ConnectionHost, control: ControlSession, begin: Fields) {
    this.#host = host
    this.control = control
    this.channel = control.local.channel
    this.confirms = new Confirms()
    this.#nextIncomingId = begin.uint(1) ?? 0
    this.#windowLeft = incomingWindow
    this.#confirmed = { upTo: 0 }
    this.#links = new Links(host, this, this.#confirmed)
    this.isEnded = false
    this.outgoing = new OutgoingLane(this, begin.uint(2) ?? 0)
    this.#override(control)
  }

  get output(): ByteSink {
    return this.#host.output
  }

  get frameBytesMax(): number {
    return this.#host.frameBytesMax
  }

  get now(): number {
    return this.#host.now
  }

  get session(): Session {
    return this.#host.session
  }

  get reader(): MessageReader {
    return this.#host.reader
  }

  get delivery(): IncomingDelivery {
    return this.#host.delivery
  }

  get transactions(): Transactions {
    return this.#host.transactions
  }

  get grantsCredit(): boolean {
    return this.#host.grantsCredit
  }

  get outgoingLinks(): Iterable<OutgoingLink> {
    return this.#links.outgoing
  }

  get incomingState(): { readonly nextIncomingId: number; readonly incomingWindow: number } {
    return { nextIncomingId: this.#nextIncomingId, incomingWindow: this.#windowLeft }
  }

  takeRefusal(): BrokerError | undefined {
    return this.#host.takeRefusal()
  }

  whenConfirmed(number: SendNumber, done: () => void): void {
    this.#host.whenConfirmed(number, () => {
      if (!this.isEnded) done()
    })
  }

  holdPartial(bytes: number): boolean {
    return this.#host.holdPartial(bytes)
  }

  writeFlow(handle: number, deliveryCount: number, linkCredit: number, drain: boolean): void {
    this.outgoing.writeFlow(handle, deliveryCount, linkCredit, drain)
  }

  awaitConfirm(number: SendNumber, delivery: IncomingDelivery): void {
    this.confirms.add(number, delivery.id, delivery.isSecond)
    this.#host.awaiting()
  }

  writeOutcome(deliveryId: number, settled: boolean, state: Uint8Array): void {
    if (this.isEnded) return
    writeDisposition(this.output, this.channel, true, { first: deliveryId, last: deliveryId }, settled, state)
  }

  confirmed(upTo: SendNumber): void {
    this.#confirmed.upTo = upTo
    this.confirms.confirmed(upTo, this.output, this.channel)
  }

  /** Senders may go on. */
  replenish(): void {
    for (const link of this.#links.incoming) link.replenish()
  }

  /** One frame of a delivery. */
  onTransfer(transfer: Transfer, frame: Frame): void {
    if (this.isEnded) return
    this.#nextIncomingId = (this.#nextIncomingId + 1) >>> 0
    this.#windowLeft -= 1
    if (this.#windowLeft < 0) {
      this.end({ condition: 'amqp:session:window-violation', description: 'a transfer beyond the incoming-window' })
      return
    }
    const link = this.#links.at(transfer.handle)
    const fault =
      link === undefined ? unattached(transfer.handle) : link.isClosed ? undefined : link.onTransfer(transfer, frame)
    if (fault !== undefined) this.#fail(fault)
    else if (this.#windowLeft < incomingWindow / 2) {
      this.#windowLeft = incomingWindow
      this.writeFlow(-1, 0, 0, false)
    }
  }

  onFlow(flow: Flow): void {
    if (this.isEnded) return
    // Part 2, section 2.5.6.
    this.#nextIncomingId = flow.nextOutgoingId
    this.outgoing.onFlow(flow)
    if (flow.handle < 0) {
      if (flow.echo) this.writeFlow(-1, 0, 0, false)
      return
    }
    const link = this.#links.at(flow.handle)
    if (link === undefined) this.#fail(unattached(flow.handle))
    else if (!link.isClosed) link.onFlow(flow)
  }

  isPosting(transaction: string): boolean {
    return this.#host.isPosting(transaction)
  }

  /** Whether a delivery within this transaction has begun, and not ended, on one of its links. */
  holdsPartOf(transaction: string): boolean {
    for (const { partialState } of this.#links.incoming) {
      const state = readState(partialState, 0, partialState.length)
      if (state?.kind === 'transactional' && state.transaction === transaction) return true
    }
    return false
  }

  /** Part 2, section 2.7.6. */
  onDisposition(disposition: Disposition, bytes: Buffer): void {
    if (this.isEnded) return
    if (!disposition.role) {
      // What a sender says changes nothing any more; what it settles it will not ask about.
      if (disposition.settled)
        for (const link of this.#links.incoming) link.onSettled(disposition.first, disposition.last)
      return
    }
    const state = readState(bytes, disposition.stateStart, disposition.stateEnd)
    if (state === undefined) {
      this.#fail({ condition: 'amqp:decode-error', sentence: 'a delivery state that cannot be read' })
      return
    }
    if (state.kind === 'transactional') this.#settleWithin(disposition, state)
    else if (state.kind === 'outcome') this.#settle(disposition, state.outcome)
    else if (disposition.settled) this.outgoing.settle(disposition, undefined)
  }

  /** Ends the session for an error. */
  end(error: ErrorFields): void {
    if (this.isEnded) return
    this.drop()
    this.control.end(errorFields(error))
  }

  /** Gives back all that its links hold. */
  drop(): void {
    this.isEnded = true
    this.#links.drop()
  }

  #settle(disposition: Disposition, outcome: Parameters<OutgoingLane['settle']>[1]): void {
    const { first, last, settled } = disposition
    this.outgoing.settle(disposition, outcome)
    // The receiver waits for us to settle first (part 2, section 2.8.3).
    if (settled || outcome === undefined) return
    const number = this.session.sync()
    this.whenConfirmed(number, () => this.outgoing.writeSettled(first, last, stateOf(outcome)))
  }

  #settleWithin(
    disposition: Disposition,
    state: { readonly transaction: string; readonly outcome: Parameters<OutgoingLane['settle']>[1] },
  ): void {
    const open = this.transactions.find(state.transaction)
    if (open === undefined) {
      this.#fail({ condition: 'amqp:transaction:unknown-id', sentence: 'the transaction of a disposition is not open' })
      return
    }
    const say = (id: number, accepted: Uint8Array): void => {
      if (!this.isEnded) this.outgoing.writeSettled(id, id, accepted)
    }
    this.outgoing.settle(disposition, state.outcome, open.noter(say))
  }

  #fail({ condition, sentence }: AmqpFault): void {
    this.end({ condition, description: sentence })
  }

  #endFor(fault: AmqpFault | undefined): void {
    if (fault !== undefined) this.#fail(fault)
  }

  #override(control: ControlSession): void {
    const { begin } = control.local
    begin.incoming_window = incomingWindow
    begin.outgoing_window = 2 ** 31 - 1
    begin.next_outgoing_id = 0
    begin.handle_max = this.#host.options.linksMax - 1
    control.incoming = { deliveries: { available: () => 1 }, process: () => undefined, on_begin: () => undefined }
    control.outgoing = this.outgoing
    control.on_attach = (frame) => {
      if (!this.isEnded) this.#endFor(this.#links.attach(frame))
    }
    control.on_detach = (frame) => {
      if (!this.isEnded) this.#endFor(this.#links.detach(frame))
    }
    control.on_end = () => this.#onEnd()
  }

  #onEnd(): void {
    const { control } = this
    control.state.remote_closed()
    if (!this.isEnded) {
      this.drop()
      control.end()
    }
    this.#host.sessionEnded(this)
    control.remove()
  }
}
