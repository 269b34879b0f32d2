/** What is wrong with a selector text and where. Thrown by lexer and parser, caught by `compileSelector` alone. */
export class SelectorFault extends Error {
  override readonly name = 'SelectorFault'
  /** Index into the text in UTF-16 units, from 0. */
  readonly offset: number

  constructor(offset: number, sentence: string) {
    super(sentence)
    this.offset = offset
  }
}

/** The number from 1 of the character (code point) at an offset in UTF-16 units: what a person counts. */
export function characterNumber(text: string, offset: number): number {
  let number = 1
  for (let index = 0; index < offset; number += 1) index += unitsOf(text.codePointAt(index))
  return number
}

/** UTF-16 units that a code point takes. */
export function unitsOf(point: number | undefined): number {
  return point !== undefined && point > 0xffff ? 2 : 1
}
