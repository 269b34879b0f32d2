/** Fewer bytes than this are copied sooner by `set`. */
const fillBytesMin = 128

/**
 * Copies bytes into memory that may be shared with a thread. There `set` goes byte by byte, unless both sides happen to be aligned
 * alike: 0.30 us for 1 KiB, 5.5 us for 16 KiB. `fill` with a pattern as long as what it fills is one plain copy: 0.07 and 0.42 us.
 */
export function copyInto(memory: Buffer, bytes: Uint8Array, at: number): void {
  if (bytes.length < fillBytesMin) memory.set(bytes, at)
  else memory.fill(bytes, at, at + bytes.length)
}
