import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type FlowFigures, Generators, measureFlow, sumOf, type Trouble, troubleOf } from '../measure.ts'
import { monotonicMs } from '../monotonic.ts'
import type { PaceFigures } from '../pace.ts'
import type { FlowPlan, Load, Produced } from '../plan.ts'
import { Program, programFile, type Workplace } from '../processes.ts'
import { Progress } from '../progress.ts'
import type { FlowShape } from '../rows.ts'
import type { Usage } from '../usage.ts'
import { compactedMibMax, drainedMibMax, type Figures, type StoreResult } from './job.ts'
import { dropFromCache, folderBytes, replayBytes } from './journal-files.ts'

/** What is measured with a whole broker, over STOMP. */
export type BrokerJob =
  /** Messages through the broker of the row, which all its flows share. */
  | { readonly kind: 'broker-flow'; readonly bodyBytes: number; readonly isPersistent: boolean }
  /** A persistent backlog: built up, killed, opened, taken from while more comes in, drained. */
  | { readonly kind: 'broker-backlog'; readonly bodyBytes: number; readonly messages: number }
  /** A persistent backlog of which a consumer never acknowledges one message in so many. */
  | {
      readonly kind: 'broker-forgotten'
      readonly bodyBytes: number
      readonly messages: number
      readonly every: number
    }

const warmUpSeconds = 1.5
const settleMs = 2000
const drainedMsMax = 10_000
const compactedMsMax = 60_000
const pollMs = 100
const mib = 2 ** 20

/** Carries out the jobs of one row. */
export class BrokerJobs {
  readonly #workplace: Workplace
  readonly #nodeArgs: readonly string[]
  readonly #folder: string
  readonly #generators: Generators
  #broker: Program | undefined

  constructor(workplace: Workplace, nodeArgs: readonly string[]) {
    this.#workplace = workplace
    this.#nodeArgs = nodeArgs
    this.#folder = workplace.file('store-data')
    this.#generators = new Generators(workplace)
    this.#broker = undefined
  }

  async run(job: BrokerJob, seconds: number): Promise<StoreResult> {
    const shape: FlowShape = {
      isTopic: false,
      producers: 1,
      consumers: 1,
      bodyBytes: job.bodyBytes,
      isPersistent: job.kind !== 'broker-flow' || job.isPersistent,
      protocol: 'stomp',
      isSettled: false,
      ack: 'client-individual',
      window: 1000,
      unreceivedMax: 2000,
    }
    if (job.kind === 'broker-flow') return flowResult(await this.#flow(await this.#running(shape), shape, seconds))
    await this.#clear()
    const result =
      job.kind === 'broker-backlog'
        ? await this.#backlog(job.messages, shape, seconds)
        : await this.#forgotten(job.messages, job.every, shape)
    await this.#clear()
    return result
  }

  /** Ends what runs and removes what it has stored. */
  async stop(): Promise<void> {
    await this.#generators.stop()
    await this.#clear()
  }

  async #clear(): Promise<void> {
    await this.#broker?.stop()
    this.#broker = undefined
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #running(shape: FlowShape): Promise<Program> {
    if (this.#broker !== undefined) return this.#broker
    const broker = await this.#start()
    for (const isPersistent of [false, true]) await this.#flow(broker, { ...shape, isPersistent }, warmUpSeconds)
    return broker
  }

  async #start(...more: readonly string[]): Promise<Program> {
    const others = ['mqtt', 'amqp', 'ws'].map((name) => `listeners.${name}.enabled=false`)
    const settings = ['listeners.stomp.port=0', ...others, 'log.level=warn', `data=${this.#folder}`, ...more]
    const args = [programFile('../src/main.js'), 'start', ...settings.flatMap((setting) => ['--set', setting])]
    this.#broker = await Program.start(this.#workplace, 'broker', [...this.#nodeArgs, ...args])
    return this.#broker
  }

  async #kill(): Promise<void> {
    await this.#broker?.kill()
    this.#broker = undefined
  }

  get #journal(): string {
    return join(this.#folder, 'journal')
  }

  #flow(broker: Program, shape: FlowShape, seconds: number): Promise<FlowFigures> {
    return measureFlow(broker, this.#generators, this.#generators.plan(broker, shape, { kind: 'timed', seconds }))
  }

  async #backlog(messages: number, shape: FlowShape, seconds: number): Promise<StoreResult> {
    const written = await this.#written(shape, seconds)
    const first = await this.#start()
    const startMs = first.startMs
    await this.#flow(first, shape, warmUpSeconds)
    const steady = await this.#flow(first, shape, seconds)
    await delay(settleMs)
    const emptyRssMib = first.usage().rssKib / 1024
    const full = await this.#fill(first, shape, messages)
    await delay(settleMs)
    const fullRssMib = first.usage().rssKib / 1024
    const fullMib = folderBytes(this.#journal) / mib
    const deep = await this.#deep(first, full.plan, messages, seconds)
    const drained = await this.#shrunk(drainedMibMax, drainedMsMax)
    const again = await this.#fill(first, shape, messages)
    await delay(settleMs)
    await this.#kill()
    const replayMib = replayBytes(this.#journal) / mib
    dropFromCache(this.#journal)
    const coldReadyMs = (await this.#start()).startMs
    await this.#kill()
    const last = await this.#start()
    const openedRssMib = last.usage().rssKib / 1024
    await this.#flow(last, shape, warmUpSeconds)
    const cold = await this.#deep(last, { ...again.plan, port: last.port }, messages, seconds)
    const figures: Figures = {
      writtenPerSecond: written.perSecond,
      writtenCpuUs: written.cpuUsPerDelivery,
      steadyPerSecond: steady.perSecond,
      steadyCpuUs: steady.cpuUsPerDelivery,
      fillPerSecond: full.receipts.perSecond,
      fillGapMs: full.receipts.longestGapMs,
      emptyRssMib,
      fullRssMib,
      extraRssMib: fullRssMib - emptyRssMib,
      openedRssMib,
      fullMib,
      replayMib,
      startMs,
      coldReadyMs,
      warmReadyMs: last.startMs,
      ...deep.figures,
      ...drained,
      coldPerSecond: cold.figures.deepPerSecond ?? 0,
      coldCpuUs: cold.figures.deepCpuUs ?? 0,
      coldDrainPerSecond: cold.figures.drainPerSecond ?? 0,
    }
    return { figures, trouble: sumOf(deep.trouble, cold.trouble) }
  }

  /** In and out without a backlog, each message written, as behind one: none waits to be accepted before. */
  async #written(shape: FlowShape, seconds: number): Promise<FlowFigures> {
    const broker = await this.#start('patienceMs=0')
    await this.#flow(broker, shape, warmUpSeconds)
    const flow = await this.#flow(broker, shape, seconds)
    await this.#clear()
    return flow
  }

  /** Messages that nobody takes yet. */
  async #fill(broker: Program, shape: FlowShape, messages: number): Promise<{ plan: FlowPlan; receipts: PaceFigures }> {
    const plan = { ...this.#generators.plan(broker, shape, { kind: 'counted', messages }), unreceivedMax: 0 }
    new Progress(plan.progressFile).close()
    const { receipts } = await this.#produce(plan)
    return { plan, receipts }
  }

  async #produce(plan: FlowPlan): Promise<Produced> {
    const { producer } = this.#generators
    await producer.ask({ kind: 'produce', plan }, 'ready')
    return await producer.ask({ kind: 'go' }, 'produced')
  }

  /** In and out behind the backlog for a while, then all out. */
  async #deep(broker: Program, plan: FlowPlan, backlog: number, seconds: number): Promise<StoreResult> {
    const { consumer } = this.#generators
    const more: FlowPlan = { ...plan, unreceivedMax: backlog + plan.window * 2 }
    const produce = (firstSequence: number, forSeconds: number): Promise<Produced> =>
      this.#produce({ ...more, load: { kind: 'timed', seconds: forSeconds }, firstSequence })
    await consumer.ask({ kind: 'consume', plan: more }, 'ready')
    const warm = await produce(backlog, warmUpSeconds)
    const firstSequence = warm.sent[0] ?? 0
    const progress = new Progress(plan.progressFile)
    const startMs = monotonicMs()
    const before = { received: progress.read(), usage: broker.usage() }
    const produced = await produce(firstSequence, seconds)
    const endMs = monotonicMs()
    const elapsedMs = endMs - startMs
    const after = { received: progress.read(), usage: broker.usage() }
    progress.close()
    const sent = (produced.sent[0] ?? 0) - firstSequence
    const taken = after.received - before.received
    const inPerSecond = (sent * 1000) / elapsedMs
    const outPerSecond = (taken * 1000) / elapsedMs
    const consumed = await consumer.ask({ kind: 'expect', sent: produced.sent }, 'consumed')
    const drainMs = monotonicMs() - endMs
    const drained = broker.usage()
    return {
      figures: {
        deepPerSecond: (inPerSecond + outPerSecond) / 2,
        deepInPerSecond: inPerSecond,
        deepOutPerSecond: outPerSecond,
        deepCpuUs: cpuUs(before.usage, after.usage, (sent + taken) / 2),
        drainCpuUs: cpuUs(after.usage, drained, consumed.received - after.received),
        drainPerSecond: ((consumed.received - after.received) * 1000) / drainMs,
        drainGapMs: consumed.deliveries.longestGapMs,
        peakRssMib: drained.peakRssKib / 1024,
      },
      trouble: troubleOf(
        {
          ...produced,
          confirmed: warm.confirmed - firstSequence + produced.confirmed,
          errors: [...warm.errors, ...produced.errors],
        },
        consumed,
      ),
    }
  }

  async #forgotten(messages: number, forgottenEvery: number, shape: FlowShape): Promise<StoreResult> {
    const { consumer } = this.#generators
    const broker = await this.#start()
    const load: Load = { kind: 'counted', messages }
    const plan: FlowPlan = { ...this.#generators.plan(broker, shape, load), unreceivedMax: 0, forgottenEvery }
    new Progress(plan.progressFile).close()
    const produced = await this.#produce(plan)
    const fullMib = folderBytes(this.#journal) / mib
    await consumer.ask({ kind: 'consume', plan }, 'ready')
    const consumed = await consumer.ask({ kind: 'expect', sent: produced.sent }, 'consumed')
    const kept = Math.ceil(messages / forgottenEvery)
    const liveMib = (kept * shape.bodyBytes) / mib
    const shrunk = await this.#shrunk(compactedMibMax + 4 * liveMib, compactedMsMax)
    const rest = await this.#rest(plan, kept)
    const trouble = troubleOf(produced, consumed)
    return {
      figures: { fullMib, liveMib, ...shrunk, overMib: shrunk.drainedMib - 4 * liveMib },
      trouble: { ...trouble, lost: trouble.lost + rest.lost, errors: [...trouble.errors, ...rest.errors] },
    }
  }

  /** Takes the messages that were left. */
  async #rest(plan: FlowPlan, kept: number): Promise<Pick<Trouble, 'lost' | 'errors'>> {
    const { consumer } = this.#generators
    await consumer.ask({ kind: 'consume', plan: { ...plan, forgottenEvery: 0 } }, 'ready')
    const { received, findings, errors } = await consumer.ask({ kind: 'expect', sent: [kept] }, 'consumed')
    const { duplicated, reordered, altered } = findings
    const wrong = duplicated + reordered + altered
    const found = wrong === 0 ? [] : [`${wrong} of the messages that were left came twice, altered or in another order`]
    return { lost: kept - received, errors: [...errors, ...found] }
  }

  /** Waits until the folder is as small as it should become, but no longer than that may take. */
  async #shrunk(mibMax: number, msMax: number): Promise<{ readonly drainedMib: number; readonly drainedMs: number }> {
    const startMs = monotonicMs()
    for (;;) {
      const drainedMib = folderBytes(this.#journal) / mib
      const drainedMs = monotonicMs() - startMs
      if (drainedMib <= mibMax || drainedMs >= msMax) return { drainedMib, drainedMs }
      await delay(pollMs)
    }
  }
}

/** Processor time for each message. */
function cpuUs(before: Usage, after: Usage, messages: number): number {
  return ((after.cpuSeconds - before.cpuSeconds) * 1e6) / Math.max(1, messages)
}

function flowResult(flow: FlowFigures): StoreResult {
  const { perSecond, p50Ms, p99Ms, cpuUsPerDelivery: cpuUs, serverCores, rssMib } = flow
  return { figures: { perSecond, p50Ms, p99Ms, cpuUs, serverCores, rssMib }, trouble: flow }
}
