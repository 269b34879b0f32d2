/**
 * Typed values as bytes: a tag, then the value, big endian. Tags 0 to 12 are OpenWire's.
 *
 *     null 0 · bool 1 u8 · byte 2 i8 · char 3 varint code point · short 4 i16 · int 5 zigzag varint · long 6 i64
 *     double 7 f64 · float 8 f32 · string 9 str · bytes 10 varint length, bytes
 *     map 11 varint count, (str, value)… · list 12 varint count, value…
 *     timestamp 14 i64 ms · ubyte 15 u8 · ushort 16 u16 · uint 17 u32 · ulong 18 u64 · symbol 19 str · uuid 20 str
 *     decimal 21 varint length, bytes · pairs 22 varint count, (value, value)…
 */
import type { TypedValue, Value } from '../../src/core.ts'
import type { Cursor } from './cursor.ts'
import { Malformed } from './frame.ts'
import { itemsMax, nestingMax } from './limits.ts'
import { type ByteSink, putVarint, writeByte, writeBytes, writeString, writeVarint } from './writer.ts'

const Tag = {
  null: 0,
  bool: 1,
  byte: 2,
  char: 3,
  short: 4,
  int: 5,
  long: 6,
  double: 7,
  float: 8,
  string: 9,
  bytes: 10,
  map: 11,
  list: 12,
  timestamp: 14,
  ubyte: 15,
  ushort: 16,
  uint: 17,
  ulong: 18,
  symbol: 19,
  uuid: 20,
  decimal: 21,
  pairs: 22,
} as const

const intMax = 2 ** 31 - 1
const intMin = -(2 ** 31)
const numbers = new DataView(new ArrayBuffer(8))

/** Writes a value of the core, in which a plain number is a double. Throws a RangeError for one that has no place. */
export function writeValue(sink: ByteSink, value: Value, depth = 0): void {
  if (depth > nestingMax) throw new RangeError(`values are nested deeper than ${nestingMax}`)
  if (value === null) writeByte(sink, Tag.null)
  else if (typeof value === 'string') tagged(sink, Tag.string, value)
  else if (typeof value === 'boolean') putByte(sink, Tag.bool, value ? 1 : 0)
  else if (typeof value === 'number') writeDouble(sink, value)
  else if (typeof value === 'bigint') writeLong(sink, Tag.long, value)
  else if (value instanceof Uint8Array) binary(sink, Tag.bytes, value)
  else writeTyped(sink, value, depth)
}

function writeTyped(sink: ByteSink, value: TypedValue, depth: number): void {
  switch (value.type) {
    case 'byte':
    case 'ubyte':
      putByte(sink, value.type === 'byte' ? Tag.byte : Tag.ubyte, value.value)
      return
    case 'short':
    case 'ushort':
      numbers.setUint16(0, value.value)
      fixed(sink, value.type === 'short' ? Tag.short : Tag.ushort, 2)
      return
    case 'int':
      writeInt(sink, value.value)
      return
    case 'uint':
      numbers.setUint32(0, value.value)
      fixed(sink, Tag.uint, 4)
      return
    case 'float':
      numbers.setFloat32(0, value.value)
      fixed(sink, Tag.float, 4)
      return
    case 'ulong':
      writeLong(sink, Tag.ulong, value.value)
      return
    case 'timestamp':
      writeLong(sink, Tag.timestamp, BigInt(Math.trunc(value.value)))
      return
    case 'char':
      writeByte(sink, Tag.char)
      writeVarint(sink, value.value.codePointAt(0) ?? 0)
      return
    case 'symbol':
      tagged(sink, Tag.symbol, value.value)
      return
    case 'uuid':
      tagged(sink, Tag.uuid, value.value)
      return
    case 'decimal':
      binary(sink, Tag.decimal, value.value)
      return
    case 'list':
      writeByte(sink, Tag.list)
      writeCount(sink, value.value.length)
      for (const item of value.value) writeValue(sink, item, depth + 1)
      return
    case 'map':
      writeEntries(sink, value.value, depth)
      return
    default:
      value satisfies never
  }
}

/** As a map if every key is a string, otherwise as pairs. */
function writeEntries(sink: ByteSink, entries: readonly (readonly [Value, Value])[], depth: number): void {
  const hasNames = entries.every(([key]) => typeof key === 'string')
  writeByte(sink, hasNames ? Tag.map : Tag.pairs)
  writeCount(sink, entries.length)
  for (const [key, item] of entries) {
    if (hasNames) writeString(sink, key as string)
    else writeValue(sink, key, depth + 1)
    writeValue(sink, item, depth + 1)
  }
}

/** A count that a reader takes. */
export function writeCount(sink: ByteSink, count: number): void {
  if (count > itemsMax) throw new RangeError(`${count} entries are more than ${itemsMax}`)
  writeVarint(sink, count)
}

export function writeInt(sink: ByteSink, value: number): void {
  sink.reserve(9)
  sink.buffer[sink.position] = Tag.int
  sink.position = putVarint(sink.buffer, sink.position + 1, value < 0 ? value * -2 - 1 : value * 2)
}

export function writeDouble(sink: ByteSink, value: number): void {
  numbers.setFloat64(0, value)
  fixed(sink, Tag.double, 8)
}

/** The shortest of int, long and double that holds a number as it is. */
export function writeNumber(sink: ByteSink, value: number): void {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) writeDouble(sink, value)
  else if (value >= intMin && value <= intMax) writeInt(sink, value)
  else writeLong(sink, Tag.long, BigInt(value))
}

function writeLong(sink: ByteSink, tag: number, value: bigint): void {
  numbers.setBigUint64(0, BigInt.asUintN(64, value))
  fixed(sink, tag, 8)
}

function fixed(sink: ByteSink, tag: number, bytes: number): void {
  sink.reserve(1 + bytes)
  const { buffer, position } = sink
  buffer[position] = tag
  for (let index = 0; index < bytes; index += 1) buffer[position + 1 + index] = numbers.getUint8(index)
  sink.position = position + 1 + bytes
}

function putByte(sink: ByteSink, tag: number, value: number): void {
  sink.reserve(2)
  sink.buffer[sink.position] = tag
  sink.buffer[sink.position + 1] = value
  sink.position += 2
}

function tagged(sink: ByteSink, tag: number, text: string): void {
  writeByte(sink, tag)
  writeString(sink, text)
}

function binary(sink: ByteSink, tag: number, bytes: Uint8Array): void {
  writeByte(sink, tag)
  writeBytes(sink, bytes)
}

/** Reads a value; bytes are a view. Throws {@link Malformed}. */
export function readValue(cursor: Cursor, depth = 0): Value {
  if (depth > nestingMax) throw new Malformed(`values are nested deeper than ${nestingMax}`)
  const tag = cursor.byte()
  switch (tag) {
    case Tag.null:
      return null
    case Tag.bool:
      return cursor.byte() !== 0
    case Tag.byte:
      return { type: 'byte', value: (cursor.byte() << 24) >> 24 }
    case Tag.ubyte:
      return { type: 'ubyte', value: cursor.byte() }
    case Tag.char:
      return { type: 'char', value: character(cursor.varint()) }
    case Tag.short:
      return { type: 'short', value: (cursor.u16() << 16) >> 16 }
    case Tag.ushort:
      return { type: 'ushort', value: cursor.u16() }
    case Tag.int:
      return { type: 'int', value: unzigzag(cursor.varint()) }
    case Tag.uint:
      return { type: 'uint', value: cursor.view.getUint32(cursor.skip(4)) }
    case Tag.long:
      return cursor.view.getBigInt64(cursor.skip(8))
    case Tag.ulong:
      return { type: 'ulong', value: cursor.view.getBigUint64(cursor.skip(8)) }
    case Tag.timestamp:
      return { type: 'timestamp', value: Number(cursor.view.getBigInt64(cursor.skip(8))) }
    case Tag.double:
      return cursor.view.getFloat64(cursor.skip(8))
    case Tag.float:
      return { type: 'float', value: cursor.view.getFloat32(cursor.skip(4)) }
    case Tag.string:
      return cursor.string()
    case Tag.symbol:
      return { type: 'symbol', value: cursor.string() }
    case Tag.uuid:
      return { type: 'uuid', value: cursor.string() }
    case Tag.bytes:
      return cursor.block()
    case Tag.decimal:
      return { type: 'decimal', value: decimal(cursor.block()) }
    case Tag.list:
      return { type: 'list', value: repeat(cursor.count(1, itemsMax), () => readValue(cursor, depth + 1)) }
    case Tag.map:
      return {
        type: 'map',
        value: repeat(cursor.count(2, itemsMax), () => [cursor.string(), readValue(cursor, depth + 1)] as const),
      }
    case Tag.pairs:
      return {
        type: 'map',
        value: repeat(
          cursor.count(2, itemsMax),
          () => [readValue(cursor, depth + 1), readValue(cursor, depth + 1)] as const,
        ),
      }
    default:
      throw new Malformed(`no value has the tag ${tag}`)
  }
}

/** Goes past a value, checking all but the text that it holds. */
export function skipValue(cursor: Cursor, depth = 0): void {
  if (depth > nestingMax) throw new Malformed(`values are nested deeper than ${nestingMax}`)
  const tag = cursor.byte()
  switch (tag) {
    case Tag.null:
      return
    case Tag.bool:
    case Tag.byte:
    case Tag.ubyte:
      cursor.skip(1)
      return
    case Tag.short:
    case Tag.ushort:
      cursor.skip(2)
      return
    case Tag.uint:
    case Tag.float:
      cursor.skip(4)
      return
    case Tag.long:
    case Tag.ulong:
    case Tag.timestamp:
    case Tag.double:
      cursor.skip(8)
      return
    case Tag.char:
      character(cursor.varint())
      return
    case Tag.int:
      unzigzag(cursor.varint())
      return
    case Tag.string:
    case Tag.symbol:
    case Tag.uuid:
    case Tag.bytes:
      cursor.skipBlock()
      return
    case Tag.decimal:
      decimal(cursor.block())
      return
    case Tag.list:
      for (let left = cursor.count(1, itemsMax); left > 0; left -= 1) skipValue(cursor, depth + 1)
      return
    case Tag.map:
      for (let left = cursor.count(2, itemsMax); left > 0; left -= 1) {
        cursor.skipBlock()
        skipValue(cursor, depth + 1)
      }
      return
    case Tag.pairs:
      for (let left = cursor.count(2, itemsMax); left > 0; left -= 1) {
        skipValue(cursor, depth + 1)
        skipValue(cursor, depth + 1)
      }
      return
    default:
      throw new Malformed(`no value has the tag ${tag}`)
  }
}

/** A count and that many named values. */
export function readEntries(cursor: Cursor): (readonly [name: string, value: Value])[] {
  return repeat(cursor.count(2, itemsMax), () => [cursor.string(), readValue(cursor, 1)] as const)
}

/** As {@link readEntries}, without making anything. */
export function skipEntries(cursor: Cursor): void {
  for (let left = cursor.count(2, itemsMax); left > 0; left -= 1) {
    cursor.skipBlock()
    skipValue(cursor, 1)
  }
}

function repeat<T>(count: number, read: () => T): T[] {
  const items: T[] = []
  for (let index = 0; index < count; index += 1) items.push(read())
  return items
}

function unzigzag(coded: number): number {
  if (coded > 2 ** 32 - 1) throw new Malformed('an int is out of its range')
  return coded % 2 === 0 ? coded / 2 : -(coded + 1) / 2
}

function character(codePoint: number): string {
  if (codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint <= 0xdfff)) {
    throw new Malformed(`${codePoint} is no character`)
  }
  return String.fromCodePoint(codePoint)
}

function decimal(bytes: Uint8Array): Uint8Array {
  if (bytes.length !== 4 && bytes.length !== 8 && bytes.length !== 16) {
    throw new Malformed('a decimal has 4, 8 or 16 bytes')
  }
  return bytes
}
