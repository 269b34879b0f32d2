import { afterEach, beforeEach, expect, test } from 'vitest'
import { connect } from '../../../../src/client.ts'
import { startTestBroker, type TestBroker } from '../../../../src/testing.ts'

let broker: TestBroker

beforeEach(async () => {
  broker = await startTestBroker({ listeners: { ws: {}, native: {} } })
})

afterEach(() => broker.close())

test('the protocol is spoken over a WebSocket, in parts and both ways', async () => {
  await using client = await connect(broker.url('ws'))
  const queue = client.queue('q')
  const body = new Uint8Array(3_000_000).fill(7)
  await queue.send(body)
  await Promise.all(Array.from({ length: 1000 }, (_, index) => queue.send(String(index))))
  let count = 0
  for await (const message of queue.consume()) {
    if (count === 0) expect(Buffer.compare(message.bytes, body)).toBe(0)
    else expect(message.text).toBe(String(count - 1))
    await message.accept()
    count += 1
    if (count === 1001) break
  }
})

test('a WebSocket that nobody answers is refused with a sentence', async () => {
  await broker.close()
  const url = broker.url('ws')
  await expect(connect(url)).rejects.toMatchObject({ code: 'connection-refused', retryable: true })
})
