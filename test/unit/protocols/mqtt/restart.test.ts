import type { Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { MemoryStore } from '../../../../src/store/memory-store.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { MqttBroker, type MqttBrokerOptions } from '../../../support/mqtt-broker.ts'
import type { MqttTestClient, Version } from '../../../support/mqtt-client.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

/** One broker after the other on the same store; each but the last ends as in a crash: nothing is said or written any more. */
class Restarts {
  readonly clock = new VirtualClock()
  readonly #store = new MemoryStore()
  readonly #options: MqttBrokerOptions
  readonly #isPaging: boolean
  #last: HeldStore | undefined

  /** `isPaging`: as if the store kept on disk what it has. */
  constructor(options: MqttBrokerOptions = {}, isPaging = false) {
    this.#options = options
    this.#isPaging = isPaging
  }

  start(): Promise<MqttBroker> {
    if (this.#last !== undefined) this.#last.isHeld = true
    this.#last = new HeldStore(this.#store, this.#isPaging)
    return MqttBroker.open({ ...this.#options, store: this.#last, clock: this.clock })
  }

  get states(): string[] {
    return [...this.#store.states.keys()]
  }
}

const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 1000 } }

function keptBy(version: Version): { clientId: string; clean: boolean; properties?: object } {
  return version === 5 ? kept : { clientId: 'c', clean: false }
}

async function publishTwice(producer: MqttTestClient, topic: string): Promise<void> {
  producer.publish(topic, 'once', { qos: 2, messageId: 9 })
  await producer.next('pubrec')
  producer.publish(topic, 'once', { qos: 2, messageId: 9, dup: true })
  await producer.next('pubrec')
}

describe.each([4, 5] as const)('level %d', (version) => {
  test('a session and what it has collected are there after a crash', async () => {
    const restarts = new Restarts()
    const before = await restarts.start()
    const consumer = await before.connected(version, keptBy(version))
    await consumer.subscribe('a/#', 1)
    await consumer.subscribe('b', 2)
    await consumer.subscribe('c', 0)
    consumer.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['a/#'] })
    await consumer.next('unsuback')
    const producer = await before.connected(version)
    await producer.sure('b', 'before')
    const after = await restarts.start()
    const again = after.client(version)
    expect((await again.connect(keptBy(version))).sessionPresent).toBe(true)
    expect(await again.next('publish')).toMatchObject({ topic: 'b', qos: 1 })
    const other = await after.connected(version)
    for (const topic of ['a/x', 'c', 'b']) await other.sure(topic, topic)
    expect((await again.next('publish')).topic).toBe('c')
    expect((await again.next('publish')).topic).toBe('b')
    await again.settled()
    expect(again.packets).toEqual([])
  })

  test('a message of QoS 2 that was sent twice over a crash arrives once', async () => {
    const restarts = new Restarts()
    const before = await restarts.start()
    const consumer = await before.connected(version, { ...keptBy(version), clientId: 'consumer' })
    await consumer.subscribe('t', 1)
    const producer = await before.connected(version, keptBy(version))
    await publishTwice(producer, 't')
    const after = await restarts.start()
    const again = await after.connected(version, keptBy(version))
    again.publish('t', 'once', { qos: 2, messageId: 9, dup: true })
    expect((await again.next('pubrec')).messageId).toBe(9)
    again.send({ cmd: 'pubrel', messageId: 9 })
    await again.next('pubcomp')
    const reader = await after.connected(version, { ...keptBy(version), clientId: 'consumer' })
    expect(await reader.payloads(1)).toEqual(['once'])
    await reader.settled()
    expect(reader.packets).toEqual([])
    again.publish('t', 'next', { qos: 2, messageId: 9 })
    expect(await reader.payloads(1)).toEqual(['next'])
  })

  test('a message of QoS 2 keeps its packet id over a crash until it is received, and is only released after', async () => {
    const restarts = new Restarts()
    const before = await restarts.start()
    const consumer = await before.connected(version, keptBy(version))
    await consumer.subscribe('t', 2)
    const producer = await before.connected(version)
    for (const body of ['a', 'b', 'c']) {
      producer.publish('t', body, { qos: 2, messageId: 1 })
      await producer.next('pubrec')
      producer.send({ cmd: 'pubrel', messageId: 1 })
      await producer.next('pubcomp')
    }
    const ids: Record<string, number> = {}
    for (let count = 0; count < 3; count += 1) {
      const { payload, messageId } = await consumer.next('publish')
      ids[String(payload)] = messageId as number
    }
    consumer.send({ cmd: 'pubrec', messageId: ids.a as number })
    consumer.send({ cmd: 'pubrec', messageId: ids.b as number })
    expect((await consumer.next('pubrel')).messageId).toBe(ids.a)
    expect((await consumer.next('pubrel')).messageId).toBe(ids.b)
    consumer.send({ cmd: 'pubcomp', messageId: ids.a as number })
    await consumer.settled()
    const after = await restarts.start()
    const again = await after.connected(version, keptBy(version))
    expect((await again.next('pubrel')).messageId).toBe(ids.b)
    const resent = await again.next('publish')
    expect(resent).toMatchObject({ messageId: ids.c, dup: true, qos: 2 })
    expect(String(resent.payload)).toBe('c')
    again.send({ cmd: 'pubcomp', messageId: ids.b as number })
    again.send({ cmd: 'pubrec', messageId: ids.c as number })
    await again.next('pubrel')
    again.send({ cmd: 'pubcomp', messageId: ids.c as number })
    await again.settled()
    expect(again.packets).toEqual([])
    again.disconnect()
    await again.closed
    await new Promise((resolve) => setImmediate(resolve))
    expect(restarts.states.filter((key) => key.startsWith('mqtt/sent'))).toEqual([])
  })

  test('nothing of a clean session is found after a crash', async () => {
    const restarts = new Restarts()
    const before = await restarts.start()
    const client = await before.connected(version, { clientId: 'c', clean: true })
    await client.subscribe('t', 2)
    await client.subscribe('$share/g/t', 1)
    const producer = await before.connected(version)
    await producer.sure('t', 'x')
    producer.publish('t', 'y', { qos: 2, messageId: 3 })
    await producer.next('pubrec')
    const after = await restarts.start()
    await new Promise((resolve) => setImmediate(resolve))
    expect(after.broker.subscriptionsOf(undefined)).toEqual([])
    expect(after.broker.subscriptionsOf('c')).toEqual([])
    expect(restarts.states).toEqual([])
  })
})

test('a session ends at its time, counted over a restart', async () => {
  const restarts = new Restarts()
  const before = await restarts.start()
  const client = await before.connected(5, kept)
  await client.subscribe('t', 1)
  client.disconnect()
  await client.closed
  await before.broker.close()
  restarts.clock.advance(900_000)
  const after = await restarts.start()
  restarts.clock.advance(99_000)
  expect(after.broker.subscriptionsOf('c').map(({ name }) => name)).toEqual(['mqtt'])
  restarts.clock.advance(2000)
  expect(after.broker.subscriptionsOf('c')).toEqual([])
  await new Promise((resolve) => setImmediate(resolve))
  expect(restarts.states).toEqual([])
})

test('the will of a client that was there when the broker crashed is published after the restart, with its delay', async () => {
  const restarts = new Restarts()
  const before = await restarts.start()
  const will = { topic: 'w', payload: Buffer.from('gone'), qos: 1 as const, retain: true }
  await before.connected(5, { ...kept, will: { ...will, properties: { willDelayInterval: 5 } } })
  const after = await restarts.start()
  const watcher = await after.connected(5)
  await watcher.subscribe('w', 1)
  restarts.clock.advance(4000)
  await watcher.settled()
  expect(watcher.packets).toEqual([])
  restarts.clock.advance(2000)
  const got = (await watcher.next('publish')) as Packet & { payload: Buffer }
  expect(String(got.payload)).toBe('gone')
})

test('the packet id of a message that is purged while its client is away is free again', async () => {
  const restarts = new Restarts()
  const before = await restarts.start()
  const first = await before.connected(5, kept)
  await first.subscribe('t', 2)
  const producer = await before.connected(5)
  producer.publish('t', 'x', { qos: 2, messageId: 1 })
  await producer.next('pubrec')
  await first.next('publish')
  first.close()
  await first.closed
  for (const queue of before.broker.subscriptions.queues) queue.purge()
  await producer.settled()
  const second = await before.connected(5, kept)
  await second.settled()
  await new Promise((resolve) => setImmediate(resolve))
  expect(restarts.states.filter((key) => key.startsWith('mqtt/sent'))).toEqual([])
})

async function publishSurely(producer: MqttTestClient, qos: 1 | 2, body: string, properties = {}): Promise<void> {
  const messageId = body.charCodeAt(0)
  producer.publish('t', body, { qos, messageId, properties })
  await producer.next(qos === 1 ? 'puback' : 'pubrec')
}

const ways = ['a lost connection', 'a crash', 'a crash of what is paged', 'a stop of what is paged'] as const

describe.each([1, 2] as const)('QoS %d [MQTT-4.3.3-7] [MQTT-4.4.0-1] [MQTT-3.3.2-5]', (qos) => {
  test.each(ways)('what has been sent does not expire over %s, what has not does', async (how) => {
    const restarts = new Restarts({}, how.endsWith('paged'))
    const before = await restarts.start()
    const first = await before.connected(5, { ...kept, properties: { ...kept.properties, receiveMaximum: 2 } })
    await first.subscribe('t', qos)
    const producer = await before.connected(5)
    for (const body of ['a', 'b', 'c']) await publishSurely(producer, qos, body, { messageExpiryInterval: 60 })
    const sent = [await first.next('publish'), await first.next('publish')]
    await first.settled()
    expect(first.packets).toEqual([])
    first.close()
    await first.closed
    await publishSurely(producer, qos, 'd', { messageExpiryInterval: 60 })
    await publishSurely(producer, qos, 'e')
    if (how.startsWith('a stop')) await before.broker.close()
    const after = how === 'a lost connection' ? before : await restarts.start()
    restarts.clock.advance(61_000)
    const second = await after.connected(5, kept)
    for (const { messageId, payload } of sent) {
      const again = await second.next('publish')
      expect(again).toMatchObject({ dup: true, messageId, payload, properties: { messageExpiryInterval: 0 }, qos })
      second.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: messageId as number })
      if (qos === 2) second.send({ cmd: 'pubcomp', messageId: messageId as number })
    }
    const last = await second.next('publish')
    expect(last).toMatchObject({ payload: Buffer.from('e'), qos })
    second.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: last.messageId as number })
    if (qos === 2) second.send({ cmd: 'pubcomp', messageId: last.messageId as number })
    await second.settled()
    expect(second.packets.filter(({ cmd }) => cmd === 'publish')).toEqual([])
    await new Promise((resolve) => setImmediate(resolve))
    expect(restarts.states.filter((key) => key.startsWith('mqtt/sent'))).toEqual([])
  })
})

test('a message that expires while the window of its client is full is not sent [MQTT-3.3.2-5]', async () => {
  const restarts = new Restarts()
  const test = await restarts.start()
  const client = await test.connected(5, { ...kept, properties: { ...kept.properties, receiveMaximum: 1 } })
  await client.subscribe('t', 1)
  await client.subscribe('$share/g/s', 1)
  const producer = await test.connected(5)
  await producer.sure('t', 'first')
  const { messageId } = await client.next('publish')
  await producer.sure('s', 'late', { properties: { messageExpiryInterval: 5 } })
  await client.settled()
  restarts.clock.advance(6000)
  client.send({ cmd: 'puback', messageId: messageId as number })
  await producer.sure('s', 'last')
  expect(await client.payloads(1)).toEqual(['last'])
})

test('shared subscriptions of sessions that are kept collect over a crash', async () => {
  const restarts = new Restarts()
  const before = await restarts.start()
  const consumer = await before.connected(5, kept)
  await consumer.subscribe('$share/g/t', 1)
  consumer.close()
  await consumer.closed
  const producer = await before.connected(5)
  await producer.sure('t', 'x')
  const after = await restarts.start()
  const again = await after.connected(5, kept)
  expect(await again.payloads(1)).toEqual(['x'])
})
