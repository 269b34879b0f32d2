import { describe, expect, test } from 'vitest'
import { MemoryStore } from '../../../../src/store/memory-store.ts'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import { bodyOf, detach, lost, source, text } from '../../../support/amqp-frames.ts'
import { type AmqpPeer, composite, fieldsOf } from '../../../support/amqp-peer.ts'

const address = 'topic://t'

/** Whether a subscription that its link left `seconds` ago has collected what was sent then. */
async function hasCollected(broker: AmqpBroker, policy: string, timeout: number): Promise<boolean> {
  const producer = await broker.begun('producer')
  await producer.sender('s', address)
  producer.transfer(0, text('missed'))
  await producer.next(0x15)
  const again = await broker.begun('client')
  await again.receiver('sub', source(address, { policy, timeout }), { credit: 5 })
  again.credit(1, 5, 0, 0, true)
  await again.next(0x13)
  const transfers = again.frames.filter(({ code }) => code === 0x14)
  expect(transfers.map(bodyOf)).toEqual(transfers.map(() => 'missed'))
  return transfers.length > 0
}

async function subscribed(broker: AmqpBroker, policy: string, timeout: number): Promise<AmqpPeer> {
  const peer = await broker.begun('client')
  const answer = await peer.receiver('sub', source(address, { policy, timeout }), { credit: 5 })
  expect(fieldsOf(answer.fields[5]).slice(1, 4)).toEqual([0, policy, timeout])
  return peer
}

const ways = {
  detached: async (peer: AmqpPeer) => {
    await detach(peer, 1)
  },
  'ended with its session': async (peer: AmqpPeer) => {
    peer.send(composite(0x17))
    await peer.next(0x17)
  },
  'lost with its connection': lost,
} satisfies Record<string, (peer: AmqpPeer) => Promise<void>>

describe('a topic subscription that is not durable (part 3, sections 3.5.3 and 3.5.6)', () => {
  test.each<[string, number, keyof typeof ways, number, boolean]>([
    ['link-detach', 10, 'detached', 9, true],
    ['link-detach', 10, 'detached', 10, false],
    ['session-end', 10, 'detached', 1000, true],
    ['session-end', 10, 'ended with its session', 9, true],
    ['session-end', 10, 'ended with its session', 10, false],
    ['session-end', 10, 'lost with its connection', 10, false],
    ['connection-close', 0, 'detached', 1000, true],
    ['connection-close', 0, 'ended with its session', 1000, true],
    ['connection-close', 0, 'lost with its connection', 1, false],
    ['connection-close', 10, 'lost with its connection', 9, true],
    ['connection-close', 10, 'lost with its connection', 10, false],
  ])('of policy %s and %d s, %s: %d s later it collects: %s', async (policy, timeout, how, seconds, collects) => {
    const broker = await AmqpBroker.open({ amqp: { idleMsMax: 0 } })
    const peer = await subscribed(broker, policy, timeout)
    await ways[how](peer)
    broker.clock.advance(seconds * 1000)
    expect(await hasCollected(broker, policy, timeout)).toBe(collects)
  })

  test('starts its time anew whenever its link is attached again', async () => {
    const broker = await AmqpBroker.open()
    let peer = await subscribed(broker, 'link-detach', 10)
    for (let round = 0; round < 3; round += 1) {
      await lost(peer)
      broker.clock.advance(6000)
      peer = await subscribed(broker, 'link-detach', 10)
      broker.clock.advance(60_000)
    }
    await lost(peer)
    expect(await hasCollected(broker, 'link-detach', 10)).toBe(true)
  })

  test('leaves nothing when its time is over, or when its link is closed for good', async () => {
    const broker = await AmqpBroker.open()
    for (const isForGood of [true, false]) {
      const peer = await subscribed(broker, 'link-detach', 10)
      expect([...broker.broker.statesOf('amqp/')]).toHaveLength(1)
      await detach(peer, 1, isForGood)
      if (!isForGood) broker.clock.advance(10_000)
      expect(broker.broker.subscriptionsOf('client')).toEqual([])
      expect([...broker.broker.statesOf('amqp/')]).toEqual([])
      await lost(peer)
    }
  })

  test('stays for ever once it is attached as durable', async () => {
    const broker = await AmqpBroker.open()
    const peer = await subscribed(broker, 'link-detach', 10)
    await detach(peer, 1)
    await peer.receiver('sub', source(address, { durable: 2, policy: 'never' }))
    await lost(peer)
    broker.clock.advance(1_000_000)
    expect(broker.broker.subscriptionsOf('client')).toHaveLength(1)
    expect([...broker.broker.statesOf('amqp/')]).toEqual([])
  })

  test('does not outlive the broker, for its terminus has no durability', async () => {
    const store = new MemoryStore()
    const before = await AmqpBroker.open({ store })
    await subscribed(before, 'connection-close', 1000)
    await (await before.begun('client')).receiver('kept', source(address, { durable: 2, policy: 'never' }))
    await (await before.begun('producer')).synced()
    const after = await AmqpBroker.open({ store })
    expect(after.broker.subscriptionsOf('client').map(({ name }) => name)).toEqual(['kept'])
    expect([...after.broker.statesOf('amqp/')]).toEqual([])
  })

  test('that is shared ends with its last link, and is answered so', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun('client')
    const from = source(address, { policy: 'connection-close', timeout: 30, capabilities: ['shared'] })
    const answer = await peer.receiver('sub|1', from)
    expect(fieldsOf(answer.fields[5]).slice(1, 4)).toEqual([0, 'link-detach', 0])
    await detach(peer, 1)
    expect(broker.broker.subscriptionsOf('client')).toEqual([])
  })

  test('whose name is too long to be noted is refused', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun('client')
    const answer = await peer.receiver('n'.repeat(5000), source(address, { policy: 'link-detach', timeout: 30 }))
    expect(answer.fields[5]).toBeNull()
    await peer.next(0x16)
    expect(broker.broker.subscriptionsOf('client')).toEqual([])
  })
})
