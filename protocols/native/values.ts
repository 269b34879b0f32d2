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
import { type ByteSink, writeByte, writeBytes, writeString, writeVarint } from './writer.ts'

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

/** The type of a value by its tag. */
const nameByTag = [
  ...([
    'null',
    'bool',
    'byte',
    'char',
    'short',
    'int',
    'long',
    'double',
    'float',
    'string',
    'bytes',
    'map',
    'list',
  ] as const),
  ...([undefined, 'timestamp', 'ubyte', 'ushort', 'uint', 'ulong', 'symbol', 'uuid', 'decimal', 'pairs'] as const),
]

const numbers = new DataView(new ArrayBuffer(8))

type Accessor = 'Int8' | 'Uint8' | 'Int16' | 'Uint16' | 'Uint32' | 'BigInt64' | 'BigUint64' | 'Float32' | 'Float64'

/** A value of a fixed width. */
interface Fixed {
  readonly bytes: number
  readonly get: `get${Accessor}`
  readonly set: `set${Accessor}`
}

const fixedByTag: (Fixed | undefined)[] = []
for (const [tag, bytes, accessor] of [
  [Tag.byte, 1, 'Int8'],
  [Tag.ubyte, 1, 'Uint8'],
  [Tag.short, 2, 'Int16'],
  [Tag.ushort, 2, 'Uint16'],
  [Tag.uint, 4, 'Uint32'],
  [Tag.long, 8, 'BigInt64'],
  [Tag.ulong, 8, 'BigUint64'],
  [Tag.timestamp, 8, 'BigInt64'],
  [Tag.float, 4, 'Float32'],
  [Tag.double, 8, 'Float64'],
] as const) {
  fixedByTag[tag] = { bytes, get: `get${accessor}`, set: `set${accessor}` }
}

/** Writes a value of the core, in which a plain number is a double. Throws a RangeError for one that has no place. */
export function writeValue(sink: ByteSink, value: Value, depth = 0): void {
  if (depth > nestingMax) throw new RangeError(`values are nested deeper than ${nestingMax}`)
  if (value === null) writeByte(sink, Tag.null)
  else if (typeof value === 'string') writeTagged(sink, Tag.string, value)
  else if (typeof value === 'boolean') {
    writeByte(sink, Tag.bool)
    writeByte(sink, value ? 1 : 0)
  } else if (typeof value === 'number') writeFixed(sink, Tag.double, value)
  else if (typeof value === 'bigint') writeFixed(sink, Tag.long, BigInt.asIntN(64, value))
  else if (value instanceof Uint8Array) writeBlock(sink, Tag.bytes, value)
  else writeTyped(sink, value, depth)
}

function writeTyped(sink: ByteSink, value: TypedValue, depth: number): void {
  switch (value.type) {
    case 'int':
      writeInt(sink, value.value)
      return
    case 'timestamp':
      writeFixed(sink, Tag.timestamp, BigInt(Math.trunc(value.value)))
      return
    case 'char':
      writeByte(sink, Tag.char)
      writeVarint(sink, value.value.codePointAt(0) ?? 0)
      return
    case 'symbol':
    case 'uuid':
      writeTagged(sink, nameByTag.indexOf(value.type), value.value)
      return
    case 'decimal':
      writeBlock(sink, Tag.decimal, value.value)
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
      writeFixed(sink, nameByTag.indexOf(value.type), value.value)
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

function writeInt(sink: ByteSink, value: number): void {
  writeByte(sink, Tag.int)
  writeVarint(sink, value < 0 ? value * -2 - 1 : value * 2)
}

function writeFixed(sink: ByteSink, tag: number, value: number | bigint): void {
  const { bytes, set } = fixedByTag[tag] as Fixed
  numbers[set](0, value as never)
  sink.reserve(1 + bytes)
  const { buffer, position } = sink
  buffer[position] = tag
  for (let index = 0; index < bytes; index += 1) buffer[position + 1 + index] = numbers.getUint8(index)
  sink.position = position + 1 + bytes
}

function writeTagged(sink: ByteSink, tag: number, text: string): void {
  writeByte(sink, tag)
  writeString(sink, text)
}

function writeBlock(sink: ByteSink, tag: number, bytes: Uint8Array): void {
  writeByte(sink, tag)
  writeBytes(sink, bytes)
}

/** Reads a value; bytes are a view. Throws {@link Malformed}. */
export function readValue(cursor: Cursor, depth = 0): Value {
  const tag = readTag(cursor, depth)
  const fixed = fixedByTag[tag]
  if (fixed !== undefined) {
    const value = cursor.view[fixed.get](cursor.skip(fixed.bytes))
    if (tag === Tag.long || tag === Tag.double) return value
    return typed(tag, tag === Tag.timestamp ? Number(value) : value)
  }
  switch (tag) {
    case Tag.null:
      return null
    case Tag.bool:
      return cursor.byte() !== 0
    case Tag.char:
      return typed(tag, character(cursor.varint()))
    case Tag.int:
      return typed(tag, unzigzag(cursor.varint()))
    case Tag.string:
      return cursor.string()
    case Tag.symbol:
    case Tag.uuid:
      return typed(tag, cursor.string())
    case Tag.bytes:
      return cursor.block()
    case Tag.decimal:
      return typed(tag, decimal(cursor.block()))
    case Tag.list:
      return typed(tag, readItems(cursor, itemsMax, depth + 1))
    case Tag.map:
      return typed(tag, readEntries(cursor, depth + 1))
    case Tag.pairs:
      return typed(
        Tag.map,
        repeat(cursor.count(2, itemsMax), () => [readValue(cursor, depth + 1), readValue(cursor, depth + 1)] as const),
      )
    default:
      throw noSuchTag(tag)
  }
}

/** Goes past a value, checking all but the text that it holds. */
export function skipValue(cursor: Cursor, depth = 0): void {
  const tag = readTag(cursor, depth)
  const fixed = fixedByTag[tag]
  if (fixed !== undefined) {
    cursor.skip(fixed.bytes)
    return
  }
  switch (tag) {
    case Tag.null:
      return
    case Tag.bool:
      cursor.skip(1)
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
      skipItems(cursor, itemsMax, depth + 1)
      return
    case Tag.map:
      skipEntries(cursor, depth + 1)
      return
    case Tag.pairs:
      for (let left = cursor.count(2, itemsMax) * 2; left > 0; left -= 1) skipValue(cursor, depth + 1)
      return
    default:
      throw noSuchTag(tag)
  }
}

/** A count and that many named values. */
export function readEntries(cursor: Cursor, depth = 1): (readonly [name: string, value: Value])[] {
  return repeat(cursor.count(2, itemsMax), () => [cursor.string(), readValue(cursor, depth)] as const)
}

/** As {@link readEntries}, without making anything. */
export function skipEntries(cursor: Cursor, depth = 1): void {
  for (let left = cursor.count(2, itemsMax); left > 0; left -= 1) {
    cursor.skipBlock()
    skipValue(cursor, depth)
  }
}

/** A count and that many values. A body may have any number of them. */
export function readItems(cursor: Cursor, countMax: number = Number.MAX_SAFE_INTEGER, depth = 1): Value[] {
  return repeat(cursor.count(1, countMax), () => readValue(cursor, depth))
}

/** As {@link readItems}, without making anything. */
export function skipItems(cursor: Cursor, countMax: number = Number.MAX_SAFE_INTEGER, depth = 1): void {
  for (let left = cursor.count(1, countMax); left > 0; left -= 1) skipValue(cursor, depth)
}

function readTag(cursor: Cursor, depth: number): number {
  if (depth > nestingMax) throw new Malformed(`values are nested deeper than ${nestingMax}`)
  return cursor.byte()
}

function typed(tag: number, value: unknown): TypedValue {
  return { type: nameByTag[tag], value } as TypedValue
}

function noSuchTag(tag: number): Malformed {
  return new Malformed(`no value has the tag ${tag}`)
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
