/**
 * True if the bytes are a UTF-8 string as MQTT has it (1.5.4): well-formed, no surrogates [MQTT-1.5.4-1], and without the
 * character U+0000 [MQTT-1.5.4-2]. A byte order mark is a character like any other [MQTT-1.5.4-3].
 */
export function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start
  while (at < end) {
    const first = bytes[at] as number
    if (first < 0x80) {
      if (first === 0) return false
      at += 1
      continue
    }
    const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
    if (length === 0 || at + length > end) return false
    const second = bytes[at + 1] as number
    if (!isSecond(first, second)) return false
    for (let next = at + 2; next < at + length; next += 1) if (((bytes[next] as number) & 0xc0) !== 0x80) return false
    at += length
  }
  return true
}

/** The second byte is narrower after some first bytes: no overlong forms, no surrogates, nothing above U+10FFFF. */
function isSecond(first: number, second: number): boolean {
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  return second >= low && second <= high
}
