import { afterEach, beforeEach, expect, test } from 'vitest'
import { connect } from '../../../../src/client.ts'
import { startTestBroker, type TestBroker } from '../../../../src/testing.ts'
import { exchange } from '../../../support/exchange.ts'

let broker: TestBroker

beforeEach(async () => {
  broker = await startTestBroker({ listeners: { ws: {}, native: {} } })
})

afterEach(() => broker.close())

test('the protocol is spoken over a WebSocket, in parts and both ways', async () => {
  await using client = await connect(broker.url('ws'))
  await exchange(client, 1000)
})

test('a WebSocket that nobody answers is refused with a sentence', async () => {
  await broker.close()
  const url = broker.url('ws')
  await expect(connect(url)).rejects.toMatchObject({ code: 'connection-refused', retryable: true })
})
