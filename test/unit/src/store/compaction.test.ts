import { expect, test } from 'vitest'
import { JournalStore } from '../../../../src/store/journal-store.ts'
import type { WriteBatch } from '../../../../src/store/store.ts'
import { crashSizes } from '../../../support/crash.ts'
import { messageOf, testFormats } from '../../../support/messages.ts'
import { SimulatedDisk } from '../../../support/simulated-disk.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

const ticksMax = 80

/** Compacts a store in which one message is left in an old segment, and amends that after so many ticks. */
async function amendedAfter(ticks: number): Promise<'before' | 'while' | 'after'> {
  const disk = new SimulatedDisk()
  const store = new JournalStore(disk, new VirtualClock(), crashSizes)
  await store.open(testFormats)
  const commit = (fill: (batch: WriteBatch) => void): Promise<void> => {
    const batch = store.batch()
    fill(batch)
    return new Promise((resolve, reject) => {
      store.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
    })
  }
  let owner = 0
  const message = messageOf({ body: 'forgotten', durable: true })
  await commit((batch) => {
    owner = batch.define({ kind: 'queue', name: 'q', settings: {} })
    batch.put(owner, 1, message, 0)
  })
  for (let sequence = 2; sequence < 40; sequence += 1) {
    await commit((batch) => batch.put(owner, sequence, messageOf({ body: 'x'.repeat(1000), durable: true }), 0))
    await commit((batch) => batch.ack(owner, 4, sequence, true))
  }
  let isCompacted = false
  const compacted = store.compact(1).then(() => {
    isCompacted = true
  })
  for (let tick = 0; tick < ticks; tick += 1) await Promise.resolve()
  const wasCompacted = isCompacted
  await commit((batch) => {
    batch.redeliver(owner, 4, 1, 1, 0)
    batch.amend(owner, 4, 1, message.with({ additions: Uint8Array.of(7) }))
  })
  await compacted
  await store.close()
  const again = new JournalStore(disk.after('kill', Math.random), new VirtualClock(), crashSizes)
  await again.open(testFormats)
  const [entry] = await again.read(owner, 4, 0, 2)
  await again.close()
  expect([...(entry?.message.additions ?? [])], `amended after ${ticks} ticks`).toEqual([7])
  expect(entry?.deliveryCount).toBe(1)
  if (ticks === 0) return 'before'
  return wasCompacted ? 'after' : 'while'
}

test('what is added to a message while it is being moved is not lost, whenever that is', async () => {
  const seen = new Set<string>()
  for (let ticks = 0; ticks < ticksMax; ticks += 1) seen.add(await amendedAfter(ticks))
  expect(seen).toEqual(new Set(['before', 'while', 'after']))
})
