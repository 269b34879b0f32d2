import type { TypedValue, Value } from '../../../src/core.ts'
import { Cursor } from '../cursor.ts'
import { readValue, writeValue } from '../values.ts'
import { GrowingBytes } from '../writer.ts'

/** A property as a program writes it. Whole numbers go as int or long, others as double; {@link t} insists on a type. */
export type PropertyInput = Value | Double | undefined
/** A double even if it is a whole number. */
export interface Double {
  readonly type: 'double'
  readonly value: number
}
export type Properties = Readonly<Record<string, PropertyInput>>
/** A value as a program reads it: whatever its type on the wire. Longs beyond 2^53 are bigints. */
export type Plain =
  | null
  | boolean
  | string
  | number
  | bigint
  | Uint8Array
  | readonly Plain[]
  | ReadonlyMap<Plain, Plain>

type Whole = Extract<TypedValue, { readonly value: number }>['type']

const whole = (type: Whole, min: number, max: number) => (value: number) => {
  if (Number.isInteger(value) && value >= min && value <= max) return { type, value } satisfies TypedValue
  throw new RangeError(`${value} is no whole number from ${min} to ${max}`)
}

/** Values of a certain type, for those who must have it: `t.short(5)`. Throws a RangeError for what does not fit. */
export const t = {
  byte: whole('byte', -128, 127),
  short: whole('short', -32_768, 32_767),
  int: whole('int', -(2 ** 31), 2 ** 31 - 1),
  long: (value: number | bigint): bigint => BigInt.asIntN(64, BigInt(value)),
  float: (value: number): TypedValue => ({ type: 'float', value: Math.fround(value) }),
  double: (value: number): Double => ({ type: 'double', value }),
  char: (value: string): TypedValue => ({ type: 'char', value }),
  timestamp: (value: number | Date): TypedValue => ({ type: 'timestamp', value: Number(value) }),
  ubyte: whole('ubyte', 0, 255),
  ushort: whole('ushort', 0, 65_535),
  uint: whole('uint', 0, 2 ** 32 - 1),
  ulong: (value: number | bigint): TypedValue => ({ type: 'ulong', value: BigInt.asUintN(64, BigInt(value)) }),
  symbol: (value: string): TypedValue => ({ type: 'symbol', value }),
  uuid: (value: string): TypedValue => ({ type: 'uuid', value }),
  list: (values: readonly PropertyInput[]): TypedValue => ({ type: 'list', value: values.map(toValue) }),
  map: (entries: Properties): TypedValue => ({ type: 'map', value: toEntries(entries) }),
} as const

/** What a program wrote as a value of the protocol. */
export function toValue(input: PropertyInput): Value {
  if (input === undefined) return null
  if (typeof input === 'number') return numberValue(input)
  if (typeof input !== 'object' || input === null || input instanceof Uint8Array) return input
  return input.type === 'double' ? input.value : checked(input)
}

/** Throws a RangeError for what its type does not hold: nobody could read it. */
function checked(value: TypedValue): TypedValue {
  const bytes = new GrowingBytes()
  writeValue(bytes, value)
  try {
    readValue(new Cursor(bytes.bytes))
  } catch (error) {
    throw new RangeError(`${value.type}: ${(error as Error).message}`)
  }
  return value
}

function numberValue(value: number): Value {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) return value
  return value >= -(2 ** 31) && value <= 2 ** 31 - 1 ? { type: 'int', value } : BigInt(value)
}

/** Properties that are undefined are left out. */
export function toEntries(properties: Properties): (readonly [string, Value])[] {
  const entries: (readonly [string, Value])[] = []
  for (const name in properties) {
    const value = properties[name]
    if (value !== undefined) entries.push([name, toValue(value)])
  }
  return entries
}

/** A value as programs like it. */
export function toPlain(value: Value): Plain {
  if (typeof value === 'bigint') return narrow(value)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  if (value.type === 'list') return value.value.map(toPlain)
  if (value.type === 'map') return new Map(value.value.map(([key, item]) => [toPlain(key), toPlain(item)] as const))
  return value.type === 'ulong' ? narrow(value.value) : value.value
}

function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
