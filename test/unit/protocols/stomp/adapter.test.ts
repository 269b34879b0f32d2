import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import { openAccess } from '../../../../src/broker/access.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { StompBroker } from '../../../support/stomp-broker.ts'
import { frameBytes } from '../../../support/stomp-client.ts'

describe('connecting', () => {
  test.each([
    ['1.0,1.1,1.2', '1.2'],
    ['1.1,1.0', '1.1'],
    ['1.0', '1.0'],
    ['1.2, 2.0', '1.2'],
  ])('accept-version %s agrees on %s', async (accepted, agreed) => {
    const test = await StompBroker.open()
    const client = test.client()
    const connected = await client.connect({ 'accept-version': accepted })
    expect(connected.headers).toMatchObject({ version: agreed, server: 'ManifoldMQ/test', session: expect.any(String) })
  })

  test('without accept-version a client speaks 1.0', async () => {
    const test = await StompBroker.open()
    const client = test.client('1.0')
    client.write('CONNECT\nlogin: me\npasscode: secret\n\n\0')
    expect((await client.next('CONNECTED')).headers.version).toBe('1.0')
  })

  test('no version in common is answered by an ERROR that names the supported ones, and the end', async () => {
    const test = await StompBroker.open()
    const client = test.client()
    client.send('stomp', { 'accept-version': '2.0', host: 'x' })
    const error = await client.next('ERROR')
    expect(error.headers.version).toBe('1.0,1.1,1.2')
    expect(error.body).toContain('1.0,1.1,1.2')
    await client.closed
  })

  test('a refused login is answered by an ERROR before any CONNECTED', async () => {
    const access = {
      ...openAccess,
      authenticate: (
        login: { password: string | undefined },
        answer: (result: BrokerError | { principal: string; clientId: undefined }) => void,
      ) => {
        setImmediate(() =>
          answer(
            login.password === 'right'
              ? { principal: 'me', clientId: undefined }
              : new BrokerError('not-authenticated', 'the user name or password is wrong'),
          ),
        )
      },
    }
    const test = await StompBroker.open({ access })
    const refused = test.client()
    refused.send('connect', { 'accept-version': '1.2', host: 'x', login: 'me', passcode: 'wrong' })
    refused.send('send', { destination: '/queue/a' }, 'never')
    expect((await refused.next('ERROR')).headers.message).toContain('wrong')
    await refused.closed
    const client = test.client()
    client.send('connect', { 'accept-version': '1.2', host: 'x', login: 'me', passcode: 'right' })
    client.send('send', { destination: '/queue/a', receipt: 'r' }, 'kept while the login was checked')
    await client.next('CONNECTED')
    await client.next('RECEIPT')
    expect(test.broker.router.queue(Address.must('queue', 'a')).readyCount).toBe(1)
  })

  test.each([
    ['SEND', frameBytes('send', { destination: '/queue/a' }, 'x')],
    ['garbage', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['a command of Object.prototype', Buffer.from('constructor\n\n\0')],
  ])('%s before CONNECT is answered by an ERROR and the end', async (_name, bytes) => {
    const test = await StompBroker.open()
    const client = test.client()
    client.write(bytes)
    await client.next('ERROR')
    await client.closed
    expect(test.broker.sessionCount).toBe(0)
  })

  test('a second CONNECT is an error', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    client.send('connect', { 'accept-version': '1.2', host: 'x' })
    expect((await client.next('ERROR')).headers.message).toContain('already')
  })

  test('who says nothing is cut off in time', async () => {
    const test = await StompBroker.open({ stomp: { connectMsMax: 5_000 } })
    const client = test.client()
    test.clock.advance(4_999)
    expect(client.isClosed).toBe(false)
    test.clock.advance(2)
    expect((await client.next('ERROR')).headers.message).toContain('5000 ms')
    await client.closed
  })

  test('a frame of the server is refused', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    client.send('message', { destination: '/queue/a' }, 'x')
    await client.next('ERROR')
    await client.closed
  })
})

describe('heart-beats', () => {
  test('come as often as agreed: the larger of offer and wish', async () => {
    const test = await StompBroker.open({ stomp: { heartBeatMs: 1_000 } })
    const client = test.client()
    const connected = await client.connect({ 'heart-beat': '0,3000' })
    expect(connected.headers['heart-beat']).toBe('1000,1000')
    const before = client.heartBeats
    for (let beat = 0; beat < 4; beat += 1) {
      test.clock.advance(3_000)
      await new Promise(setImmediate)
    }
    await client.sure('begin', { transaction: 't' })
    expect(client.heartBeats - before).toBeGreaterThanOrEqual(4)
    expect(client.heartBeats - before).toBeLessThanOrEqual(6)
  })

  test('that stay out end the connection, and what it had goes to others', async () => {
    const test = await StompBroker.open({ stomp: { heartBeatMs: 1_000 } })
    const client = test.client()
    await client.connect({ 'heart-beat': '1000,0' })
    await client.sure('subscribe', { id: '1', destination: '/queue/a', ack: 'client' })
    const other = await test.connected()
    await other.sure('send', { destination: '/queue/a' }, 'x')
    await client.next('MESSAGE')
    test.clock.advance(2_000)
    client.write('\n')
    await other.sure('begin', { transaction: 't' })
    test.clock.advance(2_000)
    await other.sure('commit', { transaction: 't' })
    expect(client.isClosed).toBe(false)
    test.clock.advance(1_000)
    await client.next('ERROR')
    await other.sure('subscribe', { id: '1', destination: '/queue/a' })
    expect((await other.next('MESSAGE')).headers.redelivered).toBe('true')
  })

  test('a malformed heart-beat header is an error', async () => {
    const test = await StompBroker.open()
    const client = test.client()
    client.send('connect', { 'accept-version': '1.2', host: 'x', 'heart-beat': 'often' })
    await client.next('ERROR')
  })
})

describe('sending and receiving', () => {
  test('user headers come out as they went in: in order, repeated, escaped, byte for byte', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('subscribe', { id: 's', destination: '/queue/a' })
    client.write(
      'SEND\ndestination:/queue/a\nb:1\na:\\c\\n\\\\\\r\nb:2\nempty:\n spaced : x \nümlaut:ß€😀\ncontent-length:3\n\na\0b\0',
    )
    const message = await client.next('MESSAGE')
    const user = message.lines.filter(
      ([name]) => !['subscription', 'destination', 'message-id', 'content-length'].includes(name),
    )
    expect(user).toEqual([
      ['b', '1'],
      ['a', ':\n\\\r'],
      ['b', '2'],
      ['empty', ''],
      [' spaced ', ' x '],
      ['ümlaut', 'ß€😀'],
    ])
    expect(message.body).toBe('a\0b')
    expect(message.headers).toMatchObject({ subscription: 's', destination: '/queue/a', 'content-length': '3' })
  })

  test('what the server says cannot be forged', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('subscribe', { id: 's', destination: '/queue/a', ack: 'client-individual' })
    const forged = {
      'message-id': 'mine',
      subscription: 'other',
      ack: '99',
      redelivered: 'true',
      'delivery-count': '7',
      retained: 'true',
      'dead-letter-reason': 'none',
      'receipt-id': 'r',
    }
    client.send('send', { destination: '/queue/a', ...forged }, 'x')
    const message = await client.next('MESSAGE')
    expect(message.headers.subscription).toBe('s')
    expect(message.headers['message-id']).toMatch(/^ID:run-\d+-1$/)
    for (const name of Object.keys(forged)) {
      expect(message.lines.filter(([other]) => other === name).length).toBeLessThanOrEqual(1)
      expect(message.headers[name]).not.toBe(forged[name as keyof typeof forged])
    }
  })

  test('a header named like a member of Object.prototype is a header like any other', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('subscribe', { id: 's', destination: '/queue/a', selector: "hasOwnProperty = 'yes'" })
    client.send('send', { destination: '/queue/a', hasOwnProperty: 'yes', __proto__x: '1', constructor: 'c' }, 'x')
    expect((await client.next('MESSAGE')).headers).toMatchObject({ hasOwnProperty: 'yes', constructor: 'c' })
  })

  test.each(['1.0', '1.1', '1.2'] as const)(
    'a %s client gets what a 1.2 client wrote, in its own escapes',
    async (version) => {
      const test = await StompBroker.open()
      const sender = await test.connected('1.2')
      const receiver = await test.connected(version)
      await receiver.sure('subscribe', { id: 's', destination: '/topic/t' })
      await sender.sure('send', { destination: '/topic/t', colon: 'a:b', slash: 'a\\b', line: 'a\nb' }, 'x')
      const { headers } = await receiver.next('MESSAGE')
      expect(headers.colon).toBe('a:b')
      expect(headers.slash).toBe('a\\b')
      expect(headers.line).toBe(version === '1.0' ? 'a b' : 'a\nb')
    },
  )

  test('a receipt follows every frame that asks for one', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('subscribe', { id: 's', destination: '/queue/a', ack: 'client' })
    await client.sure('send', { destination: '/queue/a' }, 'x')
    const { headers } = await client.next('MESSAGE')
    await client.sure('begin', { transaction: 't' })
    await client.sure('ack', { id: headers.ack!, transaction: 't' })
    await client.sure('commit', { transaction: 't' })
    await client.sure('unsubscribe', { id: 's' })
    await client.sure('disconnect')
    await client.closed
  })

  test('receipts of sends come in order, and thousands of them', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    for (let index = 0; index < 5_000; index += 1)
      client.send('send', { destination: '/queue/a', receipt: `r${index}`, persistent: String(index % 3 === 0) }, 'x')
    for (let index = 0; index < 5_000; index += 1)
      expect((await client.next('RECEIPT')).headers['receipt-id']).toBe(`r${index}`)
  })

  test('a message sent to a topic reaches each subscriber, durable ones also while they were away', async () => {
    const test = await StompBroker.open()
    const durable = await test.connected('1.2', { 'client-id': 'c1' })
    await durable.sure('subscribe', {
      id: 'd',
      destination: '/topic/news.>',
      'activemq.subscriptionName': 'mine',
      ack: 'client',
    })
    await durable.sure('disconnect')
    const live = await test.connected()
    await live.sure('subscribe', { id: 'l', destination: '/topic/news.*' })
    await live.sure('send', { destination: '/topic/news.eu' }, 'hello')
    expect((await live.next('MESSAGE')).headers.destination).toBe('/topic/news.eu')
    const back = await test.connected('1.2', { 'client-id': 'c1' })
    await back.sure('subscribe', { id: 'd', destination: '/dsub/mine', ack: 'client' })
    expect((await back.next('MESSAGE')).body).toBe('hello')
    await back.sure('unsubscribe', { id: 'd', durable: 'true' })
    await live.sure('send', { destination: '/topic/news.eu' }, 'nobody keeps this')
    back.send('subscribe', { id: 'd', destination: '/dsub/mine' })
    expect((await back.next('ERROR')).headers.message).toContain('mine')
  })

  test('a durable subscription needs a client id', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    client.send('subscribe', { id: 'd', destination: '/topic/a', durable: 'true' })
    expect((await client.next('ERROR')).headers.message).toContain('client id')
  })

  test('no-local leaves out what the connection itself sent', async () => {
    const test = await StompBroker.open()
    const one = await test.connected()
    const two = await test.connected()
    await one.sure('subscribe', { id: 's', destination: '/topic/t', 'no-local': 'true' })
    await one.sure('send', { destination: '/topic/t' }, 'own')
    await two.sure('send', { destination: '/topic/t' }, 'other')
    expect((await one.next('MESSAGE')).body).toBe('other')
  })

  test('a retained message waits for new subscribers, marked', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('send', { destination: '/topic/state', retain: 'true' }, 'on')
    await client.sure('subscribe', { id: 's', destination: '/topic/state' })
    expect(await client.next('MESSAGE')).toMatchObject({ body: 'on', headers: { retained: 'true' } })
  })

  test('request and reply over a temporary queue', async () => {
    const test = await StompBroker.open()
    const asker = await test.connected()
    const answerer = await test.connected()
    await answerer.sure('subscribe', { id: 's', destination: '/queue/questions' })
    await asker.sure('subscribe', { id: 't', destination: '/temp-queue/answers' })
    await asker.sure(
      'send',
      { destination: '/queue/questions', 'reply-to': '/temp-queue/answers', 'correlation-id': '7' },
      '2+2',
    )
    const question = await answerer.next('MESSAGE')
    expect(question.headers['reply-to']).toMatch(/^\/remote-temp-queue\//)
    await answerer.sure('send', { destination: question.headers['reply-to']!, 'correlation-id': '7' }, '4')
    expect(await asker.next('MESSAGE')).toMatchObject({
      body: '4',
      headers: { 'correlation-id': '7', destination: '/temp-queue/answers' },
    })
    answerer.send('subscribe', { id: 'spy', destination: question.headers['reply-to']! })
    expect((await answerer.next('ERROR')).headers.message).toContain('another connection')
    asker.close()
    await asker.closed
    const late = await test.connected()
    await late.sure('send', { destination: question.headers['reply-to']! }, 'too late, but no error')
  })

  test('browsing ends with a marker and takes nothing', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    for (const body of ['a', 'b']) await client.sure('send', { destination: '/queue/q' }, body)
    await client.sure('subscribe', { id: 'b', destination: '/queue/q', browser: 'true' })
    const [first, second, end] = await client.messages(3)
    expect([first?.body, second?.body]).toEqual(['a', 'b'])
    expect(end?.headers).toMatchObject({ browser: 'end', subscription: 'b' })
    await client.sure('subscribe', { id: 'c', destination: '/queue/q' })
    expect((await client.messages(2)).map((message) => message.body)).toEqual(['a', 'b'])
  })

  test('priority, expiry, delay, groups and persistence are understood', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    const now = test.clock.now()
    await client.sure('send', { destination: '/queue/q', priority: '3' }, 'low')
    await client.sure('send', { destination: '/queue/q', priority: '8', persistent: 'true' }, 'high')
    await client.sure('send', { destination: '/queue/q', expires: String(now + 50) }, 'expires')
    await client.sure('send', { destination: '/queue/q', AMQ_SCHEDULED_DELAY: '1000' }, 'later')
    test.clock.advance(100)
    await client.sure('subscribe', { id: 's', destination: '/queue/q' })
    expect((await client.messages(2)).map((message) => message.body)).toEqual(['high', 'low'])
    test.clock.advance(1_000)
    expect((await client.next('MESSAGE')).body).toBe('later')
  })
})

describe('acknowledging', () => {
  test('client-individual: one at a time, in any order; the prefetch is kept', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    for (let index = 0; index < 4; index += 1) await client.sure('send', { destination: '/queue/q' }, `m${index}`)
    await client.sure('subscribe', {
      id: 's',
      destination: '/queue/q',
      ack: 'client-individual',
      'activemq.prefetchSize': '2',
    })
    const [first, second] = await client.messages(2)
    await client.sure('begin', { transaction: 'x' })
    expect(client.frames).toEqual([])
    await client.sure('ack', { id: second!.headers.ack! })
    expect((await client.next('MESSAGE')).body).toBe('m2')
    await client.sure('ack', { id: first!.headers.ack! })
    expect((await client.next('MESSAGE')).body).toBe('m3')
  })

  test('client: everything up to the one named', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('subscribe', { id: 's', destination: '/queue/q', ack: 'client' })
    for (let index = 0; index < 5; index += 1) await client.sure('send', { destination: '/queue/q' }, `m${index}`)
    const messages = await client.messages(5)
    await client.sure('ack', { id: messages[2]!.headers.ack! })
    expect(test.broker.router.queue(Address.must('queue', 'q')).count).toBe(2)
    client.send('ack', { id: messages[1]!.headers.ack! })
    expect((await client.next('ERROR')).headers.id).toBe(messages[1]!.headers.ack)
  })

  test.each([
    ['1.1', { subscription: 's' }],
    ['1.0', {}],
  ] as const)('%s names the message-id', async (version, more) => {
    const test = await StompBroker.open()
    const client = await test.connected(version)
    await client.sure('subscribe', { id: 's', destination: '/queue/q', ack: 'client-individual' })
    for (let index = 0; index < 3; index += 1) await client.sure('send', { destination: '/queue/q' }, `m${index}`)
    const messages = await client.messages(3)
    expect(messages[0]!.headers.ack).toBeUndefined()
    await client.sure('ack', { 'message-id': messages[1]!.headers['message-id']!, ...more })
    expect(test.broker.router.queue(Address.must('queue', 'q')).count).toBe(2)
  })

  test('1.1 and 1.2 refuse an ACK that leaves out what they require', async () => {
    const test = await StompBroker.open()
    const old = await test.connected('1.1')
    await old.sure('subscribe', { id: 's', destination: '/queue/q', ack: 'client' })
    await old.sure('send', { destination: '/queue/q' }, 'x')
    const message = await old.next('MESSAGE')
    old.send('ack', { 'message-id': message.headers['message-id']! })
    await old.next('ERROR')
    const client = await test.connected()
    client.send('ack', { 'message-id': 'x' })
    expect((await client.next('ERROR')).headers.message).toContain('id')
  })

  test('NACK gives the message back until its deliveries are used up, then it is a dead letter', async () => {
    const test = await StompBroker.open({
      policies: [{ match: Address.must('queue', 'q'), set: { deliveriesMax: 3 } }],
    })
    const client = await test.connected()
    await client.sure('subscribe', { id: 's', destination: '/queue/q', ack: 'client-individual' })
    await client.sure('send', { destination: '/queue/q', mine: 'kept' }, 'x')
    for (const count of [undefined, '1', '2']) {
      const message = await client.next('MESSAGE')
      expect(message.headers['delivery-count']).toBe(count)
      await client.sure('nack', { id: message.headers.ack! })
    }
    await client.sure('subscribe', { id: 'd', destination: '/queue/DLQ.q' })
    const dead = await client.next('MESSAGE')
    expect(dead.headers).toMatchObject({
      subscription: 'd',
      mine: 'kept',
      'dead-letter-address': 'queue://q',
      'dead-letter-count': '3',
      'dead-letter-reason': 'not accepted in 3 deliveries',
    })
  })

  test('NACK with requeue:false makes it a dead letter at once', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('subscribe', { id: 's', destination: '/queue/q', ack: 'client-individual' })
    await client.sure('send', { destination: '/queue/q' }, 'x')
    await client.sure('nack', { id: (await client.next('MESSAGE')).headers.ack!, requeue: 'false' })
    expect(test.broker.router.queue(Address.must('queue', 'DLQ.q')).count).toBe(1)
  })

  test('unsubscribing and losing the connection both give unacknowledged messages back', async () => {
    const test = await StompBroker.open()
    const one = await test.connected()
    await one.sure('subscribe', { id: 's', destination: '/queue/q', ack: 'client' })
    await one.sure('send', { destination: '/queue/q' }, 'x')
    await one.next('MESSAGE')
    await one.sure('unsubscribe', { id: 's' })
    await one.sure('subscribe', { id: 's', destination: '/queue/q', ack: 'client' })
    expect((await one.next('MESSAGE')).headers).toMatchObject({ redelivered: 'true' })
    one.close()
    const two = await test.connected()
    await two.sure('subscribe', { id: 's', destination: '/queue/q' })
    expect((await two.next('MESSAGE')).headers).toMatchObject({ redelivered: 'true', 'delivery-count': '1' })
  })
})

describe('transactions', () => {
  test('nothing is seen before COMMIT, everything after, in order', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('begin', { transaction: 't' })
    await client.sure('send', { destination: '/queue/a', transaction: 't' }, '1')
    await client.sure('send', { destination: '/queue/a', transaction: 't' }, '2')
    expect(test.broker.find(Address.must('queue', 'a'))).toBeUndefined()
    await client.sure('commit', { transaction: 't' })
    await client.sure('subscribe', { id: 's', destination: '/queue/a' })
    expect((await client.messages(2)).map((message) => message.body)).toEqual(['1', '2'])
  })

  test('ABORT undoes sends and acknowledgements, which can be given again', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('subscribe', { id: 's', destination: '/queue/a', ack: 'client-individual' })
    await client.sure('send', { destination: '/queue/a' }, 'x')
    const { headers } = await client.next('MESSAGE')
    await client.sure('begin', { transaction: 't' })
    await client.sure('ack', { id: headers.ack!, transaction: 't' })
    await client.sure('send', { destination: '/queue/b', transaction: 't' }, 'y')
    await client.sure('abort', { transaction: 't' })
    expect(test.broker.router.queue(Address.must('queue', 'a')).count).toBe(1)
    expect(test.broker.find(Address.must('queue', 'b'))).toBeUndefined()
    await client.sure('ack', { id: headers.ack! })
    expect(test.broker.router.queue(Address.must('queue', 'a')).count).toBe(0)
  })

  test('an open transaction of a connection that ends is undone', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('begin', { transaction: 't' })
    await client.sure('send', { destination: '/queue/a', transaction: 't' }, 'x')
    client.close()
    await client.closed
    const other = await test.connected()
    await other.sure('begin', { transaction: 't' })
    expect(test.broker.find(Address.must('queue', 'a'))).toBeUndefined()
  })

  test.each([
    ['commit', { transaction: 'none' }],
    ['abort', { transaction: 'none' }],
    ['send', { destination: '/queue/a', transaction: 'none' }],
    ['begin', {}],
  ] as const)('%s with %j is an error', async (command, headers) => {
    const test = await StompBroker.open()
    const client = await test.connected()
    client.send(command, { ...headers, receipt: 'r' })
    expect((await client.next('ERROR')).headers['receipt-id']).toBe('r')
    await client.closed
  })
})

describe('errors and limits', () => {
  test.each([
    ['SEND without a destination', 'send', {}],
    ['SEND to a pattern', 'send', { destination: '/queue/a.*' }],
    ['SEND to nowhere known', 'send', { destination: '/exchange/x' }],
    ['SUBSCRIBE without an id', 'subscribe', { destination: '/queue/a' }],
    ['SUBSCRIBE without a destination', 'subscribe', { id: '1' }],
    ['SUBSCRIBE with an unknown ack mode', 'subscribe', { id: '1', destination: '/queue/a', ack: 'sometimes' }],
    ['SUBSCRIBE with a bad selector', 'subscribe', { id: '1', destination: '/queue/a', selector: 'a = = b' }],
    ['UNSUBSCRIBE of nothing', 'unsubscribe', { id: '1' }],
    ['ACK of nothing', 'ack', { id: '17' }],
  ] as const)('%s is answered by an ERROR with the receipt-id, and the end', async (_name, command, headers) => {
    const test = await StompBroker.open()
    const bystander = await test.connected()
    const client = await test.connected()
    client.send(command, { ...headers, receipt: 'my receipt' })
    const error = await client.next('ERROR')
    expect(error.headers['receipt-id']).toBe('my receipt')
    expect(error.body.length).toBeGreaterThan(10)
    await client.closed
    await bystander.sure('send', { destination: '/queue/a' }, 'unharmed')
  })

  test('a bad selector is told where', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    client.send('subscribe', { id: '1', destination: '/queue/a', selector: 'price >' })
    expect((await client.next('ERROR')).body).toContain('character 8')
  })

  test('a second subscription of the same id is refused', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('subscribe', { id: '1', destination: '/queue/a' })
    client.send('subscribe', { id: '1', destination: '/queue/b' })
    await client.next('ERROR')
  })

  test('subscriptions, body and header limits name themselves', async () => {
    const test = await StompBroker.open({ stomp: { subscriptionsMax: 2 } })
    const client = await test.connected()
    for (const id of ['1', '2']) await client.sure('subscribe', { id, destination: '/queue/a' })
    client.send('subscribe', { id: '3', destination: '/queue/a' })
    expect((await client.next('ERROR')).body).toContain('2 subscriptions')
    const large = await test.connected()
    large.write('SEND\ndestination:/queue/a\nreceipt:big\ncontent-length:999999999999\n\n')
    expect((await large.next('ERROR')).headers['receipt-id']).toBe('big')
    const endless = test.client()
    endless.write('CONNECT\n')
    endless.write(Buffer.alloc(200_000, 0x61))
    await endless.next('ERROR')
  })

  test('a full queue that rejects answers with the reason', async () => {
    const set = { messagesMax: 1, overflow: 'reject' as const }
    const test = await StompBroker.open({ policies: [{ match: Address.must('queue', 'q'), set }] })
    const client = await test.connected()
    await client.sure('send', { destination: '/queue/q' }, '1')
    client.send('send', { destination: '/queue/q', receipt: 'r2' }, '2')
    const error = await client.next('ERROR')
    expect(error.headers).toMatchObject({ 'receipt-id': 'r2', code: 'resource-exhausted' })
  })

  test('a full queue that blocks withholds receipts and reading until there is room', async () => {
    const test = await StompBroker.open({
      policies: [{ match: Address.must('queue', 'q'), set: { messagesMax: 10 } }],
      limits: { hardLimitFactor: 100 },
    })
    const producer = await test.connected()
    for (let index = 0; index < 200; index += 1)
      producer.send('send', { destination: '/queue/q', receipt: `r${index}` }, 'x')
    const consumer = await test.connected()
    await consumer.sure('begin', { transaction: 't' })
    const receipts = producer.frames.length
    expect(receipts).toBeLessThanOrEqual(11)
    await consumer.sure('subscribe', { id: 's', destination: '/queue/q' })
    for (let index = receipts; index < 200; index += 1) await producer.next('RECEIPT')
    await consumer.messages(200)
  })

  test('a full queue that blocks a client does not keep it from emptying that queue, one receipt after the other', async () => {
    const test = await StompBroker.open({
      policies: [{ match: Address.must('queue', 'q'), set: { messagesMax: 3 } }],
      limits: { hardLimitFactor: 100 },
    })
    const client = await test.connected()
    await client.sure('subscribe', {
      id: 's',
      destination: '/queue/q',
      ack: 'client-individual',
      'prefetch-count': '1',
    })
    for (let index = 0; index < 6; index += 1) client.send('send', { destination: '/queue/q' }, 'x')
    for (let index = 0; index < 6; index += 1) {
      const { headers } = await client.next('MESSAGE')
      await client.sure('ack', { id: headers.ack ?? '' })
    }
  })

  test('deleting a queue tells its consumers', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('subscribe', { id: 's', destination: '/queue/q' })
    test.broker.router.deleteDestination(Address.must('queue', 'q'))
    expect((await client.next('ERROR')).headers.message).toContain('deleted')
  })

  test('a client that never reads costs bounded memory and disturbs nobody', async () => {
    const test = await StompBroker.open({ limits: { outputBytesHigh: 64 * 1024 } })
    const silent = await test.connected()
    await silent.sure('subscribe', { id: 's', destination: '/topic/t', ack: 'auto' })
    silent.stream.pause()
    const other = await test.connected()
    await other.sure('subscribe', { id: 's', destination: '/topic/t' })
    const body = 'x'.repeat(10_000)
    for (let index = 0; index < 200; index += 1) {
      await other.sure('send', { destination: '/topic/t' }, body)
      await other.next('MESSAGE')
    }
    const [binding] = test.broker.router.topic(Address.must('topic', 't')).bindings
    expect(binding!.queue.readyCount).toBeGreaterThan(150)
    silent.stream.resume()
    expect((await silent.messages(200)).length).toBe(200)
  })

  test('a client with too many unconfirmed sends is not read because it reads', async () => {
    const store = new HeldStore()
    const limits = { outputBytesHigh: 64 * 1024 }
    const test = await StompBroker.open({ store, limits, stomp: { unconfirmedSendsMax: 5 } })
    const client = await test.connected()
    await client.sure('subscribe', { id: 's', destination: '/topic/t', ack: 'auto' })
    const other = await test.connected()
    client.stream.pause()
    for (let index = 0; index < 50; index += 1) {
      await other.sure('send', { destination: '/topic/t' }, 'x'.repeat(10_000))
    }
    store.isHeld = true
    const send = async (): Promise<void> => {
      client.send('send', { destination: '/queue/q', persistent: 'true', receipt: 'r' }, 'y')
      for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    }
    for (let index = 0; index < 10; index += 1) await send()
    const count = (): number => {
      const queue = test.broker.find(Address.must('queue', 'q'))
      return queue !== undefined && 'count' in queue ? queue.count : 0
    }
    const taken = count()
    expect(taken).toBeLessThan(10)
    client.stream.resume()
    await client.messages(50)
    for (let index = 0; index < 10; index += 1) await send()
    expect(count()).toBe(taken)
    store.isHeld = false
    store.letGo()
    for (let index = 0; index < 20; index += 1) await client.next('RECEIPT')
    expect(count()).toBe(20)
  })

  test('the broker closing says so to every client', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    await client.sure('send', { destination: '/queue/a' }, 'x')
    await test.broker.close()
    expect((await client.next('ERROR')).headers.code).toBe('shutting-down')
    await client.closed
  })
})
