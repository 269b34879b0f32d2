import { type Address, BrokerError, type Session } from '../../src/core.ts'
import {
  attachFields,
  isContinuation,
  type LookUpPlan,
  planReceiver,
  planSender,
  type ReceiverPlan,
  resolve,
} from './attach.ts'
import { errorOf, PeerFault } from './conditions.ts'
import type { LinkHolder, LinkNames } from './containers.ts'
import { type ControlFrame, type ControlLink, type ControlSession, errorFields, setUnsettled, wrap } from './control.ts'
import type { ExpiringSubscriptions } from './expiring.ts'
import { type AmqpFault, framingFault } from './frame.ts'
import { type DeliverySink, type IncomingHost, IncomingLink, type IncomingLinkOptions } from './incoming-link.ts'
import type { AmqpOptions } from './limits.ts'
import { closeLink, type Link, RefusedLink } from './link.ts'
import type { OutgoingLane } from './outgoing.ts'
import { OutgoingLink } from './outgoing-link.ts'
import { Publisher, type PublisherHost } from './publisher.ts'
import { noTags, nothingKept, Reattachment, type ReattachmentHost } from './reattach.ts'
import type { Confirmed } from './resume.ts'
import { defaultOutcome, readTarget, takesRejected } from './terminus.ts'
import { Coordinator, type CoordinatorHost, transactionCapabilities } from './transactions.ts'
import { FieldFault, Fields } from './typed.ts'

/** What links need of their connection. */
export interface LinksConnection extends ReattachmentHost {
  readonly session: Session
  readonly options: AmqpOptions
  /** Who holds the links of this container. */
  readonly linkNames: LinkNames
  readonly expiring: ExpiringSubscriptions
  /** Links of all sessions; counted here. */
  linkCount: number
}

/** What links need of their session. */
export interface LinksSession extends IncomingHost, PublisherHost, CoordinatorHost {
  readonly control: ControlSession
  readonly outgoing: OutgoingLane
}

/** The links of one session (part 2, section 2.6): how they are attached, stolen and detached. */
export class Links implements LinkHolder {
  readonly outgoing: Set<OutgoingLink>
  readonly incoming: Set<IncomingLink>
  readonly connection: LinksConnection
  readonly #session: LinksSession
  readonly #reattachment: Reattachment
  /** By the peer's handle. */
  readonly #links: (Link | undefined)[]
  #stolen: number

  constructor(connection: LinksConnection, session: LinksSession, confirmed: Confirmed) {
    this.outgoing = new Set()
    this.incoming = new Set()
    this.connection = connection
    this.#session = session
    this.#reattachment = new Reattachment(connection, session, confirmed)
    this.#links = []
    this.#stolen = 0
  }

  at(handle: number): Link | undefined {
    return this.#links[handle]
  }

  /** The session is over: gives back all that they hold. */
  drop(): void {
    for (const link of this.#links) {
      if (link === undefined) continue
      this.connection.linkCount -= 1
      this.connection.linkNames.release(this.#nameOf(link.control.name), this)
      link.drop()
    }
    this.#links.length = 0
    this.outgoing.clear()
    this.incoming.clear()
    this.#reattachment.ended()
    this.connection.expiring.ended(this.#session)
  }

  /** Returns what ends the session, if anything; throws what ends the connection. */
  attach(frame: ControlFrame): AmqpFault | undefined {
    const fields = new Fields(frame.performative.value, 'attach')
    const name = fields.string(attachFields.name)
    const handle = fields.uint(attachFields.handle)
    const role = fields.raw(attachFields.role)
    if (name === undefined || handle === undefined || role === undefined)
      throw new FieldFault('an attach without name, handle or role')
    const { linksMax } = this.connection.options
    if (handle >= linksMax)
      throw new PeerFault(framingFault(`handle ${handle}; the largest is ${linksMax - 1} (handle-max)`))
    if (this.#links[handle] !== undefined) {
      return { condition: 'amqp:session:handle-in-use', sentence: `handle ${handle} is attached already` }
    }
    const isReceiver = fields.boolean(attachFields.role)
    const key = `${isReceiver ? 'receiver' : 'sender'} ${name}`
    // Also one of this session whose name another connection has claimed since.
    this.steal(key)
    this.connection.linkNames.claim(this.#nameOf(key), key, this, isContinuation(fields))
    const link = this.#createControl(key, name, handle, isReceiver)
    this.connection.linkCount += 1
    if (this.connection.linkCount > linksMax) {
      this.#refuse(link, handle, new BrokerError('limit-exceeded', `more than ${linksMax} links (linksMax)`))
      return undefined
    }
    // What is known is told once it has been found; never a map to a peer that has none.
    if (fields.hasMap(attachFields.unsettled)) setUnsettled(link, new Map(), false)
    if (isReceiver) this.#attachReceiver(link, handle, fields)
    else this.#attachSender(link, handle, fields)
    return undefined
  }

  /** Returns what ends the session, if anything. */
  detach(frame: ControlFrame): AmqpFault | undefined {
    const fields = new Fields(frame.performative.value, 'detach')
    const handle = fields.uint(0) ?? -1
    const link = this.#links[handle]
    if (link === undefined) return unattached(handle)
    const isForGood = fields.boolean(1)
    this.#links[handle] = undefined
    this.connection.linkCount -= 1
    if (link instanceof OutgoingLink) this.outgoing.delete(link)
    if (link instanceof IncomingLink) this.incoming.delete(link)
    const { control } = link
    this.connection.linkNames.release(this.#nameOf(control.name), this)
    control.state.remote_closed()
    if (!link.isClosed) {
      link.onDetach(isForGood)
      // Answered as it was asked (part 2, section 2.6.6).
      if (isForGood) control.close()
      else control.detach()
    }
    control.remove()
    return undefined
  }

  /** Part 2, section 2.6.1: a link that is attached anew is taken from where it was. */
  steal(key: string): void {
    const { links } = this.#session.control
    const before = links[key]
    if (before === undefined) return
    const owner = this.#links.find((link) => link?.control === before)
    if (owner !== undefined) {
      closeLink(owner, { condition: 'amqp:link:stolen', description: 'the link was attached again' })
    }
    this.#stolen += 1
    delete links[key]
    before.name = `stolen ${this.#stolen}`
    links[before.name] = before
  }

  /** rhea finds links by name alone: the role goes before it, which also keeps names off Object.prototype. */
  #createControl(key: string, name: string, handle: number, isReceiver: boolean): ControlLink {
    const { control } = this.#session
    const options = { credit_window: 0, autoaccept: false, autosettle: false, treat_modified_as_released: false }
    const link = isReceiver ? control.create_sender(key, options) : control.create_receiver(key, options)
    link.local.attach.name = name
    link.state.remote_opened()
    link.remote.handle = handle
    control.remote.handles[handle] = link
    return link
  }

  /** Container ids are chosen by clients: nobody takes a link from another user. */
  #nameOf(key: string): string {
    const { identity, container } = this.connection
    return JSON.stringify([identity.principal, container, key])
  }

  #attachReceiver(control: ControlLink, handle: number, fields: Fields): void {
    const plan = planReceiver(this.connection, fields)
    if (plan instanceof BrokerError) {
      this.#refuse(control, handle, plan)
      return
    }
    const link = this.#outgoingLink(control, plan, fields)
    const held = 'request' in plan ? this.#subscribe(plan, link) : undefined
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
    attach.max_message_size = this.connection.options.limits.messageBytesMax
    this.#links[handle] = link
    this.outgoing.add(link)
    if (held !== undefined) link.open(held)
    control.open()
  }

  #subscribe(plan: ReceiverPlan, consumer: OutgoingLink): ReturnType<Session['subscribe']> {
    const { session, expiring, identity } = this.connection
    const held = session.subscribe({ ...plan.request, consumer })
    if (held instanceof BrokerError || plan.keptName === undefined || plan.request.shared) return held
    const { name } = plan.keptName
    const refusal = expiring.attached(identity.clientId, name, plan.isExpiring ? plan.expiry : undefined)
    if (refusal === undefined) return held
    held.close()
    session.deleteSubscription(name)
    return refusal
  }

  #outgoingLink(control: ControlLink, plan: ReceiverPlan | LookUpPlan, fields: Fields): OutgoingLink {
    const isSubscription = 'request' in plan
    const resumption = isSubscription ? this.#reattachment.ofSender(fields, plan.asked, plan.expiry) : nothingKept
    const { broker, session, expiring, identity } = this.connection
    return new OutgoingLink(this.#session.outgoing, {
      control,
      presettled: isSubscription && plan.presettled,
      messageBytesMax: isSubscription ? plan.messageBytesMax : 0,
      defaultOutcome: defaultOutcome(isSubscription ? plan.defaultOutcome : undefined),
      now: () => broker.clock.now(),
      onClosed: () => {
        const { keptName } = plan
        if (keptName !== undefined) {
          session.deleteSubscription(keptName.name, keptName.isGlobal)
          expiring.forget(identity.clientId, keptName.name)
        }
        if (isSubscription) this.#deleteTemporary(plan.temporary)
      },
      ...resumption,
      onDropped: (kept) => {
        resumption.onDropped(kept)
        if (isSubscription && plan.keptName !== undefined && plan.isExpiring)
          expiring.detached(identity.clientId, plan.keptName.name, this.#reattachment.scopeOf(plan.expiry))
      },
    })
  }

  #attachSender(control: ControlLink, handle: number, fields: Fields): void {
    const target = readTarget(fields.raw(attachFields.target))
    if (target === 'coordinator') {
      control.local.attach.target = wrap.coordinator(transactionCapabilities)
      this.#openIncoming(control, handle, fields, new Coordinator(this.#session))
      return
    }
    const plan =
      target === undefined
        ? new BrokerError('invalid-destination', 'the link has no target')
        : planSender(this.connection, fields, target)
    if (plan instanceof BrokerError) {
      this.#refuse(control, handle, plan)
      return
    }
    control.set_target(plan.target)
    if (plan.source !== undefined) control.set_source(plan.source)
    const { broker } = this.connection
    const resumption = this.#reattachment.ofReceiver(control, fields, plan.asked, plan.expiry)
    const publisher = new Publisher(
      this.#session,
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
    const { linkCredit, limits } = this.connection.options
    const rcvSettleMode = fields.ubyte(attachFields.rcvSettleMode) ?? 0
    const { attach } = control.local
    attach.snd_settle_mode = fields.ubyte(attachFields.sndSettleMode) ?? 2
    attach.rcv_settle_mode = rcvSettleMode
    attach.max_message_size = limits.messageBytesMax
    const link = new IncomingLink(this.#session, {
      control,
      sink,
      credit: linkCredit,
      messageBytesMax: limits.messageBytesMax,
      initialDeliveryCount: fields.uint(attachFields.initialDeliveryCount) ?? 0,
      isSecond: rcvSettleMode === 1,
      canReject: takesRejected(fields.raw(attachFields.source)),
      tags,
      onlyResumes,
    })
    this.#links[handle] = link
    this.incoming.add(link)
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
    if (address !== undefined) this.connection.session.deleteTemporary(address)
  }
}

export function unattached(handle: number): AmqpFault {
  return { condition: 'amqp:session:unattached-handle', sentence: `handle ${handle} is not attached` }
}
