/**
 * Typed values of message properties and structured bodies: the union of what AMQP 1.0, MQTT 5, STOMP and the native
 * protocol can carry, so that a value keeps its type between protocols.
 *
 * Plain JavaScript stands for the common types: `null`, `boolean`, `string`, `number` (always an IEEE double), `bigint`
 * (a signed 64-bit long) and `Uint8Array` (binary). Every other type is written out as a {@link TypedValue}.
 */
export type Value = null | boolean | string | number | bigint | Uint8Array | TypedValue

export type TypedValue =
  | { readonly type: 'byte' | 'short' | 'int' | 'ubyte' | 'ushort' | 'uint' | 'float'; readonly value: number }
  | { readonly type: 'ulong'; readonly value: bigint }
  /** Milliseconds since the epoch. */
  | { readonly type: 'timestamp'; readonly value: number }
  | { readonly type: 'char' | 'symbol' | 'uuid'; readonly value: string }
  /** The 4, 8 or 16 bytes of an IEEE 754 decimal, as they came. */
  | { readonly type: 'decimal'; readonly value: Uint8Array }
  | { readonly type: 'list'; readonly value: readonly Value[] }
  /** Entries in order; keys may repeat, as MQTT user properties may. */
  | { readonly type: 'map'; readonly value: readonly (readonly [Value, Value])[] }

/** True for the values written as `{ type, value }`. */
export function isTyped(value: Value): value is TypedValue {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array)
}

/** The plain JavaScript form of a value: what a selector compares and a person reads. Lists and maps become undefined. */
export function scalar(value: Value): string | number | bigint | boolean | Uint8Array | null | undefined {
  if (!isTyped(value)) return value
  if (value.type === 'list' || value.type === 'map') return undefined
  return value.value
}

/** A value as text, for headers and user properties: binary as base64, lists and maps as JSON. */
export function textOfValue(value: Value): string {
  const plain = scalar(value)
  if (plain instanceof Uint8Array) return Buffer.from(plain).toString('base64')
  return plain === undefined ? JSON.stringify(jsonOfValue(value)) : String(plain)
}

/** The value as JSON can carry it: longs as text, binary as base64. `keyText` makes the names of a map's entries. */
export function jsonOfValue(value: Value, keyText: (key: Value) => string = textOfValue): unknown {
  if (isTyped(value) && value.type === 'list') return value.value.map((item) => jsonOfValue(item, keyText))
  if (isTyped(value) && value.type === 'map') {
    return Object.fromEntries(value.value.map(([key, item]) => [keyText(key), jsonOfValue(item, keyText)]))
  }
  const plain = scalar(value)
  if (plain instanceof Uint8Array) return Buffer.from(plain).toString('base64')
  return typeof plain === 'bigint' ? String(plain) : plain
}
