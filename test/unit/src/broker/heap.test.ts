import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Heap } from '../../../../src/broker/heap.ts'

function heapOf(keys: readonly number[]): Heap<{ readonly key: number }> {
  const heap = new Heap<{ readonly key: number }>((item) => item.key)
  for (const key of keys) heap.push({ key })
  return heap
}

describe('a heap', () => {
  test('gives the least first, and what is pushed between pops in its place', () => {
    const item = fc.oneof(fc.integer({ min: -20, max: 20 }), fc.constant('pop' as const))
    fc.assert(
      fc.property(fc.array(item, { maxLength: 80 }), (steps) => {
        const heap = heapOf([])
        const sorted: number[] = []
        for (const step of steps) {
          if (step === 'pop') {
            expect(heap.pop()?.key).toBe(sorted.shift())
          } else {
            heap.push({ key: step })
            sorted.push(step)
            sorted.sort((left, right) => left - right)
          }
          expect([heap.size, heap.peek()?.key]).toEqual([sorted.length, sorted[0]])
        }
      }),
    )
  })

  test('is empty after everything was taken, and can be filled again', () => {
    const heap = heapOf([3, 1, 2])
    const keys = heap.takeAll().map((item) => item.key)
    expect(keys.sort()).toEqual([1, 2, 3])
    expect([heap.size, heap.peek(), heap.pop()]).toEqual([0, undefined, undefined])
    heap.push({ key: 5 })
    expect(heap.pop()?.key).toBe(5)
  })

  test('takes infinite keys', () => {
    const heap = heapOf([Number.POSITIVE_INFINITY, 1, Number.NEGATIVE_INFINITY])
    expect([heap.pop()?.key, heap.pop()?.key, heap.pop()?.key]).toEqual([
      Number.NEGATIVE_INFINITY,
      1,
      Number.POSITIVE_INFINITY,
    ])
  })
})
