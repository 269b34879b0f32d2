import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import { accepted, bodyOf, conditionOf, detach } from '../../../support/amqp-frames.ts'
import {
  type AmqpPeer,
  composite,
  encode,
  fieldsOf,
  type Seen,
  sectionsOf,
  t,
  type Wired,
} from '../../../support/amqp-peer.ts'
import { policyRule } from '../../../support/policy-rule.ts'

const selectorCode = 0x468c00000004
const noLocalCode = 0x468c00000003

function text(body: string, properties: Record<string, Wired> = {}): Buffer {
  const sections = Object.keys(properties).length === 0 ? [] : [t.described(0x74, t.map(properties))]
  return encode(...sections, t.described(0x77, t.string(body)))
}

interface SourceOptions {
  readonly durable?: number
  readonly expiry?: string
  readonly dynamic?: boolean
  readonly mode?: string
  readonly filter?: Record<string, Wired>
  readonly capabilities?: Wired
}

function source(address: string | undefined, more: SourceOptions = {}): Wired {
  return composite(
    0x28,
    address === undefined ? undefined : t.string(address),
    t.uint(more.durable ?? 0),
    more.expiry === undefined ? undefined : t.symbol(more.expiry),
    undefined,
    t.boolean(more.dynamic ?? false),
    undefined,
    more.mode === undefined ? undefined : t.symbol(more.mode),
    more.filter === undefined ? undefined : t.map(more.filter),
    undefined,
    undefined,
    more.capabilities,
  )
}

function target(address: string | undefined, capabilities?: Wired, dynamic = false): Wired {
  const text = address === undefined ? undefined : t.string(address)
  return composite(0x29, text, undefined, undefined, undefined, t.boolean(dynamic), undefined, capabilities)
}

function none(peer: AmqpPeer): void {
  expect(peer.frames.filter((frame) => frame.code === 0x14)).toEqual([])
}

function kinds(broker: AmqpBroker): string[] {
  return [...broker.broker.router.queues, ...broker.broker.router.topics].map(({ address }) => `${address}`).sort()
}

describe('addresses', () => {
  test.each<[string, Wired | undefined, string]>([
    ['queue://q.x', undefined, 'queue://q.x'],
    ['/queue/q.x', undefined, 'queue://q.x'],
    ['/queues/q%2Ex', undefined, 'queue://q.x'],
    ['topic://t.x', undefined, 'topic://t.x'],
    ['/topic/t.x', undefined, 'topic://t.x'],
    ['bare', undefined, 'queue://bare'],
    ['bare', t.symbol('topic'), 'topic://bare'],
    ['bare', t.symbols('topic'), 'topic://bare'],
    ['bare', t.symbol('queue'), 'queue://bare'],
    ['queue://q', t.symbol('topic'), 'queue://q'],
  ])('%s with capability %# is %s', async (address, capability, expected) => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const answer = await peer.sender('s', target(address, capability))
    expect(kinds(broker)).toEqual([expected])
    expect(fieldsOf(answer.fields[6])[0]).toBe(address)
  })

  test('a bare name is the topic if there is only that', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.receiver('r', 'topic://news', { credit: 5 })
    await peer.sender('s', 'news')
    peer.transfer(0, text('x'))
    expect(bodyOf(await peer.next(0x14))).toBe('x')
    expect(kinds(broker)).toEqual(['topic://news'])
  })

  test.each([
    ['tcp://x', 'amqp:invalid-field'],
    ['/queues/%zz', 'amqp:invalid-field'],
    ['queue://', 'amqp:invalid-field'],
    ['queue://a.*', 'amqp:invalid-field'],
    ['queue://forbidden', 'amqp:not-found'],
    ['queue://secret', 'amqp:unauthorized-access'],
  ])('a sender to %s is refused with %s: an attach without target, then the detach', async (address, condition) => {
    const broker = await AmqpBroker.open({
      policies: [policyRule('queue://forbidden', { autoCreate: false })],
      access: {
        authenticate: (login, answer) => answer({ principal: 'x', clientId: login.clientId }),
        authorise: (_identity, _action, { name }) =>
          name === 'secret' ? new BrokerError('not-authorised', 'not for you') : undefined,
      },
    })
    const peer = await broker.begun()
    const answer = await peer.sender('s', address)
    expect(answer.fields[6]).toBeNull()
    const refusal = await peer.next(0x16)
    expect([refusal.fields[1], conditionOf(refusal)]).toEqual([true, condition])
    // What was on its way is not looked at, and the handle is free once the peer has detached.
    peer.transfer(0, text('x'))
    peer.send(composite(0x16, t.uint(0), t.boolean(true)))
    await peer.sender('s', 'queue://fine')
  })

  test('a sender without target, and a receiver without source, are refused', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    expect((await peer.sender('s', undefined)).fields[6]).toBeNull()
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:invalid-field')
    expect((await peer.receiver('r', undefined)).fields[5]).toBeNull()
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:not-found')
    expect((await peer.receiver('n', source(undefined), { handle: 4 })).fields[5]).toBeNull()
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:invalid-field')
  })

  test('the anonymous relay sends each message where it says', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', target(undefined))
    await peer.receiver('r', 'queue://x', { credit: 5 })
    const to = (address: Wired | undefined): Buffer =>
      encode(composite(0x73, undefined, undefined, address), t.described(0x77, t.string('relayed')))
    peer.transfer(0, to(t.string('queue://x')))
    expect(bodyOf(await peer.next(0x14))).toBe('relayed')
    peer.transfer(1, to(undefined))
    peer.transfer(2, to(t.string('tcp://x')))
    const answers = [await peer.next(0x15), await peer.next(0x15), await peer.next(0x15)]
    const conditions = answers.map(({ fields }) => fieldsOf(fieldsOf(fields[4])[0])[0])
    expect(conditions.filter((condition) => condition === 'amqp:invalid-field')).toHaveLength(2)
  })
})

describe('names and handles', () => {
  test('the same name may be used once in each direction, even one of Object.prototype', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    for (const name of ['constructor', '__proto__', 'hasOwnProperty', 'q']) {
      await peer.sender(name, 'queue://a', { handle: 0 })
      await peer.receiver(name, 'queue://a', { handle: 1 })
      await detach(peer, 0, true)
      await detach(peer, 1, true)
    }
  })

  test('a link attached again is stolen from where it was', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a', { handle: 0 })
    await peer.sender('s', 'queue://b', { handle: 1 })
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:link:stolen')
    peer.send(composite(0x16, t.uint(0), t.boolean(true)))
    await peer.receiver('r', 'queue://b', { handle: 2, credit: 1 })
    peer.transfer(0, text('x'), { handle: 1 })
    await peer.next(0x14)
    await detach(peer, 1, true)
    await peer.sender('s', 'queue://a', { handle: 0 })
  })

  test('a detach is answered as it was asked', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    expect((await detach(peer, 0, false)).fields.slice(0, 2)).toEqual([0, false])
    await peer.sender('s', 'queue://a')
    expect((await detach(peer, 0, true)).fields.slice(0, 2)).toEqual([0, true])
  })

  test('handles are the peer’s own on each side, and free after the detach', async () => {
    const broker = await AmqpBroker.open({ amqp: { linksMax: 4 } })
    const peer = await broker.begun()
    for (let round = 0; round < 50; round += 1) {
      await peer.sender(`s${round}`, 'queue://a', { handle: 3 })
      const { fields } = await detach(peer, 3, true)
      expect(fields[0]).toBe(0)
    }
  })

  test('an attach with unsettled deliveries is told that none are known', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const unsettled = t.map({ tag: accepted })
    expect((await peer.sender('s', 'queue://a', { unsettled })).fields[7]).toEqual(new Map())
    expect((await peer.receiver('r', 'queue://a', { unsettled })).fields[7]).toEqual(new Map())
    expect((await peer.receiver('q', 'queue://a', { handle: 2 })).fields[7]).toBeNull()
  })

  test('settlement modes are agreed', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const modes: unknown[] = []
    for (const sndSettleMode of [0, 1, 2]) {
      for (const rcvSettleMode of [0, 1]) {
        const more = { handle: 2, sndSettleMode, rcvSettleMode }
        modes.push((await peer.sender('s', 'queue://a', more)).fields.slice(3, 5))
        await detach(peer, 2, true)
        modes.push((await peer.receiver('r', 'queue://a', more)).fields.slice(3, 5))
        await detach(peer, 2, true)
      }
    }
    const all = [0, 1, 2].flatMap((snd) =>
      [0, 1].flatMap((rcv) => [
        [snd, rcv],
        [snd, rcv],
      ]),
    )
    expect(modes).toEqual(all)
  })
})

describe('limits', () => {
  test('links of a connection, over all its sessions', async () => {
    const broker = await AmqpBroker.open({ amqp: { linksMax: 3 } })
    const peer = await broker.begun()
    await peer.begin(1)
    for (let handle = 0; handle < 3; handle += 1) await peer.sender(`s${handle}`, 'queue://a', { handle })
    expect((await peer.sender('t', 'queue://a', { channel: 1 })).fields[6]).toBeNull()
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:resource-limit-exceeded')
    peer.send(composite(0x16, t.uint(0), t.boolean(true)), undefined, 1)
    await detach(peer, 0, true)
    expect((await peer.sender('t', 'queue://a', { channel: 1 })).fields[6]).not.toBeNull()
    peer.send(composite(0x17))
    await peer.next(0x17)
    for (let handle = 1; handle < 3; handle += 1) await peer.sender(`t${handle}`, 'queue://a', { handle, channel: 1 })
  })

  test.each([0, 1])(
    'a message that is too large for a receiver waits for another (snd-settle-mode %i)',
    async (sndSettleMode) => {
      const broker = await AmqpBroker.open()
      const peer = await broker.begun()
      await peer.sender('s', 'queue://a')
      await peer.receiver('small', 'queue://a', { credit: 1, maxMessageSize: 1000, sndSettleMode })
      peer.transfer(0, text('x'.repeat(2000)))
      peer.transfer(1, text('fits'))
      expect(bodyOf(await peer.next(0x14))).toBe('fits')
      await peer.synced()
      none(peer)
      await peer.receiver('large', 'queue://a', { handle: 5, credit: 5 })
      expect(String(bodyOf(await peer.next(0x14)))).toHaveLength(2000)
      expect(broker.broker.router.queueOfName('a')?.count).toBe(2 - sndSettleMode)
    },
  )

  test('a queue that is deleted closes its links', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.receiver('r', 'queue://gone', { credit: 1 })
    broker.broker.router.deleteDestination(Address.must('queue', 'gone'))
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:resource-deleted')
  })
})

describe('dynamic nodes', () => {
  test('are made for a receiver, are read by its connection only, and go with the link', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const answer = await peer.receiver('r', source(undefined, { dynamic: true }), { credit: 5 })
    const [address, , , , dynamic] = fieldsOf(answer.fields[5])
    expect(String(address)).toMatch(/^queue:\/\/\$temp\./)
    expect(dynamic).toBe(true)
    const other = await broker.begun('other')
    await other.sender('s', String(address))
    other.transfer(0, text('reply'))
    expect(bodyOf(await peer.next(0x14))).toBe('reply')
    expect((await other.receiver('r', String(address))).fields[5]).toBeNull()
    expect(conditionOf(await other.next(0x16))).toBe('amqp:unauthorized-access')
    await detach(peer, 1, true)
    other.transfer(1, text('late'))
    const { fields } = await other.next(0x15)
    expect(fields[1] === 1 || fields[1] === 0).toBe(true)
    expect((await other.sender('again', String(address), { handle: 7 })).fields[6]).toBeNull()
    expect(kinds(broker)).toEqual([])
  })

  test('are made for a sender too, of the kind that its capability names, for any session of the connection', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const answer = await peer.sender('s', target(undefined, t.symbol('temporary-topic'), true))
    const address = String(fieldsOf(answer.fields[6])[0])
    expect(address).toMatch(/^topic:\/\/\$temp\./)
    await peer.begin(1)
    await peer.receiver('r', address, { channel: 1, credit: 1 })
    peer.transfer(0, text('x'))
    expect(bodyOf(await peer.next(0x14))).toBe('x')
  })
})

describe('subscriptions', () => {
  test('a topic gives each receiver every message from when it came', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'topic://t')
    peer.transfer(0, text('before'))
    await peer.receiver('r1', 'topic://t', { handle: 1, credit: 5 })
    await peer.receiver('r2', 'topic://t', { handle: 2, credit: 5 })
    peer.transfer(1, text('x'))
    const both = await peer.transfers(2)
    expect(both.map(({ fields }) => fields[0]).sort()).toEqual([1, 2])
    expect(both.map(bodyOf)).toEqual(['x', 'x'])
    none(peer)
  })

  test.each<SourceOptions>([{ durable: 2, expiry: 'never' }, { durable: 1 }, { expiry: 'never' }])(
    'with terminus %j one is durable: it collects while its link is detached, and goes when that is closed',
    async (how) => {
      const broker = await AmqpBroker.open()
      const peer = await broker.begun('client')
      const answer = await peer.receiver('sub', source('topic://t', how), { credit: 5 })
      expect(fieldsOf(answer.fields[5])[2]).toBe('never')
      peer.cut()
      await peer.closed
      const again = await broker.begun('client')
      await again.sender('s', 'topic://t')
      again.transfer(0, text('missed'))
      await again.next(0x15)
      await again.receiver('sub', source('topic://t', how), { credit: 5 })
      expect(bodyOf(await again.next(0x14))).toBe('missed')
      await detach(again, 1, false)
      again.transfer(1, text('second'))
      await again.next(0x15)
      await again.receiver('sub', source('topic://t', how), { credit: 5 })
      await again.transfers(2)
      await detach(again, 1, true)
      again.transfer(2, text('nobody'))
      await again.next(0x15)
      await again.receiver('sub', source('topic://t', how), { credit: 5 })
      await again.synced()
      none(again)
    },
  )

  test('a durable one belongs to its container and its link name', async () => {
    const broker = await AmqpBroker.open()
    const how = source('topic://t', { durable: 2, expiry: 'never' })
    const first = await broker.begun('one')
    const second = await broker.begun('two')
    await first.receiver('sub', how, { credit: 5 })
    await second.receiver('sub', how, { credit: 5 })
    await first.sender('s', 'topic://t')
    first.transfer(0, text('x'))
    expect([bodyOf(await first.next(0x14)), bodyOf(await second.next(0x14))]).toEqual(['x', 'x'])
  })

  test('is found by a link without source, and unsubscribed by closing that (Qpid JMS)', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun('jms')
    const how = source('topic://t', { durable: 2, expiry: 'never', capabilities: t.symbol('topic') })
    await peer.receiver('sub', how)
    await detach(peer, 1, false)
    const found = await peer.receiver('sub', undefined)
    expect(fieldsOf(found.fields[5]).slice(0, 3)).toEqual(['topic://t', 2, 'never'])
    expect((await detach(peer, 1, true)).fields[1]).toBe(true)
    expect((await peer.receiver('sub', undefined)).fields[5]).toBeNull()
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:not-found')
  })

  test('a shared one hands each message to one of its receivers; what follows the bar tells them apart', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const how = source('topic://t', { capabilities: t.symbols('shared') })
    await peer.receiver('work|1', how, { handle: 1, credit: 10 })
    await peer.receiver('work|2', how, { handle: 2, credit: 10 })
    await peer.sender('s', 'topic://t')
    for (let id = 0; id < 4; id += 1) peer.transfer(id, text(String(id)))
    const frames = await peer.transfers(4)
    expect(frames.map(bodyOf).sort()).toEqual(['0', '1', '2', '3'])
    expect(new Set(frames.map(({ fields }) => fields[0])).size).toBe(2)
    await peer.synced()
    none(peer)
  })

  test('a global one is shared by containers, and durable if it says so', async () => {
    const broker = await AmqpBroker.open()
    const how = source('topic://t', { durable: 2, expiry: 'never', capabilities: t.symbols('shared', 'global') })
    const [one, two] = [await broker.begun('one'), await broker.begun('two')]
    await one.receiver('work|global', how, { credit: 1 })
    await two.receiver('work|global2', how, { credit: 1 })
    await one.sender('s', 'topic://t')
    one.transfer(0, text('a'))
    one.transfer(1, text('b'))
    expect([bodyOf(await one.next(0x14)), bodyOf(await two.next(0x14))].sort()).toEqual(['a', 'b'])
    await detach(one, 1, false)
    await detach(two, 1, false)
    one.transfer(2, text('c'))
    const three = await broker.begun('three')
    await three.receiver('work|global', how, { credit: 5 })
    expect((await three.transfers(3)).map(bodyOf).sort()).toEqual(['a', 'b', 'c'])
    await detach(three, 1, false)
    const desired = t.symbols('shared', 'global')
    expect((await three.receiver('work|global', undefined, { desired })).fields[5]).not.toBeNull()
    await detach(three, 1, true)
    expect((await three.receiver('work|global', undefined, { desired })).fields[5]).toBeNull()
  })
})

describe('filters', () => {
  const selector = (descriptor: number | string, value: string): Wired => t.described(descriptor, t.string(value))

  test.each([selectorCode, 'apache.org:selector-filter:string'])(
    'a selector with descriptor %s is applied',
    async (descriptor) => {
      const broker = await AmqpBroker.open()
      const peer = await broker.begun()
      const filter = { 'any-name': selector(descriptor, "colour = 'red'"), other: selector('acme:other', 'x') }
      const answer = await peer.receiver('r', source('queue://a', { filter }), { credit: 10 })
      const applied = fieldsOf(answer.fields[5])[7] as ReadonlyMap<Seen, Seen>
      expect([...applied.keys()]).toEqual(['any-name'])
      expect(applied.get('any-name')).toEqual({ descriptor, value: "colour = 'red'" })
      await peer.sender('s', 'queue://a')
      peer.transfer(0, text('no', { colour: t.string('blue') }))
      peer.transfer(1, text('yes', { colour: t.string('red') }))
      expect(bodyOf(await peer.next(0x14))).toBe('yes')
      await peer.synced()
      none(peer)
    },
  )

  test('a selector that cannot be read refuses the link', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const filter = { f: selector(selectorCode, 'colour = = 1') }
    expect((await peer.receiver('r', source('queue://a', { filter }))).fields[5]).toBeNull()
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:invalid-field')
  })

  test('no-local leaves out what the same container sends', async () => {
    const broker = await AmqpBroker.open()
    const [peer, other] = [await broker.begun('me'), await broker.begun('other')]
    const filter = { nl: t.described(noLocalCode, t.list()) }
    const answer = await peer.receiver('r', source('topic://t', { filter }), { credit: 10 })
    expect([...(fieldsOf(answer.fields[5])[7] as ReadonlyMap<Seen, Seen>).keys()]).toEqual(['nl'])
    await peer.sender('s', 'topic://t')
    await other.sender('s', 'topic://t')
    peer.transfer(0, text('mine'))
    await peer.next(0x15)
    other.transfer(0, text('theirs'))
    expect(bodyOf(await peer.next(0x14))).toBe('theirs')
  })
})

describe('browsing (distribution mode copy)', () => {
  test('shows all that waits and takes nothing; a drain tells the end', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    for (let id = 0; id < 3; id += 1) peer.transfer(id, text(String(id)))
    await peer.next(0x15)
    const answer = await peer.receiver('b', source('queue://a', { mode: 'copy' }))
    expect(fieldsOf(answer.fields[5])[6]).toBe('copy')
    peer.credit(1, 2)
    expect((await peer.transfers(2)).map(bodyOf)).toEqual(['0', '1'])
    peer.credit(1, 10, 2, 0, true)
    expect(bodyOf(await peer.next(0x14))).toBe('2')
    expect((await peer.next(0x13)).fields.slice(4, 7)).toEqual([1, 12, 0])
    peer.credit(1, 5, 12, 0, true)
    expect((await peer.next(0x13)).fields.slice(4, 7)).toEqual([1, 17, 0])
    await peer.receiver('r', 'queue://a', { handle: 2, credit: 5 })
    expect((await peer.transfers(3)).map(bodyOf)).toEqual(['0', '1', '2'])
  })
})

describe('what messages say of themselves', () => {
  const annotated = (name: string, value: Wired): Buffer =>
    encode(t.described(0x72, t.map({ [name]: value })), t.described(0x77, t.string('later')))

  test.each<[string, (now: number) => Wired]>([
    ['x-opt-delivery-delay', () => t.uint(5000)],
    ['x-opt-delivery-delay', () => t.long(5000)],
    ['x-opt-delivery-time', (now) => t.long(now + 5000)],
  ])('%s holds one back', async (name, value) => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    await peer.receiver('r', 'queue://a', { credit: 5 })
    peer.transfer(0, annotated(name, value(broker.clock.now())))
    await peer.next(0x15)
    await peer.synced()
    none(peer)
    broker.clock.advance(5001)
    expect(bodyOf(await peer.next(0x14))).toBe('later')
  })

  test('ttl counts down, and at its end the message is gone', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    const mortal = encode(composite(0x70, undefined, undefined, t.uint(10_000)), t.described(0x77, t.string('x')))
    peer.transfer(0, mortal)
    peer.transfer(1, mortal)
    await peer.next(0x15)
    broker.clock.advance(4000)
    await peer.receiver('r', 'queue://a', { credit: 1 })
    const { payload } = await peer.next(0x14)
    expect(fieldsOf({ descriptor: 0x70, value: sectionsOf(payload).get(0x70) as Seen })[2]).toBe(6000)
    broker.clock.advance(7000)
    peer.credit(1, 1, 1)
    await peer.synced()
    none(peer)
    expect(broker.broker.router.queueOfName('a')?.count).toBe(1)
  })

  test('absolute-expiry-time counts where there is no ttl', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    const at = t.timestamp(broker.clock.now() + 1000)
    peer.transfer(0, encode(composite(0x73, ...new Array(8).fill(undefined), at), t.described(0x77, t.string('x'))))
    await peer.next(0x15)
    broker.clock.advance(1001)
    await peer.receiver('r', 'queue://a', { credit: 1 })
    await peer.synced()
    none(peer)
  })

  test('priority decides who goes first, group-id who gets it', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    const graded = (priority: number): Buffer =>
      encode(composite(0x70, undefined, t.ubyte(priority)), t.described(0x77, t.string(`p${priority}`)))
    for (const [id, priority] of [1, 9, 4].entries()) peer.transfer(id, graded(priority))
    await peer.next(0x15)
    await peer.receiver('r', 'queue://a', { credit: 3 })
    expect((await peer.transfers(3)).map(bodyOf)).toEqual(['p9', 'p4', 'p1'])
    peer.credit(1, 10, 3)
    await peer.receiver('r2', 'queue://a', { handle: 2, credit: 10 })
    const grouped = (group: string): Buffer =>
      encode(composite(0x73, ...new Array(10).fill(undefined), t.string(group)), t.described(0x77, t.string(group)))
    for (let id = 3; id < 11; id += 1) peer.transfer(id, grouped(id % 2 === 0 ? 'even' : 'odd'))
    const frames = await peer.transfers(8)
    for (const group of ['even', 'odd']) {
      const handles = frames.filter((frame) => bodyOf(frame) === group).map(({ fields }) => fields[0])
      expect(new Set(handles).size).toBe(1)
    }
  })
})
