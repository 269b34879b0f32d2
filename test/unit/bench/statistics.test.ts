import { describe, expect, test } from 'vitest'
import { median, ratio, spread } from '../../../bench/statistics.ts'

describe('the median', () => {
  test('is the middle value, in whatever order they come', () => {
    expect(median([9, 1, 5])).toBe(5)
  })

  test('of an even number of values is the mean of the middle two', () => {
    expect(median([10, 1, 2, 4])).toBe(3)
  })

  test('sorts by number, not by text', () => {
    expect(median([100, 9, 20])).toBe(20)
  })

  test('of nothing is no number', () => {
    expect(median([])).toBeNaN()
  })

  test('leaves the values in their order', () => {
    const values = [3, 1, 2]
    median(values)
    expect(values).toEqual([3, 1, 2])
  })
})

test('the spread has the median between the least and the most', () => {
  expect(spread([4, 8, 5])).toEqual({ median: 5, min: 4, max: 8 })
})

describe('the ratio', () => {
  test('is that of the medians, and its range that of the rounds', () => {
    expect(ratio([50, 60, 90], [100, 80, 100])).toEqual({ median: 0.6, min: 0.5, max: 0.9 })
  })
})
