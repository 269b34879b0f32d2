/** The door for programs that use a broker: `import { connect } from 'manifoldmq/client'`. */
import {
  Connection,
  type ConnectOptions,
  carried,
  type Dial,
  type Dialled,
  ManifoldError,
  WirePeer,
} from '../protocols/native/client/index.ts'
import { Failover } from './client/failover.ts'
import { type FailoverOptions, parseFailover } from './client/failover-options.ts'
import type { TlsOptions } from './client/sockets.ts'

export {
  bytes,
  type Codec,
  type Confirm,
  Connection,
  ConnectionError,
  type ConnectOptions,
  type ConsumerOptions,
  type Destination,
  type Encoded,
  type Environment,
  type Handler,
  type HandlerContext,
  type Inspection,
  json,
  list,
  ManifoldError,
  type Message,
  type MessageKind,
  type Messages,
  map,
  NoRespondersError,
  type Payload,
  type Plain,
  type Producer,
  type ProducerOptions,
  type Properties,
  type PropertyInput,
  type ReconnectOptions,
  type Sendable,
  type SendOptions,
  type SettleOptions,
  type StandardSchema,
  type Status,
  TimeoutError,
  type TransactionScope,
  t,
  text,
  type WaitOptions,
  type WorkerOptions,
  type Workers,
} from '../protocols/native/client/index.ts'

/** As in a browser, and what only programs of their own have. */
export interface ClientOptions extends Omit<ConnectOptions, 'reconnect'> {
  /** How a lost connection is tried again; `false`: not at all. Options of a `failover:` URL come before these. */
  readonly reconnect?: Partial<FailoverOptions> | false | undefined
  /** For `tls://` and `wss://`, as `node:tls` has them: `ca`, `cert`, `key`, `servername` and so on. */
  readonly tls?: TlsOptions | undefined
}

/** Reaches one broker, whatever its URL says. */
async function reach(
  tls: TlsOptions | undefined,
  ...[endpoint, given, events, signal]: Parameters<Dial>
): Promise<Dialled> {
  const { scheme, url } = endpoint
  const { hello, environment } = given
  const allocate = (bytes: number): Uint8Array => Buffer.allocUnsafeSlow(bytes)
  const options = { hello, environment, allocate }
  switch (scheme) {
    case 'tcp':
    case 'tls':
    case 'unix': {
      const { openSocket } = await import('./client/sockets.ts')
      return await WirePeer.dial(
        carried((transport) => openSocket({ scheme, url, tls }, transport, signal), allocate),
        options,
        events,
        signal,
      )
    }
    case 'ws':
    case 'wss': {
      const { openNodeWebSocket } = await import('./client/websocket.ts')
      return await WirePeer.dial(
        carried((transport) => openNodeWebSocket({ url, tls }, transport, signal), allocate),
        options,
        events,
        signal,
      )
    }
    case 'vm': {
      const { dialVm } = await import('./client/vm.ts')
      return await dialVm(url, { hello, environment }, events)
    }
    default:
      throw new ManifoldError('invalid-request', `this client does not speak ${scheme}://`)
  }
}

/**
 * Connects to a broker: `tcp://host:61616`, `tls://…`, `unix:///path`, `ws://…`, `vm://name`, or several of them as
 * `failover:(tcp://a:61616,tcp://b:61616)?randomize=false`. Rejects with a ManifoldError that says what to do.
 */
export async function connect(url = 'tcp://127.0.0.1:61616', options: ClientOptions = {}): Promise<Connection> {
  const target = parseFailover(url, options.reconnect)
  const dial: Dial = (...all) => reach(options.tls, ...all)
  return await Connection.open(target, options, target.isFailover ? new Failover(target, options, dial).dial : dial)
}
