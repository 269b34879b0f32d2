import { describe, expect, test } from 'vitest'
import type { BacklogCourse, FlowCourse, IdleCourse, StartCourse } from '../../../bench/course.ts'
import { type Goal, goalsOf } from '../../../bench/goals.ts'
import type { BacklogFigures, FlowFigures, IdleFigures } from '../../../bench/measure.ts'
import { isAllClean, report } from '../../../bench/report.ts'
import { rowsNamed } from '../../../bench/row-names.ts'
import {
  type BacklogRow,
  type FlowRow,
  type IdleRow,
  type PlainRow,
  type Row,
  rows,
  type StartRow,
} from '../../../bench/rows.ts'

const clean = { lost: 0, duplicated: 0, reordered: 0, foreign: 0, altered: 0, unconfirmed: 0, errors: [] }

function flow(change: Partial<FlowFigures> = {}): FlowFigures {
  return {
    deliveries: 1000,
    perSecond: 100_000,
    p50Ms: 1,
    p99Ms: 2,
    p999Ms: 3,
    maxMs: 4,
    latenessP99Ms: 0.1,
    cpuUsPerDelivery: 2,
    serverCores: 1,
    producerCores: 0.25,
    consumerCores: 0.25,
    rssMib: 100,
    longestGapMs: 5,
    ...clean,
    ...change,
  }
}

function rowOf<R extends Row>(name: string): R {
  const [row] = rowsNamed(rows, [name])
  return row as R
}

function queueCourse(broker: readonly FlowFigures[], relay: readonly FlowFigures[]): FlowCourse {
  return { kind: 'flow', row: rowOf<FlowRow>('queue-1k'), broker, relay, limit: flow({ perSecond: 500_000 }) }
}

const rates = (...perSecond: readonly number[]): FlowFigures[] => perSecond.map((rate) => flow({ perSecond: rate }))

describe('the goals', () => {
  test('hold the ratio of the median rates against the least share', () => {
    const reached = goalsOf(queueCourse(rates(60_000, 70_000, 50_000), rates(100_000, 90_000, 110_000)))
    const missed = goalsOf(queueCourse(rates(59_000, 70_000, 50_000), rates(100_000, 90_000, 110_000)))
    expect(reached.map(({ isReached }) => isReached)).toEqual([true])
    expect(reached[0]?.text).toContain("60 % (45-78) of the relay's rate, at least 60 %")
    expect(missed.map(({ isReached }) => isReached)).toEqual([false])
  })

  test('tell the processor times and the generator’s limit beside the rates', () => {
    const broker = [flow({ cpuUsPerDelivery: 4 })]
    const [goal] = goalsOf(queueCourse(broker, rates(100_000)))
    expect(goal?.text).toContain("by processor time 50 % (50-50), the relay at 20 % of the generator's limit")
  })

  test('are none for a row that is only there to be known', () => {
    const course = { ...queueCourse(rates(1), rates(100_000)), row: rowOf<FlowRow>('queue-16k') }
    expect(goalsOf(course)[0]?.isReached).toBeUndefined()
  })

  test('hold the rate of a native row against STOMP, and tell what the generator could do', () => {
    const row = rowOf<PlainRow>('native-64')
    const base = [flow({ cpuUsPerDelivery: 4 })]
    const of = (perSecond: number): Goal | undefined => {
      return goalsOf({ kind: 'plain', row, broker: [flow({ perSecond, consumerCores: 0.5 })], base })[0]
    }
    expect(of(200_000)).toMatchObject({ isReached: true })
    expect(of(199_000)).toMatchObject({ isReached: false })
    expect(of(200_000)?.text).toBe(
      '2.00 (2.00-2.00) times the rate over stomp, at least 2, by processor time 2.00 (2.00-2.00), ' +
        "the ends take 1.25 + 2.50 us (2.50 + 2.50), a generator's limits 400,000/s (400,000)",
    )
  })

  test('hold the median of the 99th percentiles against the most', () => {
    const row = rowOf<FlowRow>('latency')
    const of = (...p99s: readonly number[]): FlowCourse => {
      return { kind: 'flow', row, broker: p99s.map((p99Ms) => flow({ p99Ms })), relay: [flow()], limit: undefined }
    }
    expect(goalsOf(of(1, 1.9, 9))[0]?.isReached).toBe(true)
    expect(goalsOf(of(1, 2.1, 9))[0]?.isReached).toBe(false)
  })

  test('hold each phase of a backlog against the steady rate of its own round, and the longest pauses', () => {
    const run: BacklogFigures = {
      messages: 1_000_000,
      steadyPerSecond: 100_000,
      enqueuePerSecond: 90_000,
      drainPerSecond: 84_000,
      enqueueGapMs: 101,
      drainGapMs: 10,
      enqueuePauseMs: 20,
      drainPauseMs: 99,
      enqueueCpuUs: 1,
      drainCpuUs: 1,
      fullRssMib: 1000,
      peakRssMib: 1000,
      ...clean,
    }
    const course: BacklogCourse = { kind: 'backlog', row: rowOf<BacklogRow>('backlog'), broker: [run] }
    expect(goalsOf(course).map(({ isReached }) => isReached)).toEqual([true, false, false, true])
  })

  test('hold memory and start against their most, beside a bare server', () => {
    const idle = (kib: number): IdleFigures => {
      return { connections: 10_000, rssBeforeMib: 50, rssAfterMib: 100, kibPerConnection: kib }
    }
    const idleRow = rowOf<IdleRow>('idle')
    const startRow = rowOf<StartRow>('start')
    const connections: IdleCourse = { kind: 'idle', row: idleRow, broker: [idle(9.5)], bare: [idle(4)] }
    const start: StartCourse = { kind: 'start', row: startRow, broker: [401, 420, 100], bare: [70] }
    expect(goalsOf(connections)).toEqual([
      { row: 'idle', text: '9.5 KiB a connection (a bare socket 4.0), at most 10', isReached: true },
    ])
    expect(goalsOf(start)).toEqual([
      { row: 'start', text: 'ready after 401 ms (a bare server 70), at most 400', isReached: false },
    ])
  })
})

describe('the report', () => {
  test('shows medians with their range, and the goals', () => {
    const text = report([queueCourse(rates(61_000, 70_000, 65_000), rates(100_000, 90_000, 110_000))])
    expect(text).toMatch(/queue 1->1, 1 KiB +\| sink +\| 500,000/)
    expect(text).toMatch(/\| broker +\| 65,000 +\| 61,000-70,000/)
    expect(text).toContain("PASS  queue-1k: 65 % (59-78) of the relay's rate")
    expect(text).toContain('Nothing lost')
  })

  test.each([
    ['lost', { lost: 2 }, '2 lost'],
    ['duplicated', { duplicated: 1 }, '1 duplicated'],
    ['reordered', { reordered: 1 }, '1 reordered'],
    ['foreign', { foreign: 1 }, '1 foreign'],
    ['altered', { altered: 1 }, '1 altered'],
    ['unconfirmed', { unconfirmed: 1 }, '1 unconfirmed'],
    ['cut off', { errors: ['the server hung up'] }, 'the server hung up'],
  ])('is not clean once anything was %s, in whatever round', (_name, trouble, text) => {
    const course = queueCourse([flow(), flow(trouble), flow()], rates(1, 1, 1))
    expect(isAllClean([queueCourse(rates(1), rates(1))])).toBe(true)
    expect(isAllClean([course])).toBe(false)
    expect(report([course])).toContain(`ERROR queue-1k: ${text}`)
  })

  test('is clean whatever the times are', () => {
    expect(isAllClean([queueCourse(rates(1), rates(1_000_000))])).toBe(true)
  })
})

test('rows are chosen by name, in the order of the table', () => {
  expect(rowsNamed(rows, ['idle', 'queue-1k']).map(({ name }) => name)).toEqual(['queue-1k', 'idle'])
  expect(() => rowsNamed(rows, ['queue-2k'])).toThrow('no row "queue-2k"; there are queue-1k')
})
