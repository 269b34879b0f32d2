/** The words of RFC 6455 that both directions share, the frames that a server sends, and the mask of those of a client. */

/** §5.2 */
export const Opcode = {
  continuation: 0x0,
  text: 0x1,
  binary: 0x2,
  close: 0x8,
  ping: 0x9,
  pong: 0xa,
} as const

/** §7.4.1; those that are sent here. */
export const CloseCode = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  unsupported: 1003,
  invalidText: 1007,
  tooBig: 1009,
} as const

/** §5.5 */
export const controlBytesMax = 125
/** The longest header of a frame without a masking key. */
export const headBytesMax = 10

const final = 0x80
const length16 = 126
const length64 = 127

/** Four bytes of a key in the machine's order. */
const keyWord = new Int32Array(1)
const keyBytes = new Uint8Array(keyWord.buffer)

/**
 * §5.3: masks or unmasks the bytes from `start` to `end`, word by word where it can. `words` are those of the same memory. Turns
 * the key so that its first byte is the one for what follows.
 */
export function mask(bytes: Uint8Array, words: Int32Array, start: number, end: number, key: Uint8Array): void {
  const base = bytes.byteOffset
  let at = start
  let turn = 0
  for (; at < end && ((base + at) & 3) !== 0; at += 1, turn += 1) {
    bytes[at] = (bytes[at] as number) ^ (key[turn & 3] as number)
  }
  for (let index = 0; index < 4; index += 1) keyBytes[index] = key[(turn + index) & 3] as number
  const word = keyWord[0] as number
  const wordEnd = (base + end) >> 2
  for (let index = (base + at) >> 2; index < wordEnd; index += 1, at += 4) {
    words[index] = (words[index] as number) ^ word
  }
  turn = 0
  for (; at < end; at += 1, turn += 1) bytes[at] = (bytes[at] as number) ^ (keyBytes[turn & 3] as number)
  for (let index = 0; index < 4; index += 1) key[index] = keyBytes[(turn + index) & 3] as number
}

/** The memory of some bytes in words, for {@link mask}. */
export function wordsOf({ buffer }: Uint8Array): Int32Array {
  return new Int32Array(buffer, 0, buffer.byteLength >> 2)
}

/** Whether a peer may send this code: registered and meant for the wire, or of an application (§7.4). */
export function isCloseCode(code: number): boolean {
  if (code >= 3000) return code <= 4999
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006
}

/** Writes the header of a whole message; returns where its payload goes. */
export function putHead(buffer: Buffer, position: number, opcode: number, payloadBytes: number): number {
  buffer[position] = final | opcode
  if (payloadBytes < length16) {
    buffer[position + 1] = payloadBytes
    return position + 2
  }
  if (payloadBytes < 0x1_0000) {
    buffer[position + 1] = length16
    return buffer.writeUInt16BE(payloadBytes, position + 2)
  }
  buffer[position + 1] = length64
  const at = buffer.writeUInt32BE(Math.floor(payloadBytes / 2 ** 32), position + 2)
  return buffer.writeUInt32BE(payloadBytes >>> 0, at)
}

/** A ping or pong; at most 125 bytes of payload. */
export function controlFrame(opcode: number, payload: Uint8Array): Buffer {
  const frame = Buffer.alloc(2 + payload.length)
  frame.set(payload, putHead(frame, 0, opcode, payload.length))
  return frame
}

/** A close frame; `reason` is cut to what fits. */
export function closeFrame(code: number, reason = ''): Buffer {
  const payload = Buffer.alloc(controlBytesMax)
  payload.writeUInt16BE(code)
  // Writes no part of a character.
  const length = payload.write(reason, 2)
  return controlFrame(Opcode.close, payload.subarray(0, 2 + length))
}
