import { expect, test } from 'vitest'
import { Outbox } from '../../../../protocols/native/client/outbox.ts'

/** An outbox, what it has written, and how often it has got memory. */
function outboxOf() {
  const written: { readonly bytes: Uint8Array; readonly done: () => void; readonly mayChange: boolean }[] = []
  const counts = { allocated: 0 }
  const carrier = {
    write: (bytes: Uint8Array, done: () => void, mayChange: boolean) => written.push({ bytes, done, mayChange }),
  }
  const allocate = (bytes: number): Uint8Array => {
    counts.allocated += 1
    return new Uint8Array(bytes)
  }
  const nothing = (): void => undefined
  const carried = { ...carrier, end: nothing, destroy: nothing }
  const outbox = new Outbox(carried, allocate, { data: nothing, closed: nothing, dirty: nothing, drained: nothing })
  return { outbox, written, counts }
}

test('short bytes go on in the same memory behind long ones, which nobody may change', () => {
  const { outbox, written, counts } = outboxOf()
  const bodies = [1, 2, 3].map((byte) => new Uint8Array(9000).fill(byte))
  for (let round = 1; round <= 3; round += 1) {
    for (const body of bodies) {
      outbox.write(Uint8Array.of(7))
      outbox.write(body)
    }
    outbox.flush()
    const some = written.splice(0)
    expect(some.map(({ bytes }) => bytes.length)).toEqual([1, 9000, 1, 9000, 1, 9000])
    expect(some.map(({ mayChange }) => mayChange)).toEqual([true, false, true, false, true, false])
    expect(some.filter((_, index) => index % 2 === 1).map(({ bytes }) => bytes)).toEqual(bodies)
    for (const { done } of some) done()
  }
  expect(counts.allocated).toBe(1)
})

test('memory is not used again before its last bytes have been taken', () => {
  const { outbox, written, counts } = outboxOf()
  outbox.write(Uint8Array.of(1))
  outbox.write(new Uint8Array(9000))
  outbox.flush()
  const [first, body] = written.splice(0)
  first?.done()
  outbox.write(Uint8Array.of(2))
  outbox.flush()
  expect([counts.allocated, [...(first?.bytes ?? [])]]).toEqual([2, [1]])
  body?.done()
  outbox.write(Uint8Array.of(3))
  outbox.flush()
  expect(counts.allocated).toBe(2)
})
