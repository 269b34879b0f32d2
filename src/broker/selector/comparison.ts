import { numberOf } from './arithmetic.ts'
import { numberSpelled } from './number.ts'
import type { Numeric, OrderOperator } from './syntax.ts'
import { booleanSpelled, opaque, type Term, type Truth } from './term.ts'

/**
 * `=` (`wanted` true) or `<>` (`wanted` false) of two terms, neither of which is a string literal. NULL makes it unknown; unlike
 * types make both operators false (3.8.1.1), except that a property's text against a number or a boolean counts as the one it
 * spells, and is unknown if it spells none: an extension for protocols whose properties are all text. Longs and doubles compare
 * by exact value.
 */
export function equal(left: Term, right: Term, wanted: boolean): Truth {
  if (left === undefined || right === undefined) return undefined
  if (left === opaque || right === opaque) return false
  if (typeof left === typeof right) return (left === right) === wanted
  if (typeof left === 'string') return spelledEqual(left, right, wanted)
  if (typeof right === 'string') return spelledEqual(right, left, wanted)
  if (typeof left === 'boolean' || typeof right === 'boolean') return false
  return sameNumber(left, right) === wanted
}

/** As {@link equal}, against a string literal: no text is converted and only texts are like it. */
export function equalText(term: Term, literal: string, wanted: boolean): Truth {
  if (term === undefined) return undefined
  return typeof term === 'string' && (term === literal) === wanted
}

/**
 * `<`, `<=`, `>` or `>=`, which order numbers only (3.8.1.1). NULL makes it unknown and a boolean false. A property's text counts
 * as the number it spells, and is unknown if it spells none: the same extension as in {@link equal}.
 */
export function order(left: Term, right: Term, holds: (left: Numeric, right: Numeric) => boolean): Truth {
  if (typeof left === 'number' && typeof right === 'number') return holds(left, right)
  if (left === undefined || right === undefined) return undefined
  if (isUnordered(left) || isUnordered(right)) return false
  const leftNumber = numberOf(left)
  const rightNumber = numberOf(right)
  if (leftNumber === undefined || rightNumber === undefined) return undefined
  return holds(leftNumber, rightNumber)
}

/** What each ordering operator says of two numbers; JavaScript compares a bigint with a number by exact value. */
export const orders: { readonly [operator in OrderOperator]: (left: Numeric, right: Numeric) => boolean } = {
  '<': (left, right) => left < right,
  '<=': (left, right) => left <= right,
  '>': (left, right) => left > right,
  '>=': (left, right) => left >= right,
}

function isUnordered(term: Term): boolean {
  return typeof term === 'boolean' || term === opaque
}

function spelledEqual(text: string, other: string | Numeric | boolean, wanted: boolean): Truth {
  if (typeof other === 'boolean') {
    const spelled = booleanSpelled(text)
    return spelled === undefined ? undefined : (spelled === other) === wanted
  }
  if (typeof other === 'string') return (text === other) === wanted
  const spelled = numberSpelled(text)
  return spelled === undefined ? undefined : sameNumber(spelled, other) === wanted
}

function sameNumber(left: Numeric, right: Numeric): boolean {
  return left <= right && left >= right
}
