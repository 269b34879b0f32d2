import { digitsEnd, isExponentMark, signEnd } from './digits.ts'
import type { Numeric } from './syntax.ts'

const longMin = -(2n ** 63n)
const longMax = 2n ** 63n - 1n

/** A whole number in its one form: a number in the safe range, a bigint in the range of a long, past that a double. */
export function normal(value: bigint): Numeric {
  if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) return Number(value)
  return value >= longMin && value <= longMax ? value : Number(value)
}

/**
 * The number that the whole of a property's text writes in decimal, as the property conversions of 3.5.4 read it: sign, digits,
 * fraction, exponent. Leading zeros do not make it octal. Undefined for every other text. Takes time linear in its length.
 */
export function numberSpelled(text: string): Numeric | undefined {
  const start = signEnd(text, 0)
  const whole = digitsEnd(text, start)
  if (whole === text.length) return whole > start ? wholeSpelled(text) : undefined
  let end = whole
  let digits = whole - start
  if (text.charCodeAt(end) === 0x2e) {
    end = digitsEnd(text, whole + 1)
    digits += end - whole - 1
  }
  if (digits === 0) return undefined
  if (isExponentMark(text.charCodeAt(end))) {
    const exponent = signEnd(text, end + 1)
    end = digitsEnd(text, exponent)
    if (end === exponent) return undefined
  }
  return end === text.length ? Number(text) : undefined
}

/** Characters of the texts that are always safe integers, and of those that may be longs; a BigInt of more costs too much. */
const safeLength = 15
const longLength = 20

function wholeSpelled(text: string): Numeric {
  if (text.length <= safeLength || text.length > longLength) return Number(text)
  return normal(BigInt(text))
}
