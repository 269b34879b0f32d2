import { describe, expect, test } from 'vitest'
import type { Figures } from '../../../../bench/native/course.ts'
import { measureFlow, type Place } from '../../../../bench/native/flow.ts'
import type { Lane, Way } from '../../../../bench/native/lane.ts'
import { isAllClean, report } from '../../../../bench/native/report.ts'
import { type FlowShape, rows } from '../../../../bench/native/rows.ts'
import { rowsNamed } from '../../../../bench/row-names.ts'

const queue: FlowShape = { producers: 1, consumers: 1, isTopic: false, bodyBytes: 64, isPersistent: false }

/** Hands what is sent to the takers, soon; a wire that does worse hands over something else. */
function place(isTopic: boolean, worse: (body: Uint8Array, count: number) => Uint8Array[] = (body) => [body]): Place {
  const takers: ((body: Uint8Array) => void)[] = []
  let count = 0
  const hand = (body: Uint8Array): void => {
    count += 1
    for (const one of worse(body, count)) {
      if (isTopic) for (const take of takers) take(one)
      else takers[count % takers.length]?.(one)
    }
  }
  const open = (_way: Way): Promise<Lane> =>
    Promise.resolve({
      send: (body) => {
        setImmediate(hand, body)
      },
      take: (onMessage) => {
        takers.push(onMessage)
        return Promise.resolve()
      },
      request: () => Promise.resolve(),
      answer: () => Promise.resolve(),
      close: () => Promise.resolve(),
    })
  return { open, cpuMs: () => undefined }
}

describe('a measurement', () => {
  test.each([
    ['a queue', queue],
    ['ten to ten', { ...queue, producers: 10, consumers: 10 }],
    ['a topic', { ...queue, consumers: 5, isTopic: true }],
  ])('of %s counts every delivery once', async (_name, shape) => {
    const figures = await measureFlow(place(shape.isTopic), shape, 20)
    expect(figures).toMatchObject({ lost: 0, duplicated: 0, reordered: 0, foreign: 0, altered: 0, errors: [] })
    expect(figures.deliveries).toBeGreaterThan(0)
    expect(figures.deliveries % (shape.isTopic ? shape.consumers : 1)).toBe(0)
  })

  test('finds what comes twice, in another order, or altered', async () => {
    const held: Uint8Array[] = []
    const wire = place(false, (body, count) => {
      if (count === 10) return [body, body]
      if (count === 20) return [body.subarray(0, 60)]
      if (count === 30) held.push(body)
      return count === 30 ? [] : count === 31 ? [body, ...held] : [body]
    })
    const figures = await measureFlow(wire, queue, 20)
    expect(figures).toMatchObject({ lost: 0, duplicated: 1, reordered: 1, foreign: 0, altered: 1 })
    const results = new Map([['tcp-64', [{ kind: 'flow', ...figures } as const]]])
    expect(isAllClean(results)).toBe(false)
    expect(report(results)).toContain('ERROR tcp-64: 1 duplicated, 1 reordered, 1 altered')
  })
})

describe('rows', () => {
  test('have names of their own', () => {
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length)
  })

  test('are chosen by name, and by its beginning', () => {
    const names = rowsNamed(rows, ['stomp-64', 'vm-value-*']).map(({ name }) => name)
    expect(names).toEqual(['vm-value-64', 'vm-value-1k', 'vm-value-16k', 'stomp-64'])
    expect(() => rowsNamed(rows, ['tcp-65'])).toThrow('no row "tcp-65"; there are tcp-64,')
  })
})

test('the report says what was to be reached', () => {
  const stored = (perSecond: number): Figures[] => [{ kind: 'stored', perSecond }]
  const results = new Map<string, Figures[]>([
    ['stored-always-256', stored(100)],
    ['stored-jetstream-1', stored(10)],
    ['request-vm-reference', [{ kind: 'request', us: 25 }]],
  ])
  const text = report(results)
  expect(text).toContain('PASS  stored-always-256: 10.00 (10.00-10.00) x stored-jetstream-1, at least 5')
  expect(text).toContain('miss  request-vm-reference: 25.0 us, under 20')
})
