import { InvalidArgumentError } from 'commander'
import { parseNumber, parseSize, parseTime } from '../config/units.ts'

/** A whole number from `min` on. */
export function whole(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = parseNumber(text)
    if (value === undefined || !Number.isInteger(value) || value < min || value > max) {
      const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} on` : `between ${min} and ${max}`
      throw new InvalidArgumentError(`It must be a whole number ${range}.`)
    }
    return value
  }
}

export function rate(text: string): number {
  const value = parseNumber(text)
  if (value === undefined || value <= 0) throw new InvalidArgumentError('It must be a number above 0.')
  return value
}

/** `64kB` in bytes. */
export function size(text: string): number {
  const value = parseSize(text)
  if (value === undefined) throw new InvalidArgumentError('It must be a size such as 10kB, 4KiB or 1000.')
  return value
}

/** `30s` in milliseconds. */
export function time(text: string): number {
  const value = parseTime(text)
  if (value === undefined) throw new InvalidArgumentError('It must be a time such as 30s, 500ms or 5m.')
  return value
}

/** Collects an option that may be given several times. */
export function several(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

/** Collects `name=value` given several times. */
export function properties(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const sign = text.indexOf('=')
  if (sign <= 0) throw new InvalidArgumentError('It must be written as name=value.')
  return { ...before, [text.slice(0, sign)]: text.slice(sign + 1) }
}
