/** The door of the core: all that a protocol adapter may import. */
export { Address, type AddressKind, covers, temporaryPrefix } from './address.ts'
export type { Access, Action, Identity, Login, ScramUsers } from './broker/access.ts'
export type { Broker } from './broker/broker.ts'
export { deathAnnotations } from './broker/dead-letter.ts'
export type { Deadline, Due } from './broker/deadlines.ts'
export { BrokerError, type ErrorCode } from './errors.ts'
export { stateBytesMax, stateKeyBytesMax } from './limits.ts'
export {
  type Annotations,
  type Body,
  type ContentFormat,
  emptyView,
  type LazyContent,
  Message,
  type MessageInit,
  type MessageSource,
  type MessageView,
} from './message.ts'
export type { Protocol } from './protocol.ts'
export { Reading } from './reading.ts'
export { type ScramLogin, ScramServer, type ScramStep, scramMechanism } from './scram/server.ts'
export {
  accepted,
  type Consumer,
  type Delivery,
  type FilterRequest,
  failed,
  type Modified,
  type NamedSubscriptionInfo,
  type Outcome,
  released,
  type SendNumber,
  type Session,
  type SessionEvents,
  type SubscribeRequest,
  type Subscription,
  type Transaction,
} from './session.ts'
export { SmallMap } from './small-map.ts'
export type { Output } from './transport/output.ts'
export type { Wire, WireEvents } from './transport/wire.ts'
export { isTyped, jsonOfValue, scalar, type TypedValue, textOfValue, type Value } from './value.ts'
