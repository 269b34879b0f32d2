import { defaultUrl } from './default-url.ts'
import { CommandError } from './failure.ts'
import {
  type ClientError,
  type ConnectOptions,
  type Headers,
  type IncomingFrame,
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
    throw new CommandError(`"${text}" is no URL; it must look like ${defaultUrl}`)
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

/** A connection of a command to a broker. Once it has failed, `failed` says why. */
export class Client {
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
      frame.on('end', () => onMessage({ headers: frame.headers, body: Buffer.concat(chunks), frame }))
    })
  }

  acknowledge(message: Received): void {
    this.#client.ack(message.frame)
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
  readonly frame: IncomingFrame
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
