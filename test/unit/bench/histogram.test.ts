import { describe, expect, test } from 'vitest'
import { Histogram } from '../../../bench/histogram.ts'

describe('a histogram', () => {
  test.each([0.5, 1, 3.3, 10, 31.9, 32, 33, 64, 100, 999, 12_345, 1e6, 2.5e8])(
    'gives %d us back with an error below 1 %%',
    (us) => {
      const histogram = new Histogram()
      histogram.record(us)
      histogram.record(us * 10)
      const error = Math.abs(histogram.quantile(0.5) - us)
      expect(error).toBeLessThan(Math.max(us * 0.01, 0.125))
    },
  )

  test('gives quantiles of many times with an error below 1 %', () => {
    const histogram = new Histogram()
    for (let us = 1; us <= 100_000; us += 1) histogram.record(us)
    for (const quantile of [0.01, 0.5, 0.9, 0.99, 0.999]) {
      expect(Math.abs(histogram.quantile(quantile) / (quantile * 100_000) - 1)).toBeLessThan(0.01)
    }
  })

  test('finds the one slow time among a thousand', () => {
    const histogram = new Histogram()
    for (let index = 0; index < 999; index += 1) histogram.record(100)
    histogram.record(50_000)
    expect(histogram.quantile(0.999)).toBeLessThan(101)
    expect(histogram.quantile(0.9995)).toBe(histogram.quantile(1))
    expect(Math.abs(histogram.quantile(1) / 50_000 - 1)).toBeLessThan(0.01)
    expect(histogram.maxUs).toBe(50_000)
  })

  test('counts negative times as 0 and those past its end as its end', () => {
    const histogram = new Histogram()
    histogram.record(-5)
    expect(histogram.quantile(0.5)).toBeLessThan(0.125)
    histogram.record(1e12)
    expect(histogram.count).toBe(2)
    expect(histogram.quantile(1)).toBeGreaterThan(2.6e8)
  })

  test('is 0 throughout when it is empty', () => {
    const histogram = new Histogram()
    expect([histogram.quantile(0.5), histogram.quantile(1), histogram.maxUs, histogram.count]).toEqual([0, 0, 0, 0])
  })

  test('is the same after it went to another process and was added there', () => {
    const one = new Histogram()
    const other = new Histogram()
    for (let us = 1; us < 5000; us += 3) (us % 2 === 0 ? one : other).record(us)
    const all = new Histogram()
    all.add(JSON.parse(JSON.stringify(one.times())))
    all.add(JSON.parse(JSON.stringify(other.times())))
    const direct = new Histogram()
    for (let us = 1; us < 5000; us += 3) direct.record(us)
    expect(all.times()).toEqual(direct.times())
    expect(all.count).toBe(direct.count)
  })
})
