import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Ring } from '../../../../src/broker/ring.ts'

describe('a ring', () => {
  test('gives back first what came first, over every growth', () => {
    const ring = new Ring<number>()
    for (let item = 0; item < 100; item += 1) ring.push(item)
    expect(ring.length).toBe(100)
    expect(ring.first).toBe(0)
    for (let item = 0; item < 100; item += 1) expect(ring.shift()).toBe(item)
    expect([ring.length, ring.first, ring.shift()]).toEqual([0, undefined, undefined])
  })

  test('removes one item and leaves its equals', () => {
    const ring = new Ring<string>()
    for (const item of ['a', 'b', 'a', 'c']) ring.push(item)
    expect([ring.remove('a'), ring.remove('z')]).toEqual([true, false])
    expect([ring.shift(), ring.shift(), ring.shift(), ring.shift()]).toEqual(['b', 'a', 'c', undefined])
  })

  test('behaves as an array does, whatever is asked of it', () => {
    const commands = fc.array(
      fc.oneof(
        { weight: 3, arbitrary: fc.record({ kind: fc.constant('push' as const), item: fc.nat(5) }) },
        { weight: 2, arbitrary: fc.record({ kind: fc.constant('shift' as const), item: fc.constant(0) }) },
        { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), item: fc.nat(5) }) },
      ),
      { maxLength: 80 },
    )
    fc.assert(
      fc.property(commands, (steps) => {
        const ring = new Ring<number>()
        const array: number[] = []
        for (const { kind, item } of steps) {
          if (kind === 'push') {
            ring.push(item)
            array.push(item)
          } else if (kind === 'shift') {
            expect(ring.shift()).toBe(array.shift())
          } else {
            const index = array.indexOf(item)
            expect(ring.remove(item)).toBe(index >= 0)
            if (index >= 0) array.splice(index, 1)
          }
          expect([ring.length, ring.first, [...ring]]).toEqual([array.length, array[0], array])
        }
      }),
    )
  })
})
