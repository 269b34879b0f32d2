const startPattern = /[\p{L}\p{Nl}\p{Sc}\p{Pc}]/u
const partPattern = /[\p{L}\p{Nl}\p{Sc}\p{Pc}\p{Nd}\p{Mn}\p{Mc}\p{Cf}]/u

/** Character.isJavaIdentifierStart: letters, currency signs, connectors; `$` and `_` among them. */
export function isIdentifierStart(point: number | undefined): boolean {
  if (point === undefined) return false
  if (point < 0x80) return isLetter(point) || point === 0x24 || point === 0x5f
  return startPattern.test(String.fromCodePoint(point))
}

/** Character.isJavaIdentifierPart, without its control characters. */
export function isIdentifierPart(point: number | undefined): boolean {
  if (point === undefined) return false
  if (point < 0x80) return isIdentifierStart(point) || isDigit(point)
  return partPattern.test(String.fromCodePoint(point))
}

/** Whitespace as in Java (3.8.1.1): space, tab, form feed, line ends. */
export function isSpace(point: number | undefined): boolean {
  return point === 0x20 || point === 0x09 || point === 0x0a || point === 0x0d || point === 0x0c
}

/** `0` to `9`. */
export function isDigit(point: number | undefined): boolean {
  return point !== undefined && point >= 0x30 && point <= 0x39
}

function isLetter(point: number): boolean {
  return (point >= 0x61 && point <= 0x7a) || (point >= 0x41 && point <= 0x5a)
}
