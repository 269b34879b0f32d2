import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { Broker, BrokerError, type BrokerOptions, ConfigError, type Log, version } from '../../../src/index.ts'

const open: { close(): unknown }[] = []

afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

async function start(options: BrokerOptions = {}): Promise<Broker> {
  const broker = await Broker.start({ log: false, ...options })
  open.push(broker)
  return broker
}

/** A STOMP client that writes frames and waits for what comes. */
class Client {
  readonly socket: Socket
  text: string
  isClosed: boolean

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.text = ''
    this.isClosed = false
    this.socket.setEncoding('utf8')
    this.socket.on('data', (chunk: string) => {
      this.text += chunk
    })
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => {
      this.isClosed = true
    })
    open.push(this)
  }

  static async connect(port: number): Promise<Client> {
    const client = new Client(port)
    client.send('CONNECT\naccept-version:1.2\nhost:x\n\n')
    await client.until('CONNECTED')
    return client
  }

  send(frame: string): void {
    this.socket.write(`${frame}\0`)
  }

  async until(text: string): Promise<void> {
    while (!this.text.includes(text)) await once(this.socket, 'data')
  }

  async closed(): Promise<void> {
    if (!this.isClosed) await once(this.socket, 'close')
  }

  close(): void {
    this.socket.destroy()
  }
}

const anyPort = { listeners: { stomp: { port: 0 } } }

describe('start', () => {
  test('opens the listeners that are named, and no other', async () => {
    const broker = await start(anyPort)
    expect(broker.listeners).toEqual([{ protocol: 'stomp', url: broker.url('stomp') }])
    expect(broker.url('stomp')).toBe(`tcp://127.0.0.1:${broker.address('stomp').port}`)
    const none = await start()
    expect(none.listeners).toEqual([])
    expect(() => none.url('stomp')).toThrow('this broker has no stomp listener')
    expect((await start({ listeners: { stomp: { port: 0, enabled: false } } })).listeners).toEqual([])
  })

  test('refuses wrong options by their path', async () => {
    const options = { limits: { drainMsMax: '5 parsecs' }, listeners: { stomp: { host: '0.0.0.0' } } }
    const error = await Broker.start(options).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(ConfigError)
    expect(String(error)).toContain('limits.drainMsMax must be a time')
  })

  test('names the port that is in use and leaves nothing open', async () => {
    const { port } = (await start(anyPort)).address('stomp')
    const error = await Broker.start({ log: false, listeners: { stomp: { port } } }).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(BrokerError)
    expect(String(error)).toContain('--set listeners.stomp.port=')
  })

  test('serves clients', async () => {
    const { port } = (await start(anyPort)).address('stomp')
    const client = await Client.connect(port)
    expect(client.text).toContain(`server:ManifoldMQ/${version}`)
    client.send('SUBSCRIBE\ndestination:/queue/a\nid:1\n\n')
    client.send('SEND\ndestination:/queue/a\n\nhello')
    await client.until('hello')
  })

  test('keeps several brokers in one process apart', async () => {
    const [one, two] = [await start(anyPort), await start(anyPort)]
    const sender = await Client.connect(one.address('stomp').port)
    const other = await Client.connect(two.address('stomp').port)
    other.send('SUBSCRIBE\ndestination:/queue/a\nid:1\n\n')
    sender.send('SEND\ndestination:/queue/a\n\nhello')
    sender.send('SUBSCRIBE\ndestination:/queue/a\nid:1\n\n')
    await sender.until('hello')
    await one.close()
    other.send('SEND\ndestination:/queue/a\nreceipt:r\n\nown')
    await other.until('own')
    expect(other.text).not.toContain('hello')
  })

  test('takes the limits of the configuration', async () => {
    const broker = await start({ ...anyPort, limits: { messageBytesMax: 1024 } })
    const client = await Client.connect(broker.address('stomp').port)
    client.send(`SEND\ndestination:/queue/a\n\n${'x'.repeat(2000)}`)
    await client.until('ERROR')
  })
})

describe('over WebSocket', () => {
  /** Opens a WebSocket and says CONNECT; resolves to the answer, or to why there is none. */
  async function answer(broker: Broker, subprotocol = 'v12.stomp', frame = 'CONNECT\naccept-version:1.2\nhost:x\n\n') {
    const client = new WebSocket(broker.url('ws'), subprotocol)
    open.push(client)
    return new Promise<string>((resolve) => {
      client.on('open', () => client.send(`${frame}\0`))
      client.on('message', (data: Buffer) => resolve(data.toString()))
      client.on('error', (error) => resolve(error.message))
    })
  }

  test('serves each protocol, with a listener of its own or without', async () => {
    const alone = await start({ listeners: { ws: { port: 0 } } })
    expect(alone.listeners).toEqual([{ protocol: 'ws', url: `ws://127.0.0.1:${alone.address('ws').port}` }])
    for (const subprotocol of ['v10.stomp', 'v11.stomp', 'v12.stomp'])
      expect(await answer(alone, subprotocol)).toContain('CONNECTED\nversion:1.2')
    const both = await start({ listeners: { stomp: { port: 0 }, ws: { port: 0 } } })
    expect(await answer(both)).toContain('CONNECTED')
    expect((await Client.connect(both.address('stomp').port)).text).toContain('CONNECTED')
  })

  test('serves no protocol that is disabled', async () => {
    const broker = await start({ listeners: { stomp: { enabled: false }, ws: { port: 0 } } })
    expect(await answer(broker)).toContain('400')
  })

  test('keeps to the settings of the protocol', async () => {
    const stomp = { enabled: true, port: 0, limits: { bodyBytesMax: 2000 } }
    const broker = await start({ listeners: { stomp, ws: { port: 0 } } })
    const big = await answer(broker, 'v12.stomp', `SEND\ncontent-length:3000\n\n${'x'.repeat(3000)}`)
    expect(big).toContain('ERROR')
  })

  test('tells its clients when it ends', async () => {
    const broker = await start({ listeners: { ws: { port: 0 } } })
    const client = new WebSocket(broker.url('ws'), 'v12.stomp')
    const ended = once(client, 'close')
    await once(client, 'open')
    client.send('CONNECT\naccept-version:1.2\nhost:x\n\n\0')
    await once(client, 'message')
    const last = once(client, 'message')
    await broker.close()
    expect(String((await last)[0])).toContain('shutting down')
    expect((await ended)[0]).toBe(1001)
  })
})

describe('close', () => {
  test('tells every client, hangs up and can be called again', async () => {
    const broker = await start(anyPort)
    const client = await Client.connect(broker.address('stomp').port)
    const closing = broker.close()
    expect(broker.close()).toBe(closing)
    await Promise.all([closing, client.closed()])
    expect(client.text).toContain('shutting down')
    expect(await broker.closed).toBeUndefined()
    await broker[Symbol.asyncDispose]()
  })

  test('lets clients acknowledge first', async () => {
    const broker = await start(anyPort)
    const client = await Client.connect(broker.address('stomp').port)
    client.send('SUBSCRIBE\ndestination:/queue/a\nid:1\nack:client-individual\n\n')
    client.send('SEND\ndestination:/queue/a\n\nhello')
    await client.until('hello')
    const closing = broker.close()
    client.send(`ACK\nid:${/ack:(.*)/.exec(client.text)?.[1]}\nreceipt:settled\n\n`)
    await client.until('settled')
    await closing
    expect(client.text.indexOf('settled')).toBeLessThan(client.text.indexOf('shutting down'))
  })

  test('does not wait for ever for a client that settles nothing', async () => {
    const broker = await start({ ...anyPort, limits: { drainMsMax: 50 } })
    const client = await Client.connect(broker.address('stomp').port)
    client.send('SUBSCRIBE\ndestination:/queue/a\nid:1\nack:client\n\n')
    client.send('SEND\ndestination:/queue/a\n\nhello')
    await client.until('hello')
    await Promise.all([broker.close(), client.closed()])
  })

  test('does not wait for connections that have said nothing', async () => {
    const broker = await start(anyPort)
    const silent = new Client(broker.address('stomp').port)
    while (broker.connectionCount === 0) await new Promise((resolve) => setImmediate(resolve))
    await broker.close()
    await silent.closed()
  })

  test('leaves nothing behind that would keep the process alive', async () => {
    const script = `
      const { Broker } = await import('./dist/src/index.js')
      const opened = process.getActiveResourcesInfo().filter((name) => name !== 'CloseReq')
      if (opened.length > 0) throw new Error('importing opened ' + opened)
      const { connect } = await import('node:net')
      const broker = await Broker.start({ listeners: { stomp: { port: 0 } }, log: false })
      const client = connect(broker.address('stomp').port)
      client.write('CONNECT\\naccept-version:1.2\\nhost:x\\n\\n\\0')
      await new Promise((resolve) => client.once('data', resolve))
      const closed = new Promise((resolve) => client.once('close', resolve))
      await broker.close()
      await closed
      console.log('closed')`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    expect((await once(child, 'exit'))[0]).toBe(0)
    expect(output).toBe('closed\n')
  })
})

describe('the log', () => {
  test('has a line for each client that comes and goes', async () => {
    const lines: string[] = []
    const write = (fields: object, text: string) => void lines.push(`${text} ${JSON.stringify(fields)}`)
    const log: Log = { debug: write, info: write, warn: write, error: write }
    const broker = await start({ ...anyPort, log })
    const client = await Client.connect(broker.address('stomp').port)
    client.close()
    while (broker.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve))
    await broker.close()
    const texts = lines.map((line) => line.slice(0, line.indexOf(' ')))
    expect(texts).toEqual(['listening', 'connected', 'disconnected', 'closing', 'closed'])
    expect(lines[1]).toContain('"protocol":"stomp","remote":"127.0.0.1:')
  })
})

test('gives sessions within the process, which reach clients of every protocol', async () => {
  const broker = await start(anyPort)
  const client = await Client.connect(broker.address('stomp').port)
  client.send('SUBSCRIBE\ndestination:/queue/a\nid:1\nreceipt:subscribed\n\n')
  await client.until('subscribed')
  const events = { confirmed() {}, refused() {}, blocked() {}, unblocked() {}, closed() {} }
  const session = broker.connect(events, { clientId: 'inside' })
  expect(session.clientId).toBe('inside')
  session.send(broker.message(session, { to: 'queue://a', body: 'from inside' }))
  await client.until('from inside')
  expect(() => broker.message(session, { to: 'ftp://a' })).toThrow('neither queue://name nor topic://name')
  await broker.close()
  expect(() => broker.connect(events)).toThrow('shutting down')
})

test('tells the version of the package', () => {
  expect(JSON.parse(readFileSync('package.json', 'utf8')).version).toBe(version)
})
