import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { startTestBroker } from 'manifoldmq/testing'
import mqtt from 'mqtt'

test('a sensor is told what it has missed, and not what has expired', async () => {
  const broker = await startTestBroker({ listeners: { mqtt: {} } })
  const options = { protocolVersion: 5, clientId: 'sensor', clean: false, properties: { sessionExpiryInterval: 3600 } }
  const sensor = await mqtt.connectAsync(broker.url('mqtt'), options)
  await sensor.subscribeAsync('sensors/1/commands', { qos: 1 })
  await sensor.endAsync()

  await broker.send({ to: 'topic://sensors.1.commands', body: 'open', ttlMs: 60_000, durable: true })
  await broker.send({ to: 'topic://sensors.1.commands', body: 'close', durable: true })
  await broker.advance('5m')

  const again = mqtt.connect(broker.url('mqtt'), options)
  const [, payload] = await once(again, 'message')
  assert.equal(String(payload), 'close')
  await again.endAsync()
  await broker.close()
})
