import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { startTestBroker } from 'manifoldmq/testing'
import rhea from 'rhea'

test('a sender whose connection is cut before it is answered does not know, and sends again', async () => {
  const broker = await startTestBroker({ listeners: { amqp: {} } })
  const { hostname: host, port } = new URL(broker.url('amqp'))
  const open = () => {
    const connection = rhea.create_container().connect({ host, port, reconnect: false })
    connection.on('disconnected', () => undefined)
    return connection.open_sender('queue://invoices')
  }
  const invoice = { message_id: 'invoice-1', body: '{"total":119}', durable: true }

  const sender = open()
  await once(sender, 'sendable')
  broker.stall({ received: 1 })
  sender.send(invoice)
  await broker.waitForIdle()
  broker.cut()
  await once(sender.connection, 'disconnected')
  await broker.expectQueue('invoices').toHaveReceivedNothing()

  const again = open()
  await once(again, 'sendable')
  again.send(invoice)
  await once(again, 'accepted')
  await broker.expectQueue('invoices').toHaveReceivedOnly({ json: { total: 119 }, durable: true })
  assert.equal(broker.messageCount('invoices'), 1)
  again.connection.close()
  await broker.close()
})
