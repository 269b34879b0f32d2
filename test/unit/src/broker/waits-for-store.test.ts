import { expect, test } from 'vitest'
import { HeldStore } from '../../../support/held-store.ts'
import { TestBroker } from '../../../support/test-broker.ts'

test('a message that waits for the store is delivered when it is there, with all stored ones behind it, in order', async () => {
  const store = new HeldStore()
  const broker = await TestBroker.open({ store })
  const sender = broker.connect()
  const consumer = broker.connect().subscribe('queue://q')
  await broker.settle()
  store.isHeld = true
  sender.send('queue://q', 'before', { durable: true })
  await broker.settle()
  sender.send('queue://q', 'waits', { durable: true, waitsForStore: true })
  sender.send('queue://q', 'behind', { durable: true })
  await broker.settle()
  sender.send('queue://q', 'waits too', { durable: true, waitsForStore: true })
  await broker.settle()
  expect(consumer.texts).toEqual(['before'])
  store.letGo(1)
  await broker.settle()
  expect(consumer.texts).toEqual(['before'])
  store.letGo(1)
  await broker.settle()
  expect(consumer.texts).toEqual(['before', 'waits', 'behind'])
  store.letGo()
  await broker.settle()
  expect(consumer.texts).toEqual(['before', 'waits', 'behind', 'waits too'])
  store.isHeld = false
  await broker.close()
})

test('a message that is not stored waits for nothing', async () => {
  const store = new HeldStore()
  const broker = await TestBroker.open({ store })
  const sender = broker.connect()
  const consumer = broker.connect().subscribe('queue://q')
  await broker.settle()
  store.isHeld = true
  sender.send('queue://q', 'x', { waitsForStore: true })
  await broker.settle()
  expect(consumer.texts).toEqual(['x'])
  store.isHeld = false
  store.letGo()
  await broker.close()
})
