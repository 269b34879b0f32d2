import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** What a listener agrees to. */
export interface Terms {
  readonly subprotocols: ReadonlySet<string>
  /** The one that is spoken with clients that name none; empty: they are refused. */
  readonly assumedSubprotocol: string
  /** Origins of pages that may connect; `loopback`: those of this machine; `*`: any. */
  readonly origins: readonly string[]
  /** Where the origins are set: `listeners.ws`. */
  readonly setting: string
}

/** An opening handshake that is accepted (RFC 6455 §4.2.2). */
export interface Agreement {
  readonly subprotocol: string
  /** The response, to its last byte. */
  readonly response: string
}

/** One that is not. */
export interface Refusal {
  readonly sentence: string
  readonly response: string
}

type Headers = Readonly<Record<string, string>>

const version = '13'
/** §1.3 */
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** Sixteen bytes in base64. */
const keyForm = /^[+/0-9A-Za-z]{21}[AQgw]==$/
const tokenForm = /^[\w!#$%&'*+.^`|~-]+$/
const loopbackOrigin = /^https?:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/

/** Whether a request becomes a WebSocket, and what is answered (§4.2). */
export function agree(request: IncomingMessage, terms: Terms): Agreement | Refusal {
  const { headers } = request
  if (headers.upgrade?.toLowerCase() !== 'websocket') return plainRequest(terms)
  if (request.method !== 'GET' || request.httpVersion === '1.0')
    return refusal(400, 'A WebSocket begins with a GET of HTTP 1.1.')
  if (headers['sec-websocket-version'] !== version) {
    const more = { 'Sec-WebSocket-Version': version }
    return refusal(426, `Sec-WebSocket-Version must be ${version}.`, { Upgrade: 'websocket', ...more })
  }
  const key = headers['sec-websocket-key']?.trim()
  if (key === undefined || !keyForm.test(key))
    return refusal(400, 'Sec-WebSocket-Key must be there, with sixteen bytes in base64.')
  const { origin } = headers
  if (origin !== undefined && !isAllowed(origin.toLowerCase(), terms.origins)) {
    const sentence = `Pages of ${printable(origin)} may not connect: add their origin to ${terms.setting}.origins if they should.`
    return refusal(403, sentence)
  }
  const named = headers['sec-websocket-protocol']
  const offered = (named ?? terms.assumedSubprotocol).split(',').map((name) => name.trim())
  // The client's order is its preference (§1.9).
  const subprotocol = offered.find((name) => terms.subprotocols.has(name))
  if (subprotocol === undefined || !offered.every((name) => tokenForm.test(name))) return unknown(named, terms)
  const accept = createHash('sha1').update(`${key}${acceptSuffix}`).digest('base64')
  const response = head('101 Switching Protocols', {
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Accept': accept,
    // §4.2.2: none that was not asked for.
    ...(named === undefined ? {} : { 'Sec-WebSocket-Protocol': subprotocol }),
  })
  return { subprotocol, response }
}

/** The answer to a request that wants no WebSocket. */
export function plainRequest(terms: Terms): Refusal {
  const sentence = `This port speaks WebSocket only, with one of the subprotocols ${spoken(terms)}.`
  return refusal(426, sentence, { Upgrade: 'websocket' })
}

/** The answer to what is no request. */
export function noRequest(terms: Terms): Refusal {
  return refusal(
    400,
    `This is no HTTP request; WebSocket is spoken here, with one of the subprotocols ${spoken(terms)}.`,
  )
}

function unknown(named: string | undefined, terms: Terms): Refusal {
  const otherwise = `none is named, and ${terms.setting}.assumedSubprotocol says nothing of one`
  const found = named === undefined ? otherwise : `not ${printable(named)}`
  const sentence = `Sec-WebSocket-Protocol must name one of the subprotocols ${spoken(terms)}; ${found}.`
  return refusal(400, sentence)
}

function spoken({ subprotocols }: Terms): string {
  return [...subprotocols].join(', ')
}

function isAllowed(origin: string, allowed: readonly string[]): boolean {
  return allowed.some(
    (one) => one === '*' || one.toLowerCase() === origin || (one === 'loopback' && loopbackOrigin.test(origin)),
  )
}

const reasons: Readonly<Record<number, string>> = { 400: 'Bad Request', 403: 'Forbidden', 426: 'Upgrade Required' }

function refusal(status: number, sentence: string, headers: Headers = {}): Refusal {
  const body = `${sentence}\n`
  const all = {
    ...headers,
    Connection: 'Upgrade' in headers ? 'Upgrade, close' : 'close',
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
  }
  return { sentence, response: `${head(`${status} ${reasons[status]}`, all)}${body}` }
}

function head(status: string, headers: Headers): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status}\r\n${lines.join('')}\r\n`
}

/** What a peer has sent, fit for a line. */
function printable(text: string): string {
  const short = text.length > 100 ? `${text.slice(0, 100)}…` : text
  return short.replace(/[^\x20-\x7e…]/g, '?')
}
