/** The octets of a frame: which of them are special in a header line, and how a sentence shows them. */

export const lf = 10
export const cr = 13
export const backslash = 92

/** Kinds of octets in a header line; the plain ones are 0. */
export const Octet = { end: 1, colon: 2, cr: 4, backslash: 8, high: 16 } as const

export const kindOf = new Uint8Array(256).fill(Octet.high, 128)
kindOf[0] = Octet.end
kindOf[lf] = Octet.end
kindOf[cr] = Octet.cr
kindOf[58] = Octet.colon
kindOf[backslash] = Octet.backslash

/** Bytes of a wrong header line that its error shows. */
const lineBytesShown = 64

/** At most `bytesMax` of the bytes for a sentence: printable ASCII as it is, the rest as `\xNN`. */
export function quoted(bytes: Uint8Array, start: number, end: number, bytesMax = lineBytesShown): string {
  let text = ''
  for (let at = start; at < Math.min(end, start + bytesMax); at++) {
    const byte = bytes[at] as number
    const isPlain = byte >= 32 && byte < 127 && byte !== backslash
    text += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return end - start > bytesMax ? `'${text}...'` : `'${text}'`
}
