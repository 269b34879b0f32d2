import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/core.ts'
import { MqttBroker } from '../../../support/mqtt-broker.ts'
import type { Version } from '../../../support/mqtt-client.ts'

const versions: readonly Version[] = [3, 4, 5]

describe.each(versions)('level %d', (version) => {
  test('a message goes from a publisher to a subscriber with each QoS', async () => {
    const test = await MqttBroker.open()
    const consumer = await test.connected(version)
    for (const qos of [0, 1, 2] as const) {
      expect(await consumer.subscribe(`t/${qos}`, qos)).toEqual([qos])
      const producer = await test.connected(version)
      producer.publish(`t/${qos}`, 'hello', { qos, messageId: 5 })
      if (qos === 1) expect((await producer.next('puback')).messageId).toBe(5)
      if (qos === 2) {
        expect((await producer.next('pubrec')).messageId).toBe(5)
        producer.send({ cmd: 'pubrel', messageId: 5 })
        expect((await producer.next('pubcomp')).messageId).toBe(5)
      }
      const got = await consumer.next('publish')
      expect(got).toMatchObject({ topic: `t/${qos}`, qos, dup: false, retain: false })
      expect(String(got.payload)).toBe('hello')
      if (qos === 1) consumer.send({ cmd: 'puback', messageId: got.messageId as number })
      if (qos === 2) {
        consumer.send({ cmd: 'pubrec', messageId: got.messageId as number })
        expect((await consumer.next('pubrel')).messageId).toBe(got.messageId)
        consumer.send({ cmd: 'pubcomp', messageId: got.messageId as number })
      }
    }
    await consumer.settled()
    expect(consumer.packets).toEqual([])
  })

  test('a client that is held up because a queue is full can empty that queue itself', async () => {
    const test = await MqttBroker.open({
      policies: [{ match: Address.must('topic', 'q'), set: { messagesMax: 3 } }],
      limits: { hardLimitFactor: 100 },
    })
    const client = await test.connected(version, { clean: false, clientId: 'both' })
    await client.subscribe('q', 2)
    for (let id = 1; id <= 6; id += 1) client.publish('q', `m${id}`, { qos: 2, messageId: id })
    for (let count = 0; count < 6; count += 1) {
      const { messageId = 0 } = await client.next('publish')
      client.send({ cmd: 'pubrec', messageId })
      expect((await client.next('pubrel')).messageId).toBe(messageId)
      client.send({ cmd: 'pubcomp', messageId })
    }
    for (let id = 1; id <= 6; id += 1) expect((await client.next('pubrec')).messageId).toBe(id)
  })

  test('a message comes with the lower of the QoS it was sent with and the one that was granted', async () => {
    const test = await MqttBroker.open()
    const consumer = await test.connected(version)
    await consumer.subscribe('t', 1)
    const producer = await test.connected(version)
    producer.publish('t', 'zero')
    await producer.sure('t', 'one')
    producer.publish('t', 'two', { qos: 2, messageId: 3 })
    await producer.next('pubrec')
    const qos: number[] = []
    for (let count = 0; count < 3; count += 1) qos.push((await consumer.next('publish')).qos)
    expect(qos).toEqual([0, 1, 1])
  })

  test('packet ids towards a client count from 1', async () => {
    const test = await MqttBroker.open()
    const consumer = await test.connected(version)
    await consumer.subscribe('t', 1)
    const producer = await test.connected(version)
    for (const body of ['a', 'b', 'c']) await producer.sure('t', body)
    const ids: (number | undefined)[] = []
    for (let count = 0; count < 3; count += 1) ids.push((await consumer.next('publish')).messageId)
    expect(ids).toEqual([1, 2, 3])
  })

  test('a retained message comes first to a new subscriber, flagged, and an empty one clears it', async () => {
    const test = await MqttBroker.open()
    const producer = await test.connected(version)
    await producer.sure('a/b', 'kept', { retain: true })
    await producer.sure('a/b', 'passing')
    const consumer = await test.connected(version)
    await consumer.subscribe('a/+', 1)
    expect(await consumer.next('publish')).toMatchObject({ retain: true, topic: 'a/b' })
    await producer.sure('a/b', '', { retain: true })
    expect(await consumer.next('publish')).toMatchObject({ retain: false })
    const late = await test.connected(version)
    await late.subscribe('a/+', 1)
    await late.settled()
    expect(late.packets).toEqual([])
  })

  test('the will of a client that vanishes is published, that of one that says goodbye is not', async () => {
    const test = await MqttBroker.open()
    const watcher = await test.connected(version)
    await watcher.subscribe('wills/#', 0)
    const will = (name: string) => ({
      topic: `wills/${name}`,
      payload: Buffer.from(name),
      qos: 1 as const,
      retain: false,
    })
    const polite = await test.connected(version, { will: will('polite') })
    polite.disconnect()
    await polite.closed
    const gone = await test.connected(version, { will: will('gone') })
    gone.close()
    expect(await watcher.payloads(1)).toEqual(['gone'])
    await watcher.settled()
    expect(watcher.packets).toEqual([])
  })

  test('a session that is kept collects what is sent while its client is away', async () => {
    const test = await MqttBroker.open()
    const kept = version === 5 ? { properties: { sessionExpiryInterval: 100 } } : {}
    const first = await test.connected(version, { clientId: 'c', clean: false, ...kept })
    await first.subscribe('t', 1)
    first.disconnect()
    await first.closed
    const producer = await test.connected(version)
    for (const body of ['a', 'b']) await producer.sure('t', body)
    const second = test.client(version)
    const connack = await second.connect({ clientId: 'c', clean: false, ...kept })
    expect(connack.sessionPresent).toBe(version > 3)
    expect(await second.payloads(2)).toEqual(['a', 'b'])
  })

  test('what was not acknowledged comes again with its packet id and DUP', async () => {
    const test = await MqttBroker.open()
    const kept = version === 5 ? { properties: { sessionExpiryInterval: 100 } } : {}
    const first = await test.connected(version, { clientId: 'c', clean: false, ...kept })
    await first.subscribe('t', 2)
    const producer = await test.connected(version)
    await producer.sure('t', 'a')
    producer.publish('t', 'b', { qos: 2, messageId: 3 })
    const [one, two] = [await first.next('publish'), await first.next('publish')]
    first.close()
    await first.closed
    const second = await test.connected(version, { clientId: 'c', clean: false, ...kept })
    expect(await second.next('publish')).toMatchObject({ messageId: one.messageId, dup: true, qos: 1 })
    expect(await second.next('publish')).toMatchObject({ messageId: two.messageId, dup: true, qos: 2 })
  })

  test('a clean session takes nothing with it', async () => {
    const test = await MqttBroker.open()
    const first = await test.connected(version, { clientId: 'c', clean: true })
    await first.subscribe('t', 1)
    first.disconnect()
    await first.closed
    expect(test.broker.subscriptionsOf('c')).toEqual([])
    const connack = await test.client(version).connect({ clientId: 'c', clean: false })
    expect(connack.sessionPresent).toBe(false)
  })

  test('a second connection of the same client id ends the first', async () => {
    const test = await MqttBroker.open()
    const first = await test.connected(version, { clientId: 'c' })
    const second = await test.connected(version, { clientId: 'c' })
    await first.closed
    if (version === 5) expect((await first.next('disconnect')).reasonCode).toBe(0x8e)
    await second.settled()
  })

  test('queues are shared with other protocols under $queue', async () => {
    const test = await MqttBroker.open()
    const stomp = await test.stomp()
    const mqtt = await test.connected(version)
    await mqtt.sure('$queue/orders/eu', 'from mqtt')
    await stomp.sure('subscribe', { id: 's', destination: '/queue/orders.eu', ack: 'auto' })
    expect((await stomp.next('MESSAGE')).body).toBe('from mqtt')
    await mqtt.subscribe('$queue/answers', 1)
    await stomp.sure('send', { destination: '/queue/answers' }, 'from stomp')
    expect(await mqtt.next('publish')).toMatchObject({ topic: '$queue/answers', qos: 1 })
  })

  test('the sessions of a shared subscription compete', async () => {
    const test = await MqttBroker.open()
    const consumers = [await test.connected(version), await test.connected(version)]
    for (const consumer of consumers) await consumer.subscribe('$share/g/t/+', 1)
    const producer = await test.connected(version)
    for (let count = 0; count < 10; count += 1) await producer.sure(`t/${count}`, String(count))
    const got = await Promise.all(consumers.map((consumer) => consumer.payloads(5)))
    expect(got.flat().sort()).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    for (const consumer of consumers) consumer.disconnect()
    for (const consumer of consumers) await consumer.closed
    expect(test.broker.subscriptionsOf(undefined)).toEqual([])
  })
})
