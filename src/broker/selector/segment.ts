import { unitsOf } from './fault.ts'

/** `_` among the characters of a segment: any one character. */
export const anyCharacter = -1

/** Characters (code points) and {@link anyCharacter}: the part of a LIKE pattern before, between or after its `%`. */
export type Points = readonly number[]

/** A segment whose place in the text is known: the first or the last of its pattern. */
export class Segment {
  readonly #points: Points
  readonly #literal: string | undefined

  constructor(points: Points) {
    this.#points = points
    this.#literal = literalOf(points)
  }

  /** In characters. */
  get length(): number {
    return this.#points.length
  }

  /** The offset after the segment if `text` has it at `offset`, else -1. */
  endAt(text: string, offset: number): number {
    if (this.#literal !== undefined) return text.startsWith(this.#literal, offset) ? offset + this.#literal.length : -1
    let end = offset
    for (const wanted of this.#points) {
      const point = text.codePointAt(end)
      if (point === undefined || (wanted !== anyCharacter && wanted !== point)) return -1
      end += unitsOf(point)
    }
    return end
  }
}

/**
 * The segment as text to compare unit by unit; undefined if it has `_`, or half of a surrogate pair, which could be taken
 * for a part of a whole one.
 */
export function literalOf(points: Points): string | undefined {
  let text = ''
  for (const point of points) {
    if (point === anyCharacter || (point >= 0xd800 && point <= 0xdfff)) return undefined
    text += String.fromCodePoint(point)
  }
  return text
}
