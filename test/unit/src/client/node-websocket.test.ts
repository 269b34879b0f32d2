import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { connect as connectPage } from '../../../../protocols/native/client/browser.ts'
import type { Carrier } from '../../../../protocols/native/client/index.ts'
import { openNodeWebSocket } from '../../../../src/client/websocket.ts'
import { startTestBroker } from '../../../../src/testing.ts'
import { WebSocketReader } from '../../../../src/transport/websocket-reader.ts'
import { clientFrame } from '../../../support/websocket-frames.ts'

/** What a transport tells. */
class Told {
  readonly chunks: Buffer[] = []
  readonly #over: Promise<Error | undefined>
  #end: (error: Error | undefined) => void = () => undefined

  constructor() {
    this.#over = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString()
  }

  /** Resolves with the reason once the transport has ended. */
  get over(): Promise<Error | undefined> {
    return this.#over
  }

  data(chunk: Uint8Array): void {
    this.chunks.push(Buffer.from(chunk))
  }

  closed(error: Error | undefined): void {
    this.#end(error)
  }
}

let http: Server
let url: URL
let told: Told
const never = new AbortController().signal

beforeEach(async () => {
  http = createServer((_request, response) => response.writeHead(403, 'Not from there').end())
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  url = new URL(`ws://127.0.0.1:${(http.address() as AddressInfo).port}/mq?x=1`)
  told = new Told()
})

afterEach(async () => {
  http.closeAllConnections()
  await new Promise((resolve) => http.close(resolve))
})

function open(): Promise<Carrier> {
  return openNodeWebSocket({ url, tls: undefined }, told, never)
}

/** The other side, of another make. */
async function opened(): Promise<{ readonly transport: Carrier; readonly peer: WebSocket }> {
  const server = new WebSocketServer({ server: http, handleProtocols: () => 'mnp.v1' })
  const [transport, [peer]] = await Promise.all([open(), once(server, 'connection') as Promise<[WebSocket]>])
  return { transport, peer }
}

describe('the WebSocket of Node clients', () => {
  test('sends masked frames of any length, and leaves alone what is not its own', async () => {
    const { transport, peer } = await opened()
    const received: Buffer[] = []
    peer.on('message', (data: Buffer, isBinary) => {
      expect(isBinary).toBe(true)
      received.push(data)
    })
    const lengths = [0, 1, 3, 125, 126, 65_535, 65_536, 200_001]
    const bodies = lengths.map((length) => Buffer.alloc(length).map((_, index) => index % 251))
    for (const [index, body] of bodies.entries()) {
      const offset = index % 4
      const memory = Buffer.alloc(offset + body.length)
      const given = memory.subarray(offset)
      given.set(body)
      const mayChange = index % 2 === 0
      await new Promise<void>((resolve) => transport.write(given, resolve, mayChange))
      if (!mayChange) expect(given.equals(body)).toBe(true)
    }
    transport.end()
    expect(await told.over).toBeUndefined()
    expect(received.map(({ length }) => length)).toEqual(lengths)
    for (const [index, body] of bodies.entries()) expect(received[index]?.equals(body)).toBe(true)
  })

  test('hands on what comes, in however many frames', async () => {
    const { peer } = await opened()
    peer.send(Buffer.from('one '), { fin: false })
    peer.send(Buffer.from('two '), { fin: true })
    peer.send(Buffer.from('x'.repeat(70_000)))
    peer.close()
    await told.over
    expect(told.text).toBe(`one two ${'x'.repeat(70_000)}`)
  })

  test('answers pings, and a close with the same code', async () => {
    const { peer } = await opened()
    peer.ping('are you there')
    const [pong] = (await once(peer, 'pong')) as [Buffer]
    expect(pong.toString()).toBe('are you there')
    peer.close(1001, 'going away')
    const [code] = await once(peer, 'close')
    expect(code).toBe(1001)
    expect(await told.over).toBeUndefined()
  })

  test('takes no text, and says so', async () => {
    const { peer } = await opened()
    peer.send('text')
    const [code] = await once(peer, 'close')
    expect(code).toBe(1003)
    await told.over
    expect(told.chunks).toEqual([])
  })

  test('that is turned away says with which words', async () => {
    await expect(open()).rejects.toMatchObject({
      code: 'connection-refused',
      message: expect.stringContaining('403 Not from there'),
    })
  })

  test.each([
    ['another handshake', { key: 'another', protocol: 'mnp.v1' }, 'another handshake'],
    ['another protocol', { protocol: 'mqtt' }, 'does not speak mnp.v1'],
    ['no protocol', {}, 'does not speak mnp.v1'],
    ['an extension', { protocol: 'mnp.v1', extension: 'permessage-deflate' }, 'an extension that nobody asked for'],
  ])('refuses an answer with %s [RFC 6455 4.1]', async (_what, { key, protocol, extension }: Answer, sentence) => {
    http.on('upgrade', (request, socket) => {
      const asked = key ?? request.headers['sec-websocket-key']
      const accept = createHash('sha1').update(`${asked}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade']
      lines.push(`Sec-WebSocket-Accept: ${accept}`)
      if (protocol !== undefined) lines.push(`Sec-WebSocket-Protocol: ${protocol}`)
      if (extension !== undefined) lines.push(`Sec-WebSocket-Extensions: ${extension}`)
      socket.end(`${lines.join('\r\n')}\r\n\r\n`)
    })
    await expect(open()).rejects.toMatchObject({ message: expect.stringContaining(sentence) })
  })

  test('gives up with its signal', async () => {
    http.removeAllListeners('request')
    const giveUp = new AbortController()
    const opening = openNodeWebSocket({ url, tls: undefined }, told, giveUp.signal)
    http.once('request', () => giveUp.abort())
    await expect(opening).rejects.toMatchObject({ code: 'aborted' })
  })
})

interface Answer {
  readonly key?: string
  readonly protocol?: string
  readonly extension?: string
}

test('a frame of a server must not be masked [RFC 6455 5.1]', () => {
  const reader = new WebSocketReader(false, 'server')
  reader.push(clientFrame({ opcode: 2, payload: 'x' }))
  expect(reader.ending?.fault).toBe('a frame of a server must not be masked')
})

test.each([1, 2, 3, 5, 4096])('frames of a server are read in pieces of %i bytes', (size) => {
  const frames = ['', 'a', 'b'.repeat(125), 'c'.repeat(126), 'd'.repeat(70_000)]
  const all = Buffer.concat(frames.map((payload) => clientFrame({ opcode: 2, payload, isMasked: false })))
  const reader = new WebSocketReader(false, 'server')
  let text = ''
  for (let at = 0; at < all.length; at += size) text += reader.push(Buffer.from(all.subarray(at, at + size))).toString()
  expect(reader.ending).toBeUndefined()
  expect(text).toBe(frames.join(''))
})

test('the client for pages speaks to a broker over the WebSocket that it finds', async () => {
  const broker = await startTestBroker({ listeners: { ws: {}, native: {} } })
  const page = { WebSocket, addEventListener: () => undefined, removeEventListener: () => undefined }
  for (const [name, value] of Object.entries(page)) vi.stubGlobal(name, value)
  try {
    const client = await connectPage(broker.url('ws'))
    await client.queue('q').send('from a page')
    const message = await client.queue('q').receive()
    expect(message?.text).toBe('from a page')
    await message?.accept()
    await client.close()
  } finally {
    vi.unstubAllGlobals()
    await broker.close()
  }
})
