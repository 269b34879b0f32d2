import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import { type Access, openAccess } from '../../../../src/broker/access.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { accepted, failed, released, type Transaction } from '../../../../src/session.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { policyRule } from '../../../support/policy-rule.ts'
import { TestBroker, type TestClient, TestConsumer } from '../../../support/test-broker.ts'

function begin(client: TestClient): Exclude<ReturnType<TestClient['session']['begin']>, BrokerError> {
  const transaction = client.session.begin()
  if (transaction instanceof BrokerError) throw transaction
  return transaction
}

function temporary(client: TestClient, kind: 'queue' | 'topic' = 'queue'): Address {
  const address = client.session.createTemporary(kind)
  if (address instanceof BrokerError) throw address
  return address
}

function codeOf(result: unknown): string | undefined {
  return result instanceof BrokerError ? result.code : undefined
}

function subscribeTo(client: TestClient, to: string, presettled = false): unknown {
  return client.session.subscribe({
    address: Address.parse(to) as Address,
    consumer: new TestConsumer(),
    presettled,
  })
}

/** Three messages in `orders`, all at one consumer. */
async function withThree(test: TestBroker): Promise<{ client: TestClient; consumer: TestConsumer }> {
  const client = test.connect()
  const consumer = client.subscribe('orders')
  client.sendAll('orders', ['a', 'b', 'c'])
  await test.settle()
  return { client, consumer }
}

describe('a transaction', () => {
  test('that settles more than it may hold is refused, and all of it undone', async () => {
    const test = await TestBroker.open({ limits: { transactionOperationsMax: 3 } })
    const { client, consumer } = await withThree(test)
    const transaction = begin(client)
    client.session.send(client.message('copies', 'x'), transaction)
    for (const delivery of consumer.deliveries) consumer.subscription.settle(delivery, accepted, transaction)
    const number = transaction.commit()
    await test.settle()
    expect(client.refusals.map(({ send, error }) => [send, error.code])).toEqual([[number, 'limit-exceeded']])
    expect([test.queue('copies').count, test.queue('orders').unsettledCount]).toEqual([0, 3])
    const second = begin(client)
    for (const delivery of consumer.deliveries) consumer.subscription.settle(delivery, accepted, second)
    second.commit()
    expect(test.queue('orders').count).toBe(0)
    expect(client.refusals).toHaveLength(1)
  })

  test('does nothing until it is committed, and then everything', async () => {
    const test = await TestBroker.open()
    const { client, consumer } = await withThree(test)
    const transaction = begin(client)
    for (const text of ['x', 'y']) client.session.send(client.message('copies', text), transaction)
    for (const delivery of consumer.deliveries) consumer.subscription.settle(delivery, accepted, transaction)
    await test.settle()
    expect([test.queue('copies').count, test.queue('orders').count]).toEqual([0, 3])
    const number = transaction.commit()
    await test.settle()
    expect([test.queue('copies').count, test.queue('orders').count]).toEqual([2, 0])
    expect([client.confirmedUpTo, consumer.subscription.unsettledCount]).toEqual([number, 0])
  })

  test('is confirmed only when all of it is safe', async () => {
    const store = new HeldStore()
    const test = await TestBroker.open({ store })
    const client = test.connect()
    const transaction = begin(client)
    const message = client.message('orders', 'a', { durable: true })
    client.session.send(message, transaction)
    await test.settle()
    expect(client.confirmedUpTo).toBe(1)
    store.isHeld = true
    const number = transaction.commit()
    await test.settle()
    expect([store.heldCount, client.confirmedUpTo]).toEqual([1, 1])
    store.letGo()
    await test.settle()
    expect([client.confirmedUpTo, store.safe.has(message)]).toEqual([number, true])
  })

  test('aborted leaves nothing sent, and the deliveries unsettled at their consumer', async () => {
    const test = await TestBroker.open()
    const { client, consumer } = await withThree(test)
    const transaction = begin(client)
    client.session.send(client.message('copies', 'x'), transaction)
    consumer.subscription.settleThrough(consumer.deliveries[1]!, accepted, transaction)
    transaction.abort()
    await test.settle()
    expect([test.queue('copies').count, consumer.subscription.unsettledCount]).toEqual([0, 3])
    consumer.settleAll()
    expect(test.queue('orders').count).toBe(0)
  })

  test('is undone as a whole if one of its sends is refused', async () => {
    const test = await TestBroker.open({ policies: [policyRule('small', { messagesMax: 1, overflow: 'reject' })] })
    const { client, consumer } = await withThree(test)
    client.send('small', 'full')
    const transaction = begin(client)
    client.session.send(client.message('copies', 'x'), transaction)
    client.session.send(client.message('small', 'y'), transaction)
    consumer.subscription.settle(consumer.deliveries[0]!, accepted, transaction)
    const number = transaction.commit()
    await test.settle()
    expect(client.refusals).toMatchObject([{ send: number, error: { code: 'resource-exhausted' } }])
    expect([test.queue('copies').count, test.queue('small').count]).toEqual([0, 1])
    expect([test.queue('orders').count, consumer.subscription.unsettledCount]).toEqual([3, 3])
  })

  test('is refused as a whole if its sends fit one by one but not together', async () => {
    const test = await TestBroker.open({ policies: [policyRule('small', { messagesMax: 2, overflow: 'reject' })] })
    const client = test.connect()
    const transaction = begin(client)
    for (const text of ['a', 'b', 'c']) client.session.send(client.message('small', text), transaction)
    const number = transaction.commit()
    await test.settle()
    expect(client.refusals).toMatchObject([{ send: number, error: { code: 'resource-exhausted' } }])
    expect(test.queue('small').count).toBe(0)
    const smaller = begin(client)
    for (const text of ['a', 'b']) client.session.send(client.message('small', text), smaller)
    smaller.commit()
    expect([client.refusals.length, test.queue('small').count]).toEqual([1, 2])
  })

  test('is refused as a whole if a durable subscription has no room for all of what it selects', async () => {
    const test = await TestBroker.open({
      policies: [policyRule('topic://prices', { messagesMax: 2, overflow: 'reject' })],
    })
    const client = test.connect('me')
    client.subscribe('topic://prices', { name: 'red', durable: true, credit: 0, selector: "color = 'red'" })
    const send = (color: string, transaction: ReturnType<typeof begin>) =>
      client.session.send(client.message('topic://prices', color, { properties: { color } }), transaction)
    const first = begin(client)
    for (const color of ['red', 'blue', 'blue', 'blue', 'red']) send(color, first)
    first.commit()
    expect(client.refusals).toEqual([])
    const second = begin(client)
    for (const color of ['blue', 'red']) send(color, second)
    second.commit()
    expect(client.refusals).toMatchObject([{ error: { code: 'resource-exhausted' } }])
  })

  test('is refused as a whole if memory has no room for all of it', async () => {
    const test = await TestBroker.open({ limits: { memoryBytesMax: 10_000, hardLimitFactor: 1 } })
    const client = test.connect()
    const transaction = begin(client)
    for (let index = 0; index < 12; index += 1) {
      client.session.send(client.message('orders', 'x'.repeat(600)), transaction)
    }
    transaction.commit()
    expect(client.refusals).toMatchObject([{ error: { code: 'resource-exhausted' } }])
    expect([test.queue('orders').count, test.broker.memory.bytes]).toEqual([0, 0])
  })

  test('holds its sender if it leaves a queue over its limit', async () => {
    const test = await TestBroker.open({ policies: [policyRule('small', { messagesMax: 10 })] })
    const client = test.connect()
    const transaction = begin(client)
    for (let index = 0; index < 12; index += 1) client.session.send(client.message('small', 'x'), transaction)
    const number = transaction.commit()
    await test.settle()
    expect([client.isBlocked, client.refusals.length]).toEqual([true, 0])
    expect(client.confirmedUpTo).toBeLessThan(number)
    test.queue('small').purge()
    await test.settle()
    expect([client.isBlocked, client.confirmedUpTo]).toEqual([false, number])
  })

  test('rolls back when its session closes, clean or lost', async () => {
    const test = await TestBroker.open()
    for (const [how, deliveryCount] of [
      ['clean', 0],
      ['lost', 1],
    ] as const) {
      const client = test.connect()
      const consumer = client.subscribe('orders')
      client.send('orders', 'a')
      await test.settle()
      const transaction = begin(client)
      client.session.send(client.message('copies', 'x'), transaction)
      consumer.subscription.settle(consumer.deliveries[0]!, accepted, transaction)
      client.session.close(how)
      await test.settle()
      expect(test.queue('copies').count).toBe(0)
      const next = test.connect().subscribe('orders')
      await test.settle()
      expect(next.deliveries).toMatchObject([{ redelivered: true, deliveryCount }])
      next.settleAll()
      next.subscription.close()
    }
  })

  test('keeps what it has settled when the subscription ends, until it ends itself', async () => {
    const test = await TestBroker.open()
    for (const [end, count] of [
      ['commit', 0],
      ['abort', 1],
    ] as const) {
      const client = test.connect()
      const consumer = client.subscribe('orders', { credit: 1 })
      client.send('orders', 'a')
      await test.settle()
      const transaction = begin(client)
      consumer.subscription.settle(consumer.deliveries[0]!, accepted, transaction)
      consumer.subscription.close()
      await test.settle()
      expect([test.queue('orders').unsettledCount, test.queue('orders').readyCount]).toEqual([1, 0])
      transaction[end]()
      await test.settle()
      expect([test.queue('orders').unsettledCount, test.queue('orders').readyCount]).toEqual([0, count])
      test.queue('orders').purge()
    }
  })

  test('may hold any outcome', async () => {
    const test = await TestBroker.open()
    const { client, consumer } = await withThree(test)
    const transaction = begin(client)
    const outcomes = [{ kind: 'rejected', reason: 'no' } as const, released, failed]
    for (const [index, outcome] of outcomes.entries()) {
      consumer.subscription.settle(consumer.deliveries[index]!, outcome, transaction)
    }
    await test.settle()
    expect([consumer.deliveries.length, test.queue('DLQ.orders').count]).toEqual([3, 0])
    transaction.commit()
    await test.settle()
    expect(test.queue('DLQ.orders').count).toBe(1)
    expect(consumer.deliveries.slice(3)).toMatchObject([{ deliveryCount: 0 }, { deliveryCount: 1 }])
  })

  test('has a delivery to itself: settled in one, it cannot be settled otherwise', async () => {
    const test = await TestBroker.open()
    const { client, consumer } = await withThree(test)
    const [first, second] = [begin(client), begin(client)]
    const [delivery] = consumer.deliveries
    consumer.subscription.settle(delivery!, accepted, first)
    consumer.subscription.settle(delivery!, accepted)
    consumer.subscription.settle(delivery!, accepted, second)
    expect(consumer.subscription.settleThrough(consumer.deliveries[2]!, accepted, second)).toHaveLength(2)
    second.commit()
    expect(test.queue('orders').count).toBe(1)
    first.commit()
    expect(test.queue('orders').count).toBe(0)
  })

  test('that has ended takes nothing more', async () => {
    const test = await TestBroker.open()
    const { client, consumer } = await withThree(test)
    const transaction = begin(client)
    transaction.commit()
    const number = client.session.send(client.message('copies', 'x'), transaction)
    consumer.subscription.settle(consumer.deliveries[0]!, accepted, transaction)
    expect(client.refusals).toMatchObject([{ send: number, error: { code: 'invalid-transaction' } }])
    consumer.settleAll()
    expect(test.queue('orders').count).toBe(0)
    expect(() => transaction.commit()).toThrow('has ended')
    expect(() => transaction.abort()).toThrow('has ended')
  })

  test('survives the deletion of the queue whose messages it has settled', async () => {
    const test = await TestBroker.open()
    const { client, consumer } = await withThree(test)
    const transaction = begin(client)
    consumer.subscription.settle(consumer.deliveries[0]!, accepted, transaction)
    consumer.subscription.settle(consumer.deliveries[1]!, { kind: 'rejected', reason: '' }, transaction)
    test.broker.router.deleteDestination(Address.must('queue', 'orders'))
    transaction.commit()
    await test.settle()
    expect(test.broker.memory.bytes).toBe(0)
  })

  test('counts against the limits of its session', async () => {
    const test = await TestBroker.open({ limits: { transactionsPerSessionMax: 1, transactionOperationsMax: 2 } })
    const client = test.connect()
    const transaction: Transaction = begin(client)
    expect(codeOf(client.session.begin())).toBe('limit-exceeded')
    for (const text of ['a', 'b', 'c']) client.session.send(client.message('orders', text), transaction as never)
    expect(client.refusals).toMatchObject([{ send: 3, error: { code: 'limit-exceeded' } }])
    transaction.commit()
    expect(test.queue('orders').count).toBe(2)
    begin(client)
  })
})

describe('confirms', () => {
  test('come in order however durable and other sends are mixed', async () => {
    const store = new HeldStore()
    const test = await TestBroker.open({ store })
    store.isHeld = true
    const client = test.connect()
    const seen: number[] = []
    client.confirmed = (upTo) => seen.push(upTo)
    for (const durable of [false, true, false, false, true, false]) {
      client.send('orders', '', { durable })
      await test.settle()
    }
    expect([seen, store.heldCount]).toEqual([[1], 2])
    store.letGo(1)
    await test.settle()
    expect(seen).toEqual([1, 4])
    store.letGo(1)
    await test.settle()
    expect(seen).toEqual([1, 4, 6])
  })

  test('cover refused sends without undoing their refusal', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders.*', 'a pattern')
    client.send('orders', 'a')
    await test.settle()
    expect([client.refusals.length, client.confirmedUpTo]).toEqual([1, 2])
  })

  test('of a sync come when the settlements before it are on disk', async () => {
    const store = new HeldStore()
    const test = await TestBroker.open({ store })
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.send('orders', 'a', { durable: true })
    await test.settle()
    store.isHeld = true
    consumer.settle(0)
    const number = client.session.sync()
    await test.settle()
    expect([client.confirmedUpTo, store.heldCount]).toEqual([1, 1])
    store.letGo()
    await test.settle()
    expect(client.confirmedUpTo).toBe(number)
  })

  test('of a sync wait for settlements of an earlier turn too', async () => {
    const store = new HeldStore()
    const test = await TestBroker.open({ store })
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.send('orders', 'a', { durable: true })
    await test.settle()
    store.isHeld = true
    consumer.settle(0)
    await test.settle()
    client.session.sync()
    await test.settle()
    expect(client.confirmedUpTo).toBe(1)
    store.letGo()
    await test.settle()
    expect(client.confirmedUpTo).toBe(2)
  })

  test('of a sync with nothing before it come at once', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.session.sync()
    await test.settle()
    expect(client.confirmedUpTo).toBe(1)
  })

  test('do not come after the session was closed', async () => {
    const store = new HeldStore()
    const test = await TestBroker.open({ store })
    store.isHeld = true
    const client = test.connect()
    client.send('orders', 'a', { durable: true })
    await test.settle()
    client.session.close()
    store.letGo()
    await test.settle()
    expect(client.confirmedUpTo).toBe(0)
    expect(test.queue('orders').count).toBe(1)
  })
})

describe('limits of a session', () => {
  test('on subscriptions count those that are open', async () => {
    const test = await TestBroker.open({ limits: { subscriptionsPerSessionMax: 2 } })
    const client = test.connect()
    const consumer = client.subscribe('a')
    client.subscribe('topic://b')
    expect(codeOf(subscribeTo(client, 'c'))).toBe('limit-exceeded')
    consumer.subscription.close()
    expect(codeOf(subscribeTo(client, 'c'))).toBeUndefined()
    expect(codeOf(subscribeTo(test.connect(), 'c'))).toBeUndefined()
  })

  test('on temporary destinations', async () => {
    const test = await TestBroker.open({ limits: { temporaryDestinationsPerSessionMax: 2 } })
    const client = test.connect()
    temporary(client)
    temporary(client, 'topic')
    expect(codeOf(client.session.createTemporary('queue'))).toBe('limit-exceeded')
  })

  test('on the size of one message', async () => {
    const test = await TestBroker.open({ limits: { messageBytesMax: 10 } })
    const client = test.connect()
    client.sendAll('orders', ['x'.repeat(10), 'x'.repeat(11)])
    expect(client.refusals).toMatchObject([{ send: 2, error: { code: 'message-too-large' } }])
  })

  test('on destinations refuse the one too many, not those that exist', async () => {
    const test = await TestBroker.open({ limits: { destinationsMax: 2 } })
    const client = test.connect()
    client.send('a', '')
    client.send('topic://b', '')
    client.send('c', '')
    client.send('a', '')
    expect(client.refusals).toMatchObject([{ send: 3, error: { code: 'limit-exceeded' } }])
    expect(codeOf(subscribeTo(client, 'c'))).toBe('limit-exceeded')
  })
})

describe('temporary destinations', () => {
  test('may be deleted before the session ends, by their own session only', async () => {
    const test = await TestBroker.open({ limits: { temporaryDestinationsPerSessionMax: 1 } })
    const owner = test.connect()
    const stranger = test.connect()
    const address = temporary(owner)
    stranger.session.deleteTemporary(address)
    const consumer = owner.subscribe(`${address}`)
    owner.session.deleteTemporary(Address.must('queue', 'plain'))
    owner.session.deleteTemporary(address)
    expect(consumer.endedBy?.code).toBe('deleted')
    stranger.send(`${address}`, 'late')
    expect(stranger.refusals.at(-1)?.error.code).toBe('not-found')
    expect(owner.session.createTemporary('queue')).toBeInstanceOf(Address)
  })

  test('are for their owner to read and for everybody to send to', async () => {
    const test = await TestBroker.open()
    const [owner, other] = [test.connect(), test.connect()]
    for (const kind of ['queue', 'topic'] as const) {
      const address = temporary(owner, kind)
      const consumer = owner.subscribe(address.toString())
      other.send(address.toString(), 'reply')
      await test.settle()
      expect(consumer.texts).toEqual(['reply'])
      expect(codeOf(subscribeTo(other, address.toString()))).toBe('not-authorised')
    }
    expect(other.refusals).toEqual([])
  })

  test('are not read through a pattern by anybody', async () => {
    const test = await TestBroker.open()
    const [owner, other] = [test.connect(), test.connect()]
    const address = temporary(owner, 'topic')
    const all = other.subscribe('topic://>')
    for (const pattern of ['topic://$temp.>', 'topic://$temp.*', 'queue://$temp.>']) {
      expect(codeOf(subscribeTo(other, pattern))).toBe('not-authorised')
    }
    other.send(address.toString(), 'secret')
    await test.settle()
    expect(all.texts).toEqual([])
  })

  test('go with their session, with what they hold and whoever sends to them', async () => {
    const test = await TestBroker.open()
    const [owner, other] = [test.connect(), test.connect()]
    const address = temporary(owner)
    other.send(address.toString(), 'unread', { durable: true })
    await test.settle()
    owner.session.close('lost')
    await test.settle()
    expect([test.broker.memory.bytes, test.broker.find(address)]).toEqual([0, undefined])
    other.send(address.toString(), 'late')
    expect(other.refusals).toMatchObject([{ error: { code: 'not-found' } }])
    expect(codeOf(subscribeTo(other, address.toString()))).toBe('not-authorised')
  })

  test('cannot be guessed into being', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('$temp.mine', '')
    expect(client.refusals).toMatchObject([{ error: { code: 'not-found' } }])
    expect(codeOf(subscribeTo(client, '$temp.mine'))).toBe('not-authorised')
  })
})

describe('access', () => {
  const denied = (action: string): Access => ({
    ...openAccess,
    authorise: (_identity, asked, address) =>
      asked === action && address.name === 'secret' ? new BrokerError('not-authorised', `no ${asked}`) : undefined,
  })

  test('to send is asked for, in a transaction when that commits', async () => {
    const test = await TestBroker.open({ access: denied('send') })
    const client = test.connect()
    client.send('secret', 'a')
    const transaction = begin(client)
    client.session.send(client.message('orders', 'b'), transaction)
    client.session.send(client.message('secret', 'c'), transaction)
    const number = transaction.commit()
    expect(client.refusals.map(({ send, error }) => [send, error.code])).toEqual([
      [1, 'not-authorised'],
      [number, 'not-authorised'],
    ])
    expect([test.broker.find(Address.must('queue', 'secret')), test.queue('orders').count]).toEqual([undefined, 0])
  })

  test('to receive and to browse is asked for', async () => {
    const reading = await TestBroker.open({ access: denied('receive') })
    expect(codeOf(subscribeTo(reading.connect(), 'secret'))).toBe('not-authorised')
    const browsing = await TestBroker.open({ access: denied('browse') })
    const client = browsing.connect()
    expect(codeOf(subscribeTo(client, 'secret'))).toBeUndefined()
    expect(() => client.subscribe('secret', { browse: true })).toThrow('no browse')
  })
})

describe('suspending a session', () => {
  test('stops all its subscriptions and no others, whatever credit comes meanwhile', async () => {
    const test = await TestBroker.open()
    const [slow, quick] = [test.connect(), test.connect()]
    const consumers = ['orders', 'topic://prices', 'or*.>'].map((to) => slow.subscribe(to, { credit: 5 }))
    slow.session.suspend()
    for (const { subscription } of consumers) subscription.addCredit(5)
    const other = quick.subscribe('orders')
    quick.sendAll('orders', ['a', 'b'])
    quick.send('topic://prices', 'c')
    await test.settle()
    expect(consumers.map((consumer) => consumer.texts.length)).toEqual([0, 0, 0])
    expect(other.texts).toEqual(['a', 'b'])
    slow.session.resume()
    quick.sendAll('orders', ['d', 'e'])
    await test.settle()
    expect(consumers[1]!.texts).toEqual(['c'])
    expect(consumers[0]!.texts).toHaveLength(1)
  })

  test('from inside a delivery stops the next one', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('orders')
    consumer.deliver = (delivery) => {
      consumer.deliveries.push(delivery)
      client.session.suspend()
    }
    client.sendAll('orders', ['a', 'b'])
    await test.settle()
    expect(consumer.texts).toEqual(['a'])
    client.session.resume()
    await test.settle()
    expect(consumer.texts).toEqual(['a', 'b'])
  })

  test('does not stop its settlements', async () => {
    const test = await TestBroker.open()
    const { client, consumer } = await withThree(test)
    client.session.suspend()
    consumer.settle(0)
    consumer.settle(1, released)
    await test.settle()
    expect([test.queue('orders').readyCount, test.queue('orders').unsettledCount]).toEqual([1, 1])
  })
})

describe('a closed session', () => {
  test('takes nothing more', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const message = client.message('orders', 'a')
    client.session.send(message)
    client.session.close()
    client.session.send(message)
    client.send('other', 'b')
    expect(client.refusals.map(({ error }) => error.code)).toEqual(['shutting-down', 'shutting-down'])
    expect(codeOf(subscribeTo(client, 'orders'))).toBe('shutting-down')
    expect(codeOf(client.session.begin())).toBe('shutting-down')
    expect(codeOf(client.session.createTemporary('queue'))).toBe('shutting-down')
    expect(test.queue('orders').count).toBe(1)
  })

  test('may be closed from inside a delivery: the delivery goes back', async () => {
    const test = await TestBroker.open()
    const [client, other] = [test.connect(), test.connect()]
    const consumers = [client.subscribe('orders'), client.subscribe('orders', { selector: 'TRUE' })]
    for (const consumer of consumers) consumer.deliver = () => client.session.close('lost')
    other.sendAll('orders', ['a', 'b', 'c'])
    await test.settle()
    expect([test.queue('orders').readyCount, test.queue('orders').unsettledCount]).toEqual([3, 0])
    const next = other.subscribe('orders')
    await test.settle()
    expect(next.texts).toEqual(['a', 'b', 'c'])
    expect(next.deliveries.map((delivery) => delivery.deliveryCount)).toEqual([1, 0, 0])
  })

  test('may be closed twice', async () => {
    const test = await TestBroker.open()
    const { client } = await withThree(test)
    client.session.close('lost')
    client.session.close('clean')
    expect([test.queue('orders').readyCount, test.broker.sessionCount]).toEqual([3, 0])
  })
})

describe('a closing broker', () => {
  test('waits for deliveries to be settled, hands out no more, and takes no more', async () => {
    const test = await TestBroker.open()
    const { client, consumer } = await withThree(test)
    const message = client.message('orders', 'd')
    client.session.send(message)
    const closed = test.broker.close()
    await test.settle()
    client.session.resume()
    client.session.send(message)
    await test.settle()
    expect(client.refusals).toMatchObject([{ error: { code: 'shutting-down' } }])
    expect(consumer.texts).toHaveLength(3)
    expect(client.closedBy).toBeUndefined()
    consumer.settleAll()
    await test.settle()
    expect(client.closedBy?.code).toBe('shutting-down')
    await closed
  })

  test('releases what nobody settles in time', async () => {
    const test = await TestBroker.open({ limits: { drainMsMax: 5000 } })
    const { client } = await withThree(test)
    const closed = test.broker.close()
    await test.advance(4999)
    expect(client.closedBy).toBeUndefined()
    await test.advance(1)
    expect(client.closedBy?.code).toBe('shutting-down')
    expect([test.queue('orders').readyCount, test.queue('orders').unsettledCount]).toEqual([3, 0])
    await closed
  })

  test('ends blocked senders and aborts open transactions', async () => {
    const test = await TestBroker.open({ policies: [policyRule('orders', { messagesMax: 10 })] })
    const client = test.connect()
    client.sendAll(
      'orders',
      Array.from({ length: 11 }, () => ''),
    )
    client.session.send(client.message('copies', 'x'), begin(client))
    await test.settle()
    expect(client.isBlocked).toBe(true)
    await test.close()
    expect([client.closedBy?.code, client.confirmedUpTo]).toEqual(['shutting-down', 0])
    expect(test.queue('copies').count).toBe(0)
  })
})
