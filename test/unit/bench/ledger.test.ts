import { describe, expect, test } from 'vitest'
import { type Findings, Ledger } from '../../../bench/ledger.ts'

const nothing: Findings = { lost: 0, duplicated: 0, reordered: 0, foreign: 0, altered: 0 }

function queueLedger(producers = 1, consumers = 1): Ledger {
  return new Ledger({ producers, consumers, isTopic: false })
}

function topicLedger(producers: number, consumers: number): Ledger {
  return new Ledger({ producers, consumers, isTopic: true })
}

describe('a queue', () => {
  test('finds nothing when every message came once and in order', () => {
    const ledger = queueLedger()
    for (let sequence = 0; sequence < 10_000; sequence += 1) ledger.take(0, 0, sequence)
    expect(ledger.received).toBe(10_000)
    expect(ledger.findings([10_000])).toEqual(nothing)
  })

  test('finds a message that is missing in the middle', () => {
    const ledger = queueLedger()
    for (const sequence of [0, 1, 3, 4]) ledger.take(0, 0, sequence)
    expect(ledger.findings([5])).toEqual({ ...nothing, lost: 1 })
  })

  test('finds messages that are missing at the end, of one producer of several', () => {
    const ledger = queueLedger(2)
    for (const sequence of [0, 1, 2]) ledger.take(0, 0, sequence)
    ledger.take(0, 1, 0)
    expect(ledger.findings([3, 3])).toEqual({ ...nothing, lost: 2 })
  })

  test('finds a message that the same consumer got twice', () => {
    const ledger = queueLedger()
    for (const sequence of [0, 1, 1, 2]) ledger.take(0, 0, sequence)
    expect(ledger.received).toBe(3)
    expect(ledger.findings([3])).toEqual({ ...nothing, duplicated: 1 })
  })

  test('finds a message that two consumers got', () => {
    const ledger = queueLedger(1, 2)
    ledger.take(0, 0, 0)
    ledger.take(1, 0, 0)
    ledger.take(1, 0, 1)
    expect(ledger.findings([2])).toEqual({ ...nothing, duplicated: 1 })
  })

  test('finds a message that came after a later one', () => {
    const ledger = queueLedger()
    for (const sequence of [0, 2, 1, 3]) ledger.take(0, 0, sequence)
    expect(ledger.findings([4])).toEqual({ ...nothing, reordered: 1 })
  })

  test('takes gaps at one consumer for the other one’s messages, not for disorder', () => {
    const ledger = queueLedger(1, 2)
    for (const sequence of [1, 3, 5]) ledger.take(0, 0, sequence)
    for (const sequence of [0, 2, 4]) ledger.take(1, 0, sequence)
    expect(ledger.findings([6])).toEqual(nothing)
  })

  test('takes the producers apart', () => {
    const ledger = queueLedger(2)
    for (const producer of [0, 1, 0, 1]) ledger.take(0, producer, ledger.received >> 1)
    expect(ledger.findings([2, 2])).toEqual(nothing)
  })

  test('finds a message that was never sent', () => {
    const ledger = queueLedger()
    for (const sequence of [0, 1, 2]) ledger.take(0, 0, sequence)
    expect(ledger.findings([2])).toEqual({ ...nothing, foreign: 1 })
  })

  test.each([
    ['of no producer of the run', 1, 0],
    ['with a negative sequence', 0, -1],
    ['with half a sequence', 0, 0.5],
    ['with a sequence beyond all reason', 0, 2 ** 40],
    ['with no number for a sequence', 0, Number.NaN],
  ])('counts a message %s as foreign', (_name, producer, sequence) => {
    const ledger = queueLedger()
    ledger.take(0, producer, sequence)
    expect(ledger.received).toBe(0)
    expect(ledger.findings([0])).toEqual({ ...nothing, foreign: 1 })
  })

  test('counts what it is told of foreign and altered messages', () => {
    const ledger = queueLedger()
    ledger.takeForeign()
    ledger.takeAltered()
    ledger.take(0, 0, 0)
    expect(ledger.findings([1])).toEqual({ ...nothing, foreign: 1, altered: 1 })
  })
})

describe('a topic', () => {
  test('expects every message at every consumer', () => {
    const ledger = topicLedger(2, 3)
    expect(ledger.expected([5, 7])).toBe(36)
    for (const consumer of [0, 1, 2]) for (const producer of [0, 1]) ledger.take(consumer, producer, 0)
    expect(ledger.findings([1, 1])).toEqual(nothing)
  })

  test('finds a message that one consumer of several did not get', () => {
    const ledger = topicLedger(1, 3)
    for (const consumer of [0, 1, 2]) ledger.take(consumer, 0, 0)
    for (const consumer of [0, 2]) ledger.take(consumer, 0, 1)
    expect(ledger.findings([2])).toEqual({ ...nothing, lost: 1 })
  })

  test('finds a duplicate and a disorder at one consumer', () => {
    const ledger = topicLedger(1, 2)
    for (const sequence of [0, 1, 2]) ledger.take(0, 0, sequence)
    for (const sequence of [0, 2, 1, 1]) ledger.take(1, 0, sequence)
    expect(ledger.findings([3])).toEqual({ ...nothing, duplicated: 1, reordered: 1 })
  })
})
