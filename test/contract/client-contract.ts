import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openAccess } from '../../src/broker/access.ts'
import type { Codec, ManifoldError, PropertyInput, SendOptions } from '../../src/client.ts'
import { BrokerError } from '../../src/errors.ts'
import { type Carrier, type Client, NativeBroker } from '../support/native-broker.ts'

let broker: NativeBroker
let chosen: Carrier
let built: Client

afterEach(async () => {
  await broker[Symbol.asyncDispose]()
})

async function opened(options: Parameters<typeof NativeBroker.open>[0] = {}): Promise<NativeBroker> {
  broker = await NativeBroker.open(options)
  broker.carrier = chosen
  broker.client = built
  return broker
}

async function failure(promise: Promise<unknown>): Promise<ManifoldError> {
  const error = await promise.then(
    () => new Error('it did not fail'),
    (cause: unknown) => cause,
  )
  if (!(error instanceof built.ManifoldError)) throw error
  return error
}

/** What every client does, whatever carries it and however it was built. */
export function clientContract(carrier: Carrier, client: Client): void {
  const { bytes, json, list, map, t, text } = client

  beforeEach(() => {
    chosen = carrier
    built = client
  })

  describe('bodies', () => {
    test.each([
      ['text', 'é€😀', 'text'],
      ['no text', '', 'text'],
      ['nothing', undefined, 'none'],
      ['bytes', Uint8Array.of(0, 255), 'bytes'],
      ['an object', { a: [1, null] }, 'json'],
      ['null', null, 'json'],
      ['a number', 5, 'json'],
      [
        'a map',
        new Map<string, string | number>([
          ['a', 1],
          ['b', 'x'],
        ]),
        'map',
      ],
      ['long text', 'x'.repeat(100_000), 'text'],
      ['long bytes', new Uint8Array(3_000_000).fill(7), 'bytes'],
    ])('%s comes back as it was sent', async (_name, body, kind) => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      await queue.send(body)
      const message = await queue.receive()
      expect(message?.kind).toBe(kind)
      const same = (value: unknown): unknown =>
        value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value
      expect(same(message?.body)).toEqual(same(body))
      await message?.accept()
    })

    test('with a codec have a type', async () => {
      const client = await (await opened()).connect()
      const orders = client.queue('q', json<{ id: number }>())
      await orders.send({ id: 1 })
      expect((await orders.receive())?.body.id).toBe(1)
      const named = client.queue('m', map)
      await named.send({ n: t.short(5), s: 'x' })
      expect((await named.receive())?.body).toEqual(
        new Map<string, unknown>([
          ['n', 5],
          ['s', 'x'],
        ]),
      )
      const items = client.queue('l', list)
      await items.send([1, 'x', null])
      expect((await items.receive())?.body).toEqual([1, 'x', null])
      await client.queue('t', text).send('x')
      expect((await client.queue('t', bytes).receive())?.body).toHaveLength(1)
    })

    test('that do not match their schema throw when they are looked at', async () => {
      const client = await (await opened()).connect()
      const schema = {
        '~standard': {
          validate: (value: unknown) =>
            typeof value === 'number' ? { value } : { issues: [{ message: 'must be a number' }] },
        },
      }
      await client.queue('q').send('"text"')
      const message = await client.queue('q', json<number>(schema)).receive()
      expect(() => message?.body).toThrow('must be a number')
    })

    test('of the wrong kind say which it is', async () => {
      const client = await (await opened()).connect()
      await client.queue('q').send(new Map([['a', 1]]))
      const message = await client.queue('q').receive()
      expect(() => message?.text).toThrow('of the kind map')
    })
  })

  describe('a message', () => {
    test('keeps everything that was said of it, types included', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      const properties = {
        s: t.short(5),
        i: 6,
        l: 2 ** 40,
        d: 0.5,
        big: 2n ** 62n,
        f: t.float(0.25),
        text: 'x',
        yes: true,
        no: null,
        out: undefined,
      }
      await queue.send('x', {
        properties,
        priority: 7,
        ttl: 60_000,
        correlationId: 'c',
        replyTo: 'queue://r',
        subject: 's',
        contentType: 'text/plain',
        contentEncoding: 'identity',
        group: 'g',
        groupSequence: 3,
        messageId: 'mine',
        timestamp: true,
        traceparent: '00-1',
        userId: 'me',
      })
      const message = await queue.receive()
      const { out: _, ...read } = properties
      expect({ ...message?.properties }).toEqual({ ...read, s: 5, f: 0.25 })
      expect(message?.typedProperties[0]).toEqual(['s', { type: 'short', value: 5 }])
      expect(message).toMatchObject({
        id: 'mine',
        persistent: true,
        priority: 7,
        correlationId: 'c',
        replyTo: 'queue://r',
        subject: 's',
        contentType: 'text/plain',
        contentEncoding: 'identity',
        group: 'g',
        groupSequence: 3,
        traceparent: '00-1',
        userId: 'me',
        redelivered: false,
        deliveryCount: 0,
        address: 'queue://q',
      })
      expect(message?.timestamp?.getTime()).toBe(broker.clock.now())
      expect(message?.expiresAt?.getTime()).toBe(broker.clock.now() + 60_000)
    })

    test('without an id of its sender has one of the broker, the same for every subscriber', async () => {
      const client = await (await opened()).connect()
      const topic = client.topic('t')
      const ids: string[] = []
      const take = async (): Promise<void> => {
        for await (const message of topic.consume({ ack: 'none' })) {
          ids.push(message.id)
          break
        }
      }
      const both = [take(), take()]
      await broker.idle()
      await topic.send('x')
      await Promise.all(both)
      expect(ids[0]).toMatch(/^ID:run-\d+-1$/)
      expect(ids[1]).toBe(ids[0])
    })

    test('waits for its delay and dies at its expiry, by the clock of the broker', async () => {
      await opened()
      const client = await broker.connect({ environment: { ...broker.environment, now: () => 5 } })
      const queue = client.queue('q')
      await queue.send('later', { delay: 1000 })
      await queue.send('short', { ttl: 500 })
      await broker.advance(600)
      const received: unknown[] = []
      void (async () => {
        for await (const message of queue.consume({ ack: 'none' })) received.push(message.body)
      })()
      await broker.idle()
      expect(received).toEqual([])
      await broker.advance(500)
      expect(received).toEqual(['later'])
    })

    test.each(['accept', 'release', 'fail', 'reject'] as const)(
      'that is settled with %s is where it belongs',
      async (outcome) => {
        const client = await (await opened()).connect()
        const queue = client.queue('q')
        await queue.send('x')
        const message = await queue.receive()
        if (outcome === 'reject') await message?.reject('no such article', { confirm: true })
        else await message?.[outcome]({ confirm: true })
        const isBack = outcome === 'release' || outcome === 'fail'
        expect((await queue.inspect()).messages).toBe(isBack ? 1 : 0)
        if (isBack) expect((await queue.receive())?.deliveryCount).toBe(outcome === 'fail' ? 1 : 0)
        if (outcome !== 'reject') return
        const dead = await client.queue('DLQ.q').receive()
        expect(dead?.annotations['dead-letter-reason']).toContain('no such article')
        expect(dead?.address).toBe('queue://DLQ.q')
      },
    )

    test('that has failed comes again after its delay', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      await queue.send('x')
      await (await queue.receive())?.fail({ delay: 2000, confirm: true })
      const next = queue.receive()
      let isThere = false
      void next.then(() => {
        isThere = true
      })
      await broker.advance(1900)
      expect(isThere).toBe(false)
      await broker.advance(200)
      expect((await next)?.deliveryCount).toBe(1)
    })
  })

  describe('sending', () => {
    test('pipelines, keeps the order and is confirmed as a whole', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      await Promise.all(Array.from({ length: 10_000 }, (_, index) => queue.send(String(index))))
      const received: unknown[] = []
      for await (const message of queue.consume()) {
        received.push(message.body)
        void message.accept()
        if (received.length === 10_000) break
      }
      expect(received).toEqual(Array.from({ length: 10_000 }, (_, index) => String(index)))
    })

    test.each(['stored', 'accepted', 'none'] as const)('with confirm %s arrives', async (confirm) => {
      const client = await (await opened()).connect()
      const producer = client.queue('q').producer({ confirm })
      await Promise.all(['a', 'b'].map((body) => producer.send(body)))
      expect((await client.queue('q').receive())?.body).toBe('a')
      expect(producer.pendingCount).toBe(0)
      await producer.close()
      expect((await failure(producer.send('x'))).code).toBe('closed')
    })

    test('of long messages, one after the other, never runs out of credit', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('long')
      const body = new Uint8Array(3_000_000).fill(7)
      for (let count = 0; count < 8; count += 1) {
        await queue.send(body, { persistent: false })
        const message = await queue.receive()
        expect(message?.bytes.length).toBe(body.length)
        await message?.accept({ confirm: true })
      }
    })

    test('waits while a queue is full, and other queues go on', async () => {
      await opened({
        policies: [
          {
            match: (await import('../../src/address.ts')).Address.must('queue', 'full'),
            set: { messagesMax: 2 },
          },
        ],
      })
      const client = await broker.connect()
      const full = client.queue('full')
      const sent: number[] = []
      const sends = [0, 1, 2, 3, 4].map((index) => full.send('x').then(() => sent.push(index)))
      await client.queue('free').send('x')
      await broker.idle()
      expect(sent.length).toBeLessThan(5)
      const messages = full.consume({ ack: 'none' })
      for (let count = 0; count < 5; count += 1) await messages.next()
      await Promise.all(sends)
      expect(sent).toEqual([0, 1, 2, 3, 4])
    })

    test('to what was refused before is tried anew', async () => {
      let denied: BrokerError | undefined = new BrokerError('not-authorised', 'not now')
      await opened({ access: { ...openAccess, authorise: () => denied } })
      const client = await broker.connect()
      expect((await failure(client.queue('q').send('a'))).code).toBe('not-authorised')
      expect((await failure(client.send('queue://q', 'b'))).code).toBe('not-authorised')
      denied = undefined
      await client.queue('q').send('c')
      await client.send('queue://q', 'd')
      expect((await client.queue('q').receive())?.text).toBe('c')
    })

    test('of what the broker refuses rejects with its words, and the others go on', async () => {
      await opened({ limits: { messageBytesMax: 1024 } })
      const client = await broker.connect()
      const results = await Promise.allSettled(['a', 'x'.repeat(2000), 'b'].map((body) => client.queue('q').send(body)))
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
      const error = (results[1] as PromiseRejectedResult).reason as ManifoldError
      expect([error.code, error.retryable, error.outcome]).toEqual(['message-too-large', false, 'none'])
    })

    test.each([
      ['queue://a\u0001', 'invalid-destination'],
      ['topic://a.*', 'invalid-destination'],
      ['http://a', 'invalid-destination'],
    ])('to %j rejects with %s', async (address, code) => {
      const client = await (await opened()).connect()
      expect((await failure(client.queue(address).send('x'))).code).toBe(code)
      expect((await failure(client.send(address, 'x'))).code).toBe(code)
      await client.send('q', 'still there')
    })

    test('of what cannot be written rejects, and those behind it go on', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      const circle: Record<string, unknown> = {}
      circle.self = circle
      const deep = Array.from({ length: 9 }).reduce<PropertyInput>((inner) => t.list([inner]), 1)
      const sends = [
        ...[circle, { n: 1n }].map((body) => queue.send(body, { persistent: false })),
        queue.send('x', { properties: { deep } }),
        queue.send('after'),
      ]
      const results = await Promise.allSettled(sends)
      const codes = results.map((result) => (result.status === 'rejected' ? result.reason.code : 'sent'))
      // By reference no body is written, and so every one can be.
      if (carrier === 'vm:// by reference') expect(codes).toEqual(['sent', 'sent', 'invalid-request', 'sent'])
      else expect(codes).toEqual(['invalid-request', 'invalid-request', 'invalid-request', 'sent'])
      await client.queue('q').send('and later')
    })

    test.each<[string, SendOptions]>([
      ['a ttl', { ttl: 1e300 }],
      ['a delay', { delay: -1 }],
      ['a timestamp', { timestamp: Number.POSITIVE_INFINITY }],
      ['a sequence in a group', { group: 'g', groupSequence: Number.NaN }],
      ['a priority', { priority: 10 }],
      ['an int', { properties: { n: { type: 'int', value: 2 ** 31 } } }],
      ['a char', { properties: { c: t.char('\ud800') } }],
      ['a decimal', { correlationId: { type: 'decimal', value: new Uint8Array(5) } }],
      ['a list', { properties: { l: { type: 'list', value: [{ type: 'char', value: '\udfff' }] } } }],
    ])('with %s that is none rejects, and those behind it go on', async (_what, options) => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      const refused = failure(queue.send('x', options))
      const sent = queue.send('y')
      expect((await refused).code).toBe('invalid-request')
      await sent
      expect(client.isConnected).toBe(true)
      expect((await queue.inspect()).messages).toBe(1)
    })

    test('of more than a message may be rejects, and those behind it go on', async () => {
      const limits = { frameBytesMax: 4096, bodyBytesMax: 20_000 }
      const client = await (await opened({ native: { limits }, limits: { messageBytesMax: 20_000 } })).connect()
      const queue = client.queue('q')
      const bodies = ['é'.repeat(3000), 'é'.repeat(9500), new Uint8Array(21_000), 'x']
      const results = await Promise.allSettled(bodies.map((body) => queue.send(body)))
      const codes = results.map((result) => (result.status === 'rejected' ? result.reason.code : 'sent'))
      expect(codes).toEqual(['sent', 'sent', 'message-too-large', 'sent'])
      expect(client.isConnected).toBe(true)
    })

    test('with properties that take more than a frame arrives', async () => {
      const limits = { frameBytesMax: 4096, bodyBytesMax: 100_000 }
      const client = await (await opened({ native: { limits } })).connect({ frameBytesMax: 4096 })
      const long = 'p'.repeat(30_000)
      await client.queue('q').send('body', { properties: { long, n: 7 }, subject: 's' })
      const message = await client.queue('q').receive()
      expect(message?.properties).toMatchObject({ long, n: 7 })
      expect([message?.subject, message?.text]).toEqual(['s', 'body'])
    })

    test('more than may wait is refused instead of kept', async () => {
      await opened({ native: { producerCredit: 1 } })
      const client = await broker.connect()
      const producer = client.queue('q').producer({ bufferBytesMax: 3000 })
      const results = await Promise.allSettled(Array.from({ length: 5 }, () => producer.send('x'.repeat(1000))))
      expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(3)
    })

    test('that is aborted before it is written never happens', async () => {
      await opened({ native: { producerCredit: 1 } })
      const client = await broker.connect()
      const producer = client.queue('q').producer()
      const abort = new AbortController()
      const first = producer.send('a')
      const second = producer.send('b', { signal: abort.signal })
      const third = producer.send('c')
      abort.abort(new Error('enough'))
      expect(await failure(second)).toMatchObject({ code: 'aborted', outcome: 'none' })
      await Promise.all([first, third])
      expect((await client.queue('q').inspect()).messages).toBe(2)
    })

    test('that takes too long says so', async () => {
      await opened({ native: { producerCredit: 1 } })
      const client = await broker.connect()
      const producer = client.queue('q').producer()
      const first = producer.send('a')
      const late = failure(producer.send('b', { timeout: 100 }))
      broker.clock.advance(100)
      expect(await late).toMatchObject({ code: 'timed-out', retryable: true, outcome: 'none' })
      await first
    })
  })

  describe('consuming', () => {
    test('gives no more than the credit until something is settled', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      await Promise.all(Array.from({ length: 50 }, (_, index) => queue.send(String(index))))
      const messages = queue.consume({ credit: 10 })
      const first = await messages.next()
      await broker.idle()
      expect((await queue.inspect()).unsettled).toBe(10)
      await first.value?.accept()
      for (let index = 0; index < 9; index += 1) await (await messages.next()).value?.accept()
      await broker.idle()
      expect(await queue.inspect()).toMatchObject({ messages: 40, unsettled: 10 })
      await messages.return()
      await broker.idle()
      expect(await queue.inspect()).toMatchObject({ messages: 40, unsettled: 0, consumers: 0 })
    })

    test('keeps to its bytes', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      for (let index = 0; index < 20; index += 1) await queue.send('x'.repeat(1000))
      const messages = queue.consume({ creditBytes: 3500 })
      let count = 0
      const { value } = await messages.next()
      await broker.idle()
      expect(value?.size).toBeGreaterThan(1000)
      await value?.accept()
      for await (const message of messages) {
        count += 1
        await message.accept()
        if (count === 19) break
      }
      expect(count).toBe(19)
    })

    test('with a handler keeps as many at work as it may', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      await Promise.all(Array.from({ length: 40 }, (_, index) => queue.send(String(index))))
      let busy = 0
      let most = 0
      let done = 0
      const workers = queue.process(
        async () => {
          busy += 1
          most = Math.max(most, busy)
          await broker.idle(2)
          busy -= 1
          done += 1
        },
        { concurrency: 4 },
      )
      while (done < 40) await broker.idle()
      await workers.close()
      expect(most).toBe(4)
      expect((await queue.inspect()).messages).toBe(0)
    })

    test('keeps all free handlers at work while others take their time', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      await Promise.all(Array.from({ length: 300 }, (_, index) => queue.send(index)))
      let done = 0
      const held: (() => void)[] = []
      const workers = queue.process(
        (message) => {
          if (message.json<number>() < 20) return new Promise<void>((resolve) => held.push(resolve))
          done += 1
          return undefined
        },
        { concurrency: 32 },
      )
      await broker.idle(100)
      expect([held.length, done]).toEqual([20, 280])
      for (const release of held) release()
      await workers.close()
    })

    test('that holds one long message gets others for the bytes that are left', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      await queue.send(new Uint8Array(700_000))
      await Promise.all(Array.from({ length: 100 }, () => queue.send(new Uint8Array(10_000))))
      let small = 0
      let long: { accept(): Promise<void> } | undefined
      const workers = queue.consume(
        (message) => {
          if (message.bytes.length > 10_000) long = message
          else {
            small += 1
            void message.accept()
          }
        },
        { credit: 256, creditBytes: 1_000_000 },
      )
      await broker.idle(100)
      expect(small).toBe(100)
      await long?.accept()
      await workers.close()
    })

    test('a handler that throws fails its message, and the others go on', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      await queue.send('bad')
      await queue.send('good')
      const errors: string[] = []
      client.on('error', ({ error }) => errors.push(error.message))
      const seen: string[] = []
      const workers = queue.process((message) => {
        seen.push(`${message.text} ${message.deliveryCount}`)
        if (message.text === 'bad' && message.deliveryCount < 2) throw new Error('not now')
      })
      while (seen.length < 4) await broker.idle()
      await workers.close()
      expect(seen.sort()).toEqual(['bad 0', 'bad 1', 'bad 2', 'good 0'])
      expect(errors).toEqual(['not now', 'not now'])
    })

    test('takes only what the selector is true of', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      await queue.send('red', { properties: { color: 'red', n: 1 } })
      await queue.send('blue', { properties: { color: 'blue', n: 5 } })
      for await (const message of queue.consume({ selector: "color = 'blue' AND n > 3" })) {
        expect(message.text).toBe('blue')
        break
      }
    })

    test('from a pattern says where each message was sent to', async () => {
      const client = await (await opened()).connect()
      const messages = client.topic('prices.>').consume({ ack: 'none' })
      const first = messages.next()
      await broker.idle()
      await client.topic('prices.eu').send('1')
      await client.topic('prices.us.ny').send('2')
      expect((await first).value?.address).toBe('topic://prices.eu')
      expect((await messages.next()).value?.address).toBe('topic://prices.us.ny')
      await messages.return()
    })

    test('of a durable subscription gets what was sent while nobody was there', async () => {
      const client = await (await opened()).connect({ clientId: 'me' })
      const topic = client.topic('t')
      const messages = topic.consume({ name: 'sub', durable: true })
      void messages.next()
      await broker.idle()
      await messages.return()
      await topic.send('kept', { persistent: true })
      for await (const message of topic.consume({ name: 'sub', durable: true })) {
        expect(message.text).toBe('kept')
        await message.accept()
        break
      }
      await broker.idle()
      await topic.unsubscribe('sub')
    })

    test('of what the broker refuses ends the loop with its words', async () => {
      const client = await (await opened()).connect()
      const loop = async (): Promise<void> => {
        for await (const _ of client.queue('q').consume({ selector: 'a = = b' })) break
      }
      expect((await failure(loop())).code).toBe('invalid-selector')
    })

    test('ends when the queue is deleted', async () => {
      const client = await (await opened()).connect()
      await client.queue('q').declare()
      const messages = client.queue('q').consume()
      const next = failure(messages.next())
      await broker.idle()
      await client.queue('q').delete()
      expect((await next).code).toBe('deleted')
    })

    test('ends with its signal', async () => {
      const client = await (await opened()).connect()
      const abort = new AbortController()
      const next = client.queue('q').consume({ signal: abort.signal }).next()
      await broker.idle()
      abort.abort()
      expect(await next).toEqual({ value: undefined, done: true })
      await broker.idle()
      expect((await client.queue('q').inspect()).consumers).toBe(0)
    })

    test('ends when nothing comes in time, and keeps nothing', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      await queue.send('a')
      const seen: string[] = []
      const consuming = (async () => {
        for await (const message of queue.consume({ timeout: 1000 })) {
          seen.push(message.text)
          await message.accept()
        }
      })()
      const ended = failure(consuming)
      await broker.advance(999)
      await queue.send('b')
      await broker.advance(999)
      expect(seen).toEqual(['a', 'b'])
      await broker.advance(1)
      expect(await ended).toMatchObject({ code: 'timed-out' })
      await queue.send('c')
      expect(await queue.inspect()).toMatchObject({ messages: 1, unsettled: 0, consumers: 0 })
    })

    test('one by one leaves at the broker what was not asked for', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      const early = queue.receive({ timeout: 100 })
      await broker.advance(100)
      expect(await early).toBeUndefined()
      await queue.send('a')
      await queue.send('b')
      await (await queue.receive())?.accept({ confirm: true })
      expect(await queue.inspect()).toMatchObject({ messages: 1, unsettled: 0 })
    })
  })

  test('browsing shows everything, leaves it there and ends', async () => {
    const client = await (await opened()).connect()
    const queue = client.queue('q')
    for (const body of ['a', 'b', 'c']) await queue.send(body)
    const seen: unknown[] = []
    for await (const message of queue.browse()) seen.push(message.body)
    expect(seen).toEqual(['a', 'b', 'c'])
    expect((await queue.inspect()).messages).toBe(3)
    expect(await queue.purge()).toBe(3)
  })

  describe('a transaction', () => {
    test('sends and accepts together', async () => {
      const client = await (await opened()).connect()
      await client.queue('in').send('x')
      await client.transaction(async (tx) => {
        const message = await tx.receive('in')
        await tx.send('out', `${message?.text}!`)
        expect((await client.queue('out').inspect()).exists).toBe(false)
      })
      expect((await client.queue('in').inspect()).messages).toBe(0)
      expect((await client.queue('out').receive())?.body).toBe('x!')
    })

    test('that throws has not happened, and what it received counts as failed', async () => {
      const client = await (await opened()).connect()
      await client.queue('in').send('x')
      const failed = client.transaction(async (tx) => {
        await tx.receive('in')
        await tx.send('out', 'never')
        throw new Error('changed my mind')
      })
      await expect(failed).rejects.toThrow('changed my mind')
      expect((await client.queue('out').inspect()).exists).toBe(false)
      expect((await client.queue('in').receive())?.deliveryCount).toBe(1)
    })

    test('of which one send is refused is refused as a whole', async () => {
      await opened({ limits: { messageBytesMax: 1024 } })
      const client = await broker.connect()
      const failed = client.transaction(async (tx) => {
        await tx.send('out', 'fits')
        await tx.send('out', 'x'.repeat(5000))
      })
      expect((await failure(failed)).code).toBe('message-too-large')
      expect((await client.queue('out').inspect()).messages ?? 0).toBe(0)
    })
  })

  describe('a request', () => {
    test('is answered', async () => {
      await opened()
      const server = await broker.connect()
      const client = await broker.connect()
      server.queue('double').process((message) => ({ twice: (message.json<{ n: number }>()?.n ?? 0) * 2 }))
      await broker.idle()
      const answers = await Promise.all([1, 2, 3].map((n) => client.queue('double').request<{ twice: number }>({ n })))
      expect(answers.map((answer) => answer.body.twice)).toEqual([2, 4, 6])
    })

    test('has its answer decoded as it asks', async () => {
      await opened()
      const client = await broker.connect()
      client.queue('double').process((message) => ({ twice: (message.json<{ n: number }>()?.n ?? 0) * 2 }))
      const twice: Codec<number> = {
        encode: (value) => ({ twice: value }),
        decode: (message) => message.json<{ twice: number }>().twice,
      }
      const answer = await client.queue('double').request({ n: 4 }, { reply: twice })
      expect(answer.body).toBe(8)
    })

    test('that nobody can answer says so when its time is over', async () => {
      const client = await (await opened()).connect()
      await client.queue('nobody').declare()
      const request = failure(client.queue('nobody').request('x', { timeout: 1000 }))
      await broker.advance(1000)
      expect(await request).toMatchObject({ code: 'no-responders', retryable: true })
    })

    test('that somebody has and does not answer is timed out', async () => {
      const client = await (await opened()).connect()
      client.queue('slow').consume(() => undefined)
      await broker.idle()
      const request = failure(client.queue('slow').request('x', { timeout: 1000 }))
      await broker.advance(1000)
      expect((await request).code).toBe('timed-out')
    })
  })

  describe('ending', () => {
    test('by drain finishes what is at work and waits for every send', async () => {
      const client = await (await opened()).connect()
      const queue = client.queue('q')
      await queue.send('x')
      let isFinished = false
      queue.process(async () => {
        await broker.idle(20)
        isFinished = true
      })
      while ((await queue.inspect()).unsettled === 0) await broker.idle(1)
      const sent = client.queue('other').send('last')
      await client.drain()
      await sent
      expect(isFinished).toBe(true)
      expect(client.isClosed).toBe(true)
      const next = await broker.connect()
      expect((await next.queue('q').inspect()).messages).toBe(0)
      expect((await next.queue('other').inspect()).messages).toBe(1)
    })

    test('leaves nothing that waits for ever', async () => {
      const client = await (await opened()).connect()
      const used = client.queue('used')
      await used.send('x')
      await client.close()
      const fresh = client.queue('fresh')
      const calls = [
        ...[used, fresh].flatMap((queue) => [
          queue.send('x'),
          queue.producer().send('x'),
          queue.receive(),
          queue.request('x'),
          queue.inspect(),
          queue.consume(() => undefined).started,
        ]),
        client.send('queue://q', 'x'),
        client.temporaryQueue(),
        client.transaction((tx) => tx.send('q', 'x')),
      ]
      for (const call of calls) expect((await failure(call)).code).toBe('closed')
      for await (const _message of fresh.consume()) expect.unreachable()
      await client.drain()
    })

    test('by close rejects what is not answered, and ends the loops', async () => {
      const client = await (await opened()).connect()
      const next = client.queue('q').consume().next()
      await broker.idle()
      const sent = failure(client.queue('q').send('x'))
      await client.close()
      expect(await sent).toMatchObject({ code: 'closed' })
      expect((await next).done).toBe(true)
      expect((await failure(client.queue('q').send('x'))).code).toBe('closed')
      expect(broker.broker.sessionCount).toBe(0)
    })
  })

  test('an object by reference that has no form as bytes is described to those who need one', async () => {
    if (carrier !== 'vm:// by reference') return
    const client = await (await opened()).connect()
    const stomp = await broker.stomp()
    stomp.send('subscribe', { destination: '/queue/q', id: '1', ack: 'auto' })
    await client.queue('q').send({ n: 1n }, { properties: { color: 'red' } })
    const frame = await stomp.next('MESSAGE')
    expect(frame.body).toContain('cannot be written')
    expect(frame.headers).toMatchObject({ color: 'red' })
    stomp.close()
  })

  test('messages cross to STOMP and back', async () => {
    const client = await (await opened()).connect()
    const stomp = await broker.stomp()
    stomp.send('subscribe', { destination: '/queue/to-stomp', id: '1', ack: 'auto' })
    await client.queue('to-stomp').send({ a: 1 }, { properties: { color: 'red', n: t.short(5) }, correlationId: 'c' })
    const frame = await stomp.next('MESSAGE')
    expect(frame.body).toBe('{"a":1}')
    expect(frame.headers).toMatchObject({
      color: 'red',
      n: '5',
      'correlation-id': 'c',
      'content-type': 'application/json',
      persistent: 'true',
    })
    stomp.send('send', { destination: '/queue/to-native', color: 'blue', 'correlation-id': 'd', priority: '7' }, 'hé')
    const message = await client.queue('to-native').receive()
    expect(message?.body).toBe('hé')
    expect(message?.priority).toBe(7)
    expect(message?.correlationId).toBe('d')
    expect(message?.properties.color).toBe('blue')
    stomp.close()
  })
}
