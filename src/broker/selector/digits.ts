import { isDigit } from './characters.ts'

/** Where the decimal digits end that begin at `start`. */
export function digitsEnd(text: string, start: number): number {
  let end = start
  while (isDigit(text.charCodeAt(end))) end += 1
  return end
}

/** As {@link digitsEnd}, for a literal's digits of a radix; an underscore counts if it stands between two of them. */
export function literalDigitsEnd(text: string, start: number, radix: 2 | 8 | 10 | 16): number {
  let end = start
  for (let index = start; index < text.length; index += 1) {
    const unit = text.charCodeAt(index)
    if (isDigitOf(unit, radix)) end = index + 1
    else if (unit !== 0x5f || index === start) break
  }
  return end
}

/** True for the `e` or `E` before an exponent. */
export function isExponentMark(unit: number): boolean {
  return unit === 0x65 || unit === 0x45
}

/** The offset after the sign at `at`, or `at` if there is none. */
export function signEnd(text: string, at: number): number {
  const unit = text.charCodeAt(at)
  return unit === 0x2b || unit === 0x2d ? at + 1 : at
}

function isDigitOf(unit: number, radix: number): boolean {
  if (radix <= 10) return unit >= 0x30 && unit < 0x30 + radix
  const lower = unit | 0x20
  return isDigit(unit) || (lower >= 0x61 && lower <= 0x66)
}
