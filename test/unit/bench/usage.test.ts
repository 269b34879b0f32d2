import { expect, test } from 'vitest'
import { cpuSeconds, statusKib, usageOf } from '../../../bench/usage.ts'

test('reads user and system time of a process whose name has spaces and brackets', () => {
  const stat = '4242 (node (v20) x) S 1 4242 4242 0 -1 4194304 100 0 0 0 150 50 7 8 20 0 11 0 12345 1000 200'
  expect(cpuSeconds(stat)).toBe(2)
})

test('reads a field of the status', () => {
  const status = 'Name:\tnode\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\nThreads:\t11\n'
  expect(statusKib(status, 'VmRSS')).toBe(102_400)
  expect(statusKib(status, 'VmHWM')).toBe(204_800)
  expect(statusKib(status, 'VmSwap')).toBeNaN()
})

test('reads this process', () => {
  const { cpuSeconds: seconds, rssKib, peakRssKib } = usageOf(process.pid)
  expect(seconds).toBeGreaterThan(0)
  expect(rssKib).toBeGreaterThan(10_000)
  expect(peakRssKib).toBeGreaterThanOrEqual(rssKib)
})
