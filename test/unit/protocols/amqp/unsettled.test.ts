import { describe, expect, test } from 'vitest'
import { Confirms } from '../../../../protocols/amqp/confirms.ts'
import type { OutgoingLink } from '../../../../protocols/amqp/outgoing-link.ts'
import { Unsettled } from '../../../../protocols/amqp/unsettled.ts'
import type { Delivery } from '../../../../src/session.ts'
import { decodeAll, fieldsOf } from '../../../support/amqp-peer.ts'

const links = ['one', 'two'].map((name) => ({ name }) as unknown as OutgoingLink) as [OutgoingLink, OutgoingLink]
const delivery = (sequence: number): Delivery => ({ sequence }) as Delivery

function found(unsettled: Unsettled, first: number, last: number): number[] {
  const ids: number[] = []
  unsettled.each(first, last, (_delivery, _link, id) => ids.push(id))
  return ids
}

describe('unsettled deliveries', () => {
  test('are found by id over the end of 2^32', () => {
    const unsettled = new Unsettled(2 ** 32 - 3)
    const ids = Array.from({ length: 6 }, (_, index) => unsettled.add(delivery(index), links[0]))
    expect(ids).toEqual([2 ** 32 - 3, 2 ** 32 - 2, 2 ** 32 - 1, 0, 1, 2])
    expect(found(unsettled, 2 ** 32 - 2, 1)).toEqual([2 ** 32 - 2, 2 ** 32 - 1, 0, 1])
    unsettled.remove(0)
    expect(found(unsettled, 2 ** 32 - 1, 2)).toEqual([2 ** 32 - 1, 1, 2])
    expect(found(unsettled, 2, 2 ** 32 - 1)).toEqual([])
  })

  test('one that stays for ever stops nobody', () => {
    const unsettled = new Unsettled()
    unsettled.add(delivery(0), links[0])
    for (let index = 1; index < 100_000; index += 1) unsettled.remove(unsettled.add(delivery(index), links[1]))
    expect(unsettled.count).toBe(1)
    expect(found(unsettled, 0, 0)).toEqual([0])
  })

  test('thousands are kept, and a range of any width costs no more than they are', () => {
    const unsettled = new Unsettled()
    for (let index = 0; index < 5000; index += 1) unsettled.add(delivery(index), links[index % 2 === 0 ? 0 : 1])
    expect(found(unsettled, 0, 2 ** 31 - 1)).toHaveLength(5000)
    unsettled.removeAll(links[0])
    expect([unsettled.count, found(unsettled, 0, 9)]).toEqual([2500, [1, 3, 5, 7, 9]])
    expect(unsettled.skip()).toBe(5000)
  })
})

describe('deliveries that wait to be confirmed', () => {
  function ranges(confirms: Confirms, upTo: number): unknown[] {
    const sink = {
      buffer: Buffer.alloc(1_000_000),
      position: 0,
      reserve: () => undefined,
      write: () => undefined,
    }
    confirms.confirmed(upTo, sink, 0)
    const all: unknown[] = []
    for (let at = 0; at < sink.position; ) {
      const size = sink.buffer.readUInt32BE(at)
      const fields = fieldsOf(decodeAll(sink.buffer.subarray(at + 8, at + size))[0])
      all.push([fields[1], fields[2], fields[3]])
      at += size
    }
    return all
  }

  test('are told in ranges of those that follow each other and are settled alike', () => {
    const confirms = new Confirms()
    for (const [index, id] of [0, 1, 2, 5, 6].entries()) confirms.add(index + 1, id, false)
    confirms.add(6, 7, true)
    confirms.add(7, 8, true)
    confirms.add(9, 9, true)
    expect(ranges(confirms, 0)).toEqual([])
    expect(ranges(confirms, 8)).toEqual([
      [0, 2, true],
      [5, 6, true],
      [7, 8, false],
    ])
    expect(confirms.count).toBe(1)
    expect(ranges(confirms, 9)).toEqual([[9, null, false]])
  })

  test('over the end of 2^32 are told in two ranges', () => {
    const confirms = new Confirms()
    for (const [index, id] of [2 ** 32 - 2, 2 ** 32 - 1, 0, 1].entries()) confirms.add(index + 1, id, false)
    expect(ranges(confirms, 4)).toEqual([
      [2 ** 32 - 2, 2 ** 32 - 1, true],
      [0, 1, true],
    ])
  })

  test('of two modes are two ranges, even where their ids seem to follow each other', () => {
    const confirms = new Confirms()
    confirms.add(1, 2 ** 32 - 1, false)
    confirms.add(2, 0, true)
    expect(ranges(confirms, 2)).toEqual([
      [2 ** 32 - 1, null, true],
      [0, null, false],
    ])
  })

  test('many are forgotten as they are told', () => {
    const confirms = new Confirms()
    for (let number = 1; number <= 5000; number += 1) confirms.add(number, number * 2, false)
    expect(ranges(confirms, 4000)).toHaveLength(4000)
    expect(ranges(confirms, 5000)).toHaveLength(1000)
    expect(confirms.count).toBe(0)
  })
})
