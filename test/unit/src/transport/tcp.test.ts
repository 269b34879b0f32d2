import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterEach, describe, expect, test } from 'vitest'
import { BrokerError } from '../../../../src/errors.ts'
import { defaultLimits, type Limits } from '../../../../src/limits.ts'
import type { Output } from '../../../../src/transport/output.ts'
import { SlabPool } from '../../../../src/transport/slab-pool.ts'
import { listenTcp, type TcpListener, type TcpOptions } from '../../../../src/transport/tcp.ts'
import type { Wire, WireServices } from '../../../../src/transport/wire.ts'
import { Turn } from '../../../../src/turn.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

const quiet = { congested: () => undefined, drained: () => undefined }
const open: (TcpListener | Socket)[] = []

afterEach(async () => {
  for (const one of open.splice(0)) {
    if ('emptied' in one) await one.emptied(0)
    else one.destroy()
  }
})

/** A listener on a free port, the wires it has accepted, and what it complained of. */
class Listening {
  readonly clock = new VirtualClock()
  readonly wires: Wire[] = []
  readonly closed: Wire[] = []
  readonly troubles: BrokerError[] = []
  readonly #waiting: (() => void)[] = []
  #listener: TcpListener | undefined

  static async open(limits: Partial<Limits> = {}, options: Partial<TcpOptions> = {}): Promise<Listening> {
    const made = new Listening()
    const services: WireServices = {
      clock: made.clock,
      turn: new Turn(),
      slabs: new SlabPool(),
      limits: { ...defaultLimits, ...limits },
    }
    made.#listener = await listenTcp({ ...anyPort, ...options }, services, {
      accepted: (wire) => {
        made.wires.push(wire)
        for (const go of made.#waiting.splice(0)) go()
      },
      closed: (wire) => made.closed.push(wire),
      troubled: (error) => made.troubles.push(error),
    })
    open.push(made.#listener)
    return made
  }

  get listener(): TcpListener {
    if (this.#listener === undefined) throw new Error('not open')
    return this.#listener
  }

  /** A client and the wire that it got. */
  async connect(): Promise<{ readonly client: Socket; readonly wire: Wire }> {
    const index = this.wires.length
    const client = this.dial()
    while (this.wires.length <= index) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return { client, wire: this.wires[index]! }
  }

  dial(): Socket {
    const client = connect({ host: this.listener.address.address, port: this.listener.address.port })
    client.on('error', () => undefined)
    open.push(client)
    return client
  }
}

const anyPort: TcpOptions = { host: '127.0.0.1', port: 0, backlog: 16, setting: 'listeners.stomp' }

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

/** Waits for the end, whatever brought it. */
function closed<S extends Duplex>(stream: S): Promise<S> {
  return new Promise((resolve) => stream.once('close', () => resolve(stream)))
}

/** An output that the peer does not read: more than the operating system takes on its own. */
function fill(wire: Wire): Output {
  const output = wire.open(quiet)
  output.write(Buffer.alloc(64 * 1024 * 1024))
  output.flush()
  return output
}

test('hands over each connection as a wire that carries bytes both ways', async () => {
  const listening = await Listening.open()
  const { client, wire } = await listening.connect()
  expect(listening.listener.url).toBe(`tcp://127.0.0.1:${listening.listener.address.port}`)
  expect(wire.remote).toBe(`127.0.0.1:${client.localPort}`)
  expect(wire.isLocal).toBe(true)
  expect(listening.listener.connectionCount).toBe(1)
  client.write('ping')
  expect(String((await once(wire.stream, 'data'))[0])).toBe('ping')
  const output = wire.open(quiet)
  output.write(Buffer.from('pong'))
  expect(String((await once(client, 'data'))[0])).toBe('pong')
})

test('listens on IPv6 and writes its addresses in brackets', async () => {
  const listening = await Listening.open({}, { host: '::1' })
  const { wire } = await listening.connect()
  expect(listening.listener.url).toMatch(/^tcp:\/\/\[::1\]:\d+$/)
  expect(wire.remote).toMatch(/^\[::1\]:\d+$/)
  expect(wire.isLocal).toBe(true)
})

describe('a port that cannot be had', () => {
  async function refusal(options: Partial<TcpOptions>): Promise<BrokerError> {
    const error = await Listening.open({}, options).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(BrokerError)
    return error as BrokerError
  }

  test('because it is in use names the port, the setting and the flag', async () => {
    const { port } = (await Listening.open()).listener.address
    const error = await refusal({ port })
    expect(error.code).toBe('in-use')
    for (const part of [`port ${port}`, 'listeners.stomp.port', '--set listeners.stomp.port='])
      expect(error.message).toContain(part)
  })

  test('because the host is not here names the host setting', async () => {
    expect((await refusal({ host: '203.0.113.7' })).message).toContain('--set listeners.stomp.host=')
  })

  test('because it is reserved names the setting and the flag', async () => {
    const error = await asNobody(() => refusal({ port: 1 }))
    expect(error.code).toBe('not-authorised')
    expect(error.message).toContain('--set listeners.stomp.port=')
  })
})

describe('a connection', () => {
  test('past the limit is refused and reported, but not each one', async () => {
    const listening = await Listening.open({ connectionsMax: 1 })
    await listening.connect()
    for (let index = 0; index < 5; index += 1) await closed(listening.dial())
    expect(listening.troubles.map((error) => error.code)).toEqual(['limit-exceeded'])
    expect(listening.troubles[0]?.message).toContain('limits.connectionsMax')
    listening.clock.advance(10_000)
    await closed(listening.dial())
    expect(listening.troubles[1]?.message).toContain('and 4 before it')
    expect(listening.wires).toHaveLength(1)
  })

  test('makes room for another when it is closed', async () => {
    const listening = await Listening.open({ connectionsMax: 1 })
    const { client, wire } = await listening.connect()
    wire.stream.resume()
    client.end()
    await closed(wire.stream)
    expect(listening.listener.connectionCount).toBe(0)
    expect(listening.closed).toEqual([wire])
    await listening.connect()
  })

  test('that is reset ends with close and without an escaped error', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    fill(wire)
    wire.stream.resume()
    client.resetAndDestroy()
    await closed(wire.stream)
    expect((wire.stream.errored as NodeJS.ErrnoException).code).toMatch(/ECONNRESET|EPIPE/)
  })

  test('whose peer hangs up is ended on this side too', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    wire.stream.resume()
    client.resume()
    client.end()
    await Promise.all([closed(wire.stream), closed(client)])
  })
})

describe('a peer that does not read', () => {
  test('is cut when it has read nothing for stalledMsMax', async () => {
    const listening = await Listening.open({ stalledMsMax: 8000 })
    const { client, wire } = await listening.connect()
    client.pause()
    fill(wire)
    await until(() => queued(wire) > 0)
    listening.clock.advance(8000)
    expect(wire.stream.destroyed).toBe(false)
    listening.clock.advance(2000)
    expect(wire.stream.destroyed).toBe(true)
    expect(wire.stream.errored).toMatchObject({
      code: 'timed-out',
      message: expect.stringContaining('limits.stalledMsMax'),
    })
  })

  test('is left alone while it reads, however slowly', async () => {
    const listening = await Listening.open({ stalledMsMax: 8000 })
    const { client, wire } = await listening.connect()
    fill(wire)
    for (let round = 0; round < 10; round += 1) {
      const before = queued(wire)
      client.resume()
      await until(() => queued(wire) < before)
      client.pause()
      listening.clock.advance(6000)
    }
    expect(wire.stream.destroyed).toBe(false)
  })

  test('is left alone while nothing waits for it', async () => {
    const listening = await Listening.open({ stalledMsMax: 8000 })
    const { client, wire } = await listening.connect()
    client.pause()
    const output = wire.open(quiet)
    output.write(Buffer.from('x'))
    await until(() => output.takenBytes === 1)
    listening.clock.advance(800_000)
    expect(wire.stream.destroyed).toBe(false)
  })

  test('and does not hang up after the end is cut as well', async () => {
    const listening = await Listening.open({ stalledMsMax: 8000 })
    const { client, wire } = await listening.connect()
    client.pause()
    wire.open(quiet).end()
    await once(wire.stream, 'finish')
    listening.clock.advance(10_000)
    expect(wire.stream.destroyed).toBe(true)
  })
})

describe('closing', () => {
  test('accepts no more and leaves open connections to their owners', async () => {
    const listening = await Listening.open()
    const { client, wire } = await listening.connect()
    listening.listener.close()
    listening.listener.close()
    const late = listening.dial()
    expect((await closed(late)).errored).toMatchObject({ code: 'ECONNREFUSED' })
    client.write('still here')
    expect(String((await once(wire.stream, 'data'))[0])).toBe('still here')
  })

  test('waits for connections to end, and cuts them when it has waited long enough', async () => {
    const listening = await Listening.open()
    const silent = await listening.connect()
    const first = await listening.connect()
    const second = await listening.connect()
    for (const { client, wire } of [first, second]) {
      wire.stream.write('hello')
      await once(client, 'data')
    }
    const emptied = listening.listener.emptied(5000)
    expect(silent.wire.stream.destroyed).toBe(true)
    first.wire.stream.destroy()
    await closed(first.wire.stream)
    expect(second.wire.stream.destroyed).toBe(false)
    listening.clock.advance(5000)
    await emptied
    expect(second.wire.stream.destroyed).toBe(true)
    expect(listening.clock.pendingCount).toBe(0)
  })

  test('is immediate when there are no connections', async () => {
    const listening = await Listening.open()
    await listening.listener.emptied(5000)
    expect(listening.clock.pendingCount).toBe(0)
  })

  test('lets the port be taken again', async () => {
    const first = await Listening.open()
    const { port } = first.listener.address
    await first.listener.emptied(0)
    expect((await Listening.open({}, { port })).listener.address.port).toBe(port)
  })
})

/** Bytes the operating system has not yet taken from the write under way. */
function queued(wire: Wire): number {
  return (wire.stream as unknown as { _handle: { writeQueueSize: number } })._handle.writeQueueSize
}

/** Runs without the rights of root, if the tests have them: root may listen on any port. */
async function asNobody<T>(run: () => Promise<T>): Promise<T> {
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(65_534)
  try {
    return await run()
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
}
