/** Values of AMQP 1.0's types (part 1, section 1.6) as the core has them, and back. */
import { isTyped, type TypedValue, type Value } from '../../src/core.ts'
import { Code } from './frame.ts'
import { emptyItemsMax, nestingMax } from './limits.ts'

/** Reads values that have been checked to end where they should; throws a RangeError for any that do not. */
export class ValueReader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  /** The next value; the descriptor of a described one is left out. */
  read(depth = 0): Value {
    if (depth > nestingMax) throw new RangeError('values lie too deep in each other')
    const code = this.#bytes.readUInt8(this.#skip(1))
    if (code !== Code.described) return this.#value(code, depth)
    this.read(depth + 1)
    return this.read(depth + 1)
  }

  /** The keys and values of a map; none for anything else. */
  readEntries(): (readonly [Value, Value])[] {
    const value = this.read()
    return isTyped(value) && value.type === 'map' ? [...value.value] : []
  }

  /** The items of a list; none for anything else. */
  readItems(): readonly Value[] {
    const value = this.read()
    return isTyped(value) && value.type === 'list' ? value.value : []
  }

  #value(code: number, depth: number): Value {
    const bytes = this.#bytes
    switch (code) {
      case Code.null:
        return null
      case Code.true:
        return true
      case Code.false:
        return false
      case Code.boolean:
        return bytes.readUInt8(this.#skip(1)) !== 0
      case Code.ubyte:
        return { type: 'ubyte', value: bytes.readUInt8(this.#skip(1)) }
      case Code.byte:
        return { type: 'byte', value: bytes.readInt8(this.#skip(1)) }
      case Code.ushort:
        return { type: 'ushort', value: bytes.readUInt16BE(this.#skip(2)) }
      case Code.short:
        return { type: 'short', value: bytes.readInt16BE(this.#skip(2)) }
      case Code.uint0:
        return { type: 'uint', value: 0 }
      case Code.smallUint:
        return { type: 'uint', value: bytes.readUInt8(this.#skip(1)) }
      case Code.uint:
        return { type: 'uint', value: bytes.readUInt32BE(this.#skip(4)) }
      case Code.smallInt:
        return { type: 'int', value: bytes.readInt8(this.#skip(1)) }
      case Code.int:
        return { type: 'int', value: bytes.readInt32BE(this.#skip(4)) }
      case Code.ulong0:
        return { type: 'ulong', value: 0n }
      case Code.smallUlong:
        return { type: 'ulong', value: BigInt(bytes.readUInt8(this.#skip(1))) }
      case Code.ulong:
        return { type: 'ulong', value: bytes.readBigUInt64BE(this.#skip(8)) }
      case Code.smallLong:
        return BigInt(bytes.readInt8(this.#skip(1)))
      case Code.long:
        return bytes.readBigInt64BE(this.#skip(8))
      case Code.float:
        return { type: 'float', value: bytes.readFloatBE(this.#skip(4)) }
      case Code.double:
        return bytes.readDoubleBE(this.#skip(8))
      case Code.timestamp:
        return { type: 'timestamp', value: Number(bytes.readBigInt64BE(this.#skip(8))) }
      case Code.char:
        return { type: 'char', value: charText(bytes.readUInt32BE(this.#skip(4))) }
      case Code.uuid:
        return { type: 'uuid', value: uuidText(this.#take(16)) }
      case Code.decimal32:
      case Code.decimal64:
      case Code.decimal128:
        return { type: 'decimal', value: this.#take(decimalBytes[code]) }
      default:
        return this.#long(code, depth)
    }
  }

  #long(code: number, depth: number): Value {
    switch (code) {
      case Code.binary8:
      case Code.binary32:
        return this.#take(this.#size(code === Code.binary8))
      case Code.string8:
      case Code.string32:
        return this.#take(this.#size(code === Code.string8)).toString()
      case Code.symbol8:
      case Code.symbol32:
        return { type: 'symbol', value: this.#take(this.#size(code === Code.symbol8)).toString('latin1') }
      case Code.list0:
        return { type: 'list', value: [] }
      case Code.list8:
      case Code.list32:
        return { type: 'list', value: this.#items(code === Code.list8, depth) }
      case Code.map8:
      case Code.map32:
        return { type: 'map', value: pairs(this.#items(code === Code.map8, depth)) }
      case Code.array8:
      case Code.array32:
        return { type: 'list', value: this.#array(code === Code.array8, depth) }
      default:
        throw new RangeError(`0x${code.toString(16)} is no type`)
    }
  }

  #items(isShort: boolean, depth: number): Value[] {
    const size = this.#size(isShort)
    const count = this.#size(isShort)
    if (count > size) throw new RangeError('more items than bytes')
    const items: Value[] = []
    for (let index = 0; index < count; index += 1) items.push(this.read(depth + 1))
    return items
  }

  #array(isShort: boolean, depth: number): Value[] {
    const size = this.#size(isShort)
    const count = this.#size(isShort)
    if (count > Math.max(size, emptyItemsMax)) throw new RangeError('more items than bytes')
    let code = this.#bytes.readUInt8(this.#skip(1))
    while (code === Code.described) {
      this.read(depth + 1)
      code = this.#bytes.readUInt8(this.#skip(1))
    }
    if (depth >= nestingMax) throw new RangeError('values lie too deep in each other')
    const items: Value[] = []
    for (let index = 0; index < count; index += 1) items.push(this.#value(code, depth + 1))
    return items
  }

  #size(isShort: boolean): number {
    return isShort ? this.#bytes.readUInt8(this.#skip(1)) : this.#bytes.readUInt32BE(this.#skip(4))
  }

  #take(length: number): Buffer {
    const start = this.#skip(length)
    if (this.#at > this.#bytes.length) throw new RangeError('a value is cut short')
    return this.#bytes.subarray(start, this.#at)
  }

  #skip(bytes: number): number {
    const start = this.#at
    this.#at += bytes
    return start
  }
}

const decimalBytes = { [Code.decimal32]: 4, [Code.decimal64]: 8, [Code.decimal128]: 16 } as const

function pairs(items: readonly Value[]): (readonly [Value, Value])[] {
  const entries: (readonly [Value, Value])[] = []
  for (let index = 0; index + 1 < items.length; index += 2) {
    entries.push([items[index] as Value, items[index + 1] as Value])
  }
  return entries
}

/** What is no code point becomes the character that stands for none. */
function charText(code: number): string {
  return code > 0x10ffff ? '\ufffd' : String.fromCodePoint(code)
}

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

const startBytes = 256

/**
 * Collects encoded values. One that is not of the type it says (a byte of 300, a uuid that is none), as other protocols' clients may
 * send, is written as its text instead.
 */
export class ValueWriter {
  #buffer: Buffer
  #length: number

  constructor() {
    this.#buffer = Buffer.allocUnsafe(startBytes)
    this.#length = 0
  }

  /** The bytes so far; a view that the next write may change. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** The descriptor of what is written next. */
  described(code: number): void {
    this.#put(Code.described, 0)
    this.#put(Code.smallUlong, 1)[this.#length - 1] = code
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length).set(bytes, this.#length)
    this.#length += bytes.length
  }

  write(value: Value): void {
    if (value === null) this.#put(Code.null, 0)
    else if (typeof value === 'boolean') this.#put(value ? Code.true : Code.false, 0)
    else if (typeof value === 'string') this.#variable(Code.string8, Code.string32, Buffer.from(value))
    else if (typeof value === 'number') this.#put(Code.double, 8).writeDoubleBE(value, this.#length - 8)
    else if (typeof value === 'bigint') this.#long(value)
    else if (value instanceof Uint8Array) this.#variable(Code.binary8, Code.binary32, value)
    else this.#typed(value)
  }

  symbol(text: string): void {
    this.#variable(Code.symbol8, Code.symbol32, Buffer.from(text, 'latin1'))
  }

  /** A list without the nulls at its end. */
  fields(values: readonly Value[]): void {
    const last = values.findLastIndex((value) => value !== null)
    this.list(values.slice(0, last + 1))
  }

  list(values: readonly Value[]): void {
    const start = this.#open(Code.list32)
    for (const value of values) this.write(value)
    this.#close(start, values.length)
  }

  /** A list of `count` items that `write` writes. */
  nested(write: () => void, count = 1): void {
    const start = this.#open(Code.list32)
    write()
    this.#close(start, count)
  }

  /** A map whose keys are all of one kind. */
  map(entries: readonly (readonly [string, Value])[], keys: 'string' | 'symbol'): void {
    const start = this.#open(Code.map32)
    for (const [key, value] of entries) {
      if (keys === 'symbol') this.symbol(key)
      else this.write(key)
      this.write(value)
    }
    this.#close(start, entries.length * 2)
  }

  #typed(value: TypedValue): void {
    if (!isProper(value)) {
      this.write(String(value.value))
      return
    }
    switch (value.type) {
      case 'byte':
        this.#put(Code.byte, 1).writeInt8(value.value, this.#length - 1)
        return
      case 'ubyte':
        this.#put(Code.ubyte, 1).writeUInt8(value.value, this.#length - 1)
        return
      case 'short':
        this.#put(Code.short, 2).writeInt16BE(value.value, this.#length - 2)
        return
      case 'ushort':
        this.#put(Code.ushort, 2).writeUInt16BE(value.value, this.#length - 2)
        return
      case 'int':
        this.#put(Code.int, 4).writeInt32BE(value.value, this.#length - 4)
        return
      case 'uint':
        this.#put(Code.uint, 4).writeUInt32BE(value.value, this.#length - 4)
        return
      case 'ulong':
        this.#put(Code.ulong, 8).writeBigUInt64BE(value.value, this.#length - 8)
        return
      case 'float':
        this.#put(Code.float, 4).writeFloatBE(value.value, this.#length - 4)
        return
      case 'timestamp':
        this.#put(Code.timestamp, 8).writeBigInt64BE(BigInt(Math.trunc(value.value)), this.#length - 8)
        return
      case 'char':
        this.#put(Code.char, 4).writeUInt32BE(value.value.codePointAt(0) ?? 0, this.#length - 4)
        return
      case 'uuid':
        this.#put(Code.uuid, 16).write(value.value.replaceAll('-', ''), this.#length - 16, 16, 'hex')
        return
      case 'decimal':
        this.#decimal(value.value)
        return
      case 'symbol':
        this.symbol(value.value)
        return
      case 'list':
        this.list(value.value)
        return
      case 'map':
        this.#map(value.value)
        return
      default:
        value satisfies never
    }
  }

  #map(entries: readonly (readonly [Value, Value])[]): void {
    const start = this.#open(Code.map32)
    for (const [key, item] of entries) {
      this.write(key)
      this.write(item)
    }
    this.#close(start, entries.length * 2)
  }

  #long(value: bigint): void {
    if (BigInt.asIntN(64, value) === value) this.#put(Code.long, 8).writeBigInt64BE(value, this.#length - 8)
    else this.write(String(value))
  }

  #decimal(bytes: Uint8Array): void {
    if (bytes.length !== 4 && bytes.length !== 8 && bytes.length !== 16) {
      this.write(bytes)
      return
    }
    const code = bytes.length === 4 ? Code.decimal32 : bytes.length === 8 ? Code.decimal64 : Code.decimal128
    this.#put(code, bytes.length).set(bytes, this.#length - bytes.length)
  }

  #variable(short: number, long: number, bytes: Uint8Array): void {
    if (bytes.length < 256) this.#put(short, 1)[this.#length - 1] = bytes.length
    else this.#put(long, 4).writeUInt32BE(bytes.length, this.#length - 4)
    this.raw(bytes)
  }

  #open(code: number): number {
    this.#put(code, 8)
    return this.#length
  }

  #close(start: number, count: number): void {
    this.#buffer.writeUInt32BE(this.#length - start + 4, start - 8)
    this.#buffer.writeUInt32BE(count, start - 4)
  }

  /** Writes a constructor and makes room for `bytes` after it, which count as written. */
  #put(code: number, bytes: number): Buffer {
    const buffer = this.#reserve(1 + bytes)
    buffer[this.#length] = code
    this.#length += 1 + bytes
    return buffer
  }

  #reserve(bytes: number): Buffer {
    const needed = this.#length + bytes
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(needed * 2)
      this.#buffer.copy(grown, 0, 0, this.#length)
      this.#buffer = grown
    }
    return this.#buffer
  }
}

const ranges = {
  byte: [-128, 127],
  ubyte: [0, 255],
  short: [-32_768, 32_767],
  ushort: [0, 65_535],
  int: [-(2 ** 31), 2 ** 31 - 1],
  uint: [0, 2 ** 32 - 1],
  timestamp: [-(2 ** 62), 2 ** 62],
} as const

/** Whether the value is one of the type it says. */
function isProper(value: TypedValue): boolean {
  switch (value.type) {
    case 'byte':
    case 'ubyte':
    case 'short':
    case 'ushort':
    case 'int':
    case 'uint':
    case 'timestamp': {
      const [least, most] = ranges[value.type]
      return value.value >= least && value.value <= most
    }
    case 'ulong':
      return BigInt.asUintN(64, value.value) === value.value
    case 'uuid':
      return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value.value)
    default:
      return true
  }
}
