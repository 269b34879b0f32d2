import { expect, test } from 'vitest'
import { Collector, startTestBroker } from '../../../src/testing.ts'

const silent = {
  confirmed: () => undefined,
  refused: () => undefined,
  blocked: () => undefined,
  unblocked: () => undefined,
  closed: () => undefined,
}

test('a test broker hands a collector what a program sends, and leaves nothing behind', async () => {
  const broker = await startTestBroker()
  expect(broker.listeners).toEqual([])
  const collector = new Collector(broker, 'queue://orders')
  const session = broker.connect(silent)
  session.send(broker.message(session, { to: 'queue://orders', body: 'hello' }))
  session.send(broker.message(session, { to: 'queue://orders', body: 'again' }))
  const { message } = await collector.next()
  expect(message.view().body).toEqual({ kind: 'text', text: 'hello' })
  expect((await collector.next()).message.view().body).toEqual({ kind: 'text', text: 'again' })
  collector.close()
  await broker.close()
})

test('listeners that are named get a free port', async () => {
  const brokers = await Promise.all([
    startTestBroker({ listeners: { stomp: {} } }),
    startTestBroker({ listeners: { stomp: {} } }),
  ])
  expect(new Set(brokers.map((broker) => broker.url('stomp'))).size).toBe(2)
  await Promise.all(brokers.map((broker) => broker.close()))
})
