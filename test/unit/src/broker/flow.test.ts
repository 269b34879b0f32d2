import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import { Gate, Memory, type Sender } from '../../../../src/broker/flow.ts'
import type { SendNumber } from '../../../../src/session.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { messageOf } from '../../../support/messages.ts'
import { policyRule } from '../../../support/policy-rule.ts'
import { TestBroker, type TestClient } from '../../../support/test-broker.ts'

/** With this body a message counts 1000 bytes. */
const body = 'x'.repeat(600)

function numbered(count: number): string[] {
  return Array.from({ length: count }, () => body)
}

function stateOf(client: TestClient): [isBlocked: boolean, confirmedUpTo: SendNumber, refusals: number] {
  return [client.isBlocked, client.confirmedUpTo, client.refusals.length]
}

describe('a gate', () => {
  class Held implements Sender {
    count = 0
    hold(): void {
      this.count += 1
    }
    free(): void {
      this.count -= 1
    }
  }

  test('holds each sender once and frees all when it opens', () => {
    const gate = new Gate()
    const [a, b] = [new Held(), new Held()]
    for (const sender of [a, a, b]) gate.hold(sender)
    expect([a.count, b.count, gate.isShut]).toEqual([1, 1, true])
    gate.open()
    gate.open()
    expect([a.count, b.count, gate.isShut]).toEqual([0, 0, false])
  })

  test('may be shut again by a sender that it has just freed', () => {
    const gate = new Gate()
    const other = new Held()
    gate.hold({ hold: () => {}, free: () => gate.hold(other) })
    gate.open()
    expect([gate.isShut, other.count]).toEqual([true, 1])
  })

  test('does not free a sender that has ended', () => {
    const gate = new Gate()
    const sender = new Held()
    gate.hold(sender)
    gate.forget(sender)
    gate.open()
    expect(sender.count).toBe(1)
  })
})

describe('the memory account', () => {
  test('counts a message once however many hold it', () => {
    const memory = new Memory(10_000)
    const message = messageOf({ body })
    memory.hold(message)
    memory.hold(message)
    expect(memory.bytes).toBe(1000)
    memory.release(message)
    expect(memory.bytes).toBe(1000)
    memory.release(message)
    expect(memory.bytes).toBe(0)
  })

  test('counts fan-out and the retained message once, and nothing when all have gone', async () => {
    const test = await TestBroker.open()
    const client = test.connect('me')
    const consumers = [
      client.subscribe('topic://prices'),
      client.subscribe('topic://*', { name: 'all', durable: true }),
      client.subscribe('topic://>', { name: 'some', shared: true }),
    ]
    client.send('topic://prices', body, { retain: true, durable: true })
    expect(test.broker.memory.bytes).toBe(1000)
    await test.settle()
    for (const consumer of consumers) consumer.settleAll()
    expect(test.broker.memory.bytes).toBe(1000)
    client.send('topic://prices', '', { retain: true })
    await test.settle()
    for (const consumer of consumers) consumer.settle(1)
    expect(test.broker.memory.bytes).toBe(0)
  })

  test('is empty when queues, topics and sessions with unsettled messages have gone', async () => {
    const test = await TestBroker.open()
    const client = test.connect('me')
    for (const to of ['queue://a', 'queue://b.*', 'topic://t']) client.subscribe(to, { credit: 2 })
    client.subscribe('topic://t', { name: 'kept', durable: true, credit: 1 })
    for (const to of ['a', 'b.c', 'topic://t']) client.sendAll(to, numbered(4))
    await test.settle()
    client.session.close('lost')
    await test.settle()
    expect(test.connect('me').session.deleteSubscription('kept')).toBeUndefined()
    for (const name of ['a', 'b.c']) test.broker.router.deleteDestination(Address.must('queue', name))
    expect(test.broker.memory.bytes).toBe(0)
  })
})

describe('the memory limit', () => {
  test('holds senders, refuses them past the hard limit, and frees them when messages leave', async () => {
    const test = await TestBroker.open({ limits: { memoryBytesMax: 10_000, hardLimitFactor: 1.2 } })
    const client = test.connect()
    client.sendAll('orders', numbered(10))
    await test.settle()
    expect(stateOf(client)).toEqual([false, 10, 0])
    client.sendAll('orders', numbered(2))
    await test.settle()
    expect(stateOf(client)).toEqual([true, 10, 0])
    client.sendAll('orders', numbered(2))
    await test.settle()
    expect(client.refusals.map(({ send, error }) => [send, error.code])).toEqual([
      [13, 'resource-exhausted'],
      [14, 'resource-exhausted'],
    ])
    const consumer = test.connect().subscribe('orders')
    await test.settle()
    for (let index = 0; index < 2; index += 1) consumer.settle(index)
    await test.settle()
    expect(stateOf(client)).toEqual([true, 10, 2])
    consumer.settle(2)
    await test.settle()
    expect(stateOf(client)).toEqual([false, 14, 2])
  })

  test('answers what is no send while it holds sends up, once that is safe', async () => {
    const store = new HeldStore()
    const policies = [policyRule('queue://full', { messagesMax: 2 })]
    const test = await TestBroker.open({ store, policies })
    const client = test.connect()
    client.send('other', 'to be settled', { durable: true })
    const consumer = client.subscribe('other')
    await test.settle()
    client.sendAll('full', ['a', 'b'])
    client.send('full', 'c')
    await test.settle()
    expect([client.isBlocked, client.confirmedUpTo, client.syncedUpTo]).toEqual([true, 1, 0])
    store.isHeld = true
    consumer.settle(0)
    const sync = client.session.sync()
    await test.settle()
    expect(client.syncedUpTo).toBeLessThan(sync)
    store.letGo()
    await test.settle()
    expect([client.isBlocked, client.confirmedUpTo, client.syncedUpTo]).toEqual([true, 1, sync])
    test.queue('full').purge()
    await test.settle()
    expect([client.isBlocked, client.confirmedUpTo]).toEqual([false, sync])
  })

  test('frees a sender although nothing leaves the queue that it sent to', async () => {
    const test = await TestBroker.open({ limits: { memoryBytesMax: 10_000 } })
    const [other, client] = [test.connect(), test.connect()]
    other.sendAll('full', numbered(10))
    client.send('orders', body)
    await test.settle()
    expect(client.isBlocked).toBe(true)
    test.queue('full').purge()
    await test.settle()
    expect(stateOf(client)).toEqual([false, 1, 0])
  })

  test('holds the senders to topics too', async () => {
    const test = await TestBroker.open({ limits: { memoryBytesMax: 3000 } })
    const client = test.connect()
    const consumer = client.subscribe('topic://prices')
    client.sendAll('topic://prices', numbered(4))
    await test.settle()
    expect(client.isBlocked).toBe(true)
    consumer.settleAll()
    await test.settle()
    expect(stateOf(client)).toEqual([false, 4, 0])
  })

  test('holds nobody for messages that nobody keeps', async () => {
    const test = await TestBroker.open({ limits: { memoryBytesMax: 3000 } })
    const client = test.connect()
    client.sendAll('orders', numbered(3))
    client.sendAll('topic://nobody', numbered(3))
    await test.settle()
    expect(stateOf(client)).toEqual([false, 6, 0])
  })

  test('lets one message through that alone is larger', async () => {
    const test = await TestBroker.open({ limits: { memoryBytesMax: 500 } })
    const client = test.connect()
    client.sendAll('orders', numbered(2))
    await test.settle()
    expect(stateOf(client)).toEqual([true, 0, 1])
    expect(test.queue('orders').purge()).toBe(1)
    await test.settle()
    expect(stateOf(client)).toEqual([false, 2, 1])
  })

  test('forgets a sender that ends while held', async () => {
    const test = await TestBroker.open({ limits: { memoryBytesMax: 2000 } })
    const [first, second] = [test.connect(), test.connect()]
    first.sendAll('orders', numbered(3))
    second.send('orders', body)
    first.session.close()
    test.queue('orders').purge()
    await test.settle()
    expect([first.isBlocked, second.refusals.length]).toEqual([true, 1])
    second.send('orders', body)
    await test.settle()
    expect(second.confirmedUpTo).toBe(2)
  })

  test('survives a sender that replaces the retained message from inside the call that frees it', async () => {
    const test = await TestBroker.open({ limits: { memoryBytesMax: 10_000 } })
    const [client, other] = [test.connect(), test.connect()]
    client.send('topic://prices', 'x'.repeat(2600), { retain: true })
    client.sendAll('orders', numbered(8))
    expect(client.isBlocked).toBe(true)
    client.unblocked = () => client.send('topic://prices', 'mine', { retain: true })
    other.send('topic://prices', 'theirs', { retain: true })
    await test.settle()
    test.queue('orders').purge()
    client.send('topic://prices', '', { retain: true })
    expect(test.broker.memory.bytes).toBe(0)
  })
})

describe('a full queue', () => {
  const policies = [policyRule('queue://orders', { messagesMax: 10 }), policyRule('queue://small', { messagesMax: 1 })]

  test('holds a sender at each gate until the last of them opens', async () => {
    const test = await TestBroker.open({ policies })
    const client = test.connect()
    client.sendAll('orders', numbered(11))
    client.sendAll('small', numbered(2))
    await test.settle()
    expect(stateOf(client)).toEqual([true, 0, 0])
    test.queue('orders').purge()
    await test.settle()
    expect(client.isBlocked).toBe(true)
    test.queue('small').purge()
    await test.settle()
    expect(stateOf(client)).toEqual([false, 13, 0])
  })

  test.each(['expiry', 'deletion', 'dead-lettering', 'presettled delivery'])('opens its gate by %s', async (how) => {
    const test = await TestBroker.open({ policies })
    const client = test.connect()
    const expiresAt = how === 'expiry' ? test.clock.now() + 1000 : 0
    client.sendAll('orders', numbered(11), { expiresAt })
    await test.settle()
    expect(client.isBlocked).toBe(true)
    const reader = test.connect()
    if (how === 'deletion') test.broker.router.deleteDestination(Address.must('queue', 'orders'))
    if (how === 'dead-lettering') {
      const consumer = reader.subscribe('orders')
      await test.settle()
      consumer.settleAll({ kind: 'rejected', reason: '' })
    }
    if (how === 'presettled delivery') reader.subscribe('orders', { presettled: true })
    await test.advance(5000)
    expect(stateOf(client)).toEqual([false, 11, 0])
  })

  test('stays shut for the living when one of the held has ended', async () => {
    const test = await TestBroker.open({ policies })
    const [first, second] = [test.connect(), test.connect()]
    first.sendAll('orders', numbered(11))
    second.send('orders', body)
    first.session.close('lost')
    await test.settle()
    expect(second.isBlocked).toBe(true)
    test.queue('orders').purge()
    await test.settle()
    expect(stateOf(second)).toEqual([false, 1, 0])
  })

  test('does not hold up settlements', async () => {
    const test = await TestBroker.open({ policies })
    const client = test.connect()
    const consumer = client.subscribe('orders', { credit: 11 })
    client.sendAll('orders', numbered(11))
    await test.settle()
    expect(client.isBlocked).toBe(true)
    consumer.settleAll()
    await test.settle()
    expect(stateOf(client)).toEqual([false, 11, 0])
  })
})

describe('a full durable subscription', () => {
  test('holds the senders to its topics, and refuses past the hard limit', async () => {
    const test = await TestBroker.open({
      policies: [policyRule('topic://prices', { messagesMax: 10 })],
      limits: { hardLimitFactor: 1.2 },
    })
    const client = test.connect('me')
    const reader = client.subscribe('topic://prices', { name: 'mine', durable: true, credit: 0 })
    client.sendAll('topic://prices', numbered(11))
    await test.settle()
    expect(stateOf(client)).toEqual([true, 0, 0])
    client.sendAll('topic://prices', numbered(2))
    expect(client.refusals.map(({ send }) => send)).toEqual([13])
    reader.subscription.addCredit(100)
    await test.settle()
    reader.settleAll()
    await test.settle()
    expect(stateOf(client)).toEqual([false, 13, 1])
  })

  test('holds a sender whose one message takes it past the hard limit', async () => {
    const test = await TestBroker.open({ policies: [policyRule('topic://prices', { messagesMax: 1 })] })
    const client = test.connect('me')
    client.subscribe('topic://prices', { name: 'mine', durable: true, credit: 0 })
    client.sendAll('topic://prices', numbered(2))
    expect(stateOf(client)).toEqual([true, 0, 0])
  })

  test('holds a sender at each of several, and lets go when all have room or are gone', async () => {
    const test = await TestBroker.open({ policies: [policyRule('topic://prices', { messagesMax: 10 })] })
    const client = test.connect('me')
    const readers = ['a', 'b'].map((name) => client.subscribe('topic://prices', { name, durable: true }))
    client.sendAll('topic://prices', numbered(11))
    await test.settle()
    readers[0]!.settleAll()
    await test.settle()
    expect(client.isBlocked).toBe(true)
    readers[1]!.subscription.close()
    expect(client.session.deleteSubscription('b')).toBeUndefined()
    await test.settle()
    expect(stateOf(client)).toEqual([false, 11, 0])
  })
})
