import { describe, expect, test } from 'vitest'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import { accepted, bodyOf, conditionOf, detach, source, target, text } from '../../../support/amqp-frames.ts'
import { type AmqpPeer, composite, encode, frameBytes, headers, t } from '../../../support/amqp-peer.ts'

async function user(broker: AmqpBroker, name: string, containerId: string): Promise<AmqpPeer> {
  const peer = broker.peer()
  const plain = [t.symbol('PLAIN'), t.binary(`\0${name}\0x`)]
  peer.write(headers.sasl, frameBytes(encode(composite(0x41, ...plain)), undefined, 0, 1))
  await peer.next(0x44)
  peer.write(headers.amqp)
  peer.send(composite(0x10, t.string(containerId)))
  await peer.next(0x10)
  await peer.begin()
  return peer
}

describe('a link whose name is attached again (part 2, section 2.6.1)', () => {
  test('over another connection of its container is taken from the first, whose other links go on', async () => {
    const broker = await AmqpBroker.open()
    const first = await broker.begun('one')
    await first.sender('s', 'queue://a', { handle: 0 })
    await first.sender('other', 'queue://a', { handle: 2 })
    await first.receiver('r', 'queue://b', { handle: 1, credit: 5 })
    const second = await broker.begun('one')
    await second.sender('s', target('queue://a', { policy: 'never' }), { handle: 0 })
    expect(conditionOf(await first.next(0x16))).toBe('amqp:link:stolen')
    await second.receiver('r', 'queue://a', { handle: 1, credit: 5, unsettled: t.tags({}) })
    expect(conditionOf(await first.next(0x16))).toBe('amqp:link:stolen')
    second.transfer(0, text('x'))
    expect(bodyOf(await second.next(0x14))).toBe('x')
    first.transfer(0, text('y'), { handle: 2 })
    expect(bodyOf(await second.next(0x14))).toBe('y')
    first.send(composite(0x16, t.uint(0), t.boolean(true)))
    first.send(composite(0x16, t.uint(1), t.boolean(true)))
    await first.synced()
    second.transfer(1, text('z'))
    expect(bodyOf(await second.next(0x14))).toBe('z')
    expect(second.frames.filter(({ code }) => code === 0x16)).toEqual([])
  })

  test('stays where it is if over the other connection nothing is gone on with: instances of one program compete', async () => {
    const broker = await AmqpBroker.open()
    const first = await broker.begun('one')
    await first.sender('s', 'queue://a')
    await first.receiver('r', 'queue://a', { credit: 1 })
    const second = await broker.begun('one')
    await second.sender('s', 'queue://a')
    await second.receiver('r', 'queue://a', { credit: 1 })
    second.transfer(0, text('x'))
    second.transfer(0, text('y'))
    const bodies = [bodyOf(await first.next(0x14)), bodyOf(await second.next(0x14))]
    expect(bodies.sort()).toEqual(['x', 'y'])
    expect([...first.frames, ...second.frames].filter(({ code }) => code === 0x16)).toEqual([])
  })

  test('over another session of its connection, too', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.begin(1)
    await peer.receiver('r', 'queue://a', { handle: 1 })
    await peer.receiver('r', 'queue://a', { handle: 1, channel: 1 })
    const stolen = await peer.next(0x16)
    expect([stolen.channel, conditionOf(stolen)]).toEqual([0, 'amqp:link:stolen'])
  })

  test('takes what was unsettled with it: a durable subscription is not in use, and goes on', async () => {
    const broker = await AmqpBroker.open()
    const durable = source('topic://t', { durable: 2, policy: 'never' })
    const first = await broker.begun('one')
    await first.receiver('sub', durable, { credit: 5 })
    await first.sender('s', 'topic://t')
    first.transfer(0, text('x'))
    const { fields } = await first.next(0x14)
    const second = await broker.begun('one')
    const unsettled = t.tags({ [(fields[2] as Buffer).toString('latin1')]: accepted })
    await second.receiver('sub', durable, { credit: 5, unsettled })
    expect(conditionOf(await first.next(0x16))).toBe('amqp:link:stolen')
    first.transfer(1, text('y'))
    expect(bodyOf(await second.next(0x14))).toBe('y')
  })

  test('a sender is told over its new connection what came over the one that it has left', async () => {
    const broker = await AmqpBroker.open()
    const kept = target('queue://a', { policy: 'never' })
    const first = await broker.begun('one')
    await first.sender('s', kept, { rcvSettleMode: 1 })
    first.transfer(0, text('x'), { tag: 'one' })
    await first.next(0x15)
    const second = await broker.begun('one')
    const answer = await second.sender('s', kept, { rcvSettleMode: 1, unsettled: t.tags({ one: t.null() }) })
    expect((answer.fields[7] as ReadonlyMap<Buffer, unknown>).size).toBe(1)
  })

  test('stays where it is if the other container, role or name is another', async () => {
    const broker = await AmqpBroker.open()
    const first = await broker.begun('one')
    await first.sender('l', 'queue://a', { handle: 0 })
    const second = await broker.begun('two')
    await second.sender('l', 'queue://a', { handle: 0 })
    const third = await broker.begun('one')
    await third.receiver('l', 'queue://a', { handle: 0 })
    await third.sender('m', 'queue://a', { handle: 1 })
    await first.synced()
    expect(first.frames.filter(({ code }) => code === 0x16)).toEqual([])
  })

  test('is not taken by another user, who may choose any container id', async () => {
    const broker = await AmqpBroker.open()
    const alice = await user(broker, 'alice', 'one')
    await alice.receiver('r', source('topic://t', { durable: 2, policy: 'never' }))
    const bob = await user(broker, 'bob', 'one')
    await bob.receiver('r', source('topic://t', { durable: 2, policy: 'never' }))
    expect(conditionOf(await bob.next(0x16))).toBe('amqp:resource-locked')
    await alice.synced()
    expect(alice.frames.filter(({ code }) => code === 0x16)).toEqual([])
  })

  test('may be attached anywhere once it is detached, or its connection is gone', async () => {
    const broker = await AmqpBroker.open()
    const first = await broker.begun('one')
    await first.sender('s', 'queue://a')
    await detach(first, 0)
    const second = await broker.begun('one')
    await second.sender('s', 'queue://a')
    second.cut()
    await second.closed
    await first.sender('s', 'queue://a')
    await first.synced()
    expect(first.frames.filter(({ code }) => code === 0x16)).toEqual([])
  })
})
