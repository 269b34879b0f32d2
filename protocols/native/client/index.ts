/** The client, but for what carries its bytes: src/client.ts for Node, browser.ts for browsers. */
export type { Encoded, Payload, SendOptions } from './body.ts'
export { bytes, type Codec, json, list, map, type StandardSchema, text } from './codecs.ts'
export { Connection, type ConnectOptions, type Dial, helloOf } from './connection.ts'
export type { ConsumerOptions } from './consumer.ts'
export type { Destination, Inspection, Sendable } from './destination.ts'
export { type Environment, machine } from './environment.ts'
export { ConnectionError, closed, ManifoldError, NoRespondersError, TimeoutError } from './errors.ts'
export { everywhere } from './everywhere.ts'
export type { Messages } from './intake.ts'
export type { Message, MessageKind, SettleOptions } from './message.ts'
export type { Status } from './notices.ts'
export { type Carrier, carried } from './outbox.ts'
export type { Dialled, Peer, PeerEvents } from './peer.ts'
export type { Confirm, Producer, ProducerOptions } from './producer.ts'
export { heldMsMin } from './reconnect.ts'
export type { TransactionScope } from './transaction.ts'
export {
  defaultReconnect,
  type Endpoint,
  parseEndpoint,
  parseTarget,
  type ReconnectOptions,
  type Target,
} from './url.ts'
export { type Plain, type Properties, type PropertyInput, t } from './values.ts'
export type { WaitOptions } from './wait.ts'
export { type CarrierEvents, type Transport, type TransportEvents, WirePeer } from './wire-peer.ts'
export type { Handler, HandlerContext, WorkerOptions, Workers } from './workers.ts'
