import { AssertionError } from 'node:assert'
import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connectAsync } from 'mqtt'
import rhea from 'rhea'
import { afterEach, describe, expect, test } from 'vitest'
import { createWebSocketStream, WebSocket } from 'ws'
import { connect } from '../../../src/client.ts'
import { Collector, startTestBroker, type TestBroker, type TestBrokerOptions } from '../../../src/testing.ts'
import { StompTestClient } from '../../support/stomp-client.ts'

const open: { close(): unknown }[] = []

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})

async function start(options: TestBrokerOptions = { listeners: { stomp: {} } }): Promise<TestBroker> {
  const broker = await startTestBroker({ waitMs: 20_000, ...options })
  open.push(broker)
  return broker
}

function dial(
  broker: TestBroker,
  stream: Duplex = connectSocket(broker.address('stomp').port, '127.0.0.1'),
): StompTestClient {
  const client = new StompTestClient(stream)
  open.push(client)
  return client
}

async function connected(broker: TestBroker, headers: Record<string, string> = {}): Promise<StompTestClient> {
  const client = dial(broker)
  await client.connect(headers)
  return client
}

async function failure(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => undefined,
    (cause: unknown) => cause,
  )
  expect(error).toBeInstanceOf(Error)
  return (error as Error).message
}

test('a test broker hands a collector what a program sends, and leaves nothing behind', async () => {
  const broker = await start({})
  expect(broker.listeners).toEqual([])
  const collector = new Collector(broker, 'queue://orders')
  await broker.send({ to: 'queue://orders', body: 'hello' })
  await broker.send({ to: 'queue://orders', body: 'again' })
  const { message } = await collector.next()
  expect(message.view().body).toEqual({ kind: 'text', text: 'hello' })
  expect((await collector.next()).message.view().body).toEqual({ kind: 'text', text: 'again' })
  collector.close()
})

test('listeners that are named get a free port', async () => {
  const listeners = { stomp: {}, ws: {} }
  const brokers = await Promise.all([start({ listeners }), start({ listeners })])
  expect(new Set(brokers.flatMap((broker) => [broker.url('stomp'), broker.url('ws')])).size).toBe(4)
  const socket = new WebSocket(brokers[0]?.url('ws') ?? '', 'v12.stomp')
  const client = dial(brokers[0] as TestBroker, createWebSocketStream(socket))
  await client.connect()
})

test('send tells why the broker does not take a message', async () => {
  const broker = await start({ destinations: [{ match: 'queue://closed', autoCreate: false }] })
  expect(await failure(broker.send({ to: 'queue://closed', body: 'x' }))).toContain('does not exist')
})

describe('advance', () => {
  test('lets messages expire, and delayed ones be delivered', async () => {
    const broker = await start()
    const client = await connected(broker)
    await broker.send({ to: 'queue://a', body: 'short', ttlMs: 60_000 })
    await broker.send({ to: 'queue://a', body: 'late', delayMs: 300_000 })
    expect(broker.messageCount('a')).toBe(2)
    await broker.advance('2m')
    expect(broker.messageCount('a')).toBe(1)
    await client.sure('subscribe', { destination: '/queue/a', id: '1' })
    const before = broker.now()
    await broker.advance('3m')
    expect(broker.now()).toBe(before + 180_000)
    expect((await client.next('MESSAGE')).body).toBe('late')
    await broker.expectQueue('a').toHaveReceivedOnly('short', 'late')
  })

  test('lets redeliveries come, each at its time, with what clients do about them', async () => {
    const rule = { match: 'queue://a', redeliveryDelayMs: '1m', redeliveryBackoff: 2, deliveriesMax: 3 }
    const broker = await start({ listeners: { stomp: {} }, destinations: [rule] })
    const client = await connected(broker)
    await client.sure('subscribe', { destination: '/queue/a', id: '1', ack: 'client-individual' })
    const times: number[] = []
    const reject = async () => {
      for (let round = 0; round < 3; round += 1) {
        const { headers } = await client.next('MESSAGE')
        times.push(broker.now())
        client.send('nack', { id: headers.ack ?? '' })
      }
    }
    const begin = broker.now()
    const rejecting = reject()
    await broker.send({ to: 'queue://a', body: 'poison' })
    await broker.advance('10m')
    await rejecting
    expect(times.map((time) => time - begin)).toEqual([0, 60_000, 180_000])
    await broker.expectQueue('DLQ.a').toHaveReceivedOnly({ text: 'poison', deathReason: /deliver/ })
  })

  test('lets heart-beats be sent, and a silent client be cut, if they are wanted', async () => {
    const broker = await start({ listeners: { stomp: { heartBeatMs: '10s' } } })
    const client = await connected(broker, { 'heart-beat': '10000,10000' })
    await broker.advance('20s')
    expect(client.heartBeats).toBeGreaterThanOrEqual(2)
    await broker.advance('10s')
    expect((await client.next('ERROR')).body).toContain('nothing came')
  })

  test('cuts nobody for his silence otherwise', async () => {
    const broker = await start()
    const client = await connected(broker, { 'heart-beat': '10000,10000' })
    await client.sure('subscribe', { destination: '/queue/a', id: '1', ack: 'client' })
    await broker.advance('30d')
    await broker.send({ to: 'queue://a', body: 'still there' })
    expect((await client.next('MESSAGE')).body).toBe('still there')
  })

  test('cuts nobody who speaks another protocol, and says nothing to him at intervals', async () => {
    const broker = await start({ listeners: { native: {}, amqp: {}, mqtt: {} } })
    const native = await connect(broker.url('native'))
    const mqtt = await connectAsync(broker.url('mqtt'), { keepalive: 0 })
    await mqtt.subscribeAsync('#')
    const amqp = rhea.create_container().connect({ port: broker.address('amqp').port, reconnect: false })
    await once(amqp, 'connection_open')
    const heard: string[] = []
    native.on('interrupted', () => heard.push('native'))
    amqp.on('disconnected', () => heard.push('amqp'))
    mqtt.on('close', () => heard.push('mqtt')).on('message', (topic: string) => heard.push(topic))
    await broker.advance('30d')
    expect(heard).toEqual([])
    expect(broker.connectionCount).toBe(3)
    await native.close()
    amqp.close()
    await mqtt.endAsync()
  })

  test('refuses what is no time, and a clock that goes by itself', async () => {
    const broker = await start({})
    expect(await failure(broker.advance('soon'))).toContain('"soon" is no time')
    expect(await failure(broker.advance(-1))).toContain('no time')
    const living = await start({ clock: 'system' })
    expect(await failure(living.advance('1s'))).toContain('time passes by itself')
  })
})

describe('waitForIdle', () => {
  test('waits until everything is settled by those who got it', async () => {
    const broker = await start()
    const client = await connected(broker)
    await client.sure('subscribe', { destination: '/queue/a', id: '1', ack: 'client-individual' })
    for (let index = 0; index < 100; index += 1) client.send('send', { destination: '/queue/a' }, `${index}`)
    const handled: string[] = []
    const handling = (async () => {
      for (const { headers, body } of await client.messages(100)) {
        handled.push(body)
        client.send('ack', { id: headers.ack ?? '' })
      }
    })()
    await broker.waitForIdle()
    expect(handled).toHaveLength(100)
    expect(broker.messageCount('a')).toBe(0)
    await handling
  })

  test('says what is not settled', async () => {
    const broker = await start()
    const client = await connected(broker)
    await client.sure('subscribe', { destination: '/queue/a', id: '1', ack: 'client' })
    await broker.send({ to: 'queue://a', body: 'x' })
    await client.next('MESSAGE')
    expect(await failure(broker.waitForIdle({ timeoutMs: 20 }))).toContain('clients have not settled 1')
    await broker.waitForIdle({ ignoreUnsettled: true })
  })
})

describe('expectQueue', () => {
  async function filled(options?: Partial<TestBrokerOptions>): Promise<TestBroker> {
    const broker = await start({ listeners: { stomp: {} }, ...options })
    const client = await connected(broker)
    await client.sure('send', { destination: '/queue/a', color: 'red' }, 'one')
    await client.sure('send', { destination: '/queue/a', persistent: 'true', priority: '7' }, '{"id":2}')
    await client.sure(
      'send',
      { destination: '/queue/a', 'reply-to': '/queue/b', 'content-type': 'text/plain' },
      'three',
    )
    return broker
  }

  test('finds messages by text, pattern, fields, properties and function, in order', async () => {
    const broker = await filled()
    const queue = broker.expectQueue('a')
    await queue.toHaveReceived('one', 'three')
    await queue.toHaveReceived(/^o/, { json: { id: 2 } })
    await queue.toHaveReceived({ properties: { color: 'red' } }, { durable: true, priority: 7 })
    await queue.toHaveReceived((message) => message.replyTo === 'queue://b')
    await queue.toHaveReceived({ text: /ee$/, replyTo: 'queue://b', contentType: 'text/plain' })
    await queue.toHaveReceivedOnly('one', /2/, 'three')
    expect(queue.received.map(({ text }) => text)).toEqual(['one', '{"id":2}', 'three'])
  })

  test('sees what consumers have taken already, and what comes soon', async () => {
    const broker = await start()
    const client = await connected(broker)
    await client.sure('subscribe', { destination: '/queue/a', id: '1' })
    const expectation = broker.expectQueue('a').toHaveReceived('soon')
    client.send('send', { destination: '/queue/a' }, 'soon')
    await expectation
    expect((await client.next('MESSAGE')).body).toBe('soon')
  })

  test('fails with what has come instead', async () => {
    const broker = await filled({ waitMs: 20 })
    const queue = broker.expectQueue('a')
    const message = await failure(queue.toHaveReceived('one', 'four'))
    expect(message).toContain('queue://a has not received "four" (2 of 2); it has received:')
    expect(message).toContain('"one" {"color":"red"}')
    expect(await failure(queue.toHaveReceived('three', 'one'))).toContain('"one" (2 of 2)')
    expect(await failure(queue.toHaveReceived({ properties: { color: 'blue' } }))).toContain(
      '{"properties":{"color":"blue"}}',
    )
    expect(await failure(queue.toHaveReceivedOnly('one', /2/))).toContain('more than the 2 expected')
    expect(await failure(queue.toHaveReceivedNothing())).toContain('has received something')
    await expect(queue.toHaveReceived('never')).rejects.toBeInstanceOf(AssertionError)
    expect(await failure(broker.expectQueue('b').toHaveReceived('x'))).toContain('it has received nothing')
  })

  test('expects nothing, and topics, too', async () => {
    const broker = await start()
    await broker.expectQueue('a').toHaveReceivedNothing()
    await broker.send({ to: 'topic://prices', body: '5' })
    await broker.expectTopic('prices').toHaveReceivedOnly('5')
  })
})

describe('a fault', () => {
  test('cuts every connection, and new ones are welcome', async () => {
    const broker = await start()
    const clients = [await connected(broker), await connected(broker)]
    broker.cut()
    await Promise.all(clients.map(({ closed }) => closed))
    await connected(broker)
  })

  test('cuts the first connection that has sent so many bytes, and the message is not taken', async () => {
    const broker = await start()
    const client = await connected(broker)
    const frame = 'SEND\ndestination:/queue/a\nreceipt:1\n\nhello\0'
    broker.cut({ received: frame.length * 2 - 1 })
    client.write(frame.repeat(3))
    await client.closed
    await broker.expectQueue('a').toHaveReceivedOnly('hello')
    const other = await connected(broker)
    await other.sure('send', { destination: '/queue/a' }, 'after')
  })

  test('cuts a connection within an answer, to the byte', async () => {
    const broker = await start()
    broker.cut({ sent: 9 })
    let answer = ''
    const socket = connectSocket(broker.address('stomp').port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString()
    })
    socket.write('CONNECT\naccept-version:1.2\nhost:x\n\n\0')
    await new Promise<void>((resolve) => socket.once('close', () => resolve()))
    expect(answer).toBe('CONNECTED')
  })

  test('cuts a connection after so many frames to it: what it has not settled is delivered again', async () => {
    const broker = await start()
    const client = await connected(broker)
    broker.cut({ frames: 3 })
    client.send('subscribe', { destination: '/queue/a', id: '1', ack: 'client-individual' })
    for (const body of ['1', '2', '3', '4']) await broker.send({ to: 'queue://a', body })
    await client.closed
    expect(client.frames.map(({ body }) => body)).toEqual(['1', '2', '3'])
    const other = await connected(broker)
    await other.sure('subscribe', { destination: '/queue/a', id: '1' })
    const again = await other.messages(4)
    expect(again.map(({ body }) => body)).toEqual(['1', '2', '3', '4'])
    expect(again[0]?.headers.redelivered).toBe('true')
  })

  test('stalls both directions until it is healed', async () => {
    const broker = await start()
    const client = await connected(broker)
    await client.sure('subscribe', { destination: '/queue/a', id: '1' })
    broker.stall()
    client.send('send', { destination: '/queue/b' }, 'held')
    await broker.send({ to: 'queue://a', body: 'x' })
    await broker.waitForIdle()
    expect(client.frames).toEqual([])
    await broker.expectQueue('b').toHaveReceivedNothing()
    broker.heal()
    expect((await client.next('MESSAGE')).body).toBe('x')
    await broker.expectQueue('b').toHaveReceived('held')
  })

  test('stalls a connection within a frame', async () => {
    const broker = await start()
    const client = await connected(broker)
    broker.stall({ received: 10 })
    client.send('send', { destination: '/queue/a', receipt: '1' }, 'x')
    await broker.expectQueue('a').toHaveReceivedNothing()
    broker.heal()
    await client.next('RECEIPT')
  })

  test('refuses the next connections', async () => {
    const broker = await start()
    const before = await connected(broker)
    broker.refuse(2)
    for (let round = 0; round < 2; round += 1) {
      const refused = dial(broker)
      refused.send('connect', { 'accept-version': '1.2', host: 'x' })
      await refused.closed
      expect(refused.frames).toEqual([])
    }
    await connected(broker)
    await before.sure('send', { destination: '/queue/a' }, 'x')
    broker.refuse()
    await dial(broker).closed
    await dial(broker).closed
    broker.heal()
    await connected(broker)
  })

  test('happens to a WebSocket as to any connection', async () => {
    const broker = await start({ listeners: { ws: {} } })
    const socket = new WebSocket(broker.url('ws'), 'v12.stomp')
    const client = dial(broker, createWebSocketStream(socket))
    await client.connect()
    broker.stall()
    client.send('send', { destination: '/queue/a' }, 'held')
    await broker.expectQueue('a').toHaveReceivedNothing()
    broker.heal()
    await broker.expectQueue('a').toHaveReceived('held')
    const cut = once(socket, 'close')
    broker.cut()
    expect((await cut)[0]).toBe(1006)
  })
})

test('closing takes no time, even if a client holds what it got and does not hang up', async () => {
  const broker = await start()
  const client = await connected(broker)
  await client.sure('subscribe', { destination: '/queue/a', id: '1', ack: 'client' })
  await broker.send({ to: 'queue://a', body: 'x' })
  await client.next('MESSAGE')
  const begin = broker.now()
  await broker.close()
  expect(broker.now()).toBeGreaterThan(begin)
  await client.closed
})

test('a clock of the system goes by itself', async () => {
  const broker = await start({ clock: 'system', listeners: { stomp: {} } })
  const client = await connected(broker)
  await client.sure('subscribe', { destination: '/queue/a', id: '1' })
  await broker.send({ to: 'queue://a', body: 'late', delayMs: 20 })
  expect((await client.next('MESSAGE')).body).toBe('late')
})
