import { expect, test } from 'vitest'
import { copyInto, Stencil } from '../../../../src/store/copy.ts'

/** Bytes of which no two neighbours are alike, in the middle of others. */
function bytesOf(length: number): Uint8Array {
  return Uint8Array.from({ length: length + 3 }, (_, index) => 0x80 + ((index * 7) % 0x7f)).subarray(3)
}

const lengths = [0, 1, 2, 3, 4, 5, 7, 8, 41, 127, 128, 129, 1000]

test('bytes are copied into memory that is shared, whatever their length and place, and nothing beside them', () => {
  for (const length of lengths)
    for (const at of [0, 1, 6]) {
      const memory = Buffer.from(new SharedArrayBuffer(1024))
      copyInto(memory, bytesOf(length), at)
      expect([...memory]).toEqual([...new Uint8Array(at), ...bytesOf(length), ...new Uint8Array(1024 - at - length)])
    }
})

test('a stencil copies the bytes it was made of, and nothing beside them', () => {
  for (const length of lengths)
    for (const at of [0, 1, 6]) {
      const bytes = bytesOf(length)
      const stencil = new Stencil(bytes)
      bytes.fill(0)
      expect(stencil.length).toBe(length)
      const memory = new SharedArrayBuffer(1024)
      expect(stencil.copyInto(new DataView(memory), at)).toBe(at + length)
      expect(stencil.isAt(new DataView(memory), at, at + length)).toBe(true)
      expect(stencil.isAt(new DataView(memory), at, at + length + 1)).toBe(false)
      expect([...new Uint8Array(memory)]).toEqual([
        ...new Uint8Array(at),
        ...bytesOf(length),
        ...new Uint8Array(1024 - at - length),
      ])
    }
})

test('a stencil is not found where any byte of it is another one', () => {
  for (const length of [1, 3, 4, 5, 41]) {
    const stencil = new Stencil(bytesOf(length))
    for (let index = 0; index < length; index += 1) {
      const other = Buffer.from(bytesOf(length))
      other[index] = (other[index] as number) ^ 0x80
      expect(stencil.isAt(new DataView(other.buffer, other.byteOffset, length), 0, length)).toBe(false)
    }
  }
})
