/**
 * Header names the broker knows, and the value encoding of the three versions.
 *
 * | octet     | 1.0                          | 1.1                    | 1.2   |
 * |-----------|------------------------------|------------------------|-------|
 * | backslash | as it is                     | `\\`                   | `\\`  |
 * | colon     | value: as it is; name: `_` * | `\c`                   | `\c`  |
 * | LF        | space *                      | `\n`                   | `\n`  |
 * | CR        | space *                      | as it is               | `\r`  |
 * | NUL       | space *                      | space *                | space * |
 *
 * The places with a star lose something. 1.1 has no escape for CR and does not need one, since only LF ends its lines; 1.0
 * readers take CR LF for an end-of-line. NUL ends a frame for many clients although the grammar allows it in a header.
 */

export type Version = '1.0' | '1.1' | '1.2'

const lf = 10
const cr = 13
const space = 32
const colon = 58
const backslash = 92

/** Finds a name among a fixed set by its bytes: no string is made and nothing is inherited from Object.prototype. */
export class NameTable {
  /** The names by number; number 0 stands for none of them. */
  readonly names: readonly string[]
  readonly #bytes: Uint8Array
  /** Where each name starts in `#bytes`; one more for the end of the last. */
  readonly #starts: Uint16Array
  /** The first name of each hash value, and for each name the next one of the same hash value. */
  readonly #first: Uint8Array
  readonly #next: Uint8Array

  constructor(names: readonly string[]) {
    this.names = ['', ...names]
    this.#bytes = Buffer.from(names.join(''), 'latin1')
    this.#starts = new Uint16Array(names.length + 2)
    this.#first = new Uint8Array(256)
    this.#next = new Uint8Array(names.length + 1)
    let at = 0
    for (let number = 1; number <= names.length; number++) {
      this.#starts[number] = at
      at += this.names[number]?.length ?? 0
      this.#starts[number + 1] = at
      const slot = hash(this.#bytes, this.#starts[number] as number, at)
      this.#next[number] = this.#first[slot] as number
      this.#first[slot] = number
    }
  }

  /** The number of the name in `bytes` from `start` to `end`; 0 if it is none of the set. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const names = this.#bytes
    const starts = this.#starts
    let number = this.#first[hash(bytes, start, end)] as number
    while (number !== 0) {
      let at = starts[number] as number
      if ((starts[number + 1] as number) - at === end - start) {
        let from = start
        while (from < end && bytes[from] === names[at]) {
          from += 1
          at += 1
        }
        if (from === end) return number
      }
      number = this.#next[number] as number
    }
    return 0
  }
}

function hash(bytes: Uint8Array, start: number, end: number): number {
  const middle = bytes[(start + end) >> 1] as number
  return ((bytes[start] as number) * 3 + middle * 5 + (bytes[end - 1] as number) * 7 + (end - start) * 11) & 255
}

/** The headers the broker reads. To know one more, add its line; nothing else depends on the order. */
const knownHeaders = {
  acceptVersion: 'accept-version',
  host: 'host',
  login: 'login',
  passcode: 'passcode',
  heartBeat: 'heart-beat',
  version: 'version',
  session: 'session',
  server: 'server',
  destination: 'destination',
  contentLength: 'content-length',
  contentType: 'content-type',
  receipt: 'receipt',
  receiptId: 'receipt-id',
  transaction: 'transaction',
  id: 'id',
  ack: 'ack',
  subscription: 'subscription',
  messageId: 'message-id',
  message: 'message',
  selector: 'selector',
  persistent: 'persistent',
  priority: 'priority',
  expires: 'expires',
  replyTo: 'reply-to',
  correlationId: 'correlation-id',
  type: 'type',
  clientId: 'client-id',
  durable: 'durable',
  browser: 'browser',
  redelivered: 'redelivered',
  destinationType: 'destination-type',
  requeue: 'requeue',
  retain: 'retain',
  timestamp: 'timestamp',
  activemqPrefetchSize: 'activemq.prefetchSize',
  activemqPriority: 'activemq.priority',
  activemqExclusive: 'activemq.exclusive',
  activemqNoLocal: 'activemq.noLocal',
  activemqRetroactive: 'activemq.retroactive',
  activemqSubscriptionName: 'activemq.subscriptionName',
  noLocal: 'no-local',
  durableSubscriptionName: 'durable-subscription-name',
  prefetchCount: 'prefetch-count',
  autoDelete: 'auto-delete',
  jmsxGroupId: 'JMSXGroupID',
  amqScheduledDelay: 'AMQ_SCHEDULED_DELAY',
  amqMessageType: 'amq-msg-type',
  deliveryCount: 'delivery-count',
  retained: 'retained',
  deadLetterAddress: 'dead-letter-address',
  deadLetterSubscription: 'dead-letter-subscription',
  deadLetterReason: 'dead-letter-reason',
  deadLetterCount: 'dead-letter-count',
  deadLetterTime: 'dead-letter-time',
} as const

/** The number of a header the broker knows; 0 stands for any other header. */
export type HeaderNumber = number & { readonly __brand: 'HeaderNumber' }

type HeaderNumbers = { readonly [key in keyof typeof knownHeaders]: HeaderNumber }

export const headerNames = new NameTable(Object.values(knownHeaders))

/** The numbers of the known headers: `Header.destination` and so on. */
export const Header: HeaderNumbers = numbersOf()

function numbersOf(): HeaderNumbers {
  const entries = Object.keys(knownHeaders).map((key, index) => [key, index + 1] as const)
  return Object.fromEntries(entries) as unknown as HeaderNumbers
}

/** A set of known headers, for {@link Frame.copyHeaders}: 1 at the number of each member. */
export type HeaderSet = Uint8Array

export function headerSet(...members: readonly HeaderNumber[]): HeaderSet {
  const set = new Uint8Array(headerNames.names.length)
  for (const member of members) set[member] = 1
  return set
}

/**
 * The name or value as it is written in a header line of `version`, see the table at the head of this file. Never holds a
 * byte that would end the line or the frame.
 */
export function escapeHeader(text: string, version: Version, part: 'name' | 'value' = 'value'): string {
  let escaped = ''
  let kept = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code !== colon && code !== backslash && code > cr) continue
    const replacement = replacementOf(code, version, part)
    if (replacement === undefined) continue
    escaped += text.slice(kept, at) + replacement
    kept = at + 1
  }
  return kept === 0 ? text : escaped + text.slice(kept)
}

function replacementOf(code: number, version: Version, part: 'name' | 'value'): string | undefined {
  if (code === 0) return ' '
  if (version === '1.0') {
    if (code === lf || code === cr) return ' '
    return code === colon && part === 'name' ? '_' : undefined
  }
  if (code === lf) return '\\n'
  if (code === colon) return '\\c'
  if (code === backslash) return '\\\\'
  return code === cr && version === '1.2' ? '\\r' : undefined
}

/** The octet that the escape sequence backslash `code` stands for; -1 if the version does not define it. */
function escapeOf(code: number, version: Version): number {
  if (code === 110) return lf
  if (code === 99) return colon
  if (code === backslash) return backslash
  return code === 114 && version === '1.2' ? cr : -1
}

/** Where the first undefined escape sequence starts, a lone backslash at the end included; -1 if there is none. */
export function findUndefinedEscape(bytes: Uint8Array, start: number, end: number, version: Version): number {
  if (version === '1.0') return -1
  for (let at = start; at < end; at++) {
    if (bytes[at] !== backslash) continue
    if (at + 1 === end || escapeOf(bytes[at + 1] as number, version) < 0) return at
    at += 1
  }
  return -1
}

/**
 * The text of a name or value as `version` reads it; undefined if it holds an undefined escape sequence, which is a fatal
 * error (STOMP 1.2 "Value Encoding"). In 1.0 nothing is escaped. The bytes are only read.
 */
export function unescapeHeader(bytes: Buffer, start: number, end: number, version: Version): string | undefined {
  const text = bytes.toString('utf8', start, end)
  if (version === '1.0' || !text.includes('\\')) return text
  let unescaped = ''
  let kept = 0
  for (let at = text.indexOf('\\'); at >= 0; at = text.indexOf('\\', kept)) {
    const code = at + 1 < text.length ? escapeOf(text.charCodeAt(at + 1), version) : -1
    if (code < 0) return undefined
    unescaped += text.slice(kept, at) + String.fromCharCode(code)
    kept = at + 2
  }
  return unescaped + text.slice(kept)
}

/** Moves past spaces at the start of a value, for 1.0 (see {@link trimmedEnd}). */
export function trimmedStart(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end && bytes[at] === space) at += 1
  return at
}

/**
 * Moves before spaces at the end of a value. 1.0 pads its examples (`login: <username>`) and its peers pad and trim; from 1.1
 * on nobody may (STOMP 1.2 "Value Encoding").
 */
export function trimmedEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = end
  while (at > start && bytes[at - 1] === space) at -= 1
  return at
}

/**
 * The headers of a raw block (lines that end in LF, without the blank line) that was accepted in `version`, unescaped, in
 * order, repeated ones included. Bytes after the last LF are not read.
 */
export function readHeaders(block: Uint8Array, version: Version): (readonly [name: string, value: string])[] {
  const bytes = asBuffer(block)
  const headers: (readonly [string, string])[] = []
  let start = 0
  for (let end = bytes.indexOf(lf); end >= 0; end = bytes.indexOf(lf, start)) {
    const split = bytes.indexOf(colon, start)
    const lineEnd = version !== '1.1' && end > start && bytes[end - 1] === cr ? end - 1 : end
    if (split > start && split < lineEnd) {
      const trims = version === '1.0'
      const from = trims ? trimmedStart(bytes, split + 1, lineEnd) : split + 1
      const to = trims ? trimmedEnd(bytes, from, lineEnd) : lineEnd
      const name = unescapeHeader(bytes, start, split, version)
      const value = unescapeHeader(bytes, from, to, version)
      if (name !== undefined && value !== undefined) headers.push([name, value])
    }
    start = end + 1
  }
  return headers
}

/** The header lines of `headers` in `version`, each with its LF, without the blank line. Names must not be empty. */
export function writeHeaders(headers: readonly (readonly [name: string, value: string])[], version: Version): Buffer {
  let text = ''
  for (const [name, value] of headers) {
    text += `${escapeHeader(name, version, 'name')}:${escapeHeader(value, version)}\n`
  }
  return Buffer.from(text, 'utf8')
}

/**
 * The raw header block `block`, accepted in version `from`, as a receiver of version `to` must get it: what the receiver reads
 * is what `from` reads, but for what `to` cannot express (the table at the head of this file). Returns `block` itself when
 * nothing changes.
 */
export function transcodeBlock(block: Uint8Array, from: Version, to: Version): Uint8Array {
  if (from === to || !mayChange(block, from, to)) return block
  return writeHeaders(readHeaders(block, from), to)
}

/** Whether a block may need other bytes in another version; says yes too often rather than too seldom. */
function mayChange(block: Uint8Array, from: Version, to: Version): boolean {
  let isValue = false
  for (let at = 0; at < block.length; at++) {
    const byte = block[at]
    if (byte === backslash || byte === cr) return true
    if (byte === lf) isValue = false
    else if (byte === colon) {
      if (isValue && to !== '1.0') return true
      isValue = true
      if (from === '1.0' && block[at + 1] === space) return true
    } else if (byte === space && from === '1.0' && (at + 1 === block.length || block[at + 1] === lf)) return true
  }
  return false
}

/** Where the first byte that is not valid UTF-8 stands (RFC 3629: no surrogates, no overlong forms); -1 if all are. */
export function findInvalidUtf8(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end) {
    const lead = bytes[at] as number
    if (lead < 0x80) {
      at += 1
      continue
    }
    const length =
      lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0
    if (length === 0 || at + length > end || !continues(bytes, at, lead, length)) return at
    at += length
  }
  return -1
}

function continues(bytes: Uint8Array, at: number, lead: number, length: number): boolean {
  const second = bytes[at + 1] as number
  const lowest = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
  const highest = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
  if (second < lowest || second > highest) return false
  for (let next = 2; next < length; next++) {
    if (((bytes[at + next] as number) & 0xc0) !== 0x80) return false
  }
  return true
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
