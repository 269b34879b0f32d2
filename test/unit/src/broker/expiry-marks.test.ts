import { describe, expect, test } from 'vitest'
import { ExpiryMarks } from '../../../../src/broker/expiry-marks.ts'

describe('marks of expiry', () => {
  test('tell when the first of the messages may expire, and in which stretch', () => {
    const marks = new ExpiryMarks()
    expect([marks.from, marks.due(1e9)]).toEqual([Number.POSITIVE_INFINITY, undefined])
    for (let sequence = 1; sequence <= 3000; sequence += 1) marks.note(sequence, sequence === 2000 ? 50 : 100)
    expect([marks.from, marks.due(49)]).toEqual([50, undefined])
    expect(marks.due(50)).toMatchObject({ first: 1025, last: 2048 })
  })

  test('forget what has been read, and what has been looked at and does not expire', () => {
    const marks = new ExpiryMarks()
    marks.noteUnknown(5000)
    const unknown = marks.due(10)!
    expect(unknown).toMatchObject({ first: 0, last: 5000 })
    marks.looked(unknown, 2000, Number.POSITIVE_INFINITY)
    marks.looked(unknown, 3000, 70)
    expect(marks.due(10)).toMatchObject({ first: 3001, last: 5000 })
    marks.looked(unknown, 5000, 90)
    expect(marks.from).toBe(70)
    marks.pass(3000)
    expect(marks.from).toBe(90)
    marks.pass(4999)
    expect(marks.from).toBe(90)
    marks.pass(5000)
    expect(marks.from).toBe(Number.POSITIVE_INFINITY)
    marks.looked(unknown, 5000, 1)
    expect(marks.from).toBe(Number.POSITIVE_INFINITY)
  })
})
