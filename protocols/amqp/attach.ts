import {
  type Address,
  type AddressKind,
  type Broker,
  BrokerError,
  type Identity,
  type Session,
  type SubscribeRequest,
} from '../../src/core.ts'
import { kindOf, readAddress } from './addresses.ts'
import { type Expiry, grantedExpiry, noExpiry } from './resume.ts'
import {
  type AnsweredTerminus,
  answer,
  outcomeNames,
  readFilters,
  readSource,
  readTarget,
  type Source,
  type Terminus,
} from './terminus.ts'
import type { Fields, Typed } from './typed.ts'

/** Indices of the fields of an attach (part 2, section 2.7.3). */
export const attachFields = {
  name: 0,
  handle: 1,
  role: 2,
  sndSettleMode: 3,
  rcvSettleMode: 4,
  source: 5,
  target: 6,
  unsettled: 7,
  incompleteUnsettled: 8,
  initialDeliveryCount: 9,
  maxMessageSize: 10,
  desiredCapabilities: 12,
} as const

/**
 * Whether an attach may go on with what an earlier link of its name has left: unsettled deliveries, or a terminus that outlives its
 * session.
 */
export function isContinuation(fields: Fields): boolean {
  if (fields.hasMap(attachFields.unsettled)) return true
  const isReceiver = fields.boolean(attachFields.role)
  const terminus = isReceiver
    ? readSource(fields.raw(attachFields.source))
    : readTarget(fields.raw(attachFields.target))
  if (terminus === 'coordinator') return false
  if (terminus === undefined) return isReceiver
  return terminus.durable > 0 || grantedExpiry(terminus) !== noExpiry
}

const forEver: Expiry = { policy: 'never', timeout: 0 }

/** What attaching needs to know. */
export interface AttachContext {
  readonly broker: Broker
  readonly identity: Identity
  readonly session: Session
}

/** A receiver's link: what it subscribes to, and the source of the answer. */
export interface ReceiverPlan {
  readonly request: Omit<SubscribeRequest, 'consumer'>
  /** What is sent is sent settled. */
  readonly presettled: boolean
  /** Bytes of the largest message that the receiver takes; 0: any. */
  readonly messageBytesMax: number
  readonly source: Record<string, unknown>
  readonly target: Record<string, unknown> | undefined
  readonly defaultOutcome: Typed | undefined
  /** Made for this link: goes with it. */
  readonly temporary: Address | undefined
  /** The subscription that stays when the link is detached, and that closing it for good deletes. */
  readonly keptName: SubscriptionName | undefined
  /** It stays for no longer than `expiry` says. */
  readonly isExpiring: boolean
  /** How long its unsettled state, and the subscription, are kept. */
  readonly expiry: Expiry
  /** The source's address as it was asked for. */
  readonly asked: string
}

export interface SubscriptionName {
  readonly name: string
  readonly isGlobal: boolean
}

/** A link that only looks for a durable subscription, to delete it: Qpid JMS unsubscribes so. */
export interface LookUpPlan {
  readonly keptName: SubscriptionName
  readonly source: Record<string, unknown>
}

/** A sender's link: where it sends; undefined for the anonymous relay. */
export interface SenderPlan {
  readonly address: Address | undefined
  readonly target: Record<string, unknown>
  readonly source: Record<string, unknown> | undefined
  readonly temporary: Address | undefined
  readonly expiry: Expiry
  /** The target's address as it was asked for. */
  readonly asked: string
}

/** What a receiver's attach asks for, or why it cannot have it. */
export function planReceiver(context: AttachContext, fields: Fields): ReceiverPlan | LookUpPlan | BrokerError {
  const source = readSource(fields.raw(attachFields.source))
  const linkName = fields.string(attachFields.name) ?? ''
  if (source === undefined) return planLookUp(context.session, fields, linkName)
  const made = source.dynamic ? makeTemporary(context.session, source) : undefined
  if (made instanceof BrokerError) return made
  const address = made ?? addressOf(context.broker, source)
  if (address instanceof BrokerError) return address
  const target = readTarget(fields.raw(attachFields.target))
  const filters = readFilters(source.filters)
  const isTopic = address.kind === 'topic'
  const browse = !isTopic && source.distributionMode === 'copy'
  const durable = isTopic && (source.durable > 0 || source.policy === 'never')
  const shared = isTopic && source.capabilities.includes('shared')
  const name = subscriptionName(linkName, shared, source.capabilities)
  const presettled = browse || fields.ubyte(attachFields.sndSettleMode) === 1
  const messageBytesMax = fields.ulong(attachFields.maxMessageSize) ?? 0
  // What is shared or dynamic and not durable ends with its link, whatever is asked for; a browser has nothing to be kept.
  const canStay = made === undefined && (isTopic ? !shared : !presettled)
  const expiry = durable ? forEver : canStay ? grantedExpiry(source) : noExpiry
  const isExpiring = isTopic && !durable && expiry !== noExpiry
  return {
    presettled,
    messageBytesMax,
    request: {
      address,
      // What may turn out to be too large is not taken before that is known.
      presettled: presettled && messageBytesMax === 0,
      selector: filters.selector,
      noLocal: isTopic && filters.noLocal,
      browse,
      ...(durable || isExpiring || shared
        ? { name: name.name, durable: durable || isExpiring, shared, isGlobal: name.isGlobal }
        : {}),
    },
    source: {
      ...answer(source, answered(source, address, made, durable), expiry),
      distribution_mode: browse ? 'copy' : 'move',
      ...(Object.keys(filters.applied).length === 0 ? {} : { filter: filters.applied }),
      ...(source.defaultOutcome === undefined ? {} : { default_outcome: source.defaultOutcome }),
      outcomes: [...outcomeNames],
    },
    target: target === undefined || target === 'coordinator' ? undefined : answer(target, asAsked(target), target),
    defaultOutcome: source.defaultOutcome,
    temporary: made,
    keptName: durable || isExpiring ? name : undefined,
    isExpiring,
    expiry,
    asked: source.address ?? '',
  }
}

/** What a sender's attach asks for; the coordinator is not asked for here. */
export function planSender(context: AttachContext, fields: Fields, target: Terminus): SenderPlan | BrokerError {
  const { broker, identity, session } = context
  const made = target.dynamic ? makeTemporary(session, target) : undefined
  if (made instanceof BrokerError) return made
  const isRelay = made === undefined && target.address === undefined
  const address = isRelay ? undefined : (made ?? addressOf(broker, target))
  if (address instanceof BrokerError) return address
  if (address !== undefined && made === undefined) {
    const refusal = broker.access.authorise(identity, 'send', address) ?? faultOf(broker.router.destination(address))
    if (refusal !== undefined) return refusal
  }
  const source = readSource(fields.raw(attachFields.source))
  const expiry = made === undefined ? grantedExpiry(target) : noExpiry
  return {
    address,
    // Of its state nothing outlives the broker: durable is its configuration alone.
    target: answer(
      { ...target, durable: Math.min(target.durable, 1) },
      answered(target, address, made, target.durable > 0),
      expiry,
    ),
    source: source === undefined ? undefined : answer(source, asAsked(source), source),
    temporary: made,
    expiry,
    asked: target.address ?? '',
  }
}

/** What a name without prefix or capability means: the topic if only that exists, else the queue. */
export function bareKind(broker: Broker, address: (kind: AddressKind) => Address | BrokerError): AddressKind {
  const exists = (kind: AddressKind): boolean => {
    const found = address(kind)
    return !(found instanceof BrokerError) && broker.find(found) !== undefined
  }
  return exists('topic') && !exists('queue') ? 'topic' : 'queue'
}

/** Reads an address that a message or a terminus names. */
export function resolve(broker: Broker, text: string, kind?: AddressKind): Address | BrokerError {
  return readAddress(text, kind ?? ((name) => bareKind(broker, (one) => readAddress(name, one))))
}

/** Without a source: the durable subscription that the link is named after. */
function planLookUp(session: Session, fields: Fields, linkName: string): LookUpPlan | BrokerError {
  const desired = fields.symbols(attachFields.desiredCapabilities)
  const keptName = subscriptionName(linkName, desired.includes('shared'), desired)
  const found = session.findSubscription(keptName.name, keptName.isGlobal)
  if (found === undefined) {
    return new BrokerError('not-found', `there is no source, and no durable subscription "${keptName.name}"`)
  }
  return {
    keptName,
    source: { address: found.address.toString(), durable: 2, expiry_policy: 'never', capabilities: ['topic'] },
  }
}

/** Qpid JMS tells the consumers of a shared subscription apart by what follows a bar in the link's name. */
function subscriptionName(linkName: string, isShared: boolean, capabilities: readonly string[]): SubscriptionName {
  const bar = isShared ? linkName.lastIndexOf('|') : -1
  return {
    name: bar > 0 ? linkName.slice(0, bar) : linkName,
    isGlobal: isShared && capabilities.includes('global'),
  }
}

function makeTemporary(session: Session, terminus: Terminus): Address | BrokerError {
  return session.createTemporary(kindOf(terminus.capabilities) ?? 'queue')
}

function addressOf(broker: Broker, terminus: Terminus): Address | BrokerError {
  if (terminus.address === undefined) return new BrokerError('invalid-destination', 'the source has no address')
  return resolve(broker, terminus.address, kindOf(terminus.capabilities))
}

/** The address as the client wrote it; of a dynamic node as we do. */
function answered(
  asked: Source | Terminus,
  address: Address | undefined,
  made: Address | undefined,
  isDurable: boolean,
): AnsweredTerminus {
  return {
    address: made === undefined ? asked.address : address?.toString(),
    isDurable,
    dynamicKind: made?.kind,
  }
}

/** The peer's own end, which we have no say in. */
function asAsked(terminus: Terminus): AnsweredTerminus {
  return { address: terminus.address, isDurable: terminus.durable > 0, dynamicKind: undefined }
}

function faultOf(result: object): BrokerError | undefined {
  return result instanceof BrokerError ? result : undefined
}
