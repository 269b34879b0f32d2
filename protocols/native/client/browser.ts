/** The client for browsers: `connect('ws://host:61614')` or `wss://`. Nothing of Node in it. */
import { Connection, type ConnectOptions, type Dial } from './connection.ts'
import { machine } from './environment.ts'
import { ManifoldError } from './errors.ts'
import { defaultReconnect, parseTarget } from './url.ts'
import { openWebSocket, type WebSocketClass } from './websocket.ts'
import { WirePeer } from './wire-peer.ts'

export { bytes, type Codec, json, list, map, type StandardSchema, text } from './codecs.ts'
export type { Connection, ConnectOptions } from './connection.ts'
export { ConnectionError, ManifoldError, NoRespondersError, TimeoutError } from './errors.ts'
export type { Message } from './message.ts'
export { t } from './values.ts'

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

const dial: Dial = ({ scheme, url }, { hello, environment: given }, events, signal) => {
  if (scheme !== 'ws' && scheme !== 'wss') {
    throw new ManifoldError('invalid-request', `a browser reaches brokers by ws:// and wss:// only, not ${scheme}://`)
  }
  const options = { hello, environment: given, allocate: (bytes: number) => new Uint8Array(bytes) }
  return WirePeer.dial(
    (transport) => openWebSocket(page.WebSocket, url, { environment: given, signal }, transport),
    options,
    events,
    signal,
  )
}

/** Connects to a broker over a WebSocket. Rejects with a ManifoldError that says what to do. */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Connection> {
  const target = parseTarget(url, { ...defaultReconnect, ...options.reconnect })
  return await Connection.open(target, { environment, ...options }, dial)
}
