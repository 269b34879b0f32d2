import { type Approach, type CommandClient, headersOf, type Intake, type Outgoing, type Wanted } from './client.ts'
import { Ending } from './ending.ts'
import { connectMsMax, endedByBroker, lost, notConnected, notLetIn, placeOf } from './place.ts'
import {
  type ClientError,
  type ConnectOptions,
  type Headers,
  type IncomingFrame,
  loadStompit,
  mendErrors,
  type StompitClient,
} from './stompit.ts'

const heartBeatMs = 10_000
/** stompit's own defaults are too small for selectors, tokens and JMS headers. */
const headerLineBytesMax = 64 * 1024
const headersMax = 1024

/** A connection over STOMP. */
export class StompClient implements CommandClient {
  readonly #client: StompitClient
  readonly #prefetch: number
  readonly #ending: Ending

  private constructor(client: StompitClient, { url, prefetch }: Approach) {
    this.#client = client
    this.#prefetch = prefetch
    this.#ending = new Ending()
    client.on('error', (error: ClientError) => {
      const said = sentenceOf(error)
      this.#ending.fail(error.isApplicationError?.() === true ? endedByBroker(said) : lost(said, url))
    })
  }

  static async connect(approach: Approach): Promise<StompClient> {
    const { host, port, user, password } = placeOf(approach, 'stomp')
    const stompit = loadStompit()
    return new Promise((resolve, reject) => {
      const options: ConnectOptions = {
        host,
        port,
        timeout: connectMsMax,
        connectHeaders: {
          host,
          'heart-beat': `${heartBeatMs},${heartBeatMs}`,
          ...headersOf({ login: user, passcode: password, 'client-id': approach.clientId }),
        },
        heartbeatDelayMargin: heartBeatMs,
        heartbeatOutputMargin: heartBeatMs / 4,
        maxLineLength: headerLineBytesMax,
        maxHeaders: headersMax,
      }
      const begun = stompit.connect(options, (error, client) => {
        if (error === null) resolve(new StompClient(client, approach))
        else if (error.isApplicationError?.() === true) reject(notLetIn(sentenceOf(error), approach.url))
        else reject(notConnected(error, approach.url))
      })
      mendErrors(begun)
    })
  }

  get failed(): Promise<never> {
    return this.#ending.failed
  }

  send(message: Outgoing, onConfirmed: () => void): void {
    this.#client.send(sendHeaders(message), { onReceipt: onConfirmed }).end(message.body)
  }

  subscribe({ destination, selector, browses, settles }: Wanted, intake: Intake): void {
    const headers: Headers = {
      destination,
      ack: settles ? 'client-individual' : 'auto',
      ...(browses === true ? { browser: 'true' } : { 'activemq.prefetchSize': this.#prefetch }),
      ...headersOf({ selector }),
    }
    this.#client.subscribe(headers, (error, frame) => {
      // The error comes through `failed` as well.
      if (error !== null) return
      const chunks: Buffer[] = []
      frame.on('data', (chunk: Buffer) => chunks.push(chunk))
      frame.on('end', () => this.#hand(frame, Buffer.concat(chunks), settles, intake))
    })
  }

  close(): Promise<void> {
    this.#ending.isExpected = true
    return new Promise((resolve) => this.#client.disconnect(() => resolve()))
  }

  destroy(): void {
    this.#ending.isExpected = true
    this.#client.destroy()
  }

  #hand(frame: IncomingFrame, body: Buffer, settles: boolean, intake: Intake): void {
    if (frame.headers.browser === 'end') {
      intake.end()
      return
    }
    intake.message({
      address: frame.headers.destination?.replace(/^\/(queue|topic)\//, '$1://'),
      body,
      headers: () => ({ ...frame.headers }),
      accept: () => {
        if (settles) this.#client.ack(frame)
      },
    })
  }
}

function sendHeaders({
  destination,
  body,
  isText,
  persistent,
  priority,
  ttlMs,
  retain,
  properties,
}: Outgoing): Headers {
  const known = {
    destination,
    'content-type': isText ? 'text/plain;charset=utf-8' : undefined,
    'content-length': body.length,
    persistent: persistent || undefined,
    priority,
    retain: retain === true || undefined,
    // The wire carries the time of death.
    expires: ttlMs === undefined ? undefined : Math.round(performance.timeOrigin + performance.now() + ttlMs),
  }
  return { ...headersOf(known), ...properties }
}

function sentenceOf(error: ClientError): string {
  return error.longMessage === undefined || error.longMessage === '' ? error.message : error.longMessage
}
