import { describe, expect, test } from 'vitest'
import { Pace } from '../../../bench/pace.ts'

describe('the pace', () => {
  test('is that between the first and the last tenth of the events', () => {
    const pace = new Pace()
    // A slow start and a slow end, and 100 events a millisecond between them.
    for (let ms = 0; ms < 100; ms += 1) pace.note(ms, 1)
    for (let ms = 100; ms < 1100; ms += 1) pace.note(ms, 100)
    for (let ms = 1100; ms < 1200; ms += 1) pace.note(ms, 1)
    const { count, perSecond, elapsedMs } = pace.figures()
    expect(count).toBe(100_200)
    expect(elapsedMs).toBe(1199)
    expect(perSecond).toBeCloseTo(100_000, -3)
  })

  test('of a run too short for tenths is that of all of it', () => {
    const pace = new Pace()
    pace.note(1000, 5)
    pace.note(1002, 5)
    expect(pace.figures().perSecond).toBe(5000)
  })

  test('of a single event is none', () => {
    const pace = new Pace()
    pace.note(1000, 1)
    expect(pace.figures()).toEqual({ count: 1, perSecond: 0, elapsedMs: 0, longestGapMs: 0 })
  })

  test('has the longest time without an event, which a note of none does not end', () => {
    const pace = new Pace()
    pace.note(10, 1)
    pace.note(12, 1)
    pace.note(50, 0)
    pace.note(112, 1)
    pace.note(115, 1)
    pace.note(900, 0)
    expect(pace.figures().longestGapMs).toBe(100)
  })
})
