import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Progress } from '../../../../src/cli/progress.ts'

const { isTTY } = process.stderr
let written: string[]

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  written = []
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written.push(String(text))
    return true
  })
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
  process.stderr.isTTY = isTTY
})

describe('on a terminal', () => {
  beforeEach(() => {
    process.stderr.isTTY = true
  })

  test('a run that takes long shows a bar, how far it is and how fast, and takes it away at its end', () => {
    const progress = new Progress('copied', 1000)
    progress.count = 250
    vi.advanceTimersByTime(2000)
    expect(written.at(-1)).toBe('\r\u001b[K[######..................] 25 % copied 250 of 1000, 125 a second')
    progress.end()
    expect(written.at(-1)).toBe('\r\u001b[K')
    const { length } = written
    vi.advanceTimersByTime(2000)
    expect(written).toHaveLength(length)
  })

  test('one whose end is not known has no bar; counts are written as they want to be', () => {
    const progress = new Progress('read', undefined, (count) => `${count} B`)
    progress.count = 6
    vi.advanceTimersByTime(1000)
    expect(written.at(-1)).toBe('\r\u001b[Kread 6 B, 6 B a second')
    progress.end()
  })

  test('one that is done within a second shows nothing', () => {
    const progress = new Progress('read', 10)
    vi.advanceTimersByTime(999)
    progress.end()
    expect(written).toEqual([])
  })
})

test('where standard error is no terminal nothing is shown', () => {
  process.stderr.isTTY = false
  const progress = new Progress('read', 10)
  vi.advanceTimersByTime(10_000)
  progress.end()
  expect(written).toEqual([])
})
