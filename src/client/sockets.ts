import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { type Carrier, type CarrierEvents, ConnectionError } from '../../protocols/native/client/index.ts'

const defaultPort = 61_616

/** Whom a client trusts over `tls://` and `wss://`, and what it shows of itself. Default: the authorities that Node knows. */
export type TlsOptions = Pick<
  ConnectionOptions,
  'ca' | 'cert' | 'key' | 'passphrase' | 'pfx' | 'servername' | 'rejectUnauthorized' | 'minVersion' | 'ciphers'
>

/** What a socket is to be. */
export interface SocketPlace {
  /** `tcp`, `tls` or `unix`. */
  readonly scheme: string
  readonly url: URL
  readonly tls: TlsOptions | undefined
}

/** Opens a socket: `tcp://host:port`, `tls://host:port` or `unix:///path`. Rejects with a ConnectionError that says what to do. */
export function openSocket(place: SocketPlace, events: CarrierEvents, signal: AbortSignal): Promise<Carrier> {
  const { scheme, url } = place
  const socket = socketOf(place)
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      socket.destroy()
      reject(new ConnectionError('aborted', 'connecting was aborted'))
    }
    let cause: Error | undefined
    let isOpen = false
    signal.addEventListener('abort', onAbort, { once: true })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      cause = error
    })
    socket.on('data', (chunk) => events.data(chunk))
    socket.on('close', () => {
      signal.removeEventListener('abort', onAbort)
      if (isOpen) events.closed(cause)
      else reject(refused(url, cause))
    })
    socket.once(scheme === 'tls' ? 'secureConnect' : 'connect', () => {
      signal.removeEventListener('abort', onAbort)
      isOpen = true
      resolve(carrierOf(socket))
    })
    if (signal.aborted) onAbort()
  })
}

function socketOf({ scheme, url, tls }: SocketPlace): Socket {
  if (scheme === 'unix') return connectTcp({ path: decodeURIComponent(url.pathname) })
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? defaultPort : Number(url.port)
  // A server name is never an address (RFC 6066, section 3).
  if (scheme === 'tls') return connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...tls })
  return connectTcp({ host, port, noDelay: true })
}

function carrierOf(socket: Socket): Carrier {
  return {
    write: (bytes, done) => {
      socket.write(bytes, done)
    },
    cork: () => socket.cork(),
    uncork: () => socket.uncork(),
    end: () => {
      socket.end()
    },
    destroy: () => {
      socket.destroy()
    },
  }
}

/** What to say of a broker that cannot be reached. */
export function refused(url: URL, cause: NodeJS.ErrnoException | undefined): ConnectionError {
  const place = `${url.protocol}//${url.host}${url.host === '' ? url.pathname : ''}`
  const how = { retryable: true, cause }
  switch (cause?.code) {
    case 'ECONNREFUSED':
      return new ConnectionError(
        'connection-refused',
        `no broker listens at ${place}; start one with: manifoldmq start`,
        how,
      )
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new ConnectionError('connection-refused', `${place}: nobody knows this host name`, how)
    default:
      return new ConnectionError(
        'connection-refused',
        `cannot connect to ${place}: ${cause?.message ?? 'it hung up'}`,
        how,
      )
  }
}
