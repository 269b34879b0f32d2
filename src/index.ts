/** The door for users: a broker within your process. */
export { Address, type AddressKind } from './address.ts'
export {
  type Access,
  type Action,
  type Identity,
  type Login,
  openAccess,
  type ScramDecoy,
  type ScramUsers,
  type ScramVerifier,
} from './broker/access.ts'
export { type Config, ConfigError, type ListenerName, type Problem, type ProtocolName } from './config.ts'
export type { Draft } from './embedded-format.ts'
export { BrokerError, type ErrorCode } from './errors.ts'
export type { Log } from './log.ts'
export { type ContentFormat, Message, type MessageView } from './message.ts'
export { type ScramCost, scramVerifierOf } from './scram/verifier.ts'
export { type Listener, Server as Broker, type ServerOptions as BrokerOptions } from './server.ts'
export {
  accepted,
  type Consumer,
  type Delivery,
  failed,
  type Modified,
  type NamedSubscriptionInfo,
  type Outcome,
  released,
  type Session,
  type SessionEvents,
  type SubscribeRequest,
  type Subscription,
  type Transaction,
} from './session.ts'
export { isTyped, scalar, type TypedValue, type Value } from './value.ts'
export { version } from './version.ts'
