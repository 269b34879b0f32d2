/** Text as UTF-8 bytes, in Node with the help of its Buffer and elsewhere without. */
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

interface NodeBytes extends Uint8Array {
  write(text: string, at: number): number
  toString(encoding?: string, start?: number, end?: number): string
}

interface NodeBytesClass {
  new (): NodeBytes
  from(memory: ArrayBufferLike, offset: number, length: number): NodeBytes
}

const NodeBuffer = (globalThis as unknown as { readonly Buffer?: NodeBytesClass }).Buffer
/** Texts up to this long are tried character by character first: most of them are ASCII. */
const shortTextMax = 40

/** Bytes that the text takes at most. */
export function textBytesMax(text: string): number {
  return text.length * 3
}

/** Writes the text, for which there must be room. Returns where it ends. */
export function writeText(target: Uint8Array, at: number, text: string): number {
  if (NodeBuffer !== undefined) {
    const { length } = text
    if (length <= shortTextMax) {
      let index = 0
      for (; index < length; index += 1) {
        const unit = text.charCodeAt(index)
        if (unit > 0x7f) break
        target[at + index] = unit
      }
      if (index === length) return at + length
    }
    if (target instanceof NodeBuffer) return at + target.write(text, at)
  }
  return at + encoder.encodeInto(text, target.subarray(at)).written
}

/** Reads text; what is no UTF-8 becomes U+FFFD. */
export function readText(bytes: Uint8Array, start: number, end: number): string {
  if (start === end) return ''
  if (NodeBuffer !== undefined) {
    if (bytes instanceof NodeBuffer) return bytes.toString('utf8', start, end)
    return NodeBuffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString()
  }
  return decoder.decode(bytes.subarray(start, end))
}

/** The text as bytes of its own. */
export function textBytes(text: string): Uint8Array {
  return encoder.encode(text)
}
