import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Consumer } from '../../../bench/consumer.ts'
import type { FlowPlan } from '../../../bench/plan.ts'
import { Producer } from '../../../bench/producer.ts'
import { createRelay } from '../../../bench/relay.ts'
import { systemClock } from '../../../src/clock.ts'
import { defaultLimits } from '../../../src/limits.ts'
import { SlabPool } from '../../../src/transport/slab-pool.ts'
import { listenTcp, type TcpListener } from '../../../src/transport/tcp.ts'
import type { Wire, WireServices } from '../../../src/transport/wire.ts'
import { Turn } from '../../../src/turn.ts'
import { AmqpBroker } from '../../support/amqp-broker.ts'
import { NativeBroker } from '../../support/native-broker.ts'

let folder: string
let relay: TcpListener

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-bench-test-'))
  const services = { clock: systemClock, turn: new Turn(), slabs: new SlabPool(), limits: defaultLimits }
  const events = { accepted: createRelay(), closed: () => undefined, troubled: () => undefined }
  relay = await listenTcp({ host: '127.0.0.1', port: 0, backlog: 100, setting: 'relay' }, services, events)
})

afterEach(async () => {
  await relay.emptied(0)
  rmSync(folder, { recursive: true })
})

function planOf(change: Partial<FlowPlan>): FlowPlan {
  return {
    port: relay.address.port,
    run: 4711,
    destination: '/queue/bench',
    isTopic: false,
    producers: 1,
    consumers: 1,
    bodyBytes: 64,
    isPersistent: false,
    protocol: 'stomp',
    isSettled: false,
    ack: 'client-individual',
    window: 100,
    unreceivedMax: 0,
    load: { kind: 'counted', messages: 5000 },
    firstSequence: 0,
    forgottenEvery: 0,
    progressFile: join(folder, 'progress'),
    ...change,
  }
}

test.each([
  ['a queue', {}],
  ['a queue of long bodies, which are sent from where they are', { bodyBytes: 16 * 1024 }],
  ['a queue of several producers and consumers', { producers: 3, consumers: 2, unreceivedMax: 50 }],
  ['a topic', { destination: '/topic/bench', isTopic: true, consumers: 3, ack: 'auto', unreceivedMax: 50 }],
  ['a queue by schedule', { load: { kind: 'paced', perSecond: 5000, seconds: 0.4, warmUpSeconds: 0.1 } }],
] as const)('everything through %s arrives and is confirmed', async (_name, change) => {
  const plan = planOf(change)
  const consumer = new Consumer(plan)
  await consumer.open()
  const producer = new Producer(plan)
  await producer.open()
  const produced = await producer.run()
  const consumed = await consumer.finish(produced.sent)
  const sent = produced.sent.reduce((sum, count) => sum + count, 0)
  expect(sent).toBe(plan.load.kind === 'paced' ? 2000 : 5000)
  expect(produced).toMatchObject({ confirmed: sent, errors: [] })
  expect(consumed.received).toBe(plan.isTopic ? sent * plan.consumers : sent)
  expect(consumed.errors).toEqual([])
  expect(consumed.findings).toEqual({ lost: 0, duplicated: 0, reordered: 0, foreign: 0, altered: 0 })
})

test.each([
  ['unsettled', {}],
  ['settled', { isSettled: true }],
  ['durable, several at both ends', { isPersistent: true, producers: 3, consumers: 2 }],
  ['in several frames each', { bodyBytes: 300 * 1024, load: { kind: 'counted', messages: 40 } }],
] as const)('everything through AMQP arrives, %s', async (_name, change) => {
  const broker = await AmqpBroker.open()
  await expectAll((wire) => broker.accept(wire), broker.wired.services, { protocol: 'amqp', ...change })
})

test.each([
  ['confirmed and settled', {}],
  ['neither confirmed nor settled', { isSettled: true }],
  ['durable, several at both ends', { isPersistent: true, producers: 3, consumers: 2 }],
  ['more at a time than the link has credit for', { window: 10_000 }],
  [
    'long bodies, which are sent from where they are',
    { bodyBytes: 300 * 1024, load: { kind: 'counted', messages: 40 } },
  ],
] as const)('everything through the native protocol arrives, %s', async (_name, change) => {
  const broker = await NativeBroker.open()
  await expectAll((wire) => broker.accept(wire), broker.services, { protocol: 'native', ...change })
})

test.each([
  ['a queue', {}],
  ['a queue, several at both ends', { producers: 3, consumers: 2 }],
  ['a topic', { destination: '/topic/bench', isTopic: true, consumers: 3, ack: 'auto', unreceivedMax: 50 }],
] as const)("everything through the users' client arrives, by %s", async (_name, change) => {
  const broker = await NativeBroker.open()
  await expectAll((wire) => broker.accept(wire), broker.services, { protocol: 'client', ...change })
})

async function expectAll(accepted: (wire: Wire) => void, services: WireServices, change: Partial<FlowPlan>) {
  const events = { accepted, closed: () => undefined, troubled: () => undefined }
  const address = { host: '127.0.0.1', port: 0, backlog: 100, setting: 'test' }
  const listener = await listenTcp(address, services, events)
  const plan = planOf({ port: listener.address.port, ...change })
  const consumer = new Consumer(plan)
  await consumer.open()
  const producer = new Producer(plan)
  await producer.open()
  const produced = await producer.run()
  const consumed = await consumer.finish(produced.sent)
  await listener.emptied(0)
  const sent = plan.load.kind === 'counted' ? plan.load.messages : 0
  expect(produced).toMatchObject({ confirmed: sent, errors: [] })
  expect(consumed.errors).toEqual([])
  expect(consumed.received).toBe(plan.isTopic ? sent * plan.consumers : sent)
  expect(consumed.findings).toEqual({ lost: 0, duplicated: 0, reordered: 0, foreign: 0, altered: 0 })
}

test('a second producer goes on where the first one of the run has stopped', async () => {
  const first = planOf({ load: { kind: 'counted', messages: 300 } })
  const second = planOf({ load: { kind: 'counted', messages: 200 }, firstSequence: 300, unreceivedMax: 400 })
  const consumer = new Consumer(second)
  for (const plan of [first, second]) {
    const producer = new Producer(plan)
    await producer.open()
    if (plan === second) await consumer.open()
    const { sent, confirmed } = await producer.run()
    expect([sent, confirmed]).toEqual(plan === first ? [[300], 300] : [[500], 500])
  }
  const { received, findings } = await consumer.finish([500])
  expect(received).toBe(500)
  expect(findings).toEqual({ lost: 0, duplicated: 0, reordered: 0, foreign: 0, altered: 0 })
})

test('messages that were there before are found to be of another run', async () => {
  const first = new Producer(planOf({ run: 1, load: { kind: 'counted', messages: 3 } }))
  await first.open()
  await first.run()
  const plan = planOf({ run: 2, load: { kind: 'counted', messages: 10 } })
  const consumer = new Consumer(plan)
  await consumer.open()
  const producer = new Producer(plan)
  await producer.open()
  const { sent } = await producer.run()
  const { received, findings } = await consumer.finish(sent)
  expect(received).toBe(10)
  expect(findings.foreign).toBe(3)
})

test('a server that hangs up is an error', async () => {
  const plan = planOf({ load: { kind: 'timed', seconds: 60 } })
  const producer = new Producer(plan)
  await producer.open()
  const done = producer.run()
  setTimeout(() => void relay.emptied(0), 50)
  expect((await done).errors).not.toEqual([])
})
