import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { QueuedDelivery } from '../../../../src/broker/delivery.ts'
import { DeliveryList } from '../../../../src/broker/delivery-list.ts'
import type { Queue } from '../../../../src/broker/queue.ts'
import { messageOf } from '../../../support/messages.ts'

const message = messageOf()

/** A delivery of no queue: the list does not ask. */
function deliveryOf(sequence: number): QueuedDelivery {
  return new QueuedDelivery(undefined as unknown as Queue, message, sequence)
}

function forwards(list: DeliveryList): QueuedDelivery[] {
  const found: QueuedDelivery[] = []
  for (let next = list.head; next !== undefined; next = next.next) found.push(next)
  return found
}

function backwards(list: DeliveryList): QueuedDelivery[] {
  const found: QueuedDelivery[] = []
  for (let next = list.tail; next !== undefined; next = next.previous) found.push(next)
  return found
}

describe('a list of deliveries', () => {
  test('is the same from both ends after any pushes, insertions and removals', () => {
    const step = fc.record({ kind: fc.constantFrom('push', 'insert', 'remove'), at: fc.nat(30) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const list = new DeliveryList()
        const array: QueuedDelivery[] = []
        for (const [sequence, { kind, at }] of steps.entries()) {
          const index = at % (array.length + 1)
          if (kind === 'remove') {
            const [gone] = array.splice(index, 1)
            if (gone !== undefined) {
              list.remove(gone)
              expect([gone.next, gone.previous]).toEqual([undefined, undefined])
            }
          } else {
            const delivery = deliveryOf(sequence)
            const place = kind === 'push' ? undefined : array[index]
            list.insertBefore(delivery, place)
            array.splice(place === undefined ? array.length : index, 0, delivery)
          }
          expect(forwards(list)).toEqual(array)
          expect(backwards(list)).toEqual(array.slice().reverse())
          expect(list.count).toBe(array.length)
        }
      }),
    )
  })

  test('lets go of what is removed, so that it can stand in another list', () => {
    const [first, second] = [new DeliveryList(), new DeliveryList()]
    const [a, b, c] = [deliveryOf(1), deliveryOf(2), deliveryOf(3)]
    for (const delivery of [a, b, c]) first.push(delivery)
    first.remove(b)
    second.push(b)
    expect([forwards(first), forwards(second)]).toEqual([[a, c], [b]])
  })
})
