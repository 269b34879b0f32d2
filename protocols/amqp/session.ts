import { type Address, BrokerError, type SendNumber, type Session } from '../../src/core.ts'
import { attachFields, type LookUpPlan, planReceiver, planSender, type ReceiverPlan, resolve } from './attach.ts'
import { errorOf, PeerFault } from './conditions.ts'
import { Confirms } from './confirms.ts'
import {
  type ControlFrame,
  type ControlLink,
  type ControlSession,
  type ErrorFields,
  errorFields,
  setUnsettled,
  wrap,
} from './control.ts'
import type { Disposition, Flow, Frame, Transfer } from './decoder.ts'
import { type ByteSink, writeDisposition } from './encoder.ts'
import { type AmqpFault, framingFault } from './frame.ts'
import {
  type DeliverySink,
  type IncomingDelivery,
  type IncomingHost,
  IncomingLink,
  type IncomingLinkOptions,
} from './incoming-link.ts'
import { type AmqpOptions, incomingWindow } from './limits.ts'
import { closeLink, type Link, RefusedLink } from './link.ts'
import type { MessageReader } from './mapping.ts'
import { readState, stateOf } from './outcomes.ts'
import { type LaneHost, OutgoingLane } from './outgoing.ts'
import { OutgoingLink } from './outgoing-link.ts'
import { Publisher, type PublisherHost } from './publisher.ts'
import { noTags, nothingKept, Reattachment, type ReattachmentHost } from './reattach.ts'
import type { Confirmed } from './resume.ts'
import { defaultOutcome, readTarget } from './terminus.ts'
import { Coordinator, type CoordinatorHost, type Transactions, transactionCapabilities } from './transactions.ts'
import { FieldFault, Fields } from './typed.ts'

/** What a session needs of its connection. */
export interface ConnectionHost extends ReattachmentHost {
  readonly session: Session
  readonly options: AmqpOptions
  readonly output: ByteSink
  readonly now: number
  readonly reader: MessageReader
  readonly delivery: IncomingDelivery
  readonly transactions: Transactions
  readonly grantsCredit: boolean
  /** Links of all sessions; counted by the sessions. */
  linkCount: number
  takeRefusal(): BrokerError | undefined
  whenConfirmed(number: SendNumber, done: () => void): void
  holdPartial(bytes: number): boolean
  /** A delivery has to be confirmed; the connection paces its senders by how many there are. */
  awaiting(): void
  sessionEnded(session: AmqpSession): void
}

/** One session of a connection (part 2, section 2.5): its links, and the two lanes on which their deliveries go. */
export class AmqpSession implements LaneHost, IncomingHost, PublisherHost, CoordinatorHost {
  readonly control: ControlSession
  readonly outgoing: OutgoingLane
  readonly confirms: Confirms
  readonly channel: number
  readonly #host: ConnectionHost
  /** By the peer's handle. */
  readonly #reattachment: Reattachment
  readonly #links: (Link | undefined)[]
  readonly #outgoingLinks: Set<OutgoingLink>
  readonly #incomingLinks: Set<IncomingLink>
  #nextIncomingId: number
  /** Frames that the peer may still send. */
  #windowLeft: number
  #stolen: number
  readonly #confirmed: Confirmed
  isEnded: boolean

  constructor(host: ConnectionHost, control: ControlSession, begin: Fields) {
    this.#host = host
    this.control = control
    this.channel = control.local.channel
    this.confirms = new Confirms()
    this.#links = []
    this.#outgoingLinks = new Set()
    this.#incomingLinks = new Set()
    this.#nextIncomingId = begin.uint(1) ?? 0
    this.#windowLeft = incomingWindow
    this.#stolen = 0
    this.#confirmed = { upTo: 0 }
    this.#reattachment = new Reattachment(host, this, this.#confirmed)
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
    return this.#outgoingLinks
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
    for (const link of this.#incomingLinks) link.replenish()
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
    const link = this.#links[transfer.handle]
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
    this.outgoing.onFlow(flow)
    if (flow.handle < 0) {
      if (flow.echo) this.writeFlow(-1, 0, 0, false)
      return
    }
    const link = this.#links[flow.handle]
    if (link === undefined) this.#fail(unattached(flow.handle))
    else if (!link.isClosed) link.onFlow(flow)
  }

  /** Part 2, section 2.7.6. */
  onDisposition(disposition: Disposition, bytes: Buffer): void {
    if (this.isEnded) return
    if (!disposition.role) {
      // What a sender says changes nothing any more; what it settles it will not ask about.
      if (disposition.settled)
        for (const link of this.#incomingLinks) link.onSettled(disposition.first, disposition.last)
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
    for (const link of this.#links) {
      if (link !== undefined) this.#host.linkCount -= 1
      link?.drop()
    }
    this.#links.length = 0
    this.#outgoingLinks.clear()
    this.#incomingLinks.clear()
    this.#reattachment.ended()
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

  #override(control: ControlSession): void {
    const { begin } = control.local
    begin.incoming_window = incomingWindow
    begin.outgoing_window = 2 ** 31 - 1
    begin.next_outgoing_id = 0
    begin.handle_max = this.#host.options.linksMax - 1
    control.incoming = { deliveries: { available: () => 1 }, process: () => undefined, on_begin: () => undefined }
    control.outgoing = this.outgoing
    control.on_attach = (frame) => this.#onAttach(frame)
    control.on_detach = (frame) => this.#onDetach(frame)
    control.on_end = () => this.#onEnd()
  }

  #onAttach(frame: ControlFrame): void {
    if (this.isEnded) return
    const fields = new Fields(frame.performative.value, 'attach')
    const name = fields.string(attachFields.name)
    const handle = fields.uint(attachFields.handle)
    const role = fields.raw(attachFields.role)
    if (name === undefined || handle === undefined || role === undefined)
      throw new FieldFault('an attach without name, handle or role')
    const { linksMax } = this.#host.options
    if (handle >= linksMax)
      throw new PeerFault(framingFault(`handle ${handle}; the largest is ${linksMax - 1} (handle-max)`))
    if (this.#links[handle] !== undefined) {
      this.end({ condition: 'amqp:session:handle-in-use', description: `handle ${handle} is attached already` })
      return
    }
    const isReceiver = fields.boolean(attachFields.role)
    const link = this.#createControl(name, handle, isReceiver)
    this.#host.linkCount += 1
    if (this.#host.linkCount > linksMax) {
      this.#refuse(link, handle, new BrokerError('limit-exceeded', `more than ${linksMax} links (linksMax)`))
      return
    }
    // What is known is told once it has been found; never a map to a peer that has none.
    if (fields.hasMap(attachFields.unsettled)) setUnsettled(link, new Map(), false)
    if (isReceiver) this.#attachReceiver(link, handle, fields)
    else this.#attachSender(link, handle, fields)
  }

  /** rhea finds links by name alone: the role goes before it, which also keeps names off Object.prototype. */
  #createControl(name: string, handle: number, isReceiver: boolean): ControlLink {
    const { control } = this
    const key = `${isReceiver ? 'receiver' : 'sender'} ${name}`
    const before = control.links[key]
    if (before !== undefined) this.#steal(before, key)
    const options = { credit_window: 0, autoaccept: false, autosettle: false, treat_modified_as_released: false }
    const link = isReceiver ? control.create_sender(key, options) : control.create_receiver(key, options)
    link.local.attach.name = name
    link.state.remote_opened()
    link.remote.handle = handle
    control.remote.handles[handle] = link
    return link
  }

  /** Part 2, section 2.6.1: a link that is attached anew is taken from where it was. */
  #steal(before: ControlLink, key: string): void {
    const owner = this.#links.find((link) => link?.control === before)
    if (owner !== undefined) {
      closeLink(owner, { condition: 'amqp:link:stolen', description: 'the link was attached again' })
    }
    this.#stolen += 1
    delete this.control.links[key]
    before.name = `stolen ${this.#stolen}`
    this.control.links[before.name] = before
  }

  #attachReceiver(control: ControlLink, handle: number, fields: Fields): void {
    const plan = planReceiver(this.#host, fields)
    if (plan instanceof BrokerError) {
      this.#refuse(control, handle, plan)
      return
    }
    const link = this.#outgoingLink(control, plan, fields)
    const held = 'request' in plan ? this.session.subscribe({ ...plan.request, consumer: link }) : undefined
    if (held instanceof BrokerError) {
      if ('request' in plan) this.#deleteTemporary(plan.temporary)
      this.#refuse(control, handle, held)
      return
    }
    const { attach } = control.local
    control.set_source(plan.source)
    if ('request' in plan && plan.target !== undefined) control.set_target(plan.target)
    else if (!('request' in plan)) control.set_target({})
    attach.snd_settle_mode = link.presettled ? 1 : (fields.ubyte(attachFields.sndSettleMode) ?? 2)
    attach.rcv_settle_mode = fields.ubyte(attachFields.rcvSettleMode) ?? 0
    attach.max_message_size = this.#host.options.limits.messageBytesMax
    this.#links[handle] = link
    this.#outgoingLinks.add(link)
    if (held !== undefined) link.open(held)
    control.open()
  }

  #outgoingLink(control: ControlLink, plan: ReceiverPlan | LookUpPlan, fields: Fields): OutgoingLink {
    const isSubscription = 'request' in plan
    const resumption = isSubscription ? this.#reattachment.ofSender(fields, plan.asked, plan.expiry) : nothingKept
    return new OutgoingLink(this.outgoing, {
      control,
      presettled: isSubscription && plan.presettled,
      messageBytesMax: isSubscription ? plan.messageBytesMax : 0,
      defaultOutcome: defaultOutcome(isSubscription ? plan.defaultOutcome : undefined),
      now: () => this.#host.broker.clock.now(),
      onClosed: () => {
        const { durableName } = plan
        if (durableName !== undefined) this.session.deleteSubscription(durableName.name, durableName.isGlobal)
        if (isSubscription) this.#deleteTemporary(plan.temporary)
      },
      ...resumption,
    })
  }

  #attachSender(control: ControlLink, handle: number, fields: Fields): void {
    const target = readTarget(fields.raw(attachFields.target))
    if (target === 'coordinator') {
      control.local.attach.target = wrap.coordinator(transactionCapabilities)
      this.#openIncoming(control, handle, fields, new Coordinator(this))
      return
    }
    const plan =
      target === undefined
        ? new BrokerError('invalid-destination', 'the link has no target')
        : planSender(this.#host, fields, target)
    if (plan instanceof BrokerError) {
      this.#refuse(control, handle, plan)
      return
    }
    control.set_target(plan.target)
    if (plan.source !== undefined) control.set_source(plan.source)
    const { broker } = this.#host
    const resumption = this.#reattachment.ofReceiver(control, fields, plan.asked, plan.expiry)
    const publisher = new Publisher(
      this,
      plan.address,
      (to) => resolve(broker, to),
      (isForGood) => {
        if (isForGood) this.#deleteTemporary(plan.temporary)
        else resumption.keep()
      },
      resumption.tags,
    )
    this.#openIncoming(control, handle, fields, publisher, resumption)
  }

  #openIncoming(
    control: ControlLink,
    handle: number,
    fields: Fields,
    sink: DeliverySink,
    { tags, onlyResumes }: Pick<IncomingLinkOptions, 'tags' | 'onlyResumes'> = noTags,
  ): void {
    const { linkCredit, limits } = this.#host.options
    const rcvSettleMode = fields.ubyte(attachFields.rcvSettleMode) ?? 0
    const { attach } = control.local
    attach.snd_settle_mode = fields.ubyte(attachFields.sndSettleMode) ?? 2
    attach.rcv_settle_mode = rcvSettleMode
    attach.max_message_size = limits.messageBytesMax
    const link = new IncomingLink(this, {
      control,
      sink,
      credit: linkCredit,
      messageBytesMax: limits.messageBytesMax,
      initialDeliveryCount: fields.uint(attachFields.initialDeliveryCount) ?? 0,
      isSecond: rcvSettleMode === 1,
      tags,
      onlyResumes,
    })
    this.#links[handle] = link
    this.#incomingLinks.add(link)
    control.open()
    link.replenish()
  }

  /** Part 2, section 2.6.3: an attach without the terminus that was asked for, then the detach that says why. */
  #refuse(control: ControlLink, handle: number, error: BrokerError): void {
    this.#links[handle] = new RefusedLink(control)
    control.open()
    control.close(errorFields(errorOf(error, 'link')))
  }

  #deleteTemporary(address: Address | undefined): void {
    if (address !== undefined) this.session.deleteTemporary(address)
  }

  #onDetach(frame: ControlFrame): void {
    if (this.isEnded) return
    const fields = new Fields(frame.performative.value, 'detach')
    const handle = fields.uint(0) ?? -1
    const link = this.#links[handle]
    if (link === undefined) {
      this.#fail(unattached(handle))
      return
    }
    const isForGood = fields.boolean(1)
    this.#links[handle] = undefined
    this.#host.linkCount -= 1
    if (link instanceof OutgoingLink) this.#outgoingLinks.delete(link)
    if (link instanceof IncomingLink) this.#incomingLinks.delete(link)
    const { control } = link
    control.state.remote_closed()
    if (!link.isClosed) {
      link.onDetach(isForGood)
      // Answered as it was asked (part 2, section 2.6.6).
      if (isForGood) control.close()
      else control.detach()
    }
    control.remove()
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

function unattached(handle: number): AmqpFault {
  return { condition: 'amqp:session:unattached-handle', sentence: `handle ${handle} is not attached` }
}
