import { afterEach, describe, expect, test } from 'vitest'
import { everywhere } from '../../../../protocols/native/client/everywhere.ts'
import {
  Connection,
  ConnectionError,
  type Dialled,
  ManifoldError,
  type Peer,
  type WaitOptions,
} from '../../../../protocols/native/client/index.ts'
import { Reconnect } from '../../../../protocols/native/client/reconnect.ts'
import { defaultReconnect, parseTarget } from '../../../../protocols/native/client/url.ts'
import { NativeBroker } from '../../../support/native-broker.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

let broker: NativeBroker

afterEach(() => broker?.[Symbol.asyncDispose]())

const atOnce = { reconnect: { initialReconnectDelay: 0, useExponentialBackOff: false } }

async function opened(): Promise<NativeBroker> {
  broker = await NativeBroker.open()
  return broker
}

/** Cuts the wire that was opened last, and waits until the client is back. */
async function cut(client: Connection): Promise<void> {
  broker.streams.at(-1)?.destroy()
  await resumed(client)
}

async function resumed(client: Connection): Promise<void> {
  for (let turn = 0; turn < 200; turn += 1) {
    await broker.idle(2)
    broker.clock.advance(1)
    if (turn > 3 && client.isConnected) return
  }
  throw new Error('it does not come back')
}

describe('URLs', () => {
  test.each([
    ['tcp://a:1', ['tcp'], false],
    ['failover:(tcp://a:1,ws://b)?randomize=false&maxReconnectAttempts=3', ['tcp', 'ws'], true],
    ['failover://(tcp://a:1,tls://b:2)', ['tcp', 'tls'], true],
    ['failover:tcp://a:1', ['tcp'], true],
    ['ssl://a:1', ['tls'], false],
    ['vm://x?create=true', ['vm'], false],
  ])('%s is understood', (text, schemes, isFailover) => {
    const target = parseTarget(text, defaultReconnect, everywhere)
    expect(target.endpoints.map(({ scheme }) => scheme)).toEqual(schemes)
    expect(target.isFailover).toBe(isFailover)
  })

  test('options of failover have their types and defaults', () => {
    const { reconnect } = parseTarget(
      'failover:(tcp://a:1)?randomize=false&initialReconnectDelay=50',
      defaultReconnect,
      everywhere,
    )
    expect(reconnect).toMatchObject({
      randomize: false,
      initialReconnectDelay: 50,
      maxReconnectDelay: 30_000,
      jitter: true,
    })
  })

  test.each([
    ['localhost', 'is no URL'],
    ['http://a', 'is none of tcp:'],
    ['failover:()', 'names no broker'],
    ['failover:(tcp://a:1)?randomise=true', 'no option "randomise"'],
    ['failover:(tcp://a:1)?randomize=maybe', 'cannot be "maybe"'],
    ['failover:(tcp://a:1)?maxReconnectDelay=soon', 'cannot be "soon"'],
  ])('%s is refused with a sentence', (text, sentence) => {
    expect(() => parseTarget(text, defaultReconnect, everywhere)).toThrow(sentence)
  })

  test('a password is in no sentence', () => {
    expect(parseTarget('tcp://me:secret@a:1', defaultReconnect, everywhere).endpoints[0]?.text).toBe('tcp://a:1')
  })
})

describe('attempts', () => {
  async function attempts(
    url: string,
    random: () => number,
  ): Promise<{ readonly dialled: string[]; readonly delays: number[] }> {
    const clock = new VirtualClock()
    const dialled: string[] = []
    const delays: number[] = []
    const environment = { now: () => clock.now(), after: clock.after.bind(clock), random, soon: queueMicrotask }
    const reconnect = new Reconnect(parseTarget(url, defaultReconnect, everywhere), environment, {
      dial: ({ text }) => {
        dialled.push(text)
        return Promise.reject(new Error('nobody there'))
      },
      waiting: (_attempt, delayMs) => {
        delays.push(delayMs)
        queueMicrotask(() => clock.advance(delayMs))
      },
    })
    await expect(reconnect.connect(new AbortController().signal)).rejects.toThrow('nobody there')
    return { dialled, delays }
  }

  test('wait longer each time, up to the most, and end when they are to', async () => {
    const url = 'failover:(tcp://a:1)?jitter=false&initialReconnectDelay=10&maxReconnectDelay=60&maxReconnectAttempts=5'
    expect((await attempts(url, () => 0.5)).delays).toEqual([10, 20, 40, 60, 60])
  })

  test('draw each delay from between nothing and what it would be', async () => {
    const draws = [0, 0.5, 0.999]
    const { delays } = await attempts('failover:(tcp://a:1)?maxReconnectAttempts=3', () => draws.shift() ?? 0)
    expect(delays[0]).toBe(0)
    expect(delays[1]).toBe(10)
    expect(delays[2]).toBeCloseTo(39.96)
  })

  test('try every broker of the list in each round, in its order if they are not to be random', async () => {
    const { dialled } = await attempts('failover:(tcp://a:1,tcp://b:1)?randomize=false&maxReconnectAttempts=1', () => 0)
    expect(dialled).toEqual(['tcp://a:1', 'tcp://b:1', 'tcp://a:1', 'tcp://b:1'])
  })
})

describe('a broker that lets the client in and ends the connection at once', () => {
  const lost = new ConnectionError('protocol-error', 'so it goes')

  /** A client of brokers that do so, so often; `heldMs`: after so long. */
  async function looped(url: string, times: number, heldMs: number) {
    const clock = new VirtualClock()
    const delays: number[] = []
    const dialled: string[] = []
    const environment = {
      now: () => clock.now(),
      after: clock.after.bind(clock),
      random: () => 0.5,
      soon: queueMicrotask,
    }
    const reconnect = new Reconnect(parseTarget(url, defaultReconnect, everywhere), environment, {
      dial: ({ text }) => {
        dialled.push(text)
        return Promise.resolve({} as Dialled)
      },
      waiting: (_attempt, delayMs) => {
        delays.push(delayMs)
        queueMicrotask(() => clock.advance(delayMs))
      },
    })
    const { signal } = new AbortController()
    await reconnect.connect(signal)
    for (let time = 0; time < times; time += 1) {
      clock.advance(heldMs)
      await reconnect.connect(signal, lost)
    }
    return { delays, dialled }
  }

  test('is tried again at once, and then no more often than one that is not there', async () => {
    const url = 'failover:(tcp://a:1)?jitter=false&maxReconnectDelay=60'
    expect((await looped(url, 6, 5)).delays).toEqual([10, 20, 40, 60, 60])
    expect((await looped('failover:(tcp://a:1)', 4, 999)).delays).toEqual([5, 10, 20])
  })

  test('is no such one if it has held the connection for a second, or as long as it would be waited for', async () => {
    expect((await looped('failover:(tcp://a:1)', 10, 1000)).delays).toEqual([])
    const slow = 'failover:(tcp://a:1)?jitter=false&initialReconnectDelay=5000&useExponentialBackOff=false'
    expect((await looped(slow, 3, 4999)).delays).toEqual([5000, 5000])
    expect((await looped(slow, 3, 5000)).delays).toEqual([])
  })

  test('comes after the others', async () => {
    const { dialled } = await looped('failover:(tcp://a:1,tcp://b:1)?randomize=false', 4, 5)
    expect(dialled).toEqual(['tcp://a:1', 'tcp://b:1', 'tcp://a:1', 'tcp://b:1', 'tcp://a:1'])
    const held = await looped('failover:(tcp://a:1,tcp://b:1)?randomize=false', 2, 1000)
    expect(held.dialled).toEqual(['tcp://a:1', 'tcp://a:1', 'tcp://a:1'])
  })

  test('is given up as the options say, with its reason', async () => {
    await expect(looped('failover:(tcp://a:1)?maxReconnectAttempts=2', 3, 0)).resolves.toBeDefined()
    await expect(looped('failover:(tcp://a:1)?maxReconnectAttempts=2', 4, 0)).rejects.toBe(lost)
    await expect(looped('failover:(tcp://a:1)?maxReconnectAttempts=0', 2, 0)).rejects.toBe(lost)
  })

  test.each(['protocol-error', 'limit-exceeded', 'taken-over', 'shutting-down', 'connection-lost'])(
    'is not dialled without end while no time passes, whatever it says: %s',
    async (code) => {
      const clock = new VirtualClock()
      let dials = 0
      const environment = {
        now: () => clock.now(),
        after: clock.after.bind(clock),
        random: () => 0.5,
        soon: queueMicrotask,
      }
      const nothing = (): undefined => undefined
      const peer = new Proxy({} as Peer, { get: () => nothing })
      const welcome = { connectionId: '1', broker: 'b', product: 'p', clockOffsetMs: 0 }
      const target = parseTarget('failover:(tcp://a:1)', defaultReconnect, everywhere)
      const client = await Connection.open(target, { environment }, (_endpoint, _given, events) => {
        dials += 1
        setImmediate(() => events.lost(new ManifoldError(code, 'no')))
        return Promise.resolve({ peer, welcome })
      })
      const pass = async (): Promise<void> => {
        for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate)
      }
      await pass()
      expect(dials).toBe(2)
      for (let advanced = 0; advanced < 300; advanced += 1) {
        clock.advance(100)
        await pass()
      }
      expect(dials).toBeGreaterThan(8)
      expect(dials).toBeLessThan(16)
      await client.close()
    },
  )

  test.each(['not-authenticated', 'not-authorised'])('is left for good if it says twice: %s', async (code) => {
    const clock = new VirtualClock()
    const environment = {
      now: () => clock.now(),
      after: clock.after.bind(clock),
      random: () => 0.5,
      soon: queueMicrotask,
    }
    const given = { dial: () => Promise.resolve({} as Dialled), waiting: () => undefined }
    const reconnect = new Reconnect(
      parseTarget('failover:(tcp://a:1)', defaultReconnect, everywhere),
      environment,
      given,
    )
    const { signal } = new AbortController()
    const refused = new ManifoldError(code, 'no more')
    await reconnect.connect(signal)
    await reconnect.connect(signal, refused)
    await expect(reconnect.connect(signal, refused)).rejects.toBe(refused)
  })
})

describe('a broker that does not answer', () => {
  /** What waits for its answer, given how long it may. */
  const calls: readonly (readonly [string, (client: Connection, wait: WaitOptions) => Promise<unknown>])[] = [
    ['inspect', (client, wait) => client.queue('q').inspect(wait)],
    ['declare', (client, wait) => client.queue('q').declare(wait)],
    ['purge', (client, wait) => client.queue('q').purge(wait)],
    ['delete', (client, wait) => client.queue('q').delete(wait)],
    ['unsubscribe', (client, wait) => client.topic('t').unsubscribe('n', wait)],
    ['temporary', (client, wait) => client.temporaryQueue(undefined, wait)],
    ['committing', (client, wait) => client.transaction(() => undefined, wait)],
  ]

  test.each(calls)('is not waited for longer than is said: %s', async (what, call) => {
    const client = await (await opened()).connect({ heartBeat: 0 })
    broker.deaf = true
    const late = call(client, { timeout: 500 })
    const aborting = new AbortController()
    const given = call(client, { signal: aborting.signal })
    const failures = Promise.allSettled([late, given])
    await broker.idle(5)
    broker.clock.advance(499)
    aborting.abort()
    await broker.idle(5)
    broker.clock.advance(1)
    expect(await failures).toMatchObject([
      {
        reason: { code: 'timed-out', outcome: 'unknown', message: `${what} took longer than 500 ms (option timeout)` },
      },
      { reason: { code: 'aborted', outcome: 'unknown' } },
    ])
  })

  test('is not waited for longer than the connection says', async () => {
    const client = await (await opened()).connect({ heartBeat: 0, timeout: 500 })
    broker.deaf = true
    const failures = Promise.allSettled(calls.map(([, call]) => call(client, {})))
    await broker.idle(5)
    broker.clock.advance(500)
    const codes = (await failures).map((one) => one.status === 'rejected' && one.reason.code)
    expect(codes).toEqual(calls.map(() => 'timed-out'))
  })

  test('nor for its word that a message is settled', async () => {
    const client = await (await opened()).connect({ heartBeat: 0 })
    await client.queue('q').send('x')
    const message = await client.queue('q').receive()
    broker.deaf = true
    const settled = message?.accept({ confirm: true, timeout: 500 })
    const failure = expect(settled).rejects.toMatchObject({ code: 'timed-out', outcome: 'unknown' })
    await broker.idle(5)
    broker.clock.advance(500)
    await failure
  })
})

describe('a connection that is lost', () => {
  test('tells what happens to it', async () => {
    const client = await (await opened()).connect(atOnce)
    const seen: string[] = []
    const watching = (async () => {
      for await (const { type } of client.status()) seen.push(type)
    })()
    await cut(client)
    await client.close()
    await watching
    expect(seen).toEqual(['interrupted', 'resumed', 'closed'])
  })

  test('that is not to come back is closed, with the reason', async () => {
    const client = await (await opened()).connect({ reconnect: false })
    const reasons: (Error | undefined)[] = []
    client.on('closed', ({ error }) => reasons.push(error))
    const sending = client.queue('q').producer()
    broker.streams.at(-1)?.destroy()
    await broker.idle(20)
    expect(client.isClosed).toBe(true)
    expect(reasons[0]?.message).toContain('the connection is lost')
    await expect(sending.send('x')).rejects.toMatchObject({ code: 'connection-lost' })
  })

  test('keeps sends that were made meanwhile, in order', async () => {
    const client = await (await opened()).connect(atOnce)
    const queue = client.queue('q')
    await queue.send('before')
    broker.streams.at(-1)?.destroy()
    const sends = ['a', 'b', 'c'].map((body) => queue.send(body))
    await resumed(client)
    await Promise.all(sends)
    const bodies: unknown[] = []
    for await (const message of queue.browse()) bodies.push(message.body)
    expect(bodies).toEqual(['before', 'a', 'b', 'c'])
  })

  test('does not send again what was given up meanwhile, and says that it may have been stored', async () => {
    const client = await (await opened()).connect({ reconnect: { initialReconnectDelay: 1000, jitter: false } })
    const queue = client.queue('q')
    await queue.send('first')
    broker.deaf = true
    const written = queue.send('written', { timeout: 500 }).catch((error: ManifoldError) => error)
    await broker.idle(20)
    broker.deaf = false
    broker.refusing = true
    broker.streams.at(-1)?.destroy()
    await broker.idle()
    broker.refusing = false
    const waiting = queue.send('waiting', { timeout: 500 }).catch((error: ManifoldError) => error)
    await broker.advance(500)
    expect(await written).toMatchObject({ code: 'timed-out', outcome: 'unknown' })
    expect(await waiting).toMatchObject({ code: 'timed-out', outcome: 'none' })
    await broker.advance(500)
    await queue.send('last')
    const bodies: unknown[] = []
    for await (const message of queue.browse()) bodies.push(message.body)
    expect(bodies).toEqual(['first', 'written', 'last'])
  })

  test('goes on with its handlers, and aborts those whose message is somebody else’s now', async () => {
    const client = await (await opened()).connect(atOnce)
    const queue = client.queue('q')
    await queue.send('x')
    const aborted: boolean[] = []
    let count = 0
    queue.process(async (_message, { signal }) => {
      count += 1
      if (count > 1) return
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      aborted.push(signal.aborted)
    })
    while (count === 0) await broker.idle()
    await cut(client)
    while ((await queue.inspect()).messages !== 0) await broker.idle()
    expect(aborted).toEqual([true])
    expect(count).toBe(2)
  })

  test('rejects requests that have no answer yet, and takes new ones', async () => {
    const server = await (await opened()).connect()
    const client = await broker.connect(atOnce)
    server
      .queue('echo')
      .process((message) => (message.text === 'never' ? new Promise(() => undefined) : message.text), {
        concurrency: 4,
      })
    await broker.idle()
    const lost = client
      .queue('echo')
      .request('never')
      .catch((error: ManifoldError) => error)
    await broker.idle(20)
    await cut(client)
    expect(await lost).toMatchObject({ code: 'connection-lost', outcome: 'unknown', retryable: true })
    expect((await client.queue('echo').request('again')).body).toBe('again')
  })
})

describe('a named producer', () => {
  test('that begins anew goes on behind its last message', async () => {
    const first = await (await opened()).connect({ clientId: 'me' })
    await first.queue('q').producer({ name: 'p' }).send('a')
    await first.close()
    const second = await broker.connect({ clientId: 'me' })
    await second.queue('q').producer({ name: 'p' }).send('b')
    expect((await second.queue('q').inspect()).messages).toBe(2)
  })

  test('that is opened a second time ends the first', async () => {
    const one = await (await opened()).connect()
    const first = one.queue('q').producer({ name: 'p' })
    await first.send('a')
    const other = await broker.connect()
    await other.queue('q').producer({ name: 'p' }).send('b')
    await expect(first.send('c')).rejects.toMatchObject({ code: 'taken-over' })
    expect((await other.queue('q').inspect()).messages).toBe(2)
  })

  test('whose name another has used while it was away does not take its sends for done', async () => {
    const one = await (await opened()).connect({ reconnect: { initialReconnectDelay: 1000, jitter: false } })
    const first = one.queue('q').producer({ name: 'p' })
    await first.send('a')
    broker.refusing = true
    broker.streams.at(-1)?.destroy()
    await broker.idle()
    broker.refusing = false
    const pending = first.send('b').catch((error: ManifoldError) => error)
    const other = await broker.connect()
    await other.queue('q').producer({ name: 'p' }).send('c')
    await other.close()
    await broker.advance(1000)
    expect(await pending).toMatchObject({ code: 'taken-over' })
  })

  test('of which a send is given up while it is away keeps the numbers of the others', async () => {
    const client = await (await opened()).connect({ reconnect: { initialReconnectDelay: 1000, jitter: false } })
    const producer = client.queue('q').producer({ name: 'p' })
    await producer.send('first')
    broker.deaf = true
    const giveUp = new AbortController()
    const given = producer.send('given up', { signal: giveUp.signal }).catch((error: ManifoldError) => error)
    await broker.idle(20)
    broker.deaf = false
    broker.refusing = true
    broker.streams.at(-1)?.destroy()
    await broker.idle()
    broker.refusing = false
    const next = producer.send('next')
    giveUp.abort()
    expect(await given).toMatchObject({ code: 'aborted', outcome: 'unknown' })
    await broker.advance(1000)
    await next
    const bodies: unknown[] = []
    for await (const message of client.queue('q').browse()) bodies.push(message.body)
    expect(bodies).toEqual(['first', 'given up', 'next'])
  })

  test('tells after a reconnect which of its sends were refused', async () => {
    broker = await NativeBroker.open({ limits: { messageBytesMax: 1024 } })
    const client = await broker.connect(atOnce)
    const producer = client.queue('q').producer({ name: 'p' })
    await producer.send('first')
    // The answers are lost with the connection.
    broker.deaf = true
    const sends = ['a', 'x'.repeat(2000), 'b'].map((body) =>
      producer.send(body).then(
        () => 'stored',
        () => 'refused',
      ),
    )
    await broker.idle(20)
    broker.deaf = false
    await cut(client)
    expect(await Promise.all(sends)).toEqual(['stored', 'refused', 'stored'])
    expect((await client.queue('q').inspect()).messages).toBe(3)
  })
})

test('a consumer that is closed in the midst of a message in parts harms nothing else', async () => {
  const client = await (await opened()).connect({ frameBytesMax: 4096 })
  await client.queue('q').send(new Uint8Array(500_000))
  const messages = client.queue('q').consume()
  const first = messages.next()
  await broker.idle(1)
  await messages.return()
  await first
  await client.queue('q').send('still there')
  expect(client.isConnected).toBe(true)
})
