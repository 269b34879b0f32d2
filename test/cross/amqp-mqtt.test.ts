import { expect, test } from 'vitest'
import { createMqtt } from '../../protocols/mqtt/protocol.ts'
import { AmqpBroker } from '../support/amqp-broker.ts'
import { composite, encode, type ReceivedFrame, type Seen, sectionsOf, t } from '../support/amqp-peer.ts'
import { MqttTestClient } from '../support/mqtt-client.ts'
import { serverName } from '../support/wired-broker.ts'

async function mqttOn(broker: AmqpBroker): Promise<MqttTestClient> {
  const protocol = createMqtt(serverName, { systemTopicsMs: 0 })
  const mqtt = new MqttTestClient(broker.wired.wire(protocol), 5)
  await mqtt.connect({ clientId: 'm' })
  return mqtt
}

function properties(frame: ReceivedFrame): readonly Seen[] {
  return (sectionsOf(frame.payload).get(0x73) ?? []) as readonly Seen[]
}

test('AMQP to MQTT: body, content type, properties, correlation and reply', async () => {
  const broker = await AmqpBroker.open()
  const mqtt = await mqttOn(broker)
  await mqtt.subscribe('prices/#', { qos: 1 })
  const peer = await broker.begun()
  await peer.sender('s', 'topic://prices.eu')
  peer.transfer(
    0,
    encode(
      composite(
        0x73,
        undefined,
        undefined,
        undefined,
        undefined,
        t.string('topic://answers.eu'),
        t.binary('c1'),
        t.symbol('text/plain'),
      ),
      t.described(0x74, t.map({ colour: t.string('red') })),
      t.described(0x75, t.binary('Grüße')),
    ),
  )
  const { topic, payload, properties: extra } = await mqtt.next('publish')
  expect([topic, payload.toString()]).toEqual(['prices/eu', 'Grüße'])
  expect(extra).toMatchObject({ contentType: 'text/plain', responseTopic: 'answers/eu' })
  expect(extra?.correlationData?.toString()).toBe('c1')
  expect(extra?.userProperties?.colour).toBe('red')
})

test('MQTT to AMQP: body, content type, properties, correlation and reply', async () => {
  const broker = await AmqpBroker.open()
  const mqtt = await mqttOn(broker)
  const peer = await broker.begun()
  await peer.receiver('r', 'topic://prices.>', { credit: 5 })
  const extra = {
    contentType: 'text/plain',
    responseTopic: 'answers/eu',
    correlationData: Buffer.from('c1'),
    userProperties: { colour: 'red' },
    payloadFormatIndicator: true,
  }
  mqtt.publish('prices/eu', 'Grüße', { qos: 1, messageId: 5, properties: extra })
  const frame = await peer.next(0x14)
  const sections = sectionsOf(frame.payload)
  expect(sections.get(0x77)).toBe('Grüße')
  expect((sections.get(0x74) as ReadonlyMap<Seen, Seen>).get('colour')).toBe('red')
  const fields = properties(frame)
  expect([fields[2], fields[4], fields[6]]).toEqual(['topic://prices.eu', 'topic://answers.eu', 'text/plain'])
  expect(fields[5]).toBe('c1')
  mqtt.publish('prices/eu', Buffer.from([0xff, 0]), { qos: 0 })
  expect(sectionsOf((await peer.next(0x14)).payload).get(0x75)).toEqual(Buffer.from([0xff, 0]))
})

test('a retained message comes to an AMQP subscriber and says so; AMQP can leave one too', async () => {
  const broker = await AmqpBroker.open()
  const mqtt = await mqttOn(broker)
  await mqtt.sure('state/a', 'on', { retain: true })
  const peer = await broker.begun()
  await peer.receiver('r', 'topic://state.a', { credit: 5 })
  const retained = sectionsOf((await peer.next(0x14)).payload)
  expect((retained.get(0x72) as ReadonlyMap<Seen, Seen>).get('x-opt-retained')).toBe(true)
  await peer.sender('s', 'topic://state.b')
  const section = t.described(0x72, t.map({ 'x-opt-retain': t.boolean(true) }))
  peer.transfer(0, encode(section, t.described(0x77, t.string('off'))))
  await peer.next(0x15)
  await mqtt.subscribe('state/b', { qos: 0 })
  const { retain, payload } = await mqtt.next('publish')
  expect([retain, payload.toString()]).toEqual([true, 'off'])
})

test('a queue is shared by both', async () => {
  const broker = await AmqpBroker.open()
  const mqtt = await mqttOn(broker)
  const peer = await broker.begun()
  await peer.receiver('r', 'queue://orders.eu', { credit: 5 })
  await mqtt.sure('$queue/orders/eu', 'from MQTT')
  expect(sectionsOf((await peer.next(0x14)).payload).get(0x77)).toBe('from MQTT')
})
