import { isIdentifierPart } from './characters.ts'
import { isExponentMark, literalDigitsEnd, signEnd } from './digits.ts'
import { SelectorFault } from './fault.ts'
import { normal } from './number.ts'
import type { Numeric } from './syntax.ts'

/** The one value beyond the longs that a literal may have: behind a minus sign it is the smallest long, as in Java. */
export const longMinMagnitude = 2n ** 63n
const unsignedMax = 2n ** 64n - 1n

interface NumberRead {
  readonly value: Numeric
  /** The offset after it. */
  readonly end: number
}

/**
 * Reads the unsigned numeric literal that starts at `start` with a digit, or with a point before a digit, in the syntax of Java
 * (3.8.1.1): exact ones in decimal, hexadecimal, octal and binary, always of the range of a long, with or without L; approximate
 * ones with point, exponent, suffix D or F. Underscores may stand between digits. Hexadecimal floating-point literals are not read.
 * Throws a SelectorFault.
 */
export function readNumber(text: string, start: number): NumberRead {
  const literal = radixLiteral(text, start) ?? decimalLiteral(text, start)
  if (isIdentifierPart(text.codePointAt(literal.end))) {
    throw new SelectorFault(literal.end, 'expected a space or an operator after the number')
  }
  return literal
}

function radixLiteral(text: string, start: number): NumberRead | undefined {
  const prefix = text.slice(start, start + 2).toLowerCase()
  if (prefix !== '0x' && prefix !== '0b') return undefined
  const end = literalDigitsEnd(text, start + 2, prefix === '0x' ? 16 : 2)
  if (end === start + 2) {
    throw new SelectorFault(end, `expected a ${prefix === '0x' ? 'hexadecimal' : 'binary'} digit`)
  }
  return { value: wrapped(prefix, plain(text, start + 2, end), start), end: longEnd(text, end) }
}

function decimalLiteral(text: string, start: number): NumberRead {
  const whole = literalDigitsEnd(text, start, 10)
  let end = whole
  if (text.charCodeAt(end) === 0x2e) end = literalDigitsEnd(text, end + 1, 10)
  const mantissa = end
  if (isExponentMark(text.charCodeAt(end))) {
    const exponent = signEnd(text, end + 1)
    end = literalDigitsEnd(text, exponent, 10)
    if (end === exponent) throw new SelectorFault(end, 'expected a digit of the exponent')
  }
  const suffix = text.charAt(end).toLowerCase()
  const hasSuffix = suffix === 'd' || suffix === 'f'
  if (end === whole && !hasSuffix) return { value: exact(text, start, whole), end: longEnd(text, whole) }
  const value = approximate(plain(text, start, end), suffix === 'f')
  const isLost = value === 0 && hasNonZeroDigit(text, start, mantissa)
  if (isLost || !Number.isFinite(value)) throw outOfRange(start, suffix === 'f' ? 'float' : 'double')
  return { value, end: hasSuffix ? end + 1 : end }
}

/** F rounds twice, to a double and then to a float, where Java rounds once: the last bit may differ for very long literals. */
function approximate(digits: string, isFloat: boolean): number {
  return isFloat ? Math.fround(Number(digits)) : Number(digits)
}

function exact(text: string, start: number, end: number): Numeric {
  const digits = plain(text, start, end)
  if (digits.length > 1 && digits.startsWith('0')) {
    const octalEnd = literalDigitsEnd(text, start, 8)
    if (octalEnd < end) throw new SelectorFault(octalEnd, 'expected an octal digit, as the number begins with 0')
    return wrapped('0o', digits, start)
  }
  const value = digits.length > 19 ? unsignedMax : BigInt(digits)
  if (value > longMinMagnitude) throw outOfRange(start, 'long')
  return value === longMinMagnitude ? value : normal(value)
}

/** Of a radix that is a power of two, the 64 bits are the long's: 0xFFFFFFFFFFFFFFFF is -1, as in Java. */
function wrapped(prefix: string, digits: string, start: number): Numeric {
  const first = Math.min(zeros(digits), digits.length - 1)
  const value = digits.length - first > 64 ? unsignedMax + 1n : BigInt(prefix + digits.slice(first))
  if (value > unsignedMax) throw outOfRange(start, 'long')
  return normal(BigInt.asIntN(64, value))
}

function zeros(digits: string): number {
  let count = 0
  while (digits.charCodeAt(count) === 0x30) count += 1
  return count
}

function outOfRange(start: number, type: string): SelectorFault {
  return new SelectorFault(start, `expected a number in the range of a ${type}`)
}

function plain(text: string, start: number, end: number): string {
  return text.slice(start, end).replaceAll('_', '')
}

function hasNonZeroDigit(text: string, start: number, end: number): boolean {
  for (let index = start; index < end; index += 1) {
    const unit = text.charCodeAt(index)
    if (unit >= 0x31 && unit <= 0x39) return true
  }
  return false
}

function longEnd(text: string, at: number): number {
  const unit = text.charCodeAt(at)
  return unit === 0x4c || unit === 0x6c ? at + 1 : at
}
