import { describe, expect, test } from 'vitest'
import type { BrokerTransaction } from '../../../../src/broker/transaction.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { stateBytesMax, stateKeyBytesMax } from '../../../../src/limits.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { TestBroker, type TestClient } from '../../../support/test-broker.ts'

const bytes = (...values: number[]) => Uint8Array.from(values)

function begin(client: TestClient): BrokerTransaction {
  const transaction = client.session.begin()
  if (transaction instanceof BrokerError) throw transaction
  return transaction
}

/** What a broker that is opened on the same store finds: the states, and how much the queue holds. */
async function found(store: HeldStore): Promise<{ keys: string[]; count: number }> {
  const test = await TestBroker.open({ store: store.inner })
  return { keys: [...test.broker.statesOf('')].map(([key]) => key), count: test.queue('orders').count }
}

describe('the states that adapters keep', () => {
  test('are found by key and by prefix, by every session and by the next broker', async () => {
    const first = await TestBroker.open()
    const { session } = first.connect()
    for (const key of ['mqtt/a/1', 'mqtt/a/2', 'mqtt/b/1', 'native/a']) session.putState(key, bytes(1))
    session.putState('mqtt/a/2', bytes(2, 2))
    session.putState('mqtt/b/1', undefined)
    session.putState('never/there', undefined)
    await first.settle()
    for (const test of [first, await TestBroker.open({ store: first.store })]) {
      expect([...test.broker.statesOf('mqtt/')]).toEqual([
        ['mqtt/a/1', bytes(1)],
        ['mqtt/a/2', bytes(2, 2)],
      ])
      expect(test.connect().session.state('native/a')).toEqual(bytes(1))
      expect(test.connect().session.state('mqtt/b/1')).toBeUndefined()
    }
  })

  test('are a copy of what was given', async () => {
    const test = await TestBroker.open()
    const { session } = test.connect()
    const given = Buffer.from('one')
    session.putState('plain', given)
    const transaction = begin(test.connect())
    session.putState('transacted', given, transaction)
    given.write('two')
    transaction.commit()
    await test.settle()
    expect([...test.broker.statesOf('')].map(([, value]) => Buffer.from(value).toString())).toEqual(['one', 'one'])
  })

  test('are confirmed once they are on disk, by a sync and by a send beside them', async () => {
    const store = new HeldStore()
    const test = await TestBroker.open({ store })
    const [syncing, sending] = [test.connect(), test.connect()]
    store.isHeld = true
    syncing.session.putState('s', bytes(1))
    syncing.session.sync()
    sending.session.putState('t', bytes(1))
    sending.send('orders', 'not durable')
    await test.settle()
    expect([syncing.confirmedUpTo, sending.confirmedUpTo]).toEqual([0, 0])
    store.letGo()
    await test.settle()
    expect([syncing.confirmedUpTo, sending.confirmedUpTo]).toEqual([1, 1])
  })

  test('become durable together with a send and a settlement beside them, or none of them does', async () => {
    const store = new HeldStore()
    const test = await TestBroker.open({ store })
    const client = test.connect()
    const consumer = client.subscribe('orders')
    client.send('orders', 'first', { durable: true })
    await test.settle()
    store.isHeld = true
    consumer.settle(0)
    test.broker.putState('settled', bytes(1))
    test.turn()
    client.send('orders', 'second', { durable: true })
    client.send('orders', 'third', { durable: true })
    client.session.putState('received', bytes(2))
    test.turn()
    expect(await found(store)).toEqual({ keys: [], count: 1 })
    store.letGo(1)
    await test.settle()
    expect(await found(store)).toEqual({ keys: ['settled'], count: 0 })
    store.letGo(1)
    await test.settle()
    expect(await found(store)).toEqual({ keys: ['settled', 'received'], count: 2 })
  })

  test('of a transaction count once it is committed, and not at all if it is aborted or refused', async () => {
    const test = await TestBroker.open({ limits: { messageBytesMax: 1024 } })
    const client = test.connect()
    const { session } = client
    const [committed, aborted, refused] = [begin(client), begin(client), begin(client)]
    for (const [key, transaction] of Object.entries({ committed, aborted, refused })) {
      expect(session.putState(key, bytes(1), transaction)).toBeUndefined()
    }
    expect(session.state('committed')).toBeUndefined()
    session.send(client.message('orders', 'x'.repeat(2000)), refused)
    committed.commit()
    aborted.abort()
    refused.commit()
    await test.settle()
    expect([...test.broker.statesOf('')].map(([key]) => key)).toEqual(['committed'])
    expect((session.putState('late', bytes(1), committed) as BrokerError).code).toBe('invalid-transaction')
  })

  test('have limits', async () => {
    const test = await TestBroker.open({ limits: { statesMax: 2, transactionOperationsMax: 1 } })
    const client = test.connect()
    const { session } = client
    const longest = new Uint8Array(stateBytesMax)
    const code = (key: string, value: Uint8Array, transaction?: BrokerTransaction) =>
      session.putState(key, value, transaction)?.code
    expect(code('', bytes(1))).toBe('invalid-request')
    expect(code('k'.repeat(stateKeyBytesMax + 1), bytes(1))).toBe('invalid-request')
    expect(code('ü'.repeat(stateKeyBytesMax / 2 + 1), bytes(1))).toBe('invalid-request')
    expect(code('k', new Uint8Array(stateBytesMax + 1))).toBe('limit-exceeded')
    expect(code('k'.repeat(stateKeyBytesMax), longest)).toBeUndefined()
    expect(test.broker.putState('b', bytes())).toBeUndefined()
    expect(test.broker.putState('c', bytes(1))?.code).toBe('limit-exceeded')
    expect(code('b', bytes(1))).toBeUndefined()
    const transaction = begin(client)
    expect(code('b', bytes(2), transaction)).toBeUndefined()
    expect(code('b', bytes(3), transaction)).toBe('limit-exceeded')
  })

  test('count as memory until they are removed', async () => {
    const test = await TestBroker.open()
    const before = test.broker.memory.bytes
    test.broker.putState('k', new Uint8Array(5000))
    test.broker.putState('k', new Uint8Array(4000))
    const held = test.broker.memory.bytes - before
    expect([held >= 4000, held < 5000]).toEqual([true, true])
    test.broker.putState('k', undefined)
    expect(test.broker.memory.bytes).toBe(before)
  })
})
