import type { BacklogCourse, Course, FlowCourse, IdleCourse, PlainCourse, StartCourse } from './course.ts'
import type { FlowFigures } from './measure.ts'
import { median, ratio, type Spread } from './statistics.ts'
import { storeGoalsOf } from './store/goals.ts'
import { count, fixed, percent, percents } from './text.ts'

/** A number to reach, and what it is. */
export interface Goal {
  readonly row: string
  readonly text: string
  /** Undefined if there is no number to reach in this row. */
  readonly isReached: boolean | undefined
}

/** The numbers to reach in this row. */
export function goalsOf(course: Course): readonly Goal[] {
  switch (course.kind) {
    case 'flow':
      return [course.row.p99MsMax === undefined ? rateGoal(course) : latencyGoal(course, course.row.p99MsMax)]
    case 'plain':
      return plainGoals(course)
    case 'backlog':
      return backlogGoals(course)
    case 'idle':
      return [idleGoal(course)]
    case 'start':
      return [startGoal(course)]
    case 'store':
      return storeGoalsOf(course)
    default:
      return course satisfies never
  }
}

/** Beside the rates the processor times: where cores are scarce the generator's own share flatters the ratio of rates. */
function rateGoal({ row, broker, relay, limit }: FlowCourse): Goal {
  const relayRates = relay.map(({ perSecond }) => perSecond)
  const share = ratio(
    broker.map(({ perSecond }) => perSecond),
    relayRates,
  )
  const cpu = ratio(
    relay.map(({ cpuUsPerDelivery }) => cpuUsPerDelivery),
    broker.map(({ cpuUsPerDelivery }) => cpuUsPerDelivery),
  )
  const parts = [`${percents(share)} of the relay's rate`]
  if (row.shareMin !== undefined) parts.push(`at least ${percent(row.shareMin)}`)
  parts.push(`by processor time ${percents(cpu)}`)
  if (limit !== undefined)
    parts.push(`the relay at ${percent(median(relayRates) / limit.perSecond)} of the generator's limit`)
  const isReached = row.shareMin === undefined ? undefined : share.median >= row.shareMin
  return { row: row.name, text: parts.join(', '), isReached }
}

/** Beside the rates the processor time of the two brokers, and what the busier one of the generator's processes could do at most. */
function plainGoals({ row, broker, base }: PlainCourse): readonly Goal[] {
  if (row.base === undefined) return []
  const { shape, timesMin } = row.base
  const times = ratio(
    broker.map(({ perSecond }) => perSecond),
    base.map(({ perSecond }) => perSecond),
  )
  const cpu = ratio(
    base.map(({ cpuUsPerDelivery }) => cpuUsPerDelivery),
    broker.map(({ cpuUsPerDelivery }) => cpuUsPerDelivery),
  )
  const parts = [`${timesText(times)} times the rate over ${shape.protocol}`]
  if (timesMin !== undefined) parts.push(`at least ${timesMin}`)
  parts.push(
    `by processor time ${timesText(cpu)}`,
    `the ends take ${endsOf(broker)} us (${endsOf(base)})`,
    `a generator's limits ${limitOf(broker)}/s (${limitOf(base)})`,
  )
  const isReached = timesMin === undefined ? undefined : times.median >= timesMin
  return [{ row: row.name, text: parts.join(', '), isReached }]
}

/** Processor time of the producers' and of the consumers' process for each delivery. */
function endsOf(runs: readonly FlowFigures[]): string {
  const us = (pick: (run: FlowFigures) => number): string =>
    fixed(median(runs.map((run) => (pick(run) * 1e6) / run.perSecond)), 2)
  return `${us(({ producerCores }) => producerCores)} + ${us(({ consumerCores }) => consumerCores)}`
}

/** What the busier of the two could do with a core of its own. */
function limitOf(runs: readonly FlowFigures[]): string {
  return count(
    median(
      runs.map(({ perSecond, producerCores, consumerCores }) => perSecond / Math.max(producerCores, consumerCores)),
    ),
  )
}

function timesText({ median: middle, min, max }: Spread): string {
  return `${fixed(middle, 2)} (${fixed(min, 2)}-${fixed(max, 2)})`
}

function latencyGoal({ row, broker, relay }: FlowCourse, p99MsMax: number): Goal {
  const p99 = median(broker.map(({ p99Ms }) => p99Ms))
  const relayP99 = median(relay.map(({ p99Ms }) => p99Ms))
  const late = median(broker.map(({ latenessP99Ms }) => latenessP99Ms))
  const text = `p99 ${fixed(p99, 2)} ms (relay ${fixed(relayP99, 2)}), at most ${p99MsMax}, of which the generator sends ${fixed(late, 2)} late`
  return { row: row.name, text, isReached: p99 <= p99MsMax }
}

function backlogGoals({ row, broker }: BacklogCourse): readonly Goal[] {
  const steady = broker.map(({ steadyPerSecond }) => steadyPerSecond)
  const rateOf = (name: string, perSecond: readonly number[]): Goal => {
    const share = ratio(perSecond, steady)
    const text = `${name} at ${percents(share)} of the steady rate, at least ${percent(row.shareMin)}`
    return { row: row.name, text, isReached: share.median >= row.shareMin }
  }
  const pauseOf = (name: string, pausesMs: readonly number[]): Goal => {
    const ms = median(pausesMs)
    const text = `${name} ${fixed(ms, 0)} ms, at most ${row.pauseMsMax}`
    return { row: row.name, text, isReached: ms <= row.pauseMsMax }
  }
  const enqueue = broker.map(({ enqueuePerSecond }) => enqueuePerSecond)
  const drain = broker.map(({ drainPerSecond }) => drainPerSecond)
  const gaps = broker.map(({ enqueueGapMs, drainGapMs }) => Math.max(enqueueGapMs, drainGapMs))
  const pauses = broker.map(({ enqueuePauseMs, drainPauseMs }) => Math.max(enqueuePauseMs, drainPauseMs))
  return [
    rateOf('enqueue', enqueue),
    rateOf('drain', drain),
    pauseOf('longest time without a receipt or delivery', gaps),
    pauseOf("longest pause of the broker's event loop", pauses),
  ]
}

function idleGoal({ row, broker, bare }: IdleCourse): Goal {
  const kib = median(broker.map(({ kibPerConnection }) => kibPerConnection))
  const bareKib = median(bare.map(({ kibPerConnection }) => kibPerConnection))
  const text = `${fixed(kib, 1)} KiB a connection (a bare socket ${fixed(bareKib, 1)}), at most ${row.kibPerConnectionMax}`
  return { row: row.name, text, isReached: kib <= row.kibPerConnectionMax }
}

function startGoal({ row, broker, bare }: StartCourse): Goal {
  const ms = median(broker)
  const text = `ready after ${fixed(ms, 0)} ms (a bare server ${fixed(median(bare), 0)}), at most ${row.startMsMax}`
  return { row: row.name, text, isReached: ms <= row.startMsMax }
}
