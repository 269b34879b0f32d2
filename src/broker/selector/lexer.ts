import { isDigit, isIdentifierPart, isIdentifierStart, isSpace } from './characters.ts'
import { SelectorFault, unitsOf } from './fault.ts'
import { readNumber } from './numeric-literal.ts'
import type { Numeric } from './syntax.ts'

/** The reserved words of 3.8.1.1, in any case. */
const keywords = ['NULL', 'TRUE', 'FALSE', 'NOT', 'AND', 'OR', 'BETWEEN', 'LIKE', 'IN', 'IS', 'ESCAPE'] as const
/** Longer marks before those they begin with. */
const marks = ['<>', '<=', '>=', '=', '<', '>', '(', ')', ',', '+', '-', '*', '/'] as const

export type Keyword = (typeof keywords)[number]
export type Mark = (typeof marks)[number]

/** One word of a selector; `at` is its offset in the text, in UTF-16 units from 0. */
export type Token =
  | { readonly kind: 'keyword'; readonly at: number; readonly keyword: Keyword }
  | { readonly kind: 'identifier'; readonly at: number; readonly name: string }
  | { readonly kind: 'string'; readonly at: number; readonly value: string }
  | { readonly kind: 'number'; readonly at: number; readonly value: Numeric }
  | { readonly kind: 'mark'; readonly at: number; readonly mark: Mark }
  | { readonly kind: 'end'; readonly at: number }

/** Cuts a selector text into tokens, one at a time, so that the first fault of the text is the one reported. */
export class Lexer {
  readonly #text: string
  #offset: number

  constructor(text: string) {
    this.#text = text
    this.#offset = 0
  }

  /** The next token; after the last one always `end`. Throws a SelectorFault for text that is no token. */
  next(): Token {
    while (isSpace(this.#text.charCodeAt(this.#offset))) this.#offset += 1
    const at = this.#offset
    const point = this.#text.codePointAt(at)
    if (point === undefined) return { kind: 'end', at }
    if (isIdentifierStart(point)) return this.#word(at)
    if (isDigit(point) || (point === 0x2e && isDigit(this.#text.charCodeAt(at + 1)))) return this.#number(at)
    if (point === 0x27) return { kind: 'string', at, value: this.#quoted("'", 'the string literal') }
    if (point === 0x22) return this.#quotedIdentifier(at)
    return this.#mark(at, point)
  }

  /** Identifiers are Java's, and may as an extension hold `.`, as property names of other protocols do. */
  #word(at: number): Token {
    let end = at
    let point = this.#text.codePointAt(end)
    while (isIdentifierPart(point) || point === 0x2e) {
      end += unitsOf(point)
      point = this.#text.codePointAt(end)
    }
    this.#offset = end
    const name = this.#text.slice(at, end)
    const keyword = keywordOf(name)
    return keyword === undefined ? { kind: 'identifier', at, name } : { kind: 'keyword', at, keyword }
  }

  #number(at: number): Token {
    const { value, end } = readNumber(this.#text, at)
    this.#offset = end
    return { kind: 'number', at, value }
  }

  /** An extension for names that are no Java identifiers, as "correlation-id", or are reserved words. */
  #quotedIdentifier(at: number): Token {
    const name = this.#quoted('"', 'the quoted identifier')
    if (name === '') throw new SelectorFault(at + 1, 'expected a name between the double quotes')
    return { kind: 'identifier', at, name }
  }

  /** Text between quotes, in which a doubled quote stands for one. */
  #quoted(quote: string, what: string): string {
    const at = this.#offset
    let from = at + 1
    let value = ''
    for (;;) {
      const close = this.#text.indexOf(quote, from)
      if (close < 0) throw new SelectorFault(this.#text.length, `expected ${quote} to close ${what} opened before`)
      value += this.#text.slice(from, close)
      if (this.#text.charAt(close + 1) !== quote) {
        this.#offset = close + 1
        return value
      }
      value += quote
      from = close + 2
    }
  }

  #mark(at: number, point: number): Token {
    for (const mark of marks) {
      if (!this.#text.startsWith(mark, at)) continue
      this.#offset = at + mark.length
      return { kind: 'mark', at, mark }
    }
    throw new SelectorFault(at, `expected an identifier, a literal or an operator, found ${characterName(point)}`)
  }
}

/** ASCII letters only: other letters that fold to these, as the Kelvin sign does, make an ordinary identifier. */
const asciiWord = /^[A-Za-z]{2,7}$/

function keywordOf(word: string): Keyword | undefined {
  if (!asciiWord.test(word)) return undefined
  const upper = word.toUpperCase()
  return keywords.find((keyword) => keyword === upper)
}

function characterName(point: number): string {
  const isPrintable = point > 0x20 && point < 0x7f
  return isPrintable ? `"${String.fromCodePoint(point)}"` : `U+${point.toString(16).toUpperCase().padStart(4, '0')}`
}
