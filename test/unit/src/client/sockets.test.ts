import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect as dial, type ListenOptions, createServer as listen, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as listenTls, type TlsOptions } from 'node:tls'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ClientOptions, type Connection, connect } from '../../../../src/client.ts'
import { startTestBroker, type TestBroker } from '../../../../src/testing.ts'
import { testCertificate, testKey } from '../../../support/certificate.ts'
import { exchange } from '../../../support/exchange.ts'

let broker: TestBroker
let servers: Server[]
let sockets: Socket[]
let folder: string

beforeEach(async () => {
  broker = await startTestBroker({ listeners: { native: {}, ws: {} } })
  servers = []
  sockets = []
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-sockets-'))
})

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  for (const server of servers) server.close()
  await broker.close()
  rmSync(folder, { recursive: true })
})

/** Hands a connection on to a listener of the broker, and back. */
function handOn(socket: Socket, listener: 'native' | 'ws'): void {
  const inner = dial(Number(new URL(broker.url(listener)).port), '127.0.0.1')
  sockets.push(socket, inner)
  for (const one of [socket, inner]) one.on('error', () => undefined)
  socket.pipe(inner).pipe(socket)
  socket.on('close', () => inner.destroy())
  inner.on('close', () => socket.destroy())
}

async function listening(server: Server, options: ListenOptions): Promise<number> {
  servers.push(server)
  server.listen(options)
  await once(server, 'listening')
  const address = server.address()
  return address === null || typeof address === 'string' ? 0 : address.port
}

/** The port of TLS in front of a listener. */
function secured(listener: 'native' | 'ws', options: TlsOptions = {}): Promise<number> {
  const server = listenTls({ key: testKey, cert: testCertificate, ...options }, (socket) => handOn(socket, listener))
  return listening(server, { port: 0, host: '127.0.0.1' })
}

async function connected(url: string, options: ClientOptions = {}): Promise<Connection> {
  return await connect(url, { tls: { ca: testCertificate }, ...options })
}

describe('tls://', () => {
  test.each(['localhost', '127.0.0.1'])('carries the protocol to %s', async (host) => {
    await using client = await connected(`tls://${host}:${await secured('native')}`)
    await exchange(client, 200)
  })

  test('wss:// does so too', async () => {
    await using client = await connected(`wss://127.0.0.1:${await secured('ws')}`)
    await exchange(client, 200)
  })

  test('is one of the URLs of failover:, and comes back when it is lost', async () => {
    await using client = await connected(
      `failover:(tls://127.0.0.1:${await secured('native')})?initialReconnectDelay=0`,
    )
    await client.queue('q').send('before')
    for (const socket of sockets) socket.destroy()
    await client.queue('q').send('after')
    expect(broker.messageCount('q')).toBe(2)
  })

  test('trusts nobody it has not been told to', async () => {
    const connecting = connected(`tls://127.0.0.1:${await secured('native')}`, { tls: {} })
    await expect(connecting).rejects.toMatchObject({
      code: 'connection-refused',
      message: expect.stringMatching(/^cannot connect to tls:\/\/127\.0\.0\.1:\d+: .*certificate/),
    })
  })

  test('does not take a certificate for another host', async () => {
    const url = `tls://localhost:${await secured('native')}`
    const connecting = connected(url, { tls: { ca: testCertificate, servername: 'other.example' } })
    await expect(connecting).rejects.toThrow(/does not match/)
  })

  test('shows a certificate of its own', async () => {
    const port = await secured('native', { requestCert: true, rejectUnauthorized: true, ca: testCertificate })
    const own = { ca: testCertificate, cert: testCertificate, key: testKey }
    await using client = await connected(`tls://localhost:${port}`, { tls: own })
    await exchange(client, 200)
  })

  test('says what is wrong when no TLS is spoken there', async () => {
    const url = broker.url('native').replace('tcp:', 'tls:')
    await expect(connected(url)).rejects.toMatchObject({ code: 'connection-refused', retryable: true })
  })
})

describe('unix://', () => {
  test('carries the protocol', async () => {
    const path = join(folder, 'broker sock')
    await listening(
      listen((socket) => handOn(socket, 'native')),
      { path },
    )
    await using client = await connected(`unix://${path}`)
    await exchange(client, 200)
  })

  test('says where nobody listens', async () => {
    const path = join(folder, 'nobody')
    await expect(connected(`unix://${path}`)).rejects.toThrow(new RegExp(`cannot connect to unix://${path}: .*ENOENT`))
  })
})
