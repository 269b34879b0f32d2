import { expect, test } from 'vitest'
import { producerOf, runOf, StampedBody, sequenceOf, stampBytes, timeOf } from '../../../bench/stamp.ts'

test('a body tells its run, producer, sequence and time wherever it lies', () => {
  const body = new StampedBody(0xfedcba98, 7, 64)
  body.stamp(123_456_789, 98_765.4321)
  const bytes = Buffer.concat([Buffer.from('abc'), body.bytes])
  expect(body.bytes.length).toBe(64)
  expect(runOf(bytes, 3)).toBe(0xfedcba98)
  expect(producerOf(bytes, 3)).toBe(7)
  expect(sequenceOf(bytes, 3)).toBe(123_456_789)
  expect(timeOf(bytes, 3)).toBe(98_765.4321)
})

test('a body too short for its stamp is refused', () => {
  expect(() => new StampedBody(1, 0, stampBytes - 1)).toThrow('at least 24 bytes')
})
