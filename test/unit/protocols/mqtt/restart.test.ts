import type { Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { MemoryStore } from '../../../../src/store/memory-store.ts'
import { MqttBroker, type MqttBrokerOptions } from '../../../support/mqtt-broker.ts'
import type { MqttTestClient, Version } from '../../../support/mqtt-client.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

/** One broker after the other on the same store; each but the last ends as in a crash: nothing is said or written any more. */
class Restarts {
  readonly clock = new VirtualClock()
  readonly #store = new MemoryStore()
  readonly #options: MqttBrokerOptions

  constructor(options: MqttBrokerOptions = {}) {
    this.#options = options
  }

  start(): Promise<MqttBroker> {
    return MqttBroker.open({ ...this.#options, store: this.#store, clock: this.clock })
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

test('the packet id of a message that expires while its client is away is free again', async () => {
  const restarts = new Restarts()
  const before = await restarts.start()
  const first = await before.connected(5, kept)
  await first.subscribe('t', 2)
  const producer = await before.connected(5)
  producer.publish('t', 'x', { qos: 2, messageId: 1, properties: { messageExpiryInterval: 5 } })
  await producer.next('pubrec')
  await first.next('publish')
  first.close()
  await first.closed
  restarts.clock.advance(60_000)
  await producer.settled()
  const second = await before.connected(5, kept)
  await second.settled()
  await new Promise((resolve) => setImmediate(resolve))
  expect(restarts.states.filter((key) => key.startsWith('mqtt/sent'))).toEqual([])
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
