import type { TypedValue, Value } from '../../src/core.ts'
import type { Cursor } from './cursor.ts'
import type { ErrorFields, Rejection } from './encoder.ts'
import { Malformed } from './frame.ts'
import { rejectionsMax, settleRangesMax } from './limits.ts'
import { readEntries } from './values.ts'

/** The map of a frame. What has another type than asked for counts as absent, as what nobody asks for does. */
export class FieldMap {
  readonly #values: Map<string, Value>

  constructor(entries: Iterable<readonly [string, Value]>) {
    this.#values = new Map(entries)
  }

  static read(cursor: Cursor): FieldMap {
    const map = new FieldMap(readEntries(cursor))
    cursor.close()
    return map
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name)
    return typeof value === 'string' ? value : undefined
  }

  /** A number from 0 to 2^53 - 1, whatever its type. */
  number(name: string): number | undefined {
    return numberOf(this.#values.get(name))
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true
  }

  block(name: string): Uint8Array | undefined {
    const value = this.#values.get(name)
    return value instanceof Uint8Array ? value : undefined
  }

  numbers(name: string): number[] {
    const value = typedOf(this.#values.get(name))
    return value?.type === 'list' ? value.value.map((item) => numberOf(item) ?? 0) : []
  }
}

function typedOf(value: Value | undefined): TypedValue | undefined {
  return typeof value === 'object' && value !== null && 'type' in value ? value : undefined
}

function numberOf(value: Value | undefined): number | undefined {
  const plain = typedOf(value)?.value ?? value
  const number = typeof plain === 'bigint' ? Number(plain) : plain
  return typeof number === 'number' && number >= 0 && number <= Number.MAX_SAFE_INTEGER ? number : undefined
}

/** Reads an error; undefined for code 0. */
export function readError(cursor: Cursor): ErrorFields | undefined {
  const code = cursor.u16()
  if (code === 0) return undefined
  return { code, name: cursor.string(), text: cursor.string(), retryable: cursor.byte() !== 0 }
}

export function readRejections(cursor: Cursor): readonly Rejection[] {
  const rejections: Rejection[] = []
  for (let left = cursor.count(6, rejectionsMax); left > 0; left -= 1) {
    const seq = cursor.varint()
    const error = readError(cursor)
    if (error === undefined) throw new Malformed('a rejection has no code')
    rejections.push({ seq, ...error })
  }
  return rejections
}

/** Reads the ranges of a SETTLE; each is checked to lie behind the one before. */
export function readRanges(cursor: Cursor): readonly (readonly [from: number, to: number])[] {
  const ranges: [number, number][] = []
  for (let left = cursor.count(2, settleRangesMax); left > 0; left -= 1) {
    const from = cursor.varint()
    const to = from + cursor.varint()
    if (from < 1 || to > Number.MAX_SAFE_INTEGER) throw new Malformed(`no delivery has the numbers ${from} to ${to}`)
    ranges.push([from, to])
  }
  return ranges
}
