/**
 * Typed values as bytes: a tag, then the value, big endian.
 *
 *     null 0 · false 1 · true 2
 *     string 3, binary 4, symbol 5, char 6, uuid 7, decimal 8     length u32, then that many bytes (text in UTF-8)
 *     double 9 f64 · float 10 f32 · long 11 i64 · ulong 12 u64 · timestamp 13 f64
 *     byte 14 i8 · short 15 i16 · int 16 i32 · ubyte 17 u8 · ushort 18 u16 · uint 19 u32
 *     list 20, map 21     count u32 of values (of a map: of entries, each two values), then those
 */
import type { TypedValue, Value } from './value.ts'

const tags = {
  null: 0,
  false: 1,
  true: 2,
  string: 3,
  binary: 4,
  symbol: 5,
  char: 6,
  uuid: 7,
  decimal: 8,
  double: 9,
  float: 10,
  long: 11,
  ulong: 12,
  timestamp: 13,
  byte: 14,
  short: 15,
  int: 16,
  ubyte: 17,
  ushort: 18,
  uint: 19,
  list: 20,
  map: 21,
} as const

const startBytes = 256

/** Collects values as bytes. */
export class ValueWriter {
  #buffer: Buffer
  #length: number

  constructor() {
    this.#buffer = Buffer.allocUnsafe(startBytes)
    this.#length = 0
  }

  get length(): number {
    return this.#length
  }

  /** The bytes so far; a view that the next write may change. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  write(value: Value): void {
    if (value === null) this.#tag(tags.null)
    else if (typeof value === 'boolean') this.#tag(value ? tags.true : tags.false)
    else if (typeof value === 'string') this.#text(tags.string, value)
    else if (typeof value === 'number') this.#double(tags.double, value)
    else if (typeof value === 'bigint') this.#reserve(tags.long, 8).writeBigInt64BE(value, this.#length - 8)
    else if (value instanceof Uint8Array) this.#binary(tags.binary, value)
    else this.#typed(value)
  }

  #typed(value: TypedValue): void {
    switch (value.type) {
      case 'symbol':
      case 'char':
      case 'uuid':
        this.#text(tags[value.type], value.value)
        return
      case 'decimal':
        this.#binary(tags.decimal, value.value)
        return
      case 'timestamp':
        this.#double(tags.timestamp, value.value)
        return
      case 'float':
        this.#reserve(tags.float, 4).writeFloatBE(value.value, this.#length - 4)
        return
      case 'ulong':
        this.#reserve(tags.ulong, 8).writeBigUInt64BE(value.value, this.#length - 8)
        return
      case 'byte':
      case 'short':
      case 'int':
        this.#integer(tags[value.type], widths[value.type], value.value, true)
        return
      case 'ubyte':
      case 'ushort':
      case 'uint':
        this.#integer(tags[value.type], widths[value.type], value.value, false)
        return
      case 'list':
        this.#integer(tags.list, 4, value.value.length, false)
        for (const item of value.value) this.write(item)
        return
      case 'map':
        this.#integer(tags.map, 4, value.value.length, false)
        for (const [key, item] of value.value) {
          this.write(key)
          this.write(item)
        }
        return
      default:
        value satisfies never
    }
  }

  #tag(tag: number): void {
    this.#reserve(tag, 0)
  }

  #double(tag: number, value: number): void {
    this.#reserve(tag, 8).writeDoubleBE(value, this.#length - 8)
  }

  #integer(tag: number, width: number, value: number, signed: boolean): void {
    const buffer = this.#reserve(tag, width)
    if (signed) buffer.writeIntBE(value, this.#length - width, width)
    else buffer.writeUIntBE(value, this.#length - width, width)
  }

  #text(tag: number, text: string): void {
    this.#binary(tag, Buffer.from(text))
  }

  #binary(tag: number, bytes: Uint8Array): void {
    const buffer = this.#reserve(tag, 4 + bytes.length)
    buffer.writeUInt32BE(bytes.length, this.#length - 4 - bytes.length)
    buffer.set(bytes, this.#length - bytes.length)
  }

  /** Writes the tag and makes room for `bytes` more, which count as written. */
  #reserve(tag: number, bytes: number): Buffer {
    const needed = this.#length + 1 + bytes
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(needed * 2)
      this.#buffer.copy(grown, 0, 0, this.#length)
      this.#buffer = grown
    }
    this.#buffer[this.#length] = tag
    this.#length = needed
    return this.#buffer
  }
}

const widths = { byte: 1, short: 2, int: 4, ubyte: 1, ushort: 2, uint: 4 } as const

/** Reads back what a {@link ValueWriter} wrote. Throws a RangeError if the bytes are no such thing. */
export class ValueReader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = 0
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  read(): Value {
    const tag = this.#bytes.readUInt8(this.#at)
    this.#at += 1
    switch (tag) {
      case tags.null:
        return null
      case tags.false:
        return false
      case tags.true:
        return true
      case tags.string:
        return this.#text()
      case tags.binary:
        return this.#binary()
      case tags.symbol:
        return { type: 'symbol', value: this.#text() }
      case tags.char:
        return { type: 'char', value: this.#text() }
      case tags.uuid:
        return { type: 'uuid', value: this.#text() }
      case tags.decimal:
        return { type: 'decimal', value: this.#binary() }
      case tags.double:
        return this.#bytes.readDoubleBE(this.#skip(8))
      case tags.float:
        return { type: 'float', value: this.#bytes.readFloatBE(this.#skip(4)) }
      case tags.long:
        return this.#bytes.readBigInt64BE(this.#skip(8))
      case tags.ulong:
        return { type: 'ulong', value: this.#bytes.readBigUInt64BE(this.#skip(8)) }
      case tags.timestamp:
        return { type: 'timestamp', value: this.#bytes.readDoubleBE(this.#skip(8)) }
      case tags.byte:
        return { type: 'byte', value: this.#bytes.readInt8(this.#skip(1)) }
      case tags.short:
        return { type: 'short', value: this.#bytes.readInt16BE(this.#skip(2)) }
      case tags.int:
        return { type: 'int', value: this.#bytes.readInt32BE(this.#skip(4)) }
      case tags.ubyte:
        return { type: 'ubyte', value: this.#bytes.readUInt8(this.#skip(1)) }
      case tags.ushort:
        return { type: 'ushort', value: this.#bytes.readUInt16BE(this.#skip(2)) }
      case tags.uint:
        return { type: 'uint', value: this.#bytes.readUInt32BE(this.#skip(4)) }
      case tags.list:
        return { type: 'list', value: this.#repeat(() => this.read()) }
      case tags.map:
        return { type: 'map', value: this.#repeat(() => [this.read(), this.read()] as const) }
      default:
        throw new RangeError(`unknown value tag ${tag}`)
    }
  }

  #repeat<T>(read: () => T): T[] {
    const count = this.#bytes.readUInt32BE(this.#skip(4))
    const items: T[] = []
    for (let index = 0; index < count; index += 1) items.push(read())
    return items
  }

  #text(): string {
    return this.#binary().toString()
  }

  #binary(): Buffer {
    const length = this.#bytes.readUInt32BE(this.#skip(4))
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
