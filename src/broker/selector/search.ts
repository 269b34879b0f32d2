import { unitsOf } from './fault.ts'
import { anyCharacter, literalOf, type Points } from './segment.ts'

/** Finds a segment between two `%`, which may be anywhere. */
export interface Search {
  /** The offset after the leftmost place of the segment at or after `offset`, or -1. */
  endOfFirst(text: string, offset: number): number
}

/** Literals up to this length are left to indexOf, whose worst case is length of the text times length of the literal. */
const literalUnitsMax = 64

/** The search for a segment of at least one character. */
export function searchOf(points: Points): Search {
  const literal = literalOf(points)
  return literal !== undefined && literal.length <= literalUnitsMax ? new LiteralSearch(literal) : new BitSearch(points)
}

class LiteralSearch implements Search {
  readonly #literal: string

  constructor(literal: string) {
    this.#literal = literal
  }

  endOfFirst(text: string, offset: number): number {
    const found = text.indexOf(this.#literal, offset)
    return found < 0 ? -1 : found + this.#literal.length
  }
}

interface WordBits {
  readonly word: number
  bits: number
}

/**
 * Bit-parallel search (Shift-And; Baeza-Yates and Gonnet 1992). Bit i of the state says that the last i + 1 characters of the text
 * match the first i + 1 of the segment. The time is length of the text times a 32nd of the segment's length, whatever they hold, and
 * the length of the text alone while no long part matches; the memory is in proportion to the segment.
 */
class BitSearch implements Search {
  /** For each character of the segment the words with one of its bits, in order of words. */
  readonly #bitsOf: Map<number, WordBits[]>
  /** The bits of `_`. */
  readonly #anyBits: Int32Array
  readonly #lastBit: number
  readonly #state: Int32Array
  readonly #shifted: Int32Array

  constructor(points: Points) {
    const words = Math.ceil(points.length / 32)
    this.#bitsOf = new Map()
    this.#anyBits = new Int32Array(words)
    this.#lastBit = 1 << ((points.length - 1) & 31)
    this.#state = new Int32Array(words)
    this.#shifted = new Int32Array(words)
    for (const [index, point] of points.entries()) this.#mark(point, index >>> 5, 1 << (index & 31))
  }

  endOfFirst(text: string, offset: number): number {
    this.#state.fill(0)
    const lastWord = this.#state.length - 1
    let wordsInUse = 0
    for (let end = offset; end < text.length; ) {
      const point = text.codePointAt(end) ?? 0
      end += unitsOf(point)
      wordsInUse = this.#step(point, wordsInUse)
      if (((this.#state[lastWord] ?? 0) & this.#lastBit) !== 0) return end
    }
    return -1
  }

  /** Takes one character of the text into the state; of its words, those past `wordsInUse` are 0, before and after. */
  #step(point: number, wordsInUse: number): number {
    const state = this.#state
    const shifted = this.#shifted
    let used = Math.min(wordsInUse + 1, state.length)
    let carry = 1
    for (let word = 0; word < used; word += 1) {
      const bits = state[word] ?? 0
      const moved = (bits << 1) | carry
      carry = bits >>> 31
      shifted[word] = moved
      state[word] = moved & (this.#anyBits[word] ?? 0)
    }
    for (const { word, bits } of this.#bitsOf.get(point) ?? []) {
      if (word >= used) break
      state[word] = (state[word] ?? 0) | ((shifted[word] ?? 0) & bits)
    }
    while (used > 0 && state[used - 1] === 0) used -= 1
    return used
  }

  #mark(point: number, word: number, bit: number): void {
    if (point === anyCharacter) {
      this.#anyBits[word] = (this.#anyBits[word] ?? 0) | bit
      return
    }
    const words = this.#bitsOf.get(point) ?? []
    const last = words.at(-1)
    if (last?.word === word) last.bits |= bit
    else words.push({ word, bits: bit })
    this.#bitsOf.set(point, words)
  }
}
