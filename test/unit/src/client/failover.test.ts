import { afterEach, describe, expect, test } from 'vitest'
import { ConnectionError, type Dial, defaultReconnect } from '../../../../protocols/native/client/index.ts'
import { Failover } from '../../../../src/client/failover.ts'
import { defaultFailover, parseFailover } from '../../../../src/client/failover-options.ts'
import { type Connection, connect } from '../../../../src/client.ts'
import { startTestBroker, type TestBroker } from '../../../../src/testing.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

const open: { [Symbol.asyncDispose](): Promise<void> }[] = []

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]()
})

const clock = new VirtualClock()
const environment = {
  now: () => clock.now(),
  after: clock.after.bind(clock),
  random: () => 0.5,
  soon: (callback: () => void) => {
    setImmediate(callback)
  },
}

/** Lets the clients' time pass, and everybody act, until it is so; the test's own time-out ends it otherwise. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) {
    await new Promise((resolve) => setImmediate(resolve))
    clock.advance(1)
  }
}

async function during<T>(work: Promise<T>): Promise<T> {
  let isOver = false
  const over = (): void => {
    isOver = true
  }
  work.then(over, over)
  await until(() => isOver)
  return await work
}

async function broker(): Promise<TestBroker> {
  const started = await startTestBroker({ listeners: { native: { enabled: true } } })
  open.push(started)
  return started
}

async function client(brokers: readonly TestBroker[], options: string): Promise<Connection> {
  const urls = brokers.map((one) => one.url('native'))
  const connecting = connect(`failover:(${urls})?${options}`, { environment, heartBeat: 0 })
  const made = await during(connecting)
  open.push({ [Symbol.asyncDispose]: () => during(made.close()) })
  return made
}

describe('backup', () => {
  test('has a connection to another broker ready, and goes on with it when its own is lost', async () => {
    const [a, b] = [await broker(), await broker()]
    const made = await client([a, b], 'randomize=false&backup=true')
    await until(() => b.connectionCount === 1)
    await made.queue('q').send('to a')
    const delays: number[] = []
    made.on('reconnecting', ({ delayMs }) => delays.push(delayMs))
    a.refuse()
    a.cut()
    await during(made.queue('q').send('to b'))
    expect([a.messageCount('q'), b.messageCount('q')]).toEqual([1, 1])
    expect(delays).toEqual([])
    a.heal()
    await until(() => a.connectionCount === 1)
    expect(b.connectionCount).toBe(1)
  })

  test('is replaced when it is lost, and is not opened without being asked for', async () => {
    const [a, b, c] = [await broker(), await broker(), await broker()]
    await client([a, b, c], 'randomize=false&backup=true')
    await until(() => b.connectionCount === 1)
    b.refuse()
    b.cut()
    await until(() => c.connectionCount === 1)
    const plain = await client([a, b, c], 'randomize=false')
    expect(plain.isConnected).toBe(true)
    expect([a.connectionCount, b.connectionCount, c.connectionCount]).toEqual([2, 0, 1])
  })

  test('can be several, and ends with the connection', async () => {
    const [a, b, c] = [await broker(), await broker(), await broker()]
    const made = await client([a, b, c], 'randomize=false&backup=true&backupPoolSize=5')
    await until(() => b.connectionCount === 1 && c.connectionCount === 1)
    await during(made.close())
    await until(() => a.connectionCount + b.connectionCount + c.connectionCount === 0)
  })

  test('consumers go on over it', async () => {
    const [a, b] = [await broker(), await broker()]
    const made = await client([a, b], 'randomize=false&backup=true')
    const bodies: string[] = []
    made.queue('q').process(({ text }) => {
      bodies.push(text)
    })
    await until(() => b.connectionCount === 1)
    await a.send({ to: 'queue://q', body: 'from a' })
    await until(() => bodies.length === 1)
    a.refuse()
    a.cut()
    await b.send({ to: 'queue://q', body: 'from b' })
    await until(() => bodies.length === 2)
    expect(bodies).toEqual(['from a', 'from b'])
  })
})

test('a broker that ends what is kept ready at once is asked less and less often', async () => {
  const target = parseFailover('failover:(tcp://a,tcp://b)?randomize=false&backup=true', undefined)
  const own = new VirtualClock()
  const dials: number[] = []
  const dialOnce: Dial = ({ text }, _given, events) => {
    if (text === 'tcp://b') {
      dials.push(own.now())
      setImmediate(() => events.lost(new ConnectionError('protocol-error', 'no')))
    }
    return Promise.resolve({ peer: { destroy: () => undefined } as never, welcome: {} as never })
  }
  const ended = new AbortController()
  const failover = new Failover(
    target,
    { environment: { ...environment, now: () => own.now(), after: own.after.bind(own) } },
    dialOnce,
  )
  await failover.dial(target.endpoints[0] as never, {} as never, {} as never, ended.signal)
  for (let passed = 0; passed < 20_000; passed += 10) {
    for (let turn = 0; turn < 6; turn += 1) await new Promise(setImmediate)
    own.advance(10)
  }
  ended.abort()
  expect(dials.length).toBeGreaterThan(6)
  expect(dials.length).toBeLessThan(16)
  const gaps = dials.slice(1).map((at, index) => at - (dials[index] as number))
  expect(Math.max(...gaps)).toBeGreaterThan(4000)
})

describe('priorityBackup', () => {
  test('goes back to the first broker once it is there again', async () => {
    const [a, b] = [await broker(), await broker()]
    a.refuse()
    const made = await client([a, b], 'priorityBackup=true')
    await made.queue('q').send('to b')
    expect([a.connectionCount, b.connectionCount]).toEqual([0, 1])
    a.heal()
    await until(() => a.connectionCount === 1 && b.connectionCount === 0)
    await until(() => made.isConnected)
    await during(made.queue('q').send('to a'))
    expect([a.messageCount('q'), b.messageCount('q')]).toEqual([1, 1])
  })

  test('tries the preferred brokers first, and stays with any of them', async () => {
    const [a, b, c] = [await broker(), await broker(), await broker()]
    await client([a, b, c], `priorityBackup=true&priorityURIs=${[c.url('native'), b.url('native')]}`)
    expect([a.connectionCount, b.connectionCount, c.connectionCount]).toEqual([0, 0, 1])
    b.refuse()
    c.refuse()
    c.cut()
    await until(() => a.connectionCount === 1)
    b.heal()
    await until(() => b.connectionCount === 1 && a.connectionCount === 0)
    c.heal()
    await client([a], 'randomize=false')
    expect([a.connectionCount, b.connectionCount, c.connectionCount]).toEqual([1, 1, 0])
  })

  describe('leaves a broker in order:', () => {
    /** A client at the second of two brokers, of which the first is there again soon. */
    async function astray() {
      const [a, b] = [await broker(), await broker()]
      a.refuse()
      const made = await client([a, b], 'priorityBackup=true')
      const left = (): boolean => a.connectionCount === 1 && b.connectionCount === 0 && made.isConnected
      /** The first one is there, and ready to be gone to. */
      const back = async (): Promise<void> => {
        a.heal()
        await until(() => a.connectionCount === 1)
        for (let turn = 0; turn < 200; turn += 1) await new Promise(setImmediate)
      }
      return { a, b, made, left, back }
    }

    async function bodiesOf(brokers: readonly TestBroker[], queue: string): Promise<string[]> {
      const bodies: string[] = []
      for (const one of brokers) {
        const reader = await client([one], 'randomize=false')
        const seen = (async () => {
          for await (const { text } of reader.queue(queue).browse()) bodies.push(text)
        })()
        await during(seen)
      }
      return bodies
    }

    test.each([
      ['', {}],
      ['a named producer', { name: 'p' }],
    ])('no send is lost, and none is there twice %s', async (_whose, options) => {
      const { a, b, made, left } = await astray()
      const producer = made.queue('q').producer(options)
      const sends: Promise<void>[] = []
      a.heal()
      await until(() => {
        for (let index = 0; index < 10; index += 1) sends.push(producer.send(`message ${sends.length}`))
        return left()
      })
      await during(Promise.all(sends))
      const bodies = await bodiesOf([b, a], 'q')
      expect(b.messageCount('q')).toBeGreaterThan(0)
      expect(bodies).toEqual(sends.map((_, index) => `message ${index}`))
    })

    test('handlers finish what they have, and are given nothing more', async () => {
      const { a, b, made, left, back } = await astray()
      for (const body of ['1', '2', '3']) await b.send({ to: 'queue://q', body })
      const begun: string[] = []
      let finish: () => void = () => undefined
      const finished = new Promise<void>((resolve) => {
        finish = resolve
      })
      made.queue('q').process(
        async ({ text }) => {
          begun.push(text)
          if (text === '2') await finished
        },
        { concurrency: 2 },
      )
      await until(() => begun.length === 3)
      await back()
      await b.send({ to: 'queue://q', body: '4' })
      await a.send({ to: 'queue://q', body: '5' })
      const waiting = made.queue('r').send('waits')
      await b.waitForIdle({ ignoreUnsettled: true })
      expect([begun, b.connectionCount, b.messageCount('r')]).toEqual([['1', '2', '3'], 1, 0])
      finish()
      await until(left)
      await during(waiting)
      await until(() => begun.length === 4)
      expect([begun, b.messageCount('q'), a.messageCount('r')]).toEqual([['1', '2', '3', '5'], 1, 1])
    })

    test('what a loop has taken is settled', async () => {
      const { b, made, left, back } = await astray()
      for (const body of ['1', '2', '3']) await b.send({ to: 'queue://q', body })
      const messages = made.queue('q').consume()[Symbol.asyncIterator]()
      const first = await during(messages.next())
      await back()
      expect(b.connectionCount).toBe(1)
      await first.value?.accept()
      for (let count = 0; count < 2; count += 1) await (await during(messages.next())).value?.accept()
      await until(left)
      expect(b.messageCount('q')).toBe(0)
    })

    test('a transaction is committed, and a request is answered', async () => {
      const { b, made, left, back } = await astray()
      const answerer = await client([b], 'randomize=false')
      let answer: () => void = () => undefined
      const asked = new Promise<void>((resolve) => {
        answerer.queue('asked').process(async () => {
          await new Promise<void>((ready) => {
            answer = ready
            resolve()
          })
          return 'answered'
        })
      })
      await until(() => b.messageCount('asked') === 0)
      const requested = made.queue('asked').request('?')
      await during(asked)
      await b.send({ to: 'queue://in', body: 'moved' })
      let commit: () => void = () => undefined
      const mayCommit = new Promise<void>((resolve) => {
        commit = resolve
      })
      let isReady = false
      const transacted = made.transaction(async (tx) => {
        await tx.send('out', (await tx.receive('in'))?.text ?? '')
        isReady = true
        await mayCommit
      })
      await until(() => isReady)
      await back()
      commit()
      await during(transacted)
      await b.waitForIdle({ ignoreUnsettled: true })
      expect([b.messageCount('out'), b.messageCount('in'), b.connectionCount]).toEqual([1, 0, 2])
      answer()
      expect((await during(requested)).text).toBe('answered')
      await until(() => b.connectionCount === 1)
      expect(left()).toBe(false)
    })

    test('handlers that take too long are not waited for: their message is given back', async () => {
      const { b, made, left, back } = await astray()
      await b.send({ to: 'queue://q', body: 'long' })
      let signal: AbortSignal | undefined
      made.queue('q').process(async (_message, context) => {
        signal = context.signal
        await new Promise(() => undefined)
      })
      await until(() => signal !== undefined)
      await back()
      expect(b.connectionCount).toBe(1)
      const began = clock.now()
      await until(left)
      expect(clock.now() - began).toBeGreaterThan(25_000)
      expect([signal?.aborted, b.messageCount('q')]).toEqual([true, 1])
    })

    test('it stays if the preferred one has gone again, and goes on', async () => {
      const { a, b, made, back } = await astray()
      await b.send({ to: 'queue://q', body: 'held' })
      let finish: () => void = () => undefined
      const bodies: string[] = []
      made.queue('q').process(async ({ text }) => {
        bodies.push(text)
        await new Promise<void>((resolve) => {
          finish = resolve
        })
      })
      await until(() => bodies.length === 1)
      await back()
      const waiting = made.queue('r').send('waits')
      await b.waitForIdle({ ignoreUnsettled: true })
      expect(b.messageCount('r')).toBe(0)
      a.refuse()
      a.cut()
      await during(waiting)
      expect(b.messageCount('r')).toBe(1)
      finish()
      await b.send({ to: 'queue://q', body: 'next' })
      await until(() => bodies.length === 2)
      finish()
      expect(bodies).toEqual(['held', 'next'])
    })
  })
})

test('a broker that lets nobody in does not keep the next one from being tried', async () => {
  const [a, b] = [await broker(), await broker()]
  a.stall({ received: 1 })
  const made = await client([a, b], 'randomize=false')
  await made.queue('q').send('x')
  expect(b.messageCount('q')).toBe(1)
})

describe('options', () => {
  test('have the names and defaults of ActiveMQ', () => {
    const { reconnect } = parseFailover('failover:(tcp://a)', undefined)
    expect(reconnect).toMatchObject({
      initialReconnectDelay: 10,
      maxReconnectDelay: 30_000,
      useExponentialBackOff: true,
      backOffMultiplier: 2,
      maxReconnectAttempts: -1,
      startupMaxReconnectAttempts: -1,
      randomize: true,
      timeout: -1,
      backup: false,
      backupPoolSize: 1,
      priorityBackup: false,
      priorityURIs: '',
      warnAfterReconnectAttempts: 10,
    })
    expect(parseFailover('failover:(tcp://a)?reconnectDelayExponent=3', undefined).reconnect.backOffMultiplier).toBe(3)
    expect(defaultFailover).toMatchObject(defaultReconnect)
  })

  test('of the URL come before those of the call', () => {
    const { reconnect } = parseFailover('failover:(tcp://a)?timeout=1', { timeout: 2, backup: true })
    expect(reconnect).toMatchObject({ timeout: 1, backup: true })
  })

  test('of the brokers are not taken for its own', () => {
    const text = 'failover:(vm://a?create=true&pass=reference,vm://b?create=true)'
    for (const { endpoints } of [parseFailover(text, undefined), parseFailover(`${text}?timeout=5`, undefined)]) {
      expect(endpoints.map(({ url }) => url.search)).toEqual(['?create=true&pass=reference', '?create=true'])
    }
  })

  test('nested ones go to every broker', () => {
    const { endpoints } = parseFailover('failover:(vm://a?create=true,vm://b)?nested.pass=reference', undefined)
    expect(endpoints.map(({ url }) => url.href)).toEqual(['vm://a?create=true&pass=reference', 'vm://b?pass=reference'])
  })

  test.each([
    ['backups=true', /no option "backups"; it has .*backup, backupPoolSize, priorityBackup, priorityURIs/],
    ['backup=1', /backup cannot be "1"/],
    ['updateURIsSupported=true', /can only be false/],
    ['priorityBackup=true&priorityURIs=x', /"x" is no URL/],
  ])('%s is refused with a sentence', async (options, sentence) => {
    await expect(connect(`failover:(tcp://a)?${options}`)).rejects.toThrow(sentence)
    expect(() => parseFailover('failover:(tcp://a)?updateURIsSupported=false', undefined)).not.toThrow()
  })

  test('warnAfterReconnectAttempts warns each time so many rounds have failed', async () => {
    const target = parseFailover('failover:(tcp://a,tcp://b)?warnAfterReconnectAttempts=2', undefined)
    const warnings: string[] = []
    const nobody = () => Promise.reject(new Error('nobody there'))
    const failover = new Failover(target, {}, nobody, (sentence) => warnings.push(sentence))
    const { signal } = new AbortController()
    for (let attempt = 0; attempt < 8; attempt += 1) {
      const [endpoint] = target.endpoints
      await failover.dial(endpoint as never, {} as never, {} as never, signal).catch(() => undefined)
    }
    expect(warnings).toEqual([
      'none of tcp://a, tcp://b is reached after 2 attempts; trying on',
      'none of tcp://a, tcp://b is reached after 4 attempts; trying on',
    ])
  })

  test('timeout is how long a send waits for a connection', async () => {
    const a = await broker()
    const made = await client([a], 'timeout=500&initialReconnectDelay=10000&jitter=false')
    a.refuse()
    a.cut()
    await until(() => !made.isConnected)
    await expect(during(made.queue('q').send('x'))).rejects.toMatchObject({ code: 'timed-out' })
  })
})
