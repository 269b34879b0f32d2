import { describe, expect, test } from 'vitest'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import { accepted, bodyOf, text } from '../../../support/amqp-frames.ts'
import {
  type AmqpPeer,
  composite,
  descriptorOf,
  encode,
  fieldsOf,
  type ReceivedFrame,
  sectionsOf,
  t,
  type Wired,
} from '../../../support/amqp-peer.ts'
import { policyRule } from '../../../support/policy-rule.ts'

const coordinatorHandle = 9
/** A value that is described itself; rhea knows one descriptor for each. */
const valueSection = (body: Wired): Buffer => Buffer.concat([Buffer.from([0, 0x53, 0x77]), encode(body)])
const within = (id: Buffer, outcome?: Wired): Wired => composite(0x34, t.binary(id), outcome)

/** A peer with a coordinator link, a sender (handle 0) and a receiver (handle 1) on one queue. */
class Client {
  readonly peer: AmqpPeer
  #requests = 1000

  constructor(peer: AmqpPeer) {
    this.peer = peer
  }

  static async open(broker: AmqpBroker, credit = 100): Promise<Client> {
    const client = new Client(await broker.begun())
    await client.coordinate()
    await client.peer.sender('s', 'queue://a')
    await client.peer.receiver('r', 'queue://a', { credit })
    return client
  }

  async coordinate(): Promise<ReceivedFrame> {
    return this.peer.sender('coordinator', composite(0x30), { handle: coordinatorHandle })
  }

  async request(body: Wired): Promise<readonly [id: number, state: unknown]> {
    this.#requests += 1
    const id = this.#requests
    this.peer.transfer(id, valueSection(body), { handle: coordinatorHandle })
    return [id, await this.outcome(id)]
  }

  /** The state that the broker gives one of our deliveries. */
  async outcome(id: number): Promise<unknown> {
    for (;;) {
      const { fields } = await this.peer.next(0x15)
      if (fields[0] === true && fields[1] === id) return fields[4]
    }
  }

  async declare(): Promise<Buffer> {
    const [, state] = await this.request(composite(0x31))
    expect(descriptorOf(state as never)).toBe(0x33)
    return fieldsOf(state as never)[0] as Buffer
  }

  async discharge(id: Buffer, fail = false): Promise<unknown> {
    const [, state] = await this.request(composite(0x32, t.binary(id), t.boolean(fail)))
    return descriptorOf(state as never) === 0x24 ? 'accepted' : fieldsOf(fieldsOf(state as never)[0])[0]
  }

  nothing(): void {
    expect(this.peer.frames.filter((frame) => frame.code === 0x14)).toEqual([])
  }
}

describe('transactions (part 4)', () => {
  test('the coordinator says what it can', async () => {
    const broker = await AmqpBroker.open()
    const client = new Client(await broker.begun())
    const answer = await client.coordinate()
    expect(descriptorOf(answer.fields[6])).toBe(0x30)
    expect(fieldsOf(answer.fields[6])[0]).toContain('amqp:local-transactions')
  })

  test('what is sent within one comes when it is discharged, all at once', async () => {
    const broker = await AmqpBroker.open()
    const client = await Client.open(broker)
    const id = await client.declare()
    client.peer.transfer(0, text('a'), { state: within(id) })
    client.peer.transfer(1, text('b'), { state: within(id) })
    const state = await client.outcome(1)
    expect([
      descriptorOf(state as never),
      fieldsOf(state as never)[0],
      descriptorOf(fieldsOf(state as never)[1]),
    ]).toEqual([0x34, id, 0x24])
    await client.peer.synced()
    client.nothing()
    expect(await client.discharge(id)).toBe('accepted')
    expect((await client.peer.transfers(2)).map(bodyOf)).toEqual(['a', 'b'])
  })

  test('rolled back it is as if nothing had been sent', async () => {
    const broker = await AmqpBroker.open()
    const client = await Client.open(broker)
    const id = await client.declare()
    client.peer.transfer(0, text('a'), { state: within(id), settled: true })
    expect(await client.discharge(id, true)).toBe('accepted')
    await client.peer.synced()
    client.nothing()
  })

  test('what is settled within one is settled when it is discharged', async () => {
    const broker = await AmqpBroker.open()
    const client = await Client.open(broker)
    client.peer.transfer(0, text('x'))
    await client.peer.next(0x14)
    const id = await client.declare()
    client.peer.disposition(0, 0, within(id, accepted))
    await client.peer.synced()
    expect(broker.broker.router.queueOfName('a')?.count).toBe(1)
    expect(await client.discharge(id)).toBe('accepted')
    expect(broker.broker.router.queueOfName('a')?.count).toBe(0)
  })

  test('rolled back, what its receiver has settled comes again as failed', async () => {
    const broker = await AmqpBroker.open()
    const client = await Client.open(broker)
    client.peer.transfer(0, text('x'))
    await client.peer.next(0x14)
    const id = await client.declare()
    client.peer.disposition(0, 0, within(id, accepted))
    expect(await client.discharge(id, true)).toBe('accepted')
    const again = sectionsOf((await client.peer.next(0x14)).payload).get(0x70)
    expect(again).toEqual([false, 4, null, false, 1])
  })

  test('what its receiver has not settled is settled for it after the discharge', async () => {
    const broker = await AmqpBroker.open()
    const client = await Client.open(broker)
    client.peer.transfer(0, text('x'))
    await client.peer.next(0x14)
    const id = await client.declare()
    client.peer.disposition(0, 0, within(id, accepted), false)
    expect(await client.discharge(id)).toBe('accepted')
    const settled = client.peer.history.find(({ code, fields }) => code === 0x15 && fields[0] === false)
    expect(settled?.fields.slice(1, 4)).toEqual([0, null, true])
  })

  test('what its receiver has not settled stays with it after a rollback', async () => {
    const broker = await AmqpBroker.open()
    const client = await Client.open(broker)
    client.peer.transfer(0, text('x'))
    await client.peer.next(0x14)
    const id = await client.declare()
    client.peer.disposition(0, 0, within(id, accepted), false)
    await client.discharge(id, true)
    await client.peer.synced()
    client.nothing()
    client.peer.disposition(0, 0, accepted)
    await client.peer.synced()
    expect(broker.broker.router.queueOfName('a')?.count).toBe(0)
  })

  test('several are open at a time', async () => {
    const broker = await AmqpBroker.open()
    const client = await Client.open(broker)
    const [one, two] = [await client.declare(), await client.declare()]
    client.peer.transfer(0, text('one'), { state: within(one) })
    client.peer.transfer(1, text('two'), { state: within(two) })
    await client.discharge(two)
    expect(bodyOf(await client.peer.next(0x14))).toBe('two')
    await client.discharge(one, true)
    await client.peer.synced()
    client.nothing()
  })

  test('go with the link that declared them, and with the connection', async () => {
    const broker = await AmqpBroker.open()
    const client = await Client.open(broker, 0)
    client.peer.transfer(0, text('x'))
    await client.outcome(0)
    client.peer.credit(1, 1)
    await client.peer.next(0x14)
    const id = await client.declare()
    client.peer.transfer(1, text('lost'), { state: within(id), settled: true })
    client.peer.disposition(0, 0, within(id, accepted))
    client.peer.send(composite(0x16, t.uint(coordinatorHandle), t.boolean(true)))
    await client.peer.next(0x16)
    client.peer.credit(1, 5, 1)
    expect(bodyOf(await client.peer.next(0x14))).toBe('x')
    await client.coordinate()
    const next = await client.declare()
    client.peer.disposition(1, 1, within(next, accepted))
    await client.peer.synced()
    client.peer.cut()
    await client.peer.closed
    const other = await broker.begun('other')
    await other.receiver('r', 'queue://a', { credit: 5 })
    expect(bodyOf(await other.next(0x14))).toBe('x')
  })

  test('nothing happens if one send of it is refused', async () => {
    const policies = [policyRule('queue://full', { messagesMax: 1, overflow: 'reject' })]
    const broker = await AmqpBroker.open({ policies })
    const client = await Client.open(broker)
    await client.peer.sender('f', 'queue://full', { handle: 3 })
    const id = await client.declare()
    client.peer.transfer(0, text('a'), { state: within(id) })
    client.peer.transfer(1, text('fits'), { state: within(id), handle: 3 })
    client.peer.transfer(2, text('does not'), { state: within(id), handle: 3 })
    expect(await client.discharge(id)).toBe('amqp:transaction:rollback')
    await client.peer.synced()
    client.nothing()
    expect(broker.broker.router.queueOfName('full')?.count ?? 0).toBe(0)
  })

  test('an unknown one is refused: discharged, sent within, settled within', async () => {
    const broker = await AmqpBroker.open()
    const client = await Client.open(broker)
    const unknown = Buffer.from('nope')
    expect(await client.discharge(unknown)).toBe('amqp:transaction:unknown-id')
    client.peer.transfer(0, text('a'), { state: within(unknown) })
    const detached = await client.peer.next(0x16)
    expect(fieldsOf(detached.fields[2])[0]).toBe('amqp:transaction:unknown-id')
    client.peer.disposition(0, 0, within(unknown, accepted))
    expect(fieldsOf((await client.peer.next(0x17)).fields[0])[0]).toBe('amqp:transaction:unknown-id')
  })

  test.each<[string, Buffer, boolean]>([
    ['neither declare nor discharge', encode(t.described(0x77, t.string('x'))), false],
    ['no value section', encode(t.described(0x75, t.binary('x'))), false],
    ['a global transaction', valueSection(composite(0x31, t.binary('gtrid'))), false],
    ['a discharge without an id', valueSection(composite(0x32)), false],
    ['a request that is settled', valueSection(composite(0x31)), true],
  ])('a request that is %s closes the link', async (_name, payload, settled) => {
    const broker = await AmqpBroker.open()
    const client = await Client.open(broker)
    client.peer.transfer(0, payload, { handle: coordinatorHandle, settled })
    expect((await client.peer.next(0x16)).fields[1]).toBe(true)
  })
})
