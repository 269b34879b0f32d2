import { expect, test } from 'vitest'
import { createMqtt } from '../../protocols/mqtt/protocol.ts'
import { Connection, defaultReconnect, everywhere, parseTarget } from '../../protocols/native/client/index.ts'
import { VmPeer } from '../../src/client/vm-peer.ts'
import { AmqpBroker } from '../support/amqp-broker.ts'
import { sectionsOf } from '../support/amqp-peer.ts'
import { MqttTestClient } from '../support/mqtt-client.ts'
import { serverName } from '../support/wired-broker.ts'

/** A broker on which MQTT has left retained messages, one of them cleared again. */
async function scene(): Promise<AmqpBroker> {
  const broker = await AmqpBroker.open()
  const mqtt = new MqttTestClient(broker.wired.wire(createMqtt(serverName, { systemTopicsMs: 0 })), 4)
  await mqtt.connect({ clientId: 'm' })
  for (const [topic, payload] of [
    ['rooms/1/heat', '21'],
    ['rooms/2', 'empty'],
    ['rooms/3', 'gone'],
    ['halls/1', 'other'],
    ['rooms/3', ''],
  ] as const) {
    await mqtt.sure(topic, payload, { retain: true })
  }
  return broker
}

test('what MQTT has retained comes to a STOMP subscription with a wildcard', async () => {
  const broker = await scene()
  const stomp = await broker.stomp()
  await stomp.sure('subscribe', { id: 's', destination: '/topic/rooms.>' })
  const got = [await stomp.next('MESSAGE'), await stomp.next('MESSAGE')]
  expect(got.map(({ headers, body }) => `${headers.destination}=${body}`).sort()).toEqual([
    '/topic/rooms.1.heat=21',
    '/topic/rooms.2=empty',
  ])
})

test('what MQTT has retained comes to an AMQP receiver with a wildcard, and says so', async () => {
  const broker = await scene()
  const peer = await broker.begun()
  await peer.receiver('r', 'topic://rooms.>', { credit: 5 })
  const got: string[] = []
  for (let count = 0; count < 2; count += 1) {
    const sections = sectionsOf((await peer.next(0x14)).payload)
    expect((sections.get(0x72) as ReadonlyMap<unknown, unknown>).get('x-opt-retained')).toBe(true)
    got.push(String(sections.get(0x77) ?? sections.get(0x75)))
  }
  expect(got.sort()).toEqual(['21', 'empty'])
})

test('what MQTT has retained comes to a native consumer with a wildcard, and says so', async () => {
  const broker = await scene()
  const environment = {
    now: () => broker.clock.now(),
    after: (ms: number, callback: () => void) => broker.clock.after(ms, callback),
    random: Math.random,
    soon: (callback: () => void) => void setImmediate(callback),
  }
  const target = parseTarget('tcp://memory', defaultReconnect, everywhere)
  const native = await Connection.open(target, { environment }, (_endpoint, { hello, environment }, events) =>
    VmPeer.dial(broker.broker, events, { pass: 'value', hello, environment, onOver: () => undefined }),
  )
  const messages = native.topic('rooms.>').consume({ ack: 'none' })
  const got: string[] = []
  for (let count = 0; count < 2; count += 1) {
    const { value } = await messages.next()
    expect(value?.isRetained).toBe(true)
    got.push(`${value?.address.replace('topic://', '').replaceAll('.', '/')}=${value?.text}`)
  }
  expect(got.sort()).toEqual(['rooms/1/heat=21', 'rooms/2=empty'])
  await messages.return()
  await native.close()
})
