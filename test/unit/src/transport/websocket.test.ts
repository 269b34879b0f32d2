import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { BrokerError } from '../../../../src/errors.ts'
import { defaultLimits, type Limits } from '../../../../src/limits.ts'
import type { Output } from '../../../../src/transport/output.ts'
import { SlabPool } from '../../../../src/transport/slab-pool.ts'
import { listenWebSocket, type WebSocketListener, type WebSocketOptions } from '../../../../src/transport/websocket.ts'
import type { Wire, WireServices } from '../../../../src/transport/wire.ts'
import { Turn } from '../../../../src/turn.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'
import { clientFrame, closing, type FrameParts } from '../../../support/websocket-frames.ts'

const open: (WebSocketListener | Socket)[] = []

afterEach(async () => {
  for (const one of open.splice(0)) {
    if ('emptied' in one) await one.emptied(0)
    else one.destroy()
  }
})

const quiet = { congested: () => undefined, drained: () => undefined }
const terms: WebSocketOptions = {
  host: '127.0.0.1',
  port: 0,
  backlog: 16,
  setting: 'listeners.ws',
  subprotocols: new Set(['v12.stomp', 'mqtt']),
  assumedSubprotocol: '',
  textSubprotocols: new Set(['v12.stomp']),
  origins: ['loopback'],
  handshakeMsMax: 10_000,
  pingMs: 30_000,
}

/** A listener on a free port, what it has accepted, and what it complained of. */
class Listening {
  readonly clock = new VirtualClock()
  readonly wires: Wire[] = []
  readonly subprotocols: string[] = []
  readonly closed: Wire[] = []
  readonly refused: string[] = []
  readonly troubles: BrokerError[] = []
  readonly listener: WebSocketListener

  private constructor(listener: WebSocketListener) {
    this.listener = listener
  }

  static async open(options: Partial<WebSocketOptions> = {}, limits: Partial<Limits> = {}): Promise<Listening> {
    const clock = new VirtualClock()
    const all = { ...defaultLimits, ...limits }
    const services: WireServices = { clock, turn: new Turn(), slabs: new SlabPool(), limits: all }
    let made: Listening | undefined
    const listener = await listenWebSocket({ ...terms, ...options }, services, {
      accepted: (wire, subprotocol) => {
        made?.wires.push(wire)
        made?.subprotocols.push(subprotocol)
      },
      closed: (wire) => made?.closed.push(wire),
      refused: (_remote, sentence) => made?.refused.push(sentence),
      troubled: (error) => made?.troubles.push(error),
    })
    open.push(listener)
    made = new Listening(listener)
    Object.assign(made, { clock })
    return made
  }

  /** A client of the ws package and the wire that it got. */
  async connect(subprotocols: string[] = ['v12.stomp'], headers: Record<string, string> = {}) {
    const client = new WebSocket(this.listener.url, subprotocols, { headers })
    client.on('error', () => undefined)
    await once(client, 'open')
    return { client, wire: this.wires.at(-1)! }
  }

  /** A socket that has shaken hands and writes frames by itself, and the wire that it got. */
  async raw(): Promise<{ readonly peer: RawPeer; readonly wire: Wire }> {
    const peer = this.dial()
    peer.send(handshake())
    await peer.until('\r\n\r\n')
    peer.text = ''
    return { peer, wire: this.wires.at(-1)! }
  }

  dial(): RawPeer {
    return new RawPeer(connect(this.listener.address.port, this.listener.address.address))
  }
}

/** A client without a library. */
class RawPeer {
  readonly socket: Socket
  /** What has come, one character a byte. */
  text = ''

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1')
    })
    open.push(socket)
  }

  send(bytes: string | Buffer): void {
    this.socket.write(bytes)
  }

  frame(parts: FrameParts): void {
    this.socket.write(clientFrame(parts))
  }

  async until(text: string): Promise<void> {
    await until(() => this.text.includes(text))
  }

  async ended(): Promise<string> {
    if (!this.socket.closed) await closed(this.socket)
    return this.text
  }
}

interface Request {
  readonly method?: string
  readonly version?: string
  readonly headers?: Readonly<Record<string, string | undefined>>
}

function handshake({ method = 'GET', version = '1.1', headers = {} }: Request = {}): string {
  const all: Record<string, string | undefined> = {
    Host: 'localhost',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Protocol': 'v12.stomp',
    ...headers,
  }
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}\r\n`]))
  return `${method} / HTTP/${version}\r\n${lines.join('')}\r\n`
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

/** Waits for the end, whatever brought it. */
function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => stream.once('close', () => resolve()))
}

/** Reads the wire and keeps what comes. */
function reading(wire: Wire): { bytes: Buffer } {
  const read = { bytes: Buffer.alloc(0) }
  wire.stream.on('data', (chunk: Buffer) => {
    read.bytes = Buffer.concat([read.bytes, chunk])
  })
  return read
}

function write(output: Output, text: string | Buffer): void {
  const bytes = Buffer.from(text)
  output.reserve(bytes.length)
  bytes.copy(output.buffer, output.position)
  output.position += bytes.length
}

/** The messages that a client gets, and of which kind they are. */
function messages(client: WebSocket): { readonly text: string; readonly isBinary: boolean }[] {
  const got: { readonly text: string; readonly isBinary: boolean }[] = []
  client.on('message', (data: Buffer, isBinary: boolean) => got.push({ text: data.toString(), isBinary }))
  return got
}

function closeOf(client: WebSocket): Promise<{ readonly code: number; readonly reason: string }> {
  return new Promise((resolve) => client.once('close', (code, reason) => resolve({ code, reason: String(reason) })))
}

describe('a handshake', () => {
  test('is answered with the accept key of RFC 6455 §1.3 and one subprotocol', async () => {
    const listening = await Listening.open()
    const peer = listening.dial()
    peer.send(handshake({ headers: { 'Sec-WebSocket-Protocol': 'chat, mqtt , v12.stomp' } }))
    await peer.until('\r\n\r\n')
    expect(peer.text.split('\r\n')).toEqual([
      'HTTP/1.1 101 Switching Protocols',
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
      'Sec-WebSocket-Protocol: mqtt',
      '',
      '',
    ])
    expect(listening.subprotocols).toEqual(['mqtt'])
  })

  test('may be followed by frames at once', async () => {
    const listening = await Listening.open()
    const peer = listening.dial()
    peer.send(Buffer.concat([Buffer.from(handshake()), clientFrame({ opcode: 1, payload: 'early' })]))
    await until(() => listening.wires.length === 1)
    const read = reading(listening.wires[0]!)
    await until(() => String(read.bytes) === 'early')
  })

  test('gives a wire that knows its peer', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    expect(wire.remote).toBe(`127.0.0.1:${peer.socket.localPort}`)
    expect(wire.isLocal).toBe(true)
    expect(listening.listener.url).toBe(`ws://127.0.0.1:${listening.listener.address.port}`)
  })

  test.each<[string, Request, number, string]>([
    ['without a subprotocol', { headers: { 'Sec-WebSocket-Protocol': undefined } }, 400, 'none is named'],
    [
      'with subprotocols that nobody speaks',
      { headers: { 'Sec-WebSocket-Protocol': 'chat, soap' } },
      400,
      'not chat, soap',
    ],
    ['without a key', { headers: { 'Sec-WebSocket-Key': undefined } }, 400, 'Sec-WebSocket-Key'],
    ['with a key that is too short', { headers: { 'Sec-WebSocket-Key': 'AAAA' } }, 400, 'Sec-WebSocket-Key'],
    [
      'of another version (§4.4)',
      { headers: { 'Sec-WebSocket-Version': '8' } },
      426,
      'Sec-WebSocket-Version must be 13',
    ],
    ['with another method', { method: 'POST' }, 400, 'GET'],
    ['of HTTP 1.0', { version: '1.0' }, 400, 'HTTP 1.1'],
    ['for another upgrade', { headers: { Upgrade: 'h2c' } }, 426, 'v12.stomp, mqtt'],
    ['that asks for no upgrade', { headers: { Upgrade: undefined, Connection: undefined } }, 426, 'v12.stomp, mqtt'],
    [
      'of a page elsewhere',
      { headers: { Origin: 'https://evil.example' } },
      403,
      'https://evil.example may not connect: add their origin to listeners.ws.origins',
    ],
    [
      'of a page whose host only begins like this one',
      { headers: { Origin: 'http://localhost.evil.example' } },
      403,
      'may not connect',
    ],
    ['of a page in a file', { headers: { Origin: 'null' } }, 403, 'may not connect'],
  ])('%s is refused with a sentence', async (_name, request, status, sentence) => {
    const listening = await Listening.open()
    const peer = listening.dial()
    peer.send(handshake(request))
    const answer = await peer.ended()
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(answer).toContain('Content-Type: text/plain; charset=utf-8')
    const body = answer.slice(answer.indexOf('\r\n\r\n') + 4)
    expect(body).toContain(sentence)
    expect(answer).toContain(`Content-Length: ${body.length}\r\n`)
    expect(listening.refused).toEqual([body.trim()])
    expect(listening.wires).toEqual([])
  })

  test('without a subprotocol is accepted if one is assumed, and is told of none (§4.2.2)', async () => {
    const listening = await Listening.open({ assumedSubprotocol: 'mqtt' })
    const { client } = await listening.connect([])
    expect(client.protocol).toBe('')
    expect(listening.subprotocols).toEqual(['mqtt'])
    const other = listening.dial()
    other.send(handshake({ headers: { 'Sec-WebSocket-Protocol': 'chat' } }))
    expect(await other.ended()).toContain('not chat')
  })

  test('that is no HTTP is refused with a sentence', async () => {
    const listening = await Listening.open()
    const peer = listening.dial()
    peer.send('CONNECT\naccept-version:1.2\nhost:x\n\n\0')
    expect(await peer.ended()).toMatch(/^HTTP\/1.1 400 Bad Request\r\n[\s\S]*WebSocket is spoken here/)
  })

  test('is refused when its headers go on and on', async () => {
    const listening = await Listening.open()
    const peer = listening.dial()
    peer.send(handshake({ headers: { Cookie: 'x'.repeat(100_000) } }))
    expect(await peer.ended()).toMatch(/^HTTP\/1.1 400/)
  })

  test.each([
    ['http://localhost:3000', ['loopback']],
    ['https://127.0.0.1', ['loopback']],
    ['http://[::1]:8080', ['loopback']],
    ['https://app.example.com', ['https://App.example.com']],
    ['https://anyone.example', ['*']],
    ['null', ['loopback', 'null']],
  ])('of a page of %s is accepted when %s are allowed', async (origin, origins) => {
    const listening = await Listening.open({ origins })
    await listening.connect(['v12.stomp'], { Origin: origin })
    expect(listening.wires).toHaveLength(1)
  })

  test('that does not come in time is cut', async () => {
    const listening = await Listening.open()
    const peer = listening.dial()
    peer.send('GET / HTTP/1.1\r\nHost: x\r\n')
    await until(() => listening.listener.connectionCount === 1)
    listening.clock.advance(10_000)
    expect(await peer.ended()).toBe('')
  })

  test('has no time-out any more once it is answered', async () => {
    const listening = await Listening.open({ pingMs: 0 })
    const { wire } = await listening.raw()
    listening.clock.advance(1_000_000)
    expect(wire.stream.destroyed).toBe(false)
  })

  test('past the limit of connections is refused and reported', async () => {
    const listening = await Listening.open({}, { connectionsMax: 1 })
    await listening.raw()
    await listening.dial().ended()
    expect(listening.troubles.map(({ code }) => code)).toEqual(['limit-exceeded'])
  })
})

describe('data', () => {
  test('comes in whatever the messages, and is answered in the kind that came last', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    const read = reading(wire)
    const got = messages(client)
    const output = wire.open(quiet)
    client.send('te')
    client.send('xt')
    await until(() => String(read.bytes) === 'text')
    output.write(Buffer.from('ü'))
    output.flush()
    client.send(Buffer.from([0xff]))
    await until(() => read.bytes.length === 5)
    output.write(Buffer.from('binary'))
    output.flush()
    await until(() => got.length === 2)
    expect(got).toEqual([
      { text: 'ü', isBinary: false },
      { text: 'binary', isBinary: true },
    ])
  })

  test('goes out as a message for each frame of the protocol', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    const got = messages(client)
    const output = wire.open(quiet)
    const frames = ['a', 'b'.repeat(200), 'c'.repeat(70_000), 'd', '', 'e'.repeat(9000)]
    for (const frame of frames) {
      for (let at = 0; at < frame.length; at += 10_000) output.write(Buffer.from(frame.slice(at, at + 10_000)))
      output.endFrame()
    }
    output.flush()
    write(output, 'last')
    output.flush()
    await until(() => got.length === 6)
    expect(got.map(({ text }) => text)).toEqual([...frames.filter((frame) => frame !== ''), 'last'])
  })

  test('to a client of text that is no UTF-8 goes as a binary message, and the rest as text', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    const read = reading(wire)
    const got = messages(client)
    client.send('hello')
    await until(() => read.bytes.length === 5)
    const output = wire.open(quiet)
    for (const bytes of [Buffer.from('one'), Buffer.from([0xff, 0xfe]), Buffer.from('three')]) {
      write(output, bytes)
      output.endFrame()
    }
    output.flush()
    await until(() => got.length === 3)
    expect(got.map(({ isBinary }) => isBinary)).toEqual([false, true, false])
  })

  test('is written by those who use the stream, too', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    const got = messages(client)
    wire.stream.write('one')
    wire.stream.write(Buffer.alloc(20_000, 'x'))
    wire.stream.end('three')
    const { code } = await closeOf(client)
    expect(got.map(({ text }) => text).join('')).toBe(`one${'x'.repeat(20_000)}three`)
    expect(code).toBe(1000)
  })

  test('of a hundred megabytes in one frame is handed on as it comes', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    let longest = 0
    let count = 0
    wire.stream.on('data', (chunk: Buffer) => {
      longest = Math.max(longest, chunk.length)
      count += chunk.length
    })
    const bytes = 100 * 2 ** 20
    const frame = clientFrame({ opcode: 2, length: BigInt(bytes) })
    peer.send(frame)
    const piece = Buffer.alloc(2 ** 20)
    for (let sent = 0; sent < bytes; sent += piece.length)
      if (!peer.socket.write(piece)) await once(peer.socket, 'drain')
    await until(() => count === bytes)
    expect(longest).toBeLessThanOrEqual(64 * 1024)
  })

  test('that the adapter does not want yet stays in the operating system', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    const read = reading(wire)
    wire.stream.pause()
    const message = clientFrame({ opcode: 2, payload: Buffer.alloc(60_000) })
    let sent = 0
    while (peer.socket.write(message)) {
      sent += 60_000
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(sent).toBeGreaterThan(200_000)
    await until(() => wire.stream.readableLength >= 64 * 1024)
    expect(wire.stream.readableLength).toBeLessThan(3 * 64 * 1024)
    wire.stream.resume()
    await until(() => read.bytes.length === sent + 60_000)
  })

  test('that the client does not read congests its output, and drains when it reads', async () => {
    const listening = await Listening.open({}, { outputBytesHigh: 100_000 })
    const { peer, wire } = await listening.raw()
    const told: string[] = []
    const output = wire.open({ congested: () => told.push('congested'), drained: () => told.push('drained') })
    peer.socket.pause()
    while (!output.isCongested) {
      output.write(Buffer.alloc(50_000, 'x'))
      output.endFrame()
      output.flush()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(told).toEqual(['congested'])
    peer.socket.resume()
    await until(() => !output.isCongested)
    expect(told).toEqual(['congested', 'drained'])
    expect(output.waitingBytes).toBeLessThanOrEqual(50_000)
  })
})

describe('a ping', () => {
  test('is answered with what it carries (§5.5.3)', async () => {
    const listening = await Listening.open()
    const { peer } = await listening.raw()
    peer.frame({ opcode: 9, payload: 'are you there' })
    await peer.until('\x8a\x0dare you there')
  })

  test('is answered once while the answers are not read, however many come', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    wire.stream.resume()
    const output = wire.open(quiet)
    peer.socket.pause()
    output.write(Buffer.alloc(16 * 2 ** 20))
    output.flush()
    const ping = clientFrame({ opcode: 9, payload: 'x'.repeat(125) })
    for (let round = 0; round < 20_000; round += 1) peer.send(ping)
    peer.frame({ opcode: 2, payload: 'end' })
    await until(() => peer.socket.writableLength === 0)
    await once(wire.stream, 'data')
    expect(output.waitingBytes).toBeLessThanOrEqual(16 * 2 ** 20)
    expect((wire.stream as unknown as { writableLength: number }).writableLength).toBeLessThanOrEqual(16 * 2 ** 20)
  })

  test('asks a silent client, who answers and stays', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    wire.stream.resume()
    listening.clock.advance(30_000)
    for (let round = 0; round < 5; round += 1) {
      const asked = once(client, 'ping')
      listening.clock.advance(30_000)
      await asked
      // The answer has been read when what follows it has.
      client.send('x')
      await once(wire.stream, 'data')
      listening.clock.advance(30_000)
    }
    expect(wire.stream.destroyed).toBe(false)
  })

  test('that is not answered ends the connection', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    listening.clock.advance(60_000)
    await peer.until('\x89\x00')
    listening.clock.advance(30_000)
    await until(() => wire.stream.closed)
    expect(wire.stream.errored).toMatchObject({ code: 'timed-out' })
    expect(listening.closed).toEqual([wire])
  })

  test('is no reason to cut a client that is not being read from', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    reading(wire)
    wire.stream.pause()
    for (let index = 0; index < 20; index += 1) peer.frame({ opcode: 2, payload: Buffer.alloc(60_000) })
    await until(() => wire.stream.readableLength >= 64 * 1024)
    for (let round = 0; round < 10; round += 1) listening.clock.advance(30_000)
    expect(wire.stream.destroyed).toBe(false)
  })
})

describe('a close', () => {
  test('of the client is answered with its code, after what it has sent is read (§5.5.1)', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    const read = reading(wire)
    peer.frame({ opcode: 1, payload: 'last words' })
    peer.frame({ opcode: 8, payload: closing(4000, 'done') })
    expect(await peer.ended()).toBe('\x88\x02\x0f\xa0')
    await until(() => wire.stream.closed)
    expect(String(read.bytes)).toBe('last words')
    expect(wire.stream.errored).toBeNull()
  })

  test('of the adapter says 1000 behind what it has written, and waits for the answer', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    const got = messages(client)
    const output = wire.open(quiet)
    output.write(Buffer.from('bye'))
    output.end()
    wire.stream.resume()
    expect(await closeOf(client)).toEqual({ code: 1000, reason: '' })
    expect(got.map(({ text }) => text)).toEqual(['bye'])
    await until(() => listening.closed.length === 1)
  })

  test('that the client does not answer ends after five seconds', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    wire.stream.resume()
    wire.open(quiet).end()
    await peer.until('\x88\x02\x03\xe8')
    listening.clock.advance(4999)
    expect(wire.stream.closed).toBe(false)
    listening.clock.advance(1)
    await until(() => wire.stream.closed)
    await peer.ended()
  })

  test('while much is being sent comes behind it', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    let count = 0
    client.on('message', (data: Buffer) => {
      count += data.length
    })
    wire.stream.resume()
    const output = wire.open(quiet)
    output.write(Buffer.alloc(8 * 2 ** 20))
    output.end()
    expect((await closeOf(client)).code).toBe(1000)
    expect(count).toBe(8 * 2 ** 20)
  })

  test('of the client while much is being sent ends both sides', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    wire.stream.resume()
    const output = wire.open(quiet)
    output.write(Buffer.alloc(8 * 2 ** 20))
    output.flush()
    client.close()
    await closeOf(client)
    await until(() => wire.stream.closed)
    output.write(Buffer.from('too late'))
    output.flush()
  })

  test('of the whole socket without a word ends the wire', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    wire.stream.resume()
    peer.socket.destroy()
    await until(() => listening.closed.length === 1)
    expect(wire.stream.closed).toBe(true)
  })

  test('of the wire by its adapter cuts the socket', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    wire.stream.destroy()
    expect(await peer.ended()).toBe('')
  })

  test.each<[string, FrameParts, number, string]>([
    ['is not masked', { opcode: 1, payload: 'a', isMasked: false }, 1002, 'masked'],
    ['continues nothing', { opcode: 0, payload: 'a' }, 1002, 'continued'],
    ['is text that is no UTF-8', { opcode: 1, payload: Buffer.from([0xff]) }, 1007, 'UTF-8'],
    ['is too long to be counted', { opcode: 2, length: 2n ** 60n }, 1009, 'too big'],
  ])(
    'follows a frame that %s, with its code and a reason, and the adapter hears of it',
    async (_name, parts, code, reason) => {
      const listening = await Listening.open()
      const { peer, wire } = await listening.raw()
      const read = reading(wire)
      peer.frame({ opcode: 1, payload: 'good' })
      peer.frame(parts)
      peer.frame({ opcode: 1, payload: 'never read' })
      const answer = await peer.ended()
      expect(answer.charCodeAt(0)).toBe(0x88)
      expect(Buffer.from(answer.slice(2, 4), 'latin1').readUInt16BE()).toBe(code)
      expect(answer).toContain(reason)
      await until(() => wire.stream.closed)
      expect(wire.stream.errored).toMatchObject({ code: 'protocol-error' })
      expect(String(read.bytes)).toBe('good')
    },
  )

  test('follows text where only binary messages are spoken [MQTT-6.0.0-1]', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect(['mqtt'])
    reading(wire)
    client.send('text')
    expect(await closeOf(client)).toEqual({ code: 1003, reason: 'only binary messages are spoken here' })
    await until(() => wire.stream.closed)
  })

  test('after a fault does not wait for the peer', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    peer.socket.pause()
    peer.frame({ opcode: 7 })
    await until(() => wire.stream.closed)
    listening.clock.advance(5000)
    await until(() => listening.closed.length === 1)
  })
})

describe('closing', () => {
  test('the listener says 1001 to those that have been spoken to as soon as their adapters end', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    wire.stream.resume()
    wire.open(quiet).write(Buffer.from('hello'))
    listening.listener.close()
    expect(wire.stream.writableEnded).toBe(false)
    wire.stream.end()
    expect((await closeOf(client)).code).toBe(1001)
  })

  test('does not wait for those that nothing has been said to, nor for handshakes', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    wire.stream.resume()
    const silent = listening.dial()
    await until(() => listening.listener.connectionCount === 2)
    const [{ code }] = await Promise.all([closeOf(client), listening.listener.emptied(5000), silent.ended()])
    expect(code).toBe(1001)
    expect(listening.clock.pendingCount).toBe(0)
  })

  test('cuts those that stay', async () => {
    const listening = await Listening.open()
    const { peer, wire } = await listening.raw()
    wire.stream.write('hello')
    await peer.until('hello')
    const emptied = listening.listener.emptied(5000)
    listening.clock.advance(5000)
    await Promise.all([emptied, peer.ended()])
    expect(listening.clock.pendingCount).toBe(0)
  })

  test('leaves no timer', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    wire.stream.resume()
    client.close()
    await until(() => listening.closed.length === 1)
    await listening.listener.emptied(0)
    expect(listening.clock.pendingCount).toBe(0)
  })
})

test('a client that reads nothing is cut after stalledMsMax, as over TCP', async () => {
  const listening = await Listening.open({ pingMs: 0 }, { stalledMsMax: 8000 })
  const { peer, wire } = await listening.raw()
  peer.socket.pause()
  const output = wire.open(quiet)
  output.write(Buffer.alloc(64 * 2 ** 20))
  output.flush()
  await new Promise((resolve) => setImmediate(resolve))
  listening.clock.advance(8000)
  expect(wire.stream.destroyed).toBe(false)
  listening.clock.advance(4000)
  await until(() => wire.stream.closed)
  expect(wire.stream.errored).toMatchObject({ code: 'timed-out' })
})
