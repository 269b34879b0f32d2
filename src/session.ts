import type { Address } from './address.ts'
import type { BrokerError } from './errors.ts'
import type { Message, MessageSource } from './message.ts'

/** Numbers the sends of one session from 1; a confirm names the last of those it covers. */
export type SendNumber = number

/** What became of a delivery. The words are AMQP 1.0's (part 3, section 3.4); every protocol maps its own onto them. */
export type Outcome =
  | { readonly kind: 'accepted' }
  /** Never deliverable: dead-lettered with the reason. */
  | { readonly kind: 'rejected'; readonly reason: string }
  /** Back in its place, the delivery count unchanged. */
  | { readonly kind: 'released' }
  /** Back in its place, by default with one more failed delivery. */
  | Modified

export interface Modified {
  readonly kind: 'modified'
  /** Not delivered again before; without it after the destination's redelivery delay, or at once if it has not failed. */
  readonly delayMs?: number | undefined
  /** False: the delivery count stays as it is (AMQP's delivery-failed). */
  readonly hasFailed?: boolean | undefined
  /** True: never again to this subscription (AMQP's undeliverable-here); it waits for another one. */
  readonly isUndeliverableHere?: boolean | undefined
  /**
   * What {@link Delivery.annotations} is from now on, in the adapter's own writing, merged by the adapter with what was there.
   * The bytes are copied. They stay with the message: over restarts if it is stored, and as a dead letter.
   */
  readonly annotations?: Uint8Array | undefined
}

export const accepted: Outcome = { kind: 'accepted' }
export const released: Outcome = { kind: 'released' }
export const failed: Outcome = { kind: 'modified' }

/** One message on its way to one subscription. Per-delivery facts live here, never in the message. */
export interface Delivery {
  readonly message: Message
  /** Place in its queue: grows, never reused. */
  readonly sequence: number
  /** Failed earlier deliveries. */
  readonly deliveryCount: number
  /** True if some consumer may have seen it before. */
  readonly redelivered: boolean
  /** True if it is the topic's retained message, sent because the subscription is new. */
  readonly isRetained: boolean
  /** What consumers have added to it by modifying it, in the writing of their protocol. */
  readonly annotations: Uint8Array | undefined
  /** For the adapter's own use while the delivery is unsettled: an ack id, a packet id. */
  tag: number
}

/** The receiving end of a subscription, implemented by an adapter. Called within the broker's turn; must not block. */
export interface Consumer {
  /** One message; it costs one credit. */
  deliver(delivery: Delivery): void
  /**
   * The subscription is over: a browser has seen all (no error; it needs no credit for that), or the broker ended it. Nothing is
   * delivered after.
   */
  ended(error?: BrokerError): void
}

export interface SubscribeRequest {
  /** A destination or a pattern. */
  readonly address: Address
  readonly consumer: Consumer
  /** Accepted as soon as it is handed over: no settlement follows. */
  readonly presettled: boolean
  readonly selector?: string | undefined
  /** Messages sent under the same client id are left out; topics only. */
  readonly noLocal?: boolean | undefined
  /** The only consumer to be served while it is there; queues only. */
  readonly exclusive?: boolean | undefined
  /** Consumers of higher priority are served first; 0 is normal. */
  readonly priority?: number | undefined
  /** Look, leave everything in its place, end after the last message; queues only. */
  readonly browse?: boolean | undefined
  /** Name of a durable or shared topic subscription; the same name under another client id is another subscription. */
  readonly name?: string | undefined
  /** Keeps collecting while nobody is connected; needs a name and a client id (or `shared`). */
  readonly durable?: boolean | undefined
  /** Several consumers compete for the messages of one subscription; needs a name. What one leaves unsettled goes to the others. */
  readonly shared?: boolean | undefined
  /** The name belongs to no client: consumers of every client id share it, as MQTT's `$share` has it. Only with `shared`. */
  readonly isGlobal?: boolean | undefined
  /**
   * Whether the topics' retained messages come first: also to a named subscription that was there before (`send`), to a new one
   * only (`if-new`, the default; an unnamed one is always new), or never. See {@link Delivery.isRetained}.
   */
  readonly retained?: 'send' | 'if-new' | 'none' | undefined
}

/** One more filter of a topic subscription. */
export interface FilterRequest {
  /** A topic or a pattern of topics. */
  readonly address: Address
  /** As in {@link SubscribeRequest}, for this filter. */
  readonly noLocal?: boolean | undefined
  /** As in {@link SubscribeRequest}: `send` also if the subscription covers the filter already, `if-new` (the default) if not. */
  readonly retained?: 'send' | 'if-new' | 'none' | undefined
}

/** A durable or shared topic subscription. */
export interface NamedSubscriptionInfo {
  readonly name: string
  /** The filter it was made with. */
  readonly address: Address
  /** Empty: none. */
  readonly selector: string
  readonly isDurable: boolean
  readonly isShared: boolean
  /** Consumers it has now. */
  readonly consumerCount: number
  /** Messages it holds: waiting, delayed and unsettled. */
  readonly messageCount: number
}

/** One consumer's hold on a destination. */
export interface Subscription {
  /** Messages it may still be given. */
  readonly credit: number
  readonly unsettledCount: number
  /** A negative number takes credit back, as far as there is any. */
  addCredit(messages: number): void
  /**
   * Has the credit used up: once it has been given all that waits for it now, on disk too, the rest of its credit is taken back and
   * `done` is told how much that was. Called once, within a turn, behind the deliveries, or before `drain` returns if there is
   * nothing to wait for; never if the subscription ends first. `undefined`, and another call, forget the one before.
   */
  drain(done: ((creditLeft: number) => void) | undefined): void
  /** Puts the topics' retained messages before all that waits, as for a new subscription; nothing for one to queues. */
  recall(): void
  /** Settles one delivery; within a transaction, when that commits. Settled before: nothing happens. */
  settle(delivery: Delivery, outcome: Outcome, transaction?: Transaction): void
  /** Settles every unsettled delivery up to and including this one, in the order of delivery. Returns them. */
  settleThrough(delivery: Delivery, outcome: Outcome, transaction?: Transaction): readonly Delivery[]
  /**
   * Has a topic subscription that is not shared collect from one more filter, or changes how it does. A message comes once,
   * however many of the filters cover it. Durable as the subscription is.
   */
  cover(request: FilterRequest): BrokerError | undefined
  /** The filter covers nothing more; what it has brought in stays. A subscription may be left without any. */
  uncover(address: Address): void
  /** Unsettled deliveries go back. A durable subscription goes on collecting. */
  close(): void
}

/** Sends, settlements and states that happen together or not at all. */
export interface Transaction {
  /** Applies everything. The number is confirmed when it is safe, or refused with everything undone. */
  commit(): SendNumber
  /** Forgets the sends; the settled deliveries are unsettled again. */
  abort(): void
}

/** What the broker tells the adapter of a session. Called within the turn; `refused` from inside the call it answers. */
export interface SessionEvents {
  /** Every number up to this one that was not refused is as safe as it asked to be. */
  confirmed(upTo: SendNumber): void
  /**
   * While the session is blocked: every number up to this one that {@link Session.sync} gave is safe; sends stay unconfirmed. Who
   * waits for an answer to its settlements before it takes more may be the one that the full destination waits for.
   */
  synced?(upTo: SendNumber): void
  /** That send had no effect. */
  refused(send: SendNumber, error: BrokerError): void
  /**
   * A destination or the memory is full: read no more sends, but go on reading settlements. Confirms of sends are withheld. May be
   * called from inside `send`.
   */
  blocked(): void
  unblocked(): void
  /** The broker ends the session; nothing follows. */
  closed(error: BrokerError): void
}

export interface Session {
  /** Named as the source of every message the session sends. */
  readonly source: MessageSource
  readonly clientId: string | undefined
  readonly isBlocked: boolean
  /**
   * True if the last message that was sent outside a transaction, and not refused, went to a topic and was for no
   * subscription. To be asked right after `send`; costs those who do not ask nothing.
   */
  readonly wentNowhere: boolean
  /**
   * What adapters keep under a key, of 4 KiB in UTF-8 at most; keys begin with the name of the protocol. Open transactions
   * do not count.
   */
  state(key: string): Uint8Array | undefined
  /**
   * Keeps up to 64 KiB, which are copied, under a key, over restarts too; `undefined` removes it. Everything asked for before
   * control goes back to the event loop becomes durable together or not at all: a state put right beside one `send` or `settle`
   * needs no transaction to go with it, and a `sync`, or a `send` beside it, is confirmed once it is safe. Refused with the reason.
   */
  putState(key: string, value: Uint8Array | undefined, transaction?: Transaction): BrokerError | undefined
  /** Hands over one message; the answer comes through {@link SessionEvents}. */
  send(message: Message, transaction?: Transaction): SendNumber
  /** A number confirmed once everything this session has asked before it, settlements too, is safe. */
  sync(): SendNumber
  /** A subscription without credit, or the reason why not. */
  subscribe(request: SubscribeRequest): Subscription | BrokerError
  /** The named durable or shared subscription of this client, or the one that belongs to no client, if there is one. */
  findSubscription(name: string, isGlobal?: boolean): NamedSubscriptionInfo | undefined
  /** Removes a durable subscription that no consumer uses. */
  deleteSubscription(name: string, isGlobal?: boolean): BrokerError | undefined
  begin(): Transaction | BrokerError
  /** A destination that lives as long as this session, and only it may consume from. */
  createTemporary(kind: Address['kind']): Address | BrokerError
  /** Deletes a temporary destination of this session with all it holds, before the session ends; nothing for any other address. */
  deleteTemporary(address: Address): void
  /** Stops deliveries of all its subscriptions, at once: the peer does not read. */
  suspend(): void
  resume(): void
  /** Ends it. `lost`: the connection broke, and unsettled deliveries count as failed. */
  close(how?: 'clean' | 'lost'): void
}
