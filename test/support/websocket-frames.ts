/** The frames of a WebSocket client, right or wrong. */
export interface FrameParts {
  readonly opcode: number
  readonly payload?: Uint8Array | string
  readonly fin?: boolean
  readonly rsv?: number
  readonly isMasked?: boolean
  readonly key?: readonly number[]
  /** Bytes of the length, 0, 2 or 8; default: as few as it fits in. */
  readonly lengthBytes?: 0 | 2 | 8
  /** What the length says, if not the truth. */
  readonly length?: bigint
}

/** Encodes a frame byte by byte, as RFC 6455 §5.2 draws it. */
export function clientFrame(parts: FrameParts): Buffer {
  const { opcode, fin = true, rsv = 0, isMasked = true, key = [0x37, 0xfa, 0x21, 0x3d] } = parts
  const payload = Buffer.from(parts.payload ?? '')
  const length = parts.length ?? BigInt(payload.length)
  const lengthBytes = parts.lengthBytes ?? (length < 126n ? 0 : length < 65_536n ? 2 : 8)
  const bytes = [(fin ? 0x80 : 0) | (rsv << 4) | opcode]
  const short = lengthBytes === 0 ? Number(length) : lengthBytes === 2 ? 126 : 127
  bytes.push((isMasked ? 0x80 : 0) | short)
  for (let index = lengthBytes - 1; index >= 0; index -= 1) bytes.push(Number((length >> BigInt(index * 8)) & 0xffn))
  if (isMasked) bytes.push(...key)
  const masked = payload.map((byte, index) => (isMasked ? byte ^ (key[index % 4] as number) : byte))
  return Buffer.concat([Buffer.from(bytes), masked])
}

/** A close frame's payload. */
export function closing(code: number, reason: Uint8Array | string = ''): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)])
}
