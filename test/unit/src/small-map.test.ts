import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SmallMap } from '../../../src/small-map.ts'

const key = fc.constantFrom('a', 'b', 'c', undefined)
const step = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), key, value: fc.nat(3) }),
  fc.record({ kind: fc.constant('delete' as const), key }),
  fc.record({ kind: fc.constant('clear' as const) }),
)

describe('a small map', () => {
  test('does what a map does', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const small = new SmallMap<string | undefined, number>()
        const model = new Map<string | undefined, number>()
        for (const one of steps) {
          if (one.kind === 'set') {
            small.set(one.key, one.value)
            model.set(one.key, one.value)
          } else if (one.kind === 'delete') expect(small.delete(one.key)).toBe(model.delete(one.key))
          else {
            small.clear()
            model.clear()
          }
          expect([small.size, ...small.values()]).toEqual([model.size, ...model.values()])
          for (const each of ['a', 'b', 'c', undefined]) {
            expect([small.has(each), small.get(each)]).toEqual([model.has(each), model.get(each)])
          }
        }
      }),
      { seed: 1, numRuns: 300 },
    )
  })
})
