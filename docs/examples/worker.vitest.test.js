import { startTestBroker } from 'manifoldmq/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startWorker } from './worker.js'

let broker
let worker

beforeEach(async () => {
  const destinations = [{ match: 'queue://orders', redeliveryDelayMs: '1m', deliveriesMax: 3 }]
  broker = await startTestBroker({ listeners: { stomp: {} }, destinations })
  worker = await startWorker(broker.url('stomp'))
})

afterEach(async () => {
  worker.destroy()
  await broker.close()
})

test('makes an invoice of every order', async () => {
  await broker.send({ to: 'queue://orders', body: '{"id":1,"price":100}' })
  await broker.expectQueue('invoices').toHaveReceivedOnly({ json: { order: 1, total: 119 } })
  await broker.waitForIdle()
  expect(broker.messageCount('orders')).toBe(0)
})

test('an order without a price is a dead letter after three attempts in two minutes', async () => {
  await broker.send({ to: 'queue://orders', body: '{"id":2}' })
  await broker.advance('1m')
  await broker.expectQueue('DLQ.orders').toHaveReceivedNothing()
  await broker.advance('1m')
  await broker.expectQueue('DLQ.orders').toHaveReceivedOnly({ json: { id: 2 } })
  await broker.expectQueue('invoices').toHaveReceivedNothing()
})

test('an order whose worker loses its connection is there for the next one', async () => {
  // The first byte of the worker's answer is the last that comes through.
  broker.cut({ received: 1 })
  await broker.send({ to: 'queue://orders', body: '{"id":3,"price":100}' })
  await broker.waitForIdle()
  await broker.expectQueue('invoices').toHaveReceivedNothing()
  const next = await startWorker(broker.url('stomp'))
  await broker.expectQueue('invoices').toHaveReceived({ json: { order: 3, total: 119 } })
  next.destroy()
})
