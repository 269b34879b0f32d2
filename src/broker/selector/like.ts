import { type Search, searchOf } from './search.ts'
import { anyCharacter, Segment } from './segment.ts'

/**
 * A LIKE pattern (Jakarta Messaging 3.1 section 3.8.1.1), compiled once: `%` is any sequence of characters, `_` any one character
 * (a code point: a surrogate pair is one), all others are themselves. The escape character takes the meaning from `%`, `_` and itself;
 * before any other character it is an ordinary one.
 *
 * A segment, which is what stands between two `%`, takes as many characters as it has; so its leftmost place is always a right one,
 * and nothing is tried twice. The time is linear in the text, at worst times a 32nd of the longest segment (search.ts).
 */
export class LikePattern {
  readonly #first: Segment
  readonly #middle: readonly Search[]
  /** Undefined if there is no `%`. */
  readonly #last: Segment | undefined

  /** @param escapeCharacter one code point, or undefined for none */
  constructor(pattern: string, escapeCharacter: string | undefined) {
    const [first = [], ...rest] = split(pattern, escapeCharacter?.codePointAt(0))
    this.#first = new Segment(first)
    const last = rest.pop()
    this.#last = last === undefined ? undefined : new Segment(last)
    this.#middle = rest.filter((points) => points.length > 0).map(searchOf)
  }

  matches(text: string): boolean {
    let end = this.#first.endAt(text, 0)
    if (this.#last === undefined) return end === text.length
    if (end < 0) return false
    const tail = offsetFromEnd(text, this.#last.length)
    if (tail < end || this.#last.endAt(text, tail) < 0) return false
    for (const search of this.#middle) {
      end = search.endOfFirst(text, end)
      if (end < 0 || end > tail) return false
    }
    return true
  }
}

function split(pattern: string, escapePoint: number | undefined): number[][] {
  let segment: number[] = []
  const segments = [segment]
  const points = Array.from(pattern, (character) => character.codePointAt(0) ?? 0)
  for (let index = 0; index < points.length; index += 1) {
    const point = points[index] ?? 0
    const next = points[index + 1]
    if (point === escapePoint) {
      const escapes = next === escapePoint || next === 0x25 || next === 0x5f
      segment.push(escapes ? next : point)
      if (escapes) index += 1
    } else if (point === 0x25) {
      segment = []
      segments.push(segment)
    } else {
      segment.push(point === 0x5f ? anyCharacter : point)
    }
  }
  return segments
}

/** The offset at which the text's last `characters` begin, or -1 if it has fewer. */
function offsetFromEnd(text: string, characters: number): number {
  let offset = text.length
  for (let count = 0; count < characters; count += 1) {
    if (offset === 0) return -1
    offset -= isPairEnd(text, offset) ? 2 : 1
  }
  return offset
}

function isPairEnd(text: string, offset: number): boolean {
  const low = text.charCodeAt(offset - 1)
  if (low < 0xdc00 || low > 0xdfff) return false
  const high = text.charCodeAt(offset - 2)
  return high >= 0xd800 && high <= 0xdbff
}
