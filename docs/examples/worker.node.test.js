import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startTestBroker } from 'manifoldmq/testing'
import { startWorker } from './worker.js'

test('makes an invoice of every order', async () => {
  const broker = await startTestBroker({ listeners: { stomp: {} } })
  const worker = await startWorker(broker.url('stomp'))
  await broker.send({ to: 'queue://orders', body: '{"id":1,"price":100}' })
  await broker.expectQueue('invoices').toHaveReceivedOnly({ json: { order: 1, total: 119 } })
  await broker.waitForIdle()
  assert.equal(broker.messageCount('orders'), 0)
  worker.destroy()
  await broker.close()
})
