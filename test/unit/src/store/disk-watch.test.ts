import { expect, test } from 'vitest'
import { JournalStore } from '../../../../src/store/journal-store.ts'
import { testFormats } from '../../../support/messages.ts'
import { SimulatedDisk } from '../../../support/simulated-disk.ts'
import { TestBroker } from '../../../support/test-broker.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

class NarrowDisk extends SimulatedDisk {
  free = 10 * 2 ** 30

  override freeBytes(): Promise<number> {
    return Number.isNaN(this.free) ? Promise.reject(new Error('EIO')) : Promise.resolve(this.free)
  }
}

test('durable messages are refused with a reason before the disk is full; taking out goes on, and room is noticed', async () => {
  const disk = new NarrowDisk()
  const clock = new VirtualClock()
  const store = new JournalStore(disk, clock)
  const test = await TestBroker.open({ store, clock, formats: testFormats })
  const client = test.connect()
  client.send('orders', 'kept', { durable: true })
  await quiet(test)
  disk.free = 100 * 2 ** 20
  client.send('orders', 'x'.repeat(20 * 2 ** 20), { durable: true })
  await quiet(test)
  client.send('orders', 'refused', { durable: true })
  client.send('orders', 'in memory')
  expect(client.refusals).toMatchObject([{ send: 3, error: { code: 'resource-exhausted' } }])
  expect(client.refusals[0]!.error.message).toContain('100 MiB are free')
  const consumer = client.subscribe('orders')
  await quiet(test)
  consumer.settleAll()
  await quiet(test)
  expect(test.queue('orders').count).toBe(0)
  await hasRoom(test, disk, 10 * 2 ** 30)
  client.send('orders', 'welcome again', { durable: true })
  await quiet(test)
  expect(client.refusals).toHaveLength(1)
  await test.close()
})

test('room that others take is noticed while nothing is written, and a device that cannot tell changes nothing', async () => {
  const disk = new NarrowDisk()
  const clock = new VirtualClock()
  const test = await TestBroker.open({ store: new JournalStore(disk, clock), clock, formats: testFormats })
  const client = test.connect()
  await hasRoom(test, disk, 100 * 2 ** 20)
  await hasRoom(test, disk, Number.NaN)
  client.send('orders', 'refused', { durable: true })
  expect(client.refusals).toMatchObject([{ send: 1, error: { code: 'resource-exhausted' } }])
  await hasRoom(test, disk, 10 * 2 ** 30)
  client.send('orders', 'welcome', { durable: true })
  await quiet(test)
  expect(client.refusals).toHaveLength(1)
  await test.close()
})

/** From now on, for a second at least. */
async function hasRoom(test: TestBroker, disk: NarrowDisk, bytes: number): Promise<void> {
  disk.free = bytes
  test.clock.advance(1_000)
  await quiet(test)
}

/** Lets turns, commits and the disk come to rest. */
async function quiet(test: TestBroker): Promise<void> {
  for (let round = 0; round < 50; round += 1) {
    await test.settle()
    test.clock.advance(1)
    await new Promise(setImmediate)
  }
}
