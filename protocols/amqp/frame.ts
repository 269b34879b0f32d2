/**
 * AMQP 1.0 on the wire (part 2, section 2.3).
 *
 *     protocol header   "AMQP" id major minor revision
 *     frame             size u32 | doff u8 | type u8 | channel u16 | doff * 4 - 8 bytes to be ignored | performative | payload
 *     value (part 1)    constructor, then as many bytes as its high half says; 0x00 value value: described
 */
import { emptyItemsMax, nestingMax } from './limits.ts'

/** Which protocol a header announces. */
export const Layer = { amqp: 0, sasl: 3 } as const
export type Layer = (typeof Layer)[keyof typeof Layer]

/** Descriptors of the frames (part 2, section 2.7; part 5, section 5.3.3). */
export const Performative = {
  open: 0x10,
  begin: 0x11,
  attach: 0x12,
  flow: 0x13,
  transfer: 0x14,
  disposition: 0x15,
  detach: 0x16,
  end: 0x17,
  close: 0x18,
  saslMechanisms: 0x40,
  saslInit: 0x41,
  saslChallenge: 0x42,
  saslResponse: 0x43,
  saslOutcome: 0x44,
} as const

const performativeNames = new Map<string, number>([
  ['amqp:open:list', Performative.open],
  ['amqp:begin:list', Performative.begin],
  ['amqp:attach:list', Performative.attach],
  ['amqp:flow:list', Performative.flow],
  ['amqp:transfer:list', Performative.transfer],
  ['amqp:disposition:list', Performative.disposition],
  ['amqp:detach:list', Performative.detach],
  ['amqp:end:list', Performative.end],
  ['amqp:close:list', Performative.close],
  ['amqp:sasl-mechanisms:list', Performative.saslMechanisms],
  ['amqp:sasl-init:list', Performative.saslInit],
  ['amqp:sasl-challenge:list', Performative.saslChallenge],
  ['amqp:sasl-response:list', Performative.saslResponse],
  ['amqp:sasl-outcome:list', Performative.saslOutcome],
])

/** Descriptors of delivery states (part 3, section 3.4; part 4, section 4.5). */
export const State = {
  received: 0x23,
  accepted: 0x24,
  rejected: 0x25,
  released: 0x26,
  modified: 0x27,
  declared: 0x33,
  transactional: 0x34,
} as const

const stateNames = new Map<string, number>([
  ['amqp:received:list', State.received],
  ['amqp:accepted:list', State.accepted],
  ['amqp:rejected:list', State.rejected],
  ['amqp:released:list', State.released],
  ['amqp:modified:list', State.modified],
  ['amqp:declared:list', State.declared],
  ['amqp:transactional-state:list', State.transactional],
])

/** Descriptors of the sections of a message (part 3, section 3.2), in the order in which they come. */
export const Section = {
  header: 0x70,
  deliveryAnnotations: 0x71,
  messageAnnotations: 0x72,
  properties: 0x73,
  applicationProperties: 0x74,
  data: 0x75,
  sequence: 0x76,
  value: 0x77,
  footer: 0x78,
} as const

const sectionNames = new Map<string, number>([
  ['amqp:header:list', Section.header],
  ['amqp:delivery-annotations:map', Section.deliveryAnnotations],
  ['amqp:message-annotations:map', Section.messageAnnotations],
  ['amqp:properties:list', Section.properties],
  ['amqp:application-properties:map', Section.applicationProperties],
  ['amqp:data:binary', Section.data],
  ['amqp:amqp-sequence:list', Section.sequence],
  ['amqp:amqp-value:*', Section.value],
  ['amqp:footer:map', Section.footer],
])

/** Constructors of the types (part 1, section 1.6). */
export const Code = {
  described: 0x00,
  null: 0x40,
  true: 0x41,
  false: 0x42,
  uint0: 0x43,
  ulong0: 0x44,
  list0: 0x45,
  ubyte: 0x50,
  byte: 0x51,
  smallUint: 0x52,
  smallUlong: 0x53,
  smallInt: 0x54,
  smallLong: 0x55,
  boolean: 0x56,
  ushort: 0x60,
  short: 0x61,
  uint: 0x70,
  int: 0x71,
  float: 0x72,
  char: 0x73,
  decimal32: 0x74,
  ulong: 0x80,
  long: 0x81,
  double: 0x82,
  timestamp: 0x83,
  decimal64: 0x84,
  decimal128: 0x94,
  uuid: 0x98,
  binary8: 0xa0,
  string8: 0xa1,
  symbol8: 0xa3,
  binary32: 0xb0,
  string32: 0xb1,
  symbol32: 0xb3,
  list8: 0xc0,
  map8: 0xc1,
  list32: 0xd0,
  map32: 0xd1,
  array8: 0xe0,
  array32: 0xf0,
} as const

const known = new Uint8Array(256)
for (const code of Object.values(Code)) known[code] = 1

/** A peer broke the protocol: an error condition of part 2, section 2.8, and a sentence. */
export interface AmqpFault {
  readonly condition: string
  readonly sentence: string
}

export function decodeFault(sentence: string): AmqpFault {
  return { condition: 'amqp:decode-error', sentence }
}

export function framingFault(sentence: string): AmqpFault {
  return { condition: 'amqp:connection:framing-error', sentence }
}

/** `right` follows `left` in 32-bit serial numbers by this many (RFC 1982); negative: it comes before. */
export function serialGap(left: number, right: number): number {
  return (right - left) | 0
}

/**
 * Reads values one after the other. What is not there or not of the type asked for makes it `isBroken`, and every read after
 * that answers as for null: to be asked once at the end.
 */
export class Cursor {
  bytes: Buffer
  at: number
  end: number
  isBroken: boolean

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
    this.isBroken = false
  }

  /** Begins anew; the same object serves every frame. */
  set(bytes: Buffer, at: number, end: number): void {
    this.bytes = bytes
    this.at = at
    this.end = end
    this.isBroken = false
  }

  /** The number of a descriptor that comes now, `names` for those written as symbols; -1 if it is another, or none. */
  descriptor(names: ReadonlyMap<string, number>): number {
    const { bytes, at } = this
    if (this.end - at >= 3 && bytes[at] === Code.described && bytes[at + 1] === Code.smallUlong) {
      this.at = at + 3
      return bytes[at + 2] as number
    }
    if (this.#byte() !== Code.described) return this.#broken()
    const code = this.#byte()
    if (code === Code.ulong) return this.#ulong()
    if (code === Code.symbol8) return names.get(this.#ascii(this.#byte())) ?? -1
    if (code === Code.symbol32) return names.get(this.#ascii(this.#word())) ?? -1
    return this.#broken()
  }

  performative(): number {
    return this.descriptor(performativeNames)
  }

  state(): number {
    return this.descriptor(stateNames)
  }

  section(): number {
    return this.descriptor(sectionNames)
  }

  /** The number of items of a list that comes now; it ends where the last of them does. */
  list(): number {
    const code = this.#byte()
    if (code === Code.list0) return 0
    if (code === Code.list8) {
      const size = this.#byte()
      return this.#counted(size - 1, this.#byte())
    }
    if (code === Code.list32) {
      const size = this.#word()
      return this.#counted(size - 4, this.#word())
    }
    return this.#broken()
  }

  /** The number of keys and values of a map that comes now. */
  map(): number {
    const code = this.#byte()
    const isShort = code === Code.map8
    if (!isShort && code !== Code.map32) return this.#broken()
    const size = isShort ? this.#byte() - 1 : this.#word() - 4
    const count = this.#counted(size, isShort ? this.#byte() : this.#word())
    return count % 2 === 0 ? count : this.#broken()
  }

  /** A uint; -1 for null. */
  uint(): number {
    const code = this.#byte()
    switch (code) {
      case Code.null:
        return -1
      case Code.uint0:
        return 0
      case Code.smallUint:
        return this.#byte()
      case Code.uint:
        return this.#word()
      default:
        return this.#broken()
    }
  }

  ubyte(): number {
    const code = this.#byte()
    if (code === Code.null) return -1
    return code === Code.ubyte ? this.#byte() : this.#broken()
  }

  /** A boolean; undefined for null. */
  boolean(): boolean | undefined {
    const code = this.#byte()
    switch (code) {
      case Code.true:
        return true
      case Code.false:
        return false
      case Code.null:
        return undefined
      case Code.boolean:
        return this.#byte() !== 0
      default:
        this.#broken()
        return undefined
    }
  }

  /** Bytes of a binary that comes now, which begin at `at - length` afterwards; -1 for null. */
  binary(): number {
    return this.#variable(Code.binary8, Code.binary32)
  }

  /** A string; undefined for null. */
  string(): string | undefined {
    return this.#text(this.#variable(Code.string8, Code.string32))
  }

  symbol(): string | undefined {
    return this.#text(this.#variable(Code.symbol8, Code.symbol32))
  }

  /** Milliseconds since the epoch; NaN for null. */
  timestamp(): number {
    const code = this.#byte()
    if (code === Code.null) return Number.NaN
    if (code !== Code.timestamp) return this.#broken()
    return (this.#word() | 0) * 2 ** 32 + this.#word()
  }

  /** A number of any integer type, or a timestamp, as a double; NaN for anything else. */
  number(): number {
    const at = this.at
    const code = this.#byte()
    switch (code) {
      case Code.uint0:
      case Code.ulong0:
        return 0
      case Code.ubyte:
      case Code.smallUint:
      case Code.smallUlong:
        return this.#byte()
      case Code.byte:
      case Code.smallInt:
      case Code.smallLong:
        return (this.#byte() << 24) >> 24
      case Code.uint:
        return this.#word()
      case Code.int:
        return this.#word() | 0
      case Code.ulong:
        return this.#ulong()
      case Code.long:
      case Code.timestamp:
        return (this.#word() | 0) * 2 ** 32 + this.#word()
      default:
        this.at = at
        this.skip()
        return Number.NaN
    }
  }

  /** Goes past one value, by its size; what is inside is not looked at. */
  skip(): void {
    let code = this.#byte()
    for (let depth = 0; code === Code.described; depth += 1) {
      if (depth === nestingMax) this.#broken()
      if (this.isBroken) return
      this.skip()
      code = this.#byte()
    }
    if (known[code] === 0) this.#broken()
    else this.#past(this.#length(code))
  }

  /** Goes past one value and looks at all of it: sizes, counts, known types, nesting. */
  check(depth = 0): void {
    if (depth > nestingMax) this.#broken()
    if (this.isBroken) return
    const code = this.#byte()
    if (code === Code.described) {
      this.check(depth + 1)
      this.check(depth + 1)
    } else this.#checkAs(code, depth)
  }

  #checkAs(code: number, depth: number): void {
    if (known[code] === 0) this.#broken()
    else if (code >= Code.list8) this.#checkCompound(code, depth)
    else this.#past(this.#length(code))
  }

  #checkCompound(code: number, depth: number): void {
    const isShort = code < Code.list32 || code === Code.array8
    const size = isShort ? this.#byte() : this.#word()
    const end = this.at + size
    if (end > this.end || this.isBroken) {
      this.#broken()
      return
    }
    const count = isShort ? this.#byte() : this.#word()
    if (code >= Code.array8) this.#checkArray(count, end, depth)
    else if (count > size || ((code === Code.map8 || code === Code.map32) && count % 2 !== 0)) this.#broken()
    else for (let index = 0; index < count && !this.isBroken; index += 1) this.check(depth + 1)
    if (this.at !== end) this.#broken()
  }

  #checkArray(count: number, end: number, depth: number): void {
    let code = this.#byte()
    for (let level = 0; code === Code.described && !this.isBroken; level += 1) {
      if (level === nestingMax) this.#broken()
      this.check(depth + 1)
      code = this.#byte()
    }
    const isEmpty = code >> 4 === 4
    if (count > (isEmpty ? emptyItemsMax : end - this.at)) this.#broken()
    for (let index = 0; index < count && !this.isBroken; index += 1) {
      if (depth + 1 > nestingMax) this.#broken()
      else this.#checkAs(code, depth + 1)
    }
  }

  #counted(size: number, count: number): number {
    if (size < 0 || size > this.end - this.at || count > size) return this.#broken()
    return count
  }

  #variable(short: number, long: number): number {
    const code = this.#byte()
    if (code === Code.null) return -1
    if (code !== short && code !== long) return this.#broken()
    const length = code === short ? this.#byte() : this.#word()
    if (length > this.end - this.at) return this.#broken()
    this.at += length
    return length
  }

  #text(length: number): string | undefined {
    if (length < 0) return undefined
    return this.bytes.toString('utf8', this.at - length, this.at)
  }

  #ascii(length: number): string {
    if (length > this.end - this.at) {
      this.#broken()
      return ''
    }
    this.at += length
    return this.bytes.toString('latin1', this.at - length, this.at)
  }

  /** Bytes that a value of that constructor takes, read as far as need be. */
  #length(code: number): number {
    switch (code >> 4) {
      case 4:
        return 0
      case 5:
        return 1
      case 6:
        return 2
      case 7:
        return 4
      case 8:
        return 8
      case 9:
        return 16
      case 0xa:
      case 0xc:
      case 0xe:
        return this.#byte()
      default:
        return this.#word()
    }
  }

  #past(length: number): void {
    if (length > this.end - this.at) this.#broken()
    else this.at += length
  }

  #byte(): number {
    if (this.at >= this.end) return this.#broken()
    const byte = this.bytes[this.at] as number
    this.at += 1
    return byte
  }

  #word(): number {
    if (this.end - this.at < 4) return this.#broken()
    const { bytes, at } = this
    this.at = at + 4
    return (
      (bytes[at] as number) * 0x1000000 +
      (((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
    )
  }

  #ulong(): number {
    const high = this.#word()
    return high * 2 ** 32 + this.#word()
  }

  /** Nothing more can be read. */
  #broken(): number {
    this.isBroken = true
    this.at = this.end
    return -1
  }
}
