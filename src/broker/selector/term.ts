import { scalar, type Value } from '../../value.ts'

/** Stands for a value that is there but that a selector can compare with nothing: binary, decimal, list, map. */
export const opaque: unique symbol = Symbol('opaque')

/** A value as selectors see it. Undefined is NULL: no such field or property, or one that is null (3.8.1.2). */
export type Term = string | number | bigint | boolean | typeof opaque | undefined

/** A condition's value; undefined is SQL's unknown. */
export type Truth = boolean | undefined

/** How selectors see a property or header field; decimals are opaque. */
export function termOf(value: Value | undefined): Term {
  if (value === undefined || value === null) return undefined
  const plain = scalar(value)
  if (plain === undefined || plain === null || plain instanceof Uint8Array) return opaque
  return plain
}

/** The boolean that a property's text spells as the literals do, in any case; undefined for every other text. */
export function booleanSpelled(text: string): Truth {
  if (text.length === 4) return text.toLowerCase() === 'true' ? true : undefined
  if (text.length === 5) return text.toLowerCase() === 'false' ? false : undefined
  return undefined
}
