import type { ClientProtocol } from './client-protocols.ts'
import { defaultUrl, stompUrl } from './default-url.ts'
import { CommandError } from './failure.ts'
import {
  type ClientError,
  type ConnectOptions,
  type Headers,
  loadStompit,
  mendErrors,
  type StompitClient,
} from './stompit.ts'

const connectMsMax = 5_000
const heartBeatMs = 10_000
/** stompit's own defaults are too small for selectors, tokens and JMS headers. */
const headerLineBytesMax = 64 * 1024
const headersMax = 1024

/** Where a broker is, and as whom to come. */
export interface Target {
  readonly host: string
  readonly port: number
  readonly user: string | undefined
  readonly password: string | undefined
}

/** Reads `tcp://user:password@host:port`; `stomp://` means the same. */
export function parseUrl(text: string): Target {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new CommandError(`"${text}" is no URL; it must look like ${stompUrl}`)
  }
  if (url.protocol !== 'tcp:' && url.protocol !== 'stomp:') {
    throw new CommandError(`this command speaks STOMP over tcp:// only, not ${url.protocol}//`)
  }
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 61_613 : Number(url.port),
    user: url.username === '' ? undefined : decodeURIComponent(url.username),
    password: url.password === '' ? undefined : decodeURIComponent(url.password),
  }
}

/** A connection of a command to a broker, over whatever protocol. Once it has failed, `failed` says why. */
export interface CommandClient {
  /** Never resolves; rejects when the connection is lost or the broker refuses. */
  readonly failed: Promise<never>
  /** Sends one message and calls back when the broker has confirmed it. */
  send(headers: Headers, body: Uint8Array, onConfirmed: () => void): void
  /** Subscribes; every message comes with its whole body, and after the last of a browser one with `browser: end`. */
  subscribe(headers: Headers, onMessage: (message: Received) => void): void
  acknowledge(message: Received): void
  /** Ends the connection once the broker has carried out everything asked of it. */
  close(): Promise<void>
  /** Ends it at once. */
  destroy(): void
}

/** Where the broker is, and what to speak to it. */
export interface Reach {
  readonly url?: string
  readonly protocol?: ClientProtocol
}

/** Connects over the protocol that is asked for, or that the URL names; the native one if neither says. */
export async function openClient({ url, protocol }: Reach): Promise<CommandClient> {
  const spoken = protocol ?? (url?.startsWith('stomp:') === true ? 'stomp' : 'native')
  if (spoken === 'stomp') return Client.connect(url ?? stompUrl)
  const { NativeCommandClient } = await import('./native-client.ts')
  return NativeCommandClient.connect(url ?? defaultUrl)
}

/** A connection over STOMP. */
export class Client implements CommandClient {
  /** Never resolves; rejects when the connection is lost or the broker sends an ERROR. */
  readonly failed: Promise<never>
  readonly #client: StompitClient
  #isClosing: boolean

  private constructor(client: StompitClient, url: string) {
    this.#client = client
    this.#isClosing = false
    this.failed = new Promise((_resolve, reject) => {
      client.on('error', (error: ClientError) => {
        if (!this.#isClosing) reject(lost(error, url))
      })
    })
    // Whoever awaits it is told; nobody need.
    this.failed.catch(() => undefined)
  }

  static async connect(url: string): Promise<Client> {
    const { host, port, user, password } = parseUrl(url)
    const stompit = loadStompit()
    return new Promise((resolve, reject) => {
      const options: ConnectOptions = {
        host,
        port,
        timeout: connectMsMax,
        connectHeaders: {
          host,
          'heart-beat': `${heartBeatMs},${heartBeatMs}`,
          ...(user === undefined ? {} : { login: user }),
          ...(password === undefined ? {} : { passcode: password }),
        },
        heartbeatDelayMargin: heartBeatMs,
        heartbeatOutputMargin: heartBeatMs / 4,
        maxLineLength: headerLineBytesMax,
        maxHeaders: headersMax,
      }
      const begun = stompit.connect(options, (error, client) => {
        if (error === null) resolve(new Client(client, url))
        else reject(notConnected(error, url))
      })
      mendErrors(begun)
    })
  }

  /** Sends one message and calls back when the broker has confirmed it. */
  send(headers: Headers, body: Uint8Array, onConfirmed: () => void): void {
    this.#client.send({ ...headers, 'content-length': body.length }, { onReceipt: onConfirmed }).end(body)
  }

  /** Subscribes; every message comes with its whole body. */
  subscribe(headers: Headers, onMessage: (message: Received) => void): void {
    this.#client.subscribe(headers, (error, frame) => {
      // The error comes through `failed` as well.
      if (error !== null) return
      const chunks: Buffer[] = []
      frame.on('data', (chunk: Buffer) => chunks.push(chunk))
      frame.on('end', () => {
        onMessage({ headers: frame.headers, body: Buffer.concat(chunks), accept: () => this.#client.ack(frame) })
      })
    })
  }

  acknowledge(message: Received): void {
    message.accept()
  }

  /** Ends the connection once the broker has carried out everything asked of it. */
  close(): Promise<void> {
    this.#isClosing = true
    return new Promise((resolve) => this.#client.disconnect(() => resolve()))
  }

  /** Ends it at once. */
  destroy(): void {
    this.#isClosing = true
    this.#client.destroy()
  }
}

/** A message that has come in. */
export interface Received {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  accept(): void
}

function notConnected(error: ClientError, url: string): CommandError {
  const place = withoutPassword(url)
  const said = sentenceOf(error)
  if (error.isApplicationError?.() === true) return new CommandError(`the broker at ${place} refuses: ${said}`)
  switch (error.code) {
    case 'ECONNREFUSED':
      return new CommandError(`no broker listens at ${place}; start one with: manifoldmq start`)
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new CommandError(`${place}: nobody knows this host name`)
    default:
      return new CommandError(`cannot connect to ${place}: ${said}`)
  }
}

function lost(error: ClientError, url: string): CommandError {
  const said = sentenceOf(error)
  if (error.isApplicationError?.() === true) return new CommandError(`the broker has ended the connection: ${said}`)
  return new CommandError(`the connection to ${withoutPassword(url)} is lost: ${said}`)
}

function sentenceOf(error: ClientError): string {
  return error.longMessage === undefined || error.longMessage === '' ? error.message : error.longMessage
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//')
}
