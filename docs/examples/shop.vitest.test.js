import { connect } from 'manifoldmq/client'
import { startTestBroker } from 'manifoldmq/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'

let broker
let client

beforeEach(async () => {
  broker = await startTestBroker({ listeners: { native: {} } })
  client = await connect(broker.url('native'))
})

afterEach(async () => {
  await client.close()
  await broker.close()
})

test('a reminder comes when it is due, and an offer is gone when it is over', async () => {
  await client.queue('reminders').send('pay', { delay: 600_000 })
  await client.queue('offers').send('buy', { ttl: 60_000 })
  const reminded = client.queue('reminders').receive()
  await broker.advance('9m')
  await broker.expectQueue('DLQ.offers').toHaveReceivedNothing()
  expect(broker.messageCount('offers')).toBe(0)
  expect(broker.messageCount('reminders')).toBe(1)
  // The client reckons delays by its own clock, which does not stand still.
  await broker.advance('2m')
  const reminder = await reminded
  expect(reminder.text).toBe('pay')
  await reminder.accept({ confirm: true })
  expect(broker.messageCount('reminders')).toBe(0)
})

test('what is sent while the broker is away comes when it is back', async () => {
  broker.refuse()
  broker.cut()
  const sent = client.queue('orders').send({ id: 1 })
  await broker.expectQueue('orders').toHaveReceivedNothing()
  broker.heal()
  await sent
  await broker.expectQueue('orders').toHaveReceivedOnly({ json: { id: 1 } })
})
