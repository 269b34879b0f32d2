import { once } from 'node:events'
import mqtt from 'mqtt'
import rhea from 'rhea'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createWebSocketStream, WebSocket } from 'ws'
import { type Access, openAccess } from '../../../src/broker/access.ts'
import { BrokerError } from '../../../src/errors.ts'
import { startTestBroker, type TestBroker } from '../../../src/testing.ts'
import { StompTestClient } from '../../support/stomp-client.ts'

/** Knows one password. */
const access: Access = {
  ...openAccess,
  authenticate: (login, answer) => {
    if (login.password === 'guest') openAccess.authenticate(login, answer)
    else answer(new BrokerError('not-authenticated', 'this is not the password'))
  },
}

let broker: TestBroker

beforeEach(async () => {
  broker = await startTestBroker({ listeners: { ws: {} } })
})

afterEach(() => broker.close())

const long = 'x'.repeat(300_000)

test('MQTT.js speaks MQTT over WebSocket', async () => {
  const client = await mqtt.connectAsync(broker.url('ws'), { protocolVersion: 5 })
  await client.subscribeAsync('prices/#', { qos: 2 })
  const received: string[] = []
  const done = new Promise<void>((resolve) => {
    client.on('message', (_topic, payload) => {
      received.push(payload.toString())
      if (received.length === 3) resolve()
    })
  })
  for (const [qos, body] of [
    [0, 'a'],
    [1, long],
    [2, 'c'],
  ] as const)
    await client.publishAsync('prices/eu', body, { qos })
  await done
  expect(received).toEqual(['a', long, 'c'])
  await broker.expectTopic('prices.eu').toHaveReceivedOnly('a', long, 'c')
  await client.endAsync()
})

test('rhea speaks AMQP over WebSocket', async () => {
  const container = rhea.create_container()
  const details = container.websocket_connect(WebSocket)(broker.url('ws'), ['amqp'], {})
  // rhea's types do not know of details that say how to connect.
  const connection = container.connect({
    connection_details: details,
    reconnect: false,
  } as unknown as rhea.ConnectionOptions)
  const sender = connection.open_sender('queue://orders')
  await once(sender, 'sendable')
  const receiver = connection.open_receiver('queue://orders')
  const received: unknown[] = []
  const done = new Promise<void>((resolve) => {
    receiver.on('message', ({ message }: rhea.EventContext) => {
      received.push(message?.body)
      if (received.length === 2) resolve()
    })
  })
  sender.send({ body: 'one' })
  sender.send({ body: long })
  await done
  expect(received).toEqual(['one', long])
  await broker.expectQueue('orders').toHaveReceivedOnly('one', long)
  connection.close()
  await once(connection, 'connection_close')
})

test('a login over STOMP that is refused is told so, over WebSocket as over TCP', async () => {
  await using guarded = await startTestBroker({ listeners: { ws: {} }, access })
  const open = async (passcode: string): Promise<StompTestClient> => {
    const client = new StompTestClient(createWebSocketStream(new WebSocket(guarded.url('ws'), 'v12.stomp')))
    client.send('connect', { 'accept-version': '1.2', host: 'x', login: 'guest', passcode })
    return client
  }
  const refused = await (await open('bad')).next('ERROR')
  expect(refused.body).toContain('this is not the password')
  const welcome = await open('guest')
  await welcome.next('CONNECTED')
  welcome.stream.destroy()
})
