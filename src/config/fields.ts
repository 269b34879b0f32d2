import { z } from 'zod'
import { suggestion } from './problems.ts'
import { formatSize, formatTime, parseNumber, parseSize, parseTime } from './units.ts'

/** How the infinite amount is written in a file. */
export const unlimited = 'unlimited'

interface Range {
  readonly min: number
  readonly max: number
  /** The amount when nothing is given; without one the field may be absent. */
  readonly default?: number
  /** Also accepts `unlimited`. */
  readonly unlimited?: boolean
  /** Whole numbers only; the rule unless said otherwise. */
  readonly whole?: boolean
}

/** What an amount is counted in: how it is read, written and described. */
interface Measure {
  readonly parse: (text: string) => number | undefined
  readonly format: (amount: number) => string
  readonly noun: string
  readonly pattern: string
}

const numbers: Measure = { parse: parseNumber, format: String, noun: 'a number', pattern: '^[0-9][0-9_]*([.][0-9]+)?$' }
const sizes: Measure = {
  parse: parseSize,
  format: formatSize,
  noun: 'a size such as 64MiB, 10kB or a number of bytes',
  pattern: '^[0-9][0-9_]*([.][0-9]+)? ?([kKmMgGtT]([iI]?[bB])|[bB])?$',
}
const times: Measure = {
  parse: parseTime,
  format: formatTime,
  noun: 'a time such as 30s, 500ms or a number of milliseconds',
  pattern: '^[0-9][0-9_]*([.][0-9]+)? ?(ms|s|m|h|d)?$',
}

/** Absent or in any form; a number comes out. */
type AmountField = z.ZodType<number, unknown, z.core.$ZodTypeInternals<number, unknown> & { optin: 'optional' }>

/** A plain number. */
export function count(description: string, range: Range): AmountField {
  return amount(description, range, numbers)
}

/** Bytes, with or without a unit. */
export function size(description: string, range: Range): AmountField {
  return amount(description, range, sizes)
}

/** Milliseconds, or a time with a unit. */
export function time(description: string, range: Range): AmountField {
  return amount(description, range, times)
}

/** One of a few words. */
export function choice<const Words extends readonly [string, ...string[]]>(description: string, words: Words) {
  return z
    .enum(words, {
      error: (issue) => {
        const near = typeof issue.input === 'string' ? suggestion(issue.input, words) : ''
        return `must be one of ${words.join(', ')}; is ${describe(issue.input)}${near}`
      },
    })
    .describe(description)
}

/** A text that `fault` finds nothing wrong with. */
export function text(description: string, fault: (value: string) => string | undefined) {
  return z
    .string()
    .superRefine((value, context) => {
      const reason = fault(value)
      if (reason !== undefined) context.addIssue({ code: 'custom', message: reason })
    })
    .describe(description)
}

export function flag(description: string) {
  return z.boolean().describe(description)
}

/** A value as it is shown in an error. */
export function describe(value: unknown): string {
  if (value === undefined || value === null) return 'absent'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a group of settings'
  if (typeof value !== 'string') return String(value)
  return value.length > 60 ? `"${value.slice(0, 57)}..."` : `"${value}"`
}

function amount(description: string, range: Range, measure: Measure): AmountField {
  const field = z
    .unknown()
    .transform((value, context): number => {
      const result = read(value, range, measure)
      if (typeof result === 'number') return result
      context.issues.push({ code: 'custom', message: result, input: value })
      return z.NEVER
    })
    .meta({ description, ...jsonForm(range, measure) })
  if (range.default === undefined) return field.optional() as AmountField
  return field.prefault(plainest(measure, range.default)) as unknown as AmountField
}

function read(value: unknown, range: Range, measure: Measure): number | string {
  if (range.unlimited === true && (value === unlimited || value === Number.POSITIVE_INFINITY))
    return Number.POSITIVE_INFINITY
  const parsed = typeof value === 'string' ? measure.parse(value) : value
  const alternative = range.unlimited === true ? ` or "${unlimited}"` : ''
  if (typeof parsed !== 'number' || Number.isNaN(parsed)) {
    return `must be ${measure.noun}${alternative}; is ${describe(value)}`
  }
  if (parsed < range.min || parsed > range.max) {
    const bounds = `${measure.format(range.min)} and ${measure.format(range.max)}`
    return `must lie between ${bounds}${alternative}; is ${describe(value)}`
  }
  if (range.whole !== false && !Number.isInteger(parsed)) return `must be a whole number; is ${describe(value)}`
  return parsed
}

function jsonForm(range: Range, measure: Measure): object {
  const forms: object[] = [
    { type: range.whole === false ? 'number' : 'integer', minimum: range.min, maximum: range.max },
  ]
  if (measure !== numbers) forms.push({ type: 'string', pattern: measure.pattern })
  if (range.unlimited === true) forms.push({ const: unlimited })
  return forms.length === 1 ? { ...forms[0] } : { anyOf: forms }
}

function plainest(measure: Measure, value: number): number | string {
  if (value === Number.POSITIVE_INFINITY) return unlimited
  return measure === numbers || value === 0 ? value : measure.format(value)
}
