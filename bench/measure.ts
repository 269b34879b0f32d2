import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Histogram } from './histogram.ts'
import type { Findings } from './ledger.ts'
import type { Consumed, FlowPlan, Load, Produced } from './plan.ts'
import { Generator, type PauseReader, type Program, type Workplace } from './processes.ts'
import { Progress } from './progress.ts'
import type { BacklogRow, FlowShape } from './rows.ts'
import type { Usage } from './usage.ts'

/** What went wrong in a run. */
export interface Trouble extends Findings {
  /** Sent, and no receipt came. */
  readonly unconfirmed: number
  /** Connections that broke, and frames that should not have come. */
  readonly errors: readonly string[]
}

export interface FlowFigures extends Trouble {
  readonly deliveries: number
  /** Deliveries a second between the first and the last tenth of them. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
  /** Of what the generator sent by schedule: how late it was itself. */
  readonly latenessP99Ms: number
  readonly cpuUsPerDelivery: number
  /** Processor cores used while messages flowed. */
  readonly serverCores: number
  readonly producerCores: number
  readonly consumerCores: number
  readonly rssMib: number
  /** The longest time without a delivery. */
  readonly longestGapMs: number
}

export interface BacklogFigures extends Trouble {
  readonly messages: number
  /** Of the same broker, just before. */
  readonly steadyPerSecond: number
  readonly enqueuePerSecond: number
  readonly drainPerSecond: number
  /** The longest time without a receipt, and without a delivery, as the generator saw it. */
  readonly enqueueGapMs: number
  readonly drainGapMs: number
  /** The longest time for which the broker's event loop stood still. */
  readonly enqueuePauseMs: number
  readonly drainPauseMs: number
  readonly enqueueCpuUs: number
  readonly drainCpuUs: number
  readonly fullRssMib: number
  readonly peakRssMib: number
}

export interface IdleFigures {
  readonly connections: number
  readonly rssBeforeMib: number
  readonly rssAfterMib: number
  readonly kibPerConnection: number
}

/** What is measured of a server. */
export type Served = Pick<Program, 'port' | 'usage'>

/** The producer process and the consumer process. */
export class Generators {
  readonly producer: Generator
  readonly consumer: Generator
  readonly #workplace: Workplace

  constructor(workplace: Workplace) {
    this.producer = new Generator(workplace, 'producer')
    this.consumer = new Generator(workplace, 'consumer')
    this.#workplace = workplace
  }

  /** A plan for one run, on a destination of its own. */
  plan(server: Served, shape: FlowShape, load: Load): FlowPlan {
    const run = randomInt(2 ** 32)
    const name = run.toString(16).padStart(8, '0')
    return {
      ...shape,
      port: server.port,
      run,
      destination: `/${shape.isTopic ? 'topic' : 'queue'}/bench.${name}`,
      load,
      firstSequence: 0,
      forgottenEvery: 0,
      progressFile: this.#workplace.file(name),
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.producer.stop(), this.consumer.stop()])
  }
}

/** Sends and receives at the same time. */
export async function measureFlow(server: Served, generators: Generators, plan: FlowPlan): Promise<FlowFigures> {
  const { producer, consumer } = generators
  new Progress(plan.progressFile).close()
  await consumer.ask({ kind: 'consume', plan }, 'ready')
  await producer.ask({ kind: 'produce', plan }, 'ready')
  const before = [server.usage(), producer.usage(), consumer.usage()] as const
  const produced = await producer.ask({ kind: 'go' }, 'produced')
  const consumed = await consumer.ask({ kind: 'expect', sent: produced.sent }, 'consumed')
  const after = [server.usage(), producer.usage(), consumer.usage()] as const
  const seconds = consumed.deliveries.elapsedMs / 1000
  const cores = (index: 0 | 1 | 2): number => cpuBetween(before[index], after[index]) / seconds
  const latency = new Histogram()
  latency.add(consumed.latency)
  const lateness = new Histogram()
  lateness.add(produced.lateness)
  return {
    deliveries: consumed.received,
    perSecond: consumed.deliveries.perSecond,
    p50Ms: latency.quantile(0.5) / 1000,
    p99Ms: latency.quantile(0.99) / 1000,
    p999Ms: latency.quantile(0.999) / 1000,
    maxMs: latency.maxUs / 1000,
    latenessP99Ms: lateness.quantile(0.99) / 1000,
    cpuUsPerDelivery: cpuUs(before[0], after[0], consumed.received),
    serverCores: cores(0),
    producerCores: cores(1),
    consumerCores: cores(2),
    rssMib: after[0].rssKib / 1024,
    longestGapMs: consumed.deliveries.longestGapMs,
    ...troubleOf(produced, consumed),
  }
}

/** Everything in, then everything out; the broker must run with the pause probe. */
export async function measureBacklog(
  server: Program,
  pauses: PauseReader,
  generators: Generators,
  work: { readonly row: BacklogRow; readonly messages: number; readonly seconds: number },
): Promise<BacklogFigures> {
  const { producer, consumer } = generators
  const { shape } = work.row
  const steadyPlan = generators.plan(server, shape, { kind: 'timed', seconds: work.seconds })
  const steady = await measureFlow(server, generators, steadyPlan)
  const load: Load = { kind: 'counted', messages: work.messages }
  const plan = generators.plan(server, { ...shape, unreceivedMax: 0 }, load)
  await producer.ask({ kind: 'produce', plan }, 'ready')
  const empty = server.usage()
  await pauses.longestMs()
  const produced = await producer.ask({ kind: 'go' }, 'produced')
  const enqueuePauseMs = await pauses.longestMs()
  const full = server.usage()
  await consumer.ask({ kind: 'consume', plan }, 'ready')
  const consumed = await consumer.ask({ kind: 'expect', sent: produced.sent }, 'consumed')
  const drainPauseMs = await pauses.longestMs()
  const drained = server.usage()
  const trouble = troubleOf(produced, consumed)
  return {
    messages: work.messages,
    steadyPerSecond: steady.perSecond,
    enqueuePerSecond: produced.receipts.perSecond,
    drainPerSecond: consumed.deliveries.perSecond,
    enqueueGapMs: produced.receipts.longestGapMs,
    drainGapMs: consumed.deliveries.longestGapMs,
    enqueuePauseMs,
    drainPauseMs,
    enqueueCpuUs: cpuUs(empty, full, work.messages),
    drainCpuUs: cpuUs(full, drained, work.messages),
    fullRssMib: full.rssKib / 1024,
    peakRssMib: drained.peakRssKib / 1024,
    ...sumOf(trouble, steady),
  }
}

/** Opens connections that do nothing, and waits until the server has settled. */
export async function measureIdle(
  server: Program,
  clients: Generator,
  connections: number,
  settleMs: number,
): Promise<IdleFigures> {
  await delay(settleMs)
  const before = server.usage()
  await clients.ask({ kind: 'idle', port: server.port, connections }, 'ready')
  await delay(settleMs)
  const after = server.usage()
  await clients.ask({ kind: 'leave' }, 'ready')
  return {
    connections,
    rssBeforeMib: before.rssKib / 1024,
    rssAfterMib: after.rssKib / 1024,
    kibPerConnection: (after.rssKib - before.rssKib) / connections,
  }
}

/** True if nothing went wrong. */
export function isClean(trouble: Trouble): boolean {
  const { lost, duplicated, reordered, foreign, altered, unconfirmed, errors } = trouble
  return lost + duplicated + reordered + foreign + altered + unconfirmed === 0 && errors.length === 0
}

/** What went wrong in what was sent and in what came of it. */
export function troubleOf(produced: Produced, consumed: Consumed): Trouble {
  const sent = produced.sent.reduce((sum, count) => sum + count, 0)
  return {
    ...consumed.findings,
    unconfirmed: sent - produced.confirmed,
    errors: [...produced.errors, ...consumed.errors],
  }
}

/** What went wrong in two measurements together. */
export function sumOf(one: Trouble, other: Trouble): Trouble {
  return {
    lost: one.lost + other.lost,
    duplicated: one.duplicated + other.duplicated,
    reordered: one.reordered + other.reordered,
    foreign: one.foreign + other.foreign,
    altered: one.altered + other.altered,
    unconfirmed: one.unconfirmed + other.unconfirmed,
    errors: [...one.errors, ...other.errors],
  }
}

function cpuBetween(before: Usage, after: Usage): number {
  return after.cpuSeconds - before.cpuSeconds
}

function cpuUs(before: Usage, after: Usage, messages: number): number {
  return (cpuBetween(before, after) * 1e6) / Math.max(1, messages)
}
