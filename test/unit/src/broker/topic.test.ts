import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import { BrokerError } from '../../../../src/errors.ts'
import type { SubscribeRequest } from '../../../../src/session.ts'
import { policyRule } from '../../../support/policy-rule.ts'
import { TestBroker, type TestClient, TestConsumer } from '../../../support/test-broker.ts'

function numbered(count: number, prefix = 'm'): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}

function refusal(client: TestClient, to: string, request: Partial<SubscribeRequest>): string | undefined {
  const address = Address.parse(to)
  if (address instanceof BrokerError) throw address
  const result = client.session.subscribe({ address, consumer: new TestConsumer(), presettled: false, ...request })
  return result instanceof BrokerError ? result.code : undefined
}

const durable = { name: 'mine', durable: true }
const shared = { name: 'ours', shared: true }

describe('a topic', () => {
  test('gives each message to every subscriber of it and of a pattern that covers it', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumers = ['prices.eu', 'prices.*', 'prices.>', '>', '*.eu'].map((name) =>
      client.subscribe(`topic://${name}`),
    )
    const others = ['prices', 'prices.eu.x', '*', 'prices.us'].map((name) => client.subscribe(`topic://${name}`))
    client.sendAll('topic://prices.eu', ['a', 'b'])
    await test.settle()
    for (const consumer of consumers) expect(consumer.texts).toEqual(['a', 'b'])
    for (const consumer of others) expect(consumer.texts).toEqual([])
  })

  test('keeps nothing for those who come later', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('topic://prices', 'early')
    const consumer = client.subscribe('topic://prices')
    client.send('topic://prices', 'late')
    await test.settle()
    expect(consumer.texts).toEqual(['late'])
  })

  test('of a name that begins with $ is hidden from wildcards at the first level only', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const blind = ['>', '*.clients'].map((name) => client.subscribe(`topic://${name}`))
    const seeing = ['$SYS.>', '$SYS.*', '$SYS.clients'].map((name) => client.subscribe(`topic://${name}`))
    const inner = client.subscribe('topic://a.*')
    client.send('topic://$SYS.clients', 'x', { retain: true })
    client.send('topic://a.$b', 'y')
    blind.push(client.subscribe('topic://>', { retained: 'send' }))
    await test.settle()
    for (const consumer of blind) expect(consumer.texts.filter((text) => text === 'x')).toEqual([])
    for (const consumer of seeing) expect(consumer.texts).toEqual(['x'])
    expect(inner.texts).toEqual(['y'])
  })

  test('follows subscribers that come and go between its messages', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('topic://prices.eu', 'none')
    const first = client.subscribe('topic://prices.*')
    client.send('topic://prices.eu', 'a')
    await test.settle()
    first.subscription.close()
    const second = client.subscribe('topic://prices.eu')
    client.send('topic://prices.eu', 'b')
    await test.settle()
    expect([first.texts, second.texts]).toEqual([['a'], ['b']])
  })

  test('leaves out what a selector does not match, and with no-local what the client sent itself', async () => {
    const test = await TestBroker.open()
    const [me, other, nobody] = [test.connect('me'), test.connect('other'), test.connect()]
    const red = me.subscribe('topic://prices', { selector: "color = 'red'" })
    const foreign = me.subscribe('topic://prices', { noLocal: true })
    const anonymous = nobody.subscribe('topic://prices', { noLocal: true })
    for (const [index, client] of [me, other, nobody, test.connect('me'), test.connect()].entries()) {
      client.send('topic://prices', `${index}`, { properties: { color: index % 2 === 0 ? 'red' : 'blue' } })
    }
    await test.settle()
    expect([red.texts, foreign.texts, anonymous.texts]).toEqual([
      ['0', '2', '4'],
      ['1', '2', '4'],
      ['0', '1', '3', '4'],
    ])
  })

  test('is gone when nobody has used it for a while, and comes back with its next message', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const address = Address.must('topic', 'prices')
    const consumer = client.subscribe('topic://prices')
    await test.advance(200_000)
    expect(test.broker.find(address)).toBeDefined()
    consumer.subscription.close()
    await test.advance(100_000)
    expect(test.broker.find(address)).toBeUndefined()
    client.send('topic://prices', 'a')
    expect(test.broker.find(address)).toBeDefined()
  })

  test('delivers a delayed message to those who were there when it was sent', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('topic://prices')
    client.send('topic://prices', 'a', { deliverAt: test.clock.now() + 1000 })
    const late = client.subscribe('topic://prices')
    await test.settle()
    expect(consumer.texts).toEqual([])
    await test.advance(1001)
    expect([consumer.texts, late.texts]).toEqual([['a'], []])
  })

  test('forgets what a subscriber had when it leaves', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumer = client.subscribe('topic://prices', { credit: 2 })
    client.sendAll('topic://prices', numbered(5))
    await test.settle()
    consumer.subscription.close()
    await test.settle()
    expect([test.broker.memory.bytes, test.broker.router.bindings.trie.covering(['prices'])]).toEqual([0, []])
  })
})

describe('a slow subscriber', () => {
  const slow = (slowConsumer: 'drop-oldest' | 'drop-newest' | 'disconnect') => ({
    policies: [policyRule('topic://>', { subscriberMessagesMax: 3, slowConsumer })],
  })

  test('loses the oldest, the newest or its connection, by policy, and stalls nobody', async () => {
    const expected = { 'drop-oldest': ['m3', 'm4', 'm5'], 'drop-newest': ['m0', 'm1', 'm2'], disconnect: [] }
    for (const [policy, texts] of Object.entries(expected)) {
      const test = await TestBroker.open(slow(policy as keyof typeof expected))
      const [sender, reader] = [test.connect(), test.connect()]
      const lazy = reader.subscribe('topic://prices', { credit: 0 })
      const eager = reader.subscribe('topic://prices')
      for (const text of numbered(6)) {
        sender.send('topic://prices', text)
        await test.settle()
        eager.settleAll()
      }
      expect([eager.texts, sender.isBlocked, sender.refusals, sender.confirmedUpTo]).toEqual([
        numbered(6),
        false,
        [],
        6,
      ])
      lazy.subscription.addCredit(10)
      await test.settle()
      expect(lazy.texts).toEqual(texts)
      expect(lazy.endedBy?.code).toBe(policy === 'disconnect' ? 'slow-consumer' : undefined)
    }
  })

  test('is measured by what waits, not by what it has and has not settled', async () => {
    for (const policy of ['drop-oldest', 'drop-newest', 'disconnect'] as const) {
      const test = await TestBroker.open(slow(policy))
      const client = test.connect()
      const consumer = client.subscribe('topic://prices')
      for (const prefix of ['a', 'b', 'c']) {
        client.sendAll('topic://prices', numbered(3, prefix))
        await test.settle()
      }
      expect(consumer.texts).toHaveLength(9)
    }
  })

  test('is measured by bytes too', async () => {
    const test = await TestBroker.open({
      policies: [policyRule('topic://>', { subscriberBytesMax: 1000, slowConsumer: 'drop-newest' })],
    })
    const client = test.connect()
    const consumer = client.subscribe('topic://prices', { credit: 0 })
    client.sendAll('topic://prices', ['x'.repeat(600), 'y'])
    consumer.subscription.addCredit(10)
    await test.settle()
    expect(consumer.deliveries).toHaveLength(1)
  })

  test('that is disconnected may close its session at once, though that has other subscriptions there', async () => {
    const test = await TestBroker.open(slow('disconnect'))
    const [sender, reader] = [test.connect(), test.connect()]
    const consumers = ['topic://prices', 'topic://*', 'topic://>'].map((to) => reader.subscribe(to, { credit: 0 }))
    for (const consumer of consumers) consumer.ended = () => reader.session.close('lost')
    sender.sendAll('topic://prices', numbered(5))
    await test.settle()
    expect([test.broker.memory.bytes, test.broker.sessionCount]).toEqual([0, 1])
  })
})

describe('a retained message', () => {
  test('comes first to a new subscriber, flagged, and only the last one', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('topic://prices', 'old', { retain: true })
    client.send('topic://prices', 'new', { retain: true })
    client.send('topic://prices', 'passing')
    const consumer = client.subscribe('topic://prices')
    client.send('topic://prices', 'live', { retain: true })
    await test.settle()
    expect(consumer.texts).toEqual(['new', 'live'])
    expect(consumer.deliveries.map((delivery) => delivery.isRetained)).toEqual([true, false])
  })

  test('comes from every topic that the filter covers', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    for (const name of ['a.x', 'a.y', 'b.x', 'a', 'a.x.z']) client.send(`topic://${name}`, name, { retain: true })
    const texts = async (filter: string) => {
      const consumer = client.subscribe(`topic://${filter}`)
      await test.settle()
      return consumer.texts.sort()
    }
    expect(await texts('a.*')).toEqual(['a.x', 'a.y'])
    expect(await texts('a.>')).toEqual(['a.x', 'a.x.z', 'a.y'])
    expect(await texts('*.x')).toEqual(['a.x', 'b.x'])
    expect(await texts('a')).toEqual(['a'])
    expect(await texts('c.>')).toEqual([])
  })

  test('comes in the order in which the topics are kept', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    for (const name of numbered(5)) client.send(`topic://${name}`, name, { retain: true })
    const consumer = client.subscribe('topic://*')
    client.send('topic://m0', 'live')
    await test.settle()
    expect(consumer.texts).toEqual([...numbered(5), 'live'])
  })

  test('is cleared by an empty one, which the living still get', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const living = client.subscribe('topic://prices')
    client.send('topic://prices', 'a', { retain: true })
    client.send('topic://prices', '', { retain: true })
    client.send('topic://never', '', { retain: true })
    const late = client.subscribe('topic://>')
    await test.settle()
    expect([living.texts, late.texts, test.broker.retained.count]).toEqual([['a', ''], [], 0])
    living.settleAll()
    expect(test.broker.memory.bytes).toBe(0)
  })

  test('is not sent once it has expired', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('topic://prices', 'a', { retain: true, expiresAt: test.clock.now() + 1000 })
    await test.advance(1000)
    const consumer = client.subscribe('topic://prices')
    await test.settle()
    expect([consumer.texts, test.broker.retained.count, test.broker.memory.bytes]).toEqual([[], 0, 0])
  })

  test('is sent as the subscriber wants it: always, if the subscription is new, or never', async () => {
    const test = await TestBroker.open()
    const client = test.connect('me')
    client.send('topic://prices', 'kept', { retain: true })
    for (const [retained, name, first, again] of [
      ['send', 'a', ['kept'], ['kept']],
      ['if-new', 'b', ['kept'], []],
      ['none', 'c', [], []],
    ] as const) {
      for (const expected of [first, again]) {
        const consumer = client.subscribe('topic://prices', { name, durable: true, retained })
        await test.settle()
        expect(consumer.texts).toEqual(expected)
        consumer.settleAll()
        consumer.subscription.close()
      }
    }
    const unnamed = client.subscribe('topic://prices', { retained: 'none' })
    await test.settle()
    expect(unnamed.texts).toEqual([])
  })

  test('sent again to a durable subscription goes before what that has collected', async () => {
    const test = await TestBroker.open()
    const client = test.connect('me')
    client.send('topic://prices.a', 'kept a', { retain: true })
    client.send('topic://prices.b', 'kept b', { retain: true })
    client.subscribe('topic://prices.*', { ...durable, retained: 'none' }).subscription.close()
    client.sendAll('topic://prices.a', ['x', 'y'])
    const consumer = client.subscribe('topic://prices.*', { ...durable, retained: 'send', credit: 2 })
    await test.settle()
    expect(consumer.texts).toEqual(['kept a', 'kept b'])
    consumer.settle(1, { kind: 'released' })
    consumer.settle(0, { kind: 'released' })
    consumer.take()
    consumer.subscription.addCredit(10)
    await test.settle()
    expect(consumer.texts).toEqual(['kept a', 'kept b', 'x', 'y'])
  })

  test('passes the selector and no-local of the subscriber', async () => {
    const test = await TestBroker.open()
    const [me, other] = [test.connect('me'), test.connect('other')]
    me.send('topic://a', 'mine', { retain: true, properties: { color: 'red' } })
    other.send('topic://b', 'theirs', { retain: true, properties: { color: 'blue' } })
    const foreign = me.subscribe('topic://*', { noLocal: true })
    const red = me.subscribe('topic://*', { selector: "color = 'red'" })
    await test.settle()
    expect([foreign.texts, red.texts]).toEqual([['theirs'], ['mine']])
  })

  test('goes when its time is over, from the memory and from the store', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const inSeconds = (seconds: number) => ({
      retain: true,
      durable: true,
      expiresAt: test.clock.now() + seconds * 1000,
    })
    client.send('topic://a', 'short', inSeconds(5))
    client.send('topic://b', 'replaced', inSeconds(5))
    client.send('topic://b', 'lasting', { retain: true, durable: true })
    client.send('topic://c', 'long', inSeconds(9))
    await test.advance(5_000)
    expect(test.broker.retained.count).toBe(2)
    const next = await TestBroker.open({ store: test.store, clock: test.clock })
    expect(next.broker.retained.count).toBe(2)
    for (const one of [test, next]) await one.advance(4_000)
    for (const one of [test, next]) expect([one.broker.retained.count, one.broker.memory.bytes]).toEqual([1, 407])
    const last = await TestBroker.open({ store: test.store, clock: test.clock })
    expect(last.broker.retained.count).toBe(1)
  })

  test('that is replaced again and again leaves nothing behind until it would have expired', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    for (let count = 0; count < 5_000; count += 1) {
      client.send('topic://a', `m${count}`, { retain: true, expiresAt: test.clock.now() + 1000 + count })
    }
    await test.advance(5_998)
    expect(test.broker.retained.count).toBe(1)
    await test.advance(1)
    expect([test.broker.retained.count, test.broker.memory.bytes]).toEqual([0, 0])
  })

  test.each([
    ['never', true, 0],
    ['as-sent', false, 0],
    ['as-sent', true, 1],
    ['always', false, 1],
  ] as const)('is stored as the policy %s says (durable: %s)', async (persistent, isDurable, count) => {
    const policies = [policyRule('topic://a', { persistent })]
    const test = await TestBroker.open({ policies })
    test.connect().send('topic://a', 'm', { retain: true, durable: isDurable })
    await test.settle()
    expect(test.broker.retained.count).toBe(1)
    const next = await TestBroker.open({ store: test.store, policies })
    expect(next.broker.retained.count).toBe(count)
  })

  test('is not kept beyond the limit, but an old one can be replaced', async () => {
    const test = await TestBroker.open({ limits: { retainedMessagesMax: 1 } })
    const client = test.connect()
    client.send('topic://a', 'a', { retain: true })
    client.send('topic://b', 'b', { retain: true })
    client.send('topic://a', 'a2', { retain: true })
    const consumer = client.subscribe('topic://>')
    await test.settle()
    expect(consumer.texts).toEqual(['a2'])
  })
})

describe('a durable subscription', () => {
  test('collects while nobody is connected, what its selector and no-local let through', async () => {
    const test = await TestBroker.open()
    const [me, other] = [test.connect('me'), test.connect('other')]
    const request = { ...durable, selector: "color = 'red'", noLocal: true }
    me.subscribe('topic://prices.*', request).subscription.close()
    me.session.close()
    for (const [index, color] of ['red', 'blue', 'red'].entries()) {
      other.send('topic://prices.eu', `${color}${index}`, { properties: { color } })
    }
    test.connect('me').send('topic://prices.eu', 'own', { properties: { color: 'red' } })
    const back = test.connect('me').subscribe('topic://prices.*', request)
    await test.settle()
    expect(back.texts).toEqual(['red0', 'red2'])
  })

  test('takes back what was not settled', async () => {
    const test = await TestBroker.open()
    const first = test.connect('me')
    const consumer = first.subscribe('topic://prices', durable)
    first.sendAll('topic://prices', numbered(3))
    await test.settle()
    consumer.settle(1)
    first.session.close('lost')
    const second = test.connect('me').subscribe('topic://prices', durable)
    await test.settle()
    expect(second.texts).toEqual(['m0', 'm2'])
    expect(second.deliveries[0]).toMatchObject({ redelivered: true, deliveryCount: 1 })
  })

  test.each([
    ['filter', { address: Address.must('topic', 'prices.us') }],
    ['selector', { selector: 'TRUE' }],
    ['no-local', { noLocal: true }],
  ])('with another %s replaces the old one and all it has collected', async (_what, change) => {
    const test = await TestBroker.open()
    const [client, sender] = [test.connect('me'), test.connect()]
    client.subscribe('topic://prices.eu', durable).subscription.close()
    sender.send('topic://prices.eu', 'old', { durable: true })
    const consumer = client.subscribe('topic://prices.eu', { ...durable, ...change })
    sender.sendAll('topic://prices.eu', ['eu'])
    sender.sendAll('topic://prices.us', ['us'])
    await test.settle()
    expect(consumer.texts).toEqual(['address' in change ? 'us' : 'eu'])
    consumer.settleAll()
    expect(test.broker.memory.bytes).toBe(0)
  })

  test('is for one consumer at a time, of one client', async () => {
    const test = await TestBroker.open()
    const [client, other] = [test.connect('me'), test.connect('other')]
    const consumer = client.subscribe('topic://prices', durable)
    expect(refusal(test.connect('me'), 'topic://prices', durable)).toBe('in-use')
    expect(refusal(client, 'topic://other', durable)).toBe('in-use')
    expect(client.session.deleteSubscription('mine')?.code).toBe('in-use')
    expect(refusal(other, 'topic://prices', durable)).toBeUndefined()
    consumer.subscription.close()
    expect(refusal(test.connect('me'), 'topic://prices', durable)).toBeUndefined()
  })

  test('needs a client id, and a name needs a meaning', async () => {
    const test = await TestBroker.open()
    expect(refusal(test.connect(), 'topic://prices', durable)).toBe('invalid-request')
    expect(refusal(test.connect('me'), 'topic://prices', { name: 'mine' })).toBe('invalid-request')
    expect(refusal(test.connect('me'), 'topic://prices', { selector: 'color =' })).toBe('invalid-selector')
  })

  test('can be found, and removed with what it has collected', async () => {
    const test = await TestBroker.open()
    const client = test.connect('me')
    client.subscribe('topic://prices', { ...durable, selector: 'TRUE' }).subscription.close()
    client.send('topic://prices', 'a', { durable: true })
    expect(client.session.findSubscription('mine')).toMatchObject({
      address: Address.must('topic', 'prices'),
      selector: 'TRUE',
    })
    expect(test.connect('other').session.findSubscription('mine')).toBeUndefined()
    expect(client.session.deleteSubscription('mine')).toBeUndefined()
    expect(client.session.deleteSubscription('mine')?.code).toBe('not-found')
    expect([client.session.findSubscription('mine'), test.broker.memory.bytes]).toEqual([undefined, 0])
  })

  test('that is full holds or refuses its publishers by its own policy', async () => {
    const test = await TestBroker.open({
      policies: [
        policyRule('topic://a', { messagesMax: 2 }),
        policyRule('topic://b', { messagesMax: 2, overflow: 'reject' }),
        policyRule('topic://c', { messagesMax: 2, overflow: 'drop-oldest' }),
      ],
    })
    const reader = test.connect('me')
    for (const name of ['a', 'b', 'c']) reader.subscribe(`topic://${name}`, { ...durable, name, credit: 0 })
    const [a, b, c] = ['a', 'b', 'c'].map((name) => {
      const client = test.connect()
      client.sendAll(`topic://${name}`, numbered(3))
      return client
    })
    await test.settle()
    expect([a!.isBlocked, a!.refusals.length, a!.confirmedUpTo]).toEqual([true, 0, 0])
    expect([b!.isBlocked, b!.refusals.length, b!.confirmedUpTo]).toEqual([false, 1, 3])
    expect([c!.isBlocked, c!.refusals.length, c!.confirmedUpTo]).toEqual([false, 0, 3])
  })

  test('refusing a message keeps it from everybody', async () => {
    const test = await TestBroker.open({
      policies: [policyRule('topic://b', { messagesMax: 1, overflow: 'reject' })],
    })
    const client = test.connect('me')
    client.subscribe('topic://b', { ...durable, credit: 0 })
    const other = client.subscribe('topic://b')
    client.sendAll('topic://b', ['a', 'b'])
    await test.settle()
    expect(other.texts).toEqual(['a'])
  })

  test('buries what is rejected under the name of the topic, and sendBack returns it to this subscription only', async () => {
    const test = await TestBroker.open()
    const client = test.connect('me')
    const consumer = client.subscribe('topic://prices.*', durable)
    const other = client.subscribe('topic://prices.*')
    client.send('topic://prices.eu', 'a')
    await test.settle()
    consumer.settle(0, { kind: 'rejected', reason: 'odd' })
    await test.settle()
    const dead = Address.must('queue', 'DLQ.prices.eu')
    expect(test.queue('DLQ.prices.eu').readyCount).toBe(1)
    expect(await test.broker.sendBack(dead, 10)).toBe(1)
    await test.settle()
    expect([consumer.texts, other.texts]).toEqual([['a', 'a'], ['a']])
    consumer.settle(1, { kind: 'rejected', reason: 'odd' })
    consumer.subscription.close()
    client.session.deleteSubscription('mine')
    expect(await test.broker.sendBack(dead, 10)).toBe(0)
    expect(test.queue('DLQ.prices.eu').readyCount).toBe(1)
  })
})

describe('a shared subscription', () => {
  test('hands each message to one of its consumers, and ends with the last of them', async () => {
    const test = await TestBroker.open()
    const [first, second] = [test.connect(), test.connect()]
    const consumers = [first.subscribe('topic://prices', shared), second.subscribe('topic://prices', shared)]
    first.sendAll('topic://prices', numbered(4))
    await test.settle()
    expect(consumers.map((consumer) => consumer.texts)).toEqual([
      ['m0', 'm2'],
      ['m1', 'm3'],
    ])
    first.session.close()
    await test.settle()
    expect(consumers[1]!.texts).toEqual(['m1', 'm3', 'm0', 'm2'])
    second.session.close()
    expect(test.broker.memory.bytes).toBe(0)
    const late = test.connect().subscribe('topic://prices', shared)
    await test.settle()
    expect(late.texts).toEqual([])
  })

  test('that is durable goes on collecting when all have left', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const request = { ...shared, durable: true }
    client.subscribe('topic://prices', request).subscription.close()
    client.sendAll('topic://prices', numbered(2))
    const consumers = [
      client.subscribe('topic://prices', { ...request, credit: 1 }),
      client.subscribe('topic://prices', request),
    ]
    await test.settle()
    expect(consumers.map((consumer) => consumer.texts)).toEqual([['m0'], ['m1']])
  })

  test('that is durable is not the one of the same name that is not', async () => {
    const test = await TestBroker.open()
    const [client, sender] = [test.connect(), test.connect()]
    const passing = client.subscribe('topic://prices', shared)
    const lasting = client.subscribe('topic://prices', { ...shared, durable: true })
    sender.send('topic://prices', 'a')
    await test.settle()
    expect([passing.texts, lasting.texts]).toEqual([['a'], ['a']])
    client.session.close()
    sender.send('topic://prices', 'b')
    const back = test.connect().subscribe('topic://prices', { ...shared, durable: true })
    await test.settle()
    expect(back.texts).toEqual(['a', 'b'])
  })

  test('is not another filter while it is in use', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.subscribe('topic://prices', shared)
    expect(refusal(client, 'topic://prices', { ...shared, selector: 'TRUE' })).toBe('in-use')
    expect(refusal(client, 'topic://other', shared)).toBe('in-use')
  })

  test('keeps a message group with one consumer', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    const consumers = [client.subscribe('topic://prices', shared), client.subscribe('topic://prices', shared)]
    for (const text of numbered(6)) client.send('topic://prices', text, { groupId: 'g' })
    await test.settle()
    expect(consumers.map((consumer) => consumer.texts.length).sort()).toEqual([0, 6])
  })
})

describe('a shared subscription that belongs to no client', () => {
  const global = { ...shared, isGlobal: true }

  test.each([false, true])('is shared by clients of every id (durable: %s)', async (isDurable) => {
    const test = await TestBroker.open()
    const request = { ...global, durable: isDurable }
    const [first, second] = [test.connect('a'), test.connect('b')]
    const consumers = [first.subscribe('topic://prices.*', request), second.subscribe('topic://prices.*', request)]
    const own = first.subscribe('topic://prices.*', { ...request, isGlobal: false })
    test.connect().sendAll('topic://prices.eu', numbered(4))
    await test.settle()
    expect([...consumers, own].map((consumer) => consumer.texts)).toEqual([['m0', 'm2'], ['m1', 'm3'], numbered(4)])
    first.session.close('lost')
    await test.settle()
    expect(consumers[1]!.texts).toEqual(['m1', 'm3', 'm0', 'm2'])
  })

  test('goes on collecting if it is durable, over a restart too, until it is removed', async () => {
    const first = await TestBroker.open()
    const request = { ...global, durable: true }
    first.connect('a').subscribe('topic://prices', request).subscription.close()
    first.connect().sendAll('topic://prices', numbered(2), { durable: true })
    await first.settle()
    const second = await TestBroker.open({ store: first.store })
    const consumer = second.connect('b').subscribe('topic://prices', request)
    await second.settle()
    expect(consumer.texts).toEqual(numbered(2))
    const { session } = second.connect('c')
    expect(session.deleteSubscription('ours')?.code).toBe('not-found')
    expect(session.deleteSubscription('ours', true)?.code).toBe('in-use')
    consumer.subscription.close()
    expect(session.findSubscription('ours', true)).toMatchObject({ isDurable: true, isShared: true, messageCount: 2 })
    expect(session.deleteSubscription('ours', true)).toBeUndefined()
    expect(session.findSubscription('ours', true)).toBeUndefined()
  })

  test('has to be shared', async () => {
    const test = await TestBroker.open()
    expect(refusal(test.connect('a'), 'topic://prices', { ...durable, isGlobal: true })).toBe('invalid-request')
  })
})

describe('the named subscriptions of a client', () => {
  test('are listed and removed while it is not connected, by a broker that has read them back too', async () => {
    const first = await TestBroker.open()
    const client = first.connect('device/7')
    client.subscribe('topic://prices.*', { name: 'prices/+', durable: true, selector: 'TRUE' })
    client.subscribe('topic://news', { name: 'news', durable: true, shared: true })
    first.connect('other').subscribe('topic://news', { name: 'theirs', durable: true })
    first.connect().subscribe('topic://news', { name: "everybody's", durable: true, shared: true })
    client.sendAll('topic://prices.eu', numbered(3), { durable: true })
    expect(first.broker.subscriptionsOf('device/7')).toMatchObject([{ consumerCount: 1 }, { consumerCount: 1 }])
    await first.settle()
    const test = await TestBroker.open({ store: first.store })
    expect(test.broker.subscriptionsOf('device/7')).toEqual([
      {
        name: 'prices/+',
        address: Address.must('topic', 'prices.*'),
        selector: 'TRUE',
        isDurable: true,
        isShared: false,
        consumerCount: 0,
        messageCount: 3,
      },
      expect.objectContaining({ name: 'news', isShared: true }),
    ])
    expect(test.broker.subscriptionsOf(undefined).map(({ name }) => name)).toEqual(["everybody's"])
    for (const { name } of test.broker.subscriptionsOf('device/7')) {
      expect(test.broker.deleteSubscription('device/7', name)).toBeUndefined()
    }
    expect(test.broker.deleteSubscription('device/7', 'news')?.code).toBe('not-found')
    expect([test.broker.subscriptionsOf('device/7'), test.broker.memory.bytes]).toEqual([[], 0])
    await test.settle()
    const last = await TestBroker.open({ store: first.store })
    expect(last.broker.subscriptionsOf('device/7')).toEqual([])
    expect(last.broker.subscriptionsOf('other')).toHaveLength(1)
  })
})

describe('a sender', () => {
  test('can ask whether its message was for anybody', async () => {
    const test = await TestBroker.open()
    const [me, other] = [test.connect('me'), test.connect('other')]
    const wentNowhere = (to: string) => {
      me.send(to, 'm')
      return me.session.wentNowhere
    }
    expect([me.session.wentNowhere, wentNowhere('topic://news'), wentNowhere('orders')]).toEqual([false, true, false])
    const passing = other.subscribe('topic://news', { credit: 0 })
    const own = me.subscribe('topic://news', { noLocal: true })
    other.subscribe('topic://news', { selector: 'FALSE' })
    expect(wentNowhere('topic://news')).toBe(false)
    passing.subscription.close()
    expect(wentNowhere('topic://news')).toBe(true)
    other.send('topic://news', 'm')
    expect(other.session.wentNowhere).toBe(false)
    own.subscription.close()
    me.subscribe('topic://news', durable).subscription.close()
    expect(wentNowhere('topic://news')).toBe(false)
  })
})
