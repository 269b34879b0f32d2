import type { IPublishPacket } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { createMqtt } from '../../../../protocols/mqtt/protocol.ts'
import { MqttBroker } from '../../../support/mqtt-broker.ts'
import { policyRule } from '../../../support/policy-rule.ts'

function user(properties: Record<string, string>) {
  return { properties: { userProperties: properties } }
}

describe('what the core can, by user properties of MQTT 5', () => {
  test('priority orders a queue', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    for (const priority of ['1', '9', '5', '77', 'x']) {
      await client.sure('$queue/q', priority, user({ 'manifoldmq-priority': priority }))
    }
    await client.subscribe('$queue/q', 1)
    expect(await client.payloads(5)).toEqual(['9', '77', '5', 'x', '1'])
  })

  test('delay and lifetime are kept in milliseconds', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    await client.sure('$queue/q', 'later', user({ 'manifoldmq-delay': '1500' }))
    await client.sure('$queue/q', 'short', user({ 'manifoldmq-ttl': '500' }))
    test.clock.advance(1000)
    await client.subscribe('$queue/q', 1)
    await client.settled()
    expect(client.packets).toEqual([])
    test.clock.advance(500)
    expect(await client.payloads(1)).toEqual(['later'])
  })

  test('a group of messages stays with one consumer', async () => {
    const test = await MqttBroker.open()
    const consumers = [await test.connected(5), await test.connected(5)]
    for (const consumer of consumers) await consumer.subscribe('$queue/q', 1)
    const producer = await test.connected(5)
    for (let count = 0; count < 6; count += 1) {
      await producer.sure('$queue/q', String(count), user({ 'manifoldmq-group-id': 'g' }))
    }
    for (const consumer of consumers) await consumer.settled()
    expect(consumers.map(({ packets }) => packets.length).sort()).toEqual([0, 6])
  })

  test('a selector chooses, on topics and queues, and a wrong one is refused', async () => {
    const test = await MqttBroker.open()
    const client = await test.connected(5)
    const selector = (text: string) => ({ userProperties: { 'manifoldmq-selector': text } })
    expect(await client.subscribe('t', 1, selector("color = 'red'"))).toEqual([1])
    expect(await client.subscribe('$queue/q', 1, selector("color = 'red'"))).toEqual([1])
    expect(await client.subscribe('x', 1, selector('color ='))).toEqual([0x83])
    for (const topic of ['t', '$queue/q']) {
      for (const color of ['blue', 'red']) await client.sure(topic, color, user({ color }))
    }
    expect(await client.payloads(2)).toEqual(['red', 'red'])
  })
})

describe('other protocols', () => {
  test('see the properties of MQTT 5 as their own, and MQTT sees theirs', async () => {
    const test = await MqttBroker.open()
    const mqtt = await test.connected(5)
    await mqtt.subscribe('a/#', 1)
    const stomp = await test.stomp()
    await stomp.sure('subscribe', { id: 's', destination: '/topic/m' })
    await mqtt.sure('m', 'body', {
      properties: {
        contentType: 'text/plain',
        responseTopic: '$queue/answers/x',
        correlationData: Buffer.from('c-1'),
        userProperties: { color: 'red', 'manifoldmq-subject': 'order' },
      },
    })
    const { headers, body } = await stomp.next('MESSAGE')
    expect(body).toBe('body')
    expect(headers).toMatchObject({
      'content-type': 'text/plain',
      'reply-to': '/queue/answers.x',
      'correlation-id': 'c-1',
      color: 'red',
      type: 'order',
    })
    await stomp.sure(
      'send',
      {
        destination: '/topic/a.b',
        'content-type': 'text/plain',
        'reply-to': '/topic/r.x',
        'correlation-id': 'c-2',
        type: 'invoice',
        color: 'blue',
        priority: '7',
      },
      'text',
    )
    const got = await mqtt.next('publish')
    expect([got.topic, got.qos, String(got.payload)]).toEqual(['a/b', 1, 'text'])
    expect(got.properties).toMatchObject({
      payloadFormatIndicator: true,
      contentType: 'text/plain',
      responseTopic: 'r/x',
      correlationData: Buffer.from('c-2'),
      userProperties: { color: 'blue', 'manifoldmq-subject': 'invoice', 'manifoldmq-priority': '7' },
    })
  })

  test('get bytes as bytes and text as text', async () => {
    const test = await MqttBroker.open()
    const mqtt = await test.connected(4)
    const stomp = await test.stomp()
    await stomp.sure('subscribe', { id: 's', destination: '/topic/m' })
    await mqtt.sure('m', Buffer.from([0xff, 0x00]))
    expect((await stomp.next('MESSAGE')).headers['content-type']).toBe('application/octet-stream')
    await mqtt.sure('m', 'Grüße')
    expect((await stomp.next('MESSAGE')).headers['content-type']).toBeUndefined()
  })

  test('keep and clear the same retained messages', async () => {
    const test = await MqttBroker.open()
    const stomp = await test.stomp()
    await stomp.sure('send', { destination: '/topic/r.a', retain: 'true' }, 'kept')
    const mqtt = await test.connected(4)
    await mqtt.subscribe('r/+', 0)
    expect(await mqtt.next('publish')).toMatchObject({ retain: true, topic: 'r/a' })
    await mqtt.sure('r/a', '', { retain: true })
    await stomp.sure('subscribe', { id: 's', destination: '/topic/r.a' })
    expect(stomp.frames).toEqual([])
  })

  test('ask over a temporary queue and are answered by MQTT', async () => {
    const test = await MqttBroker.open()
    const mqtt = await test.connected(5)
    await mqtt.subscribe('$queue/questions', 1)
    const stomp = await test.stomp()
    await stomp.sure('subscribe', { id: 'r', destination: '/temp-queue/answers' })
    await stomp.sure('send', { destination: '/queue/questions', 'reply-to': '/temp-queue/answers' }, '2+2')
    const { properties } = await mqtt.next('publish')
    await mqtt.sure(properties?.responseTopic as string, '4')
    expect((await stomp.next('MESSAGE')).body).toBe('4')
  })
})

describe('limits', () => {
  test('a connection without CONNECT is ended in time', async () => {
    const test = await MqttBroker.open({ mqtt: { connectMsMax: 1000 } })
    const client = test.client()
    test.clock.advance(1000)
    await client.closed
    expect(client.packets).toEqual([])
  })

  test('sessions and subscriptions have their number', async () => {
    const test = await MqttBroker.open({ mqtt: { sessionsMax: 2, subscriptionsMax: 2 } })
    const first = await test.connected(5, { clientId: 'a' })
    const second = await test.connected(4, { clientId: 'b' })
    expect((await test.client(5).connect({ clientId: 'c' })).reasonCode).toBe(0x97)
    expect((await test.client(4).connect({ clientId: 'c' })).returnCode).toBe(3)
    expect(await first.subscribe('a', 0)).toEqual([0])
    expect(await first.subscribe('b', 1)).toEqual([1])
    expect(await first.subscribe('c', 0)).toEqual([0x97])
    expect(await first.subscribe('a', 2)).toEqual([2])
    second.disconnect()
    await second.closed
    expect((await test.client(5).connect({ clientId: 'c' })).reasonCode).toBe(0)
  })

  test('a packet that is too large is refused by its first bytes', async () => {
    const test = await MqttBroker.open({
      mqtt: {
        limits: {
          packetBytesMax: 1000,
          connectBytesMax: 200,
          topicLevelsMax: 128,
          topicBytesMax: 4096,
          clientIdBytesMax: 512,
        },
      },
    })
    const client = test.client(5)
    expect((await client.connect()).properties?.maximumPacketSize).toBe(1000)
    client.writeHex(`30 e507 0001 74 00 ${'78'.repeat(993)}`)
    await client.settled()
    const large = await test.connected(5)
    large.writeHex('30 e707')
    await large.closed
    expect((await large.next('disconnect')).reasonCode).toBe(0x95)
    const long = test.client(5)
    long.writeHex('10 c701')
    await long.closed
  }, 5000)

  test('a full queue refuses with its quota, or ends the connection of a client that cannot be told', async () => {
    const policies = [policyRule('queue://small', { messagesMax: 1, overflow: 'reject' })]
    const test = await MqttBroker.open({ policies })
    const client = await test.connected(5)
    expect(await client.sure('$queue/small', 'fits')).toBe(0)
    expect(await client.sure('$queue/small', 'not')).toBe(0x97)
    const old = await test.connected(4)
    old.publish('$queue/small', 'zero')
    await old.settled()
    old.publish('$queue/small', 'one', { qos: 1, messageId: 1 })
    await old.closed
  })

  test('a redirected listener names the other server to MQTT 5', async () => {
    const test = await MqttBroker.open({ mqtt: { serverReference: 'other:1883' } })
    const connack = await test.client(5).connect()
    expect([connack.reasonCode, connack.properties?.serverReference]).toEqual([0x9c, 'other:1883'])
    expect((await test.client(4).connect()).returnCode).toBe(0)
  })

  test('a session is kept no longer than the listener allows, and an MQTT 5 client is told', async () => {
    const test = await MqttBroker.open({ mqtt: { sessionExpiryMsMax: 60_000 } })
    const client = test.client(5)
    const connack = await client.connect({ clientId: 'c', properties: { sessionExpiryInterval: 100 } })
    expect(connack.properties?.sessionExpiryInterval).toBe(60)
    const old = await test.connected(4, { clientId: 'd', clean: false })
    for (const one of [client, old]) {
      await one.subscribe('t', 1)
      one.close()
      await one.closed
    }
    test.clock.advance(60_000)
    expect(['c', 'd'].map((id) => test.broker.subscriptionsOf(id).length)).toEqual([0, 0])
  })
})

test('the session of another user is not to be had', async () => {
  const test = await MqttBroker.open()
  const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 100 } }
  const mine = await test.connected(5, { ...kept, username: 'me', password: Buffer.from('x') })
  const yours = test.client(5)
  expect((await yours.connect({ ...kept, username: 'you', password: Buffer.from('x') })).reasonCode).toBe(0x85)
  await mine.settled()
})

describe('slow and many', () => {
  test('a subscriber that does not read costs bounded memory and disturbs nobody', async () => {
    const test = await MqttBroker.open({
      limits: { outputBytesHigh: 64 * 1024 },
      policies: [policyRule('topic://>', { subscriberMessagesMax: 100 })],
    })
    const slow = await test.connected(4)
    await slow.subscribe('t', 0)
    slow.stream.pause()
    const quick = await test.connected(4)
    await quick.subscribe('t', 0)
    const payload = 'x'.repeat(10_000)
    for (let count = 0; count < 500; count += 1) {
      quick.publish('t', payload)
      await quick.next('publish')
    }
    expect(test.broker.memory.bytes).toBeLessThan(100 * 12_000)
    slow.stream.resume()
    await slow.settled()
  })

  test('a thousand subscribers get every message, in order', async () => {
    const test = await MqttBroker.open()
    const clients = await Promise.all(Array.from({ length: 1000 }, () => test.connected()))
    await Promise.all(
      clients.map((client, index) => client.subscribe(index % 2 === 0 ? 't' : '#', index % 3 === 0 ? 1 : 0)),
    )
    const producer = await test.connected()
    const sent = Array.from({ length: 10 }, (_, index) => `m${index}`)
    for (const body of sent) await producer.sure('t', body)
    const got = await Promise.all(clients.map((client) => client.payloads(sent.length)))
    expect(new Set(got.map((bodies) => bodies.join(' ')))).toEqual(new Set([sent.join(' ')]))
    await Promise.all(clients.map((client) => client.settled()))
    expect(clients.flatMap(({ packets }) => packets)).toEqual([])
  })

  test('a producer is held while a durable subscription is full, and goes on when there is room', async () => {
    const policies = [policyRule('topic://t', { messagesMax: 10 })]
    const test = await MqttBroker.open({ policies })
    const consumer = await test.connected(5, {
      clientId: 'c',
      clean: false,
      properties: { sessionExpiryInterval: 100, receiveMaximum: 1 },
    })
    await consumer.subscribe('t', 1)
    const producer = await test.connected(5)
    for (let messageId = 1; messageId <= 11; messageId += 1)
      producer.publish('t', String(messageId), { qos: 1, messageId })
    await producer.settled()
    expect(producer.packets).toEqual([])
    expect((await consumer.payloads(11)).at(-1)).toBe('11')
    for (let count = 0; count < 11; count += 1) await producer.next('puback')
  })
})

test('$SYS topics say what the broker is, and nobody else can', async () => {
  const test = await MqttBroker.open({ mqtt: { systemTopicsMs: 10_000 } })
  const client = await test.connected(5)
  test.clock.advance(1)
  await client.subscribe('$SYS/broker/#', 0)
  const seen: Record<string, string> = {}
  for (let count = 0; count < 7; count += 1) {
    const { topic, payload, retain } = (await client.next('publish')) as IPublishPacket
    expect(retain).toBe(true)
    seen[topic] = String(payload)
  }
  expect(seen).toMatchObject({ '$SYS/broker/version': 'ManifoldMQ/test', '$SYS/broker/clients/connected': '1' })
  test.clock.advance(10_000)
  expect((await client.next('publish')).retain).toBe(false)
  client.publish('$SYS/broker/version', 'fake')
  await client.closed
})

test('an MQTT 5 connection is recognised by its first bytes, and nothing else is', () => {
  const { recognises } = createMqtt('test')
  const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex')
  for (const hex of ['10 0d 0004 4d515454', '10 8d01 0004 4d51', '10', '10 14 0006 4d514973']) {
    expect(recognises(bytes(hex)), hex).toBe(true)
  }
  for (const hex of ['30 0d 0004 4d515454', '10 0d 0005 4d515454', '434f4e4e', '10 0d 0004 58515454']) {
    expect(recognises(bytes(hex)), hex).toBe(false)
  }
})

test('the broker closing is told to MQTT 5 clients', async () => {
  const test = await MqttBroker.open()
  const client = await test.connected(5)
  void test.broker.close()
  await client.closed
  expect((await client.next('disconnect')).reasonCode).toBe(0x8b)
})
