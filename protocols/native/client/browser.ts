/** The client for browsers: `connect('ws://host:61614')` or `wss://`. Nothing of Node in it. */
import { Connection, type ConnectOptions, type Dial } from './connection.ts'
import { machine } from './environment.ts'
import { defaultReconnect, parseTarget, type Reach } from './url.ts'
import { openWebSocket, type WebSocketClass } from './websocket.ts'
import { WirePeer } from './wire-peer.ts'

export type { Encoded, Payload, SendOptions } from './body.ts'
export { bytes, type Codec, json, list, map, type StandardSchema, text } from './codecs.ts'
export type { Connection, ConnectOptions } from './connection.ts'
export type { ConsumerOptions } from './consumer.ts'
export type { Destination, Inspection, Sendable } from './destination.ts'
export type { Environment } from './environment.ts'
export { ConnectionError, ManifoldError, type ManifoldErrorOptions, NoRespondersError, TimeoutError } from './errors.ts'
export type { Messages } from './intake.ts'
export type { Message, MessageKind, SettleOptions } from './message.ts'
export type { Status } from './notices.ts'
export type { Confirm, Producer, ProducerOptions } from './producer.ts'
export type { TransactionScope } from './transaction.ts'
export type { ReconnectOptions } from './url.ts'
export { type Double, type Plain, type Properties, type PropertyInput, t } from './values.ts'
export type { WaitOptions } from './wait.ts'
export type { Handler, HandlerContext, WorkerOptions, Workers } from './workers.ts'

interface Page {
  readonly WebSocket: WebSocketClass
  addEventListener(type: string, listener: () => void): void
  removeEventListener(type: string, listener: () => void): void
}

const page = globalThis as unknown as Page

/** A page that is back on the network does not wait for the next attempt. */
const environment = {
  ...machine,
  onWake(callback: () => void): () => void {
    page.addEventListener('online', callback)
    return () => page.removeEventListener('online', callback)
  },
}

/** A page reaches brokers by WebSockets only. */
const reach: Reach = {
  schemes: new Map([
    ['ws', 'ws'],
    ['wss', 'wss'],
  ]),
  example: 'ws://127.0.0.1:61614',
}

const dial: Dial = ({ url }, { hello, environment: given }, events, signal) => {
  return WirePeer.dial(
    (transport) => openWebSocket(page.WebSocket, url, { environment: given, signal }, transport),
    { hello, environment: given },
    events,
    signal,
  )
}

/** Connects to a broker over a WebSocket. Rejects with a ManifoldError that says what to do. */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Connection> {
  const target = parseTarget(url, { ...defaultReconnect, ...options.reconnect }, reach)
  return await Connection.open(target, { environment, ...options }, dial)
}
