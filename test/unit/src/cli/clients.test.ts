import { createServer, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Access, openAccess } from '../../../../src/broker/access.ts'
import type { Received } from '../../../../src/cli/clients/client.ts'
import { openClient } from '../../../../src/cli/clients/open.ts'
import { clientProtocols } from '../../../../src/cli/clients/protocols.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { startTestBroker, type TestBroker } from '../../../../src/testing.ts'

/** Knows one password, and a queue that nobody may use. */
const access: Access = {
  authenticate: (login, answer) => {
    if (login.password === 'right') openAccess.authenticate(login, answer)
    else answer(new BrokerError('not-authenticated', 'this is not the password'))
  },
  authorise: (_identity, _action, { name }) =>
    name === 'secret' ? new BrokerError('not-authorised', 'secret is not for you') : undefined,
}

let broker: TestBroker

beforeEach(async () => {
  broker = await startTestBroker({ listeners: { native: {}, stomp: {}, amqp: {}, mqtt: {} }, access })
})

afterEach(() => broker.close())

const message = (destination: string) => {
  return { destination, body: Buffer.from('x'), isText: true, persistent: true, properties: {} }
}

describe.each(clientProtocols)('over %s', (protocol) => {
  const open = (login = { user: 'me', password: 'right' }, prefetch = 1000) =>
    openClient({ url: broker.url(protocol), protocol }, { ...login, prefetch })

  test('a login that is refused is told as such', async () => {
    await expect(open({ user: 'me', password: 'wrong' })).rejects.toThrow(/refuse|password|authenti|user name/)
  })

  test('what may not be sent is told', async () => {
    const client = await open()
    const confirmed = new Promise<void>((resolve) => client.send(message('queue://secret'), resolve))
    await expect(Promise.race([confirmed, client.failed])).rejects.toThrow(/not for you|not authori/)
    client.destroy()
  })

  test('what may not be taken is told', async () => {
    const client = await open()
    client.subscribe(
      { destination: 'queue://secret', settles: true },
      { message: () => undefined, end: () => undefined },
    )
    await expect(client.failed).rejects.toThrow(/not for you|not authori/)
    client.destroy()
  })

  test('a connection that is cut is told', async () => {
    const client = await open()
    broker.cut()
    await expect(client.failed).rejects.toThrow(/is lost|has ended/)
    client.destroy()
  })

  test('no more comes ahead than is asked for, and what is not accepted goes back', async () => {
    for (let index = 0; index < 10; index += 1) await broker.send({ to: 'queue://q', body: String(index) })
    const client = await open(undefined, 3)
    const taken: Received[] = []
    let onThird: () => void = () => undefined
    const third = new Promise<void>((resolve) => {
      onThird = resolve
    })
    const intake = {
      message: (one: Received) => {
        taken.push(one)
        if (taken.length === 3) onThird()
      },
      end: () => undefined,
    }
    client.subscribe({ destination: 'queue://q', settles: true }, intake)
    await third
    await broker.waitForIdle({ ignoreUnsettled: true })
    expect(taken.map(({ body }) => String(body))).toEqual(['0', '1', '2'])
    taken[0]?.accept()
    await broker.waitForIdle({ ignoreUnsettled: true })
    expect(taken).toHaveLength(4)
    await client.close()
    await broker.waitForIdle()
    expect(broker.messageCount('q')).toBe(9)
  })

  test('a server that speaks something else, or hangs up, is not taken for a broker', async () => {
    const sockets: Socket[] = []
    const server = createServer((socket) => {
      sockets.push(socket)
      socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    await expect(openClient({ url: `tcp://127.0.0.1:${port}`, protocol })).rejects.toThrow()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
})
