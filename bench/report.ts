import type { BacklogCourse, Course, FlowCourse, IdleCourse, PlainCourse, StartCourse } from './course.ts'
import { type Goal, goalsOf } from './goals.ts'
import { type BacklogFigures, type FlowFigures, isClean, type Trouble } from './measure.ts'
import { type Spread, spread } from './statistics.ts'
import { storeTable } from './store/report.ts'
import { count, fixed, table } from './text.ts'

type Line = readonly string[]

/** The tables of all rows that were run, the goals, and what went wrong, for people. */
export function report(courses: readonly Course[]): string {
  const parts = [
    table(
      flowHead,
      courses.flatMap((course) => {
        if (course.kind === 'plain') return besideLines(course)
        return course.kind === 'flow' ? flowLines(course) : []
      }),
    ),
    table(
      backlogHead,
      courses.flatMap((course) => (course.kind === 'backlog' ? backlogLines(course) : [])),
    ),
    table(
      ['row', 'server', 'median', 'range'],
      courses.flatMap((course) => (course.kind === 'idle' || course.kind === 'start' ? plainLines(course) : [])),
    ),
    storeTable(courses.flatMap((course) => (course.kind === 'store' ? [course] : []))),
    goalText(courses.flatMap(goalsOf)),
    troubleText(courses),
  ]
  return parts.filter((part) => part !== '').join('\n\n')
}

/** Whether every message of every run arrived once, in order and whole. */
export function isAllClean(courses: readonly Course[]): boolean {
  return courses.flatMap(troublesOf).every(isClean)
}

const flowHead = [
  'row',
  'server',
  'deliveries/s',
  'range',
  'CPU us each',
  'cores server/producer/consumer',
  'RSS MiB',
  'p50/p99/p99.9 ms',
  'lost/dup/reordered',
]

function flowLines({ row, broker, relay, limit }: FlowCourse): readonly Line[] {
  const lines = [flowLine('relay', relay), flowLine('broker', broker)]
  if (limit !== undefined) lines.unshift(flowLine('sink', [limit]))
  return lines.map((line, index) => [index === 0 ? row.title : '', ...line])
}

function besideLines({ row, broker, base }: PlainCourse): readonly Line[] {
  const first = [row.title, ...flowLine('broker', broker)]
  return row.base === undefined ? [first] : [first, ['', ...flowLine(row.base.shape.protocol, base)]]
}

function flowLine(server: string, runs: readonly FlowFigures[]): Line {
  const of = (pick: (run: FlowFigures) => number): Spread => spread(runs.map(pick))
  const mid = (pick: (run: FlowFigures) => number, digits: number): string => fixed(of(pick).median, digits)
  const rate = of(({ perSecond }) => perSecond)
  const cores = [
    mid(({ serverCores }) => serverCores, 2),
    mid(({ producerCores }) => producerCores, 2),
    mid(({ consumerCores }) => consumerCores, 2),
  ]
  const latencies = [mid(({ p50Ms }) => p50Ms, 2), mid(({ p99Ms }) => p99Ms, 2), mid(({ p999Ms }) => p999Ms, 2)]
  return [
    server,
    count(rate.median),
    range(rate, count),
    mid(({ cpuUsPerDelivery }) => cpuUsPerDelivery, 2),
    cores.join(' / '),
    mid(({ rssMib }) => rssMib, 0),
    latencies.join(' / '),
    findings(runs),
  ]
}

const backlogHead = [
  'row',
  'phase',
  'messages/s',
  'range',
  'CPU us each',
  'gap ms',
  'pause ms',
  'RSS MiB',
  'lost/dup/reordered',
]

function backlogLines({ row, broker }: BacklogCourse): readonly Line[] {
  const of = (pick: (run: BacklogFigures) => number): Spread => spread(broker.map(pick))
  const mid = (pick: (run: BacklogFigures) => number, digits: number): string => fixed(of(pick).median, digits)
  const rate = (pick: (run: BacklogFigures) => number): Line => [count(of(pick).median), range(of(pick), count)]
  return [
    [`${row.title}: ${mid(({ messages }) => messages, 0)}`, 'steady', ...rate((run) => run.steadyPerSecond)],
    [
      '',
      'enqueue',
      ...rate((run) => run.enqueuePerSecond),
      mid((run) => run.enqueueCpuUs, 2),
      mid((run) => run.enqueueGapMs, 0),
      mid((run) => run.enqueuePauseMs, 0),
      mid((run) => run.fullRssMib, 0),
    ],
    [
      '',
      'drain',
      ...rate((run) => run.drainPerSecond),
      mid((run) => run.drainCpuUs, 2),
      mid((run) => run.drainGapMs, 0),
      mid((run) => run.drainPauseMs, 0),
      mid((run) => run.peakRssMib, 0),
      findings(broker),
    ],
  ]
}

/** Rows of one figure for each server. */
function plainLines(course: IdleCourse | StartCourse): readonly Line[] {
  const line = (title: string, server: string, values: readonly number[], unit: string): Line => {
    const all = spread(values)
    return [title, server, `${fixed(all.median, 1)} ${unit}`, range(all, (value) => fixed(value, 1))]
  }
  const { row } = course
  if (course.kind === 'start') {
    return [line(row.title, 'bare', course.bare, 'ms'), line('', 'broker', course.broker, 'ms')]
  }
  const title = `${count(course.broker[0]?.connections ?? 0)} ${row.title}`
  const kib = (runs: IdleCourse['broker']): readonly number[] => runs.map(({ kibPerConnection }) => kibPerConnection)
  return [line(title, 'bare', kib(course.bare), 'KiB each'), line('', 'broker', kib(course.broker), 'KiB each')]
}

function goalText(goals: readonly Goal[]): string {
  return goals.map(({ row, text, isReached }) => `${markOf(isReached)}  ${row}: ${text}`).join('\n')
}

function markOf(isReached: boolean | undefined): string {
  if (isReached === undefined) return '    '
  return isReached ? 'PASS' : 'miss'
}

function troublesOf(course: Course): readonly Trouble[] {
  switch (course.kind) {
    case 'flow':
      return [...course.broker, ...course.relay, ...(course.limit === undefined ? [] : [course.limit])]
    case 'plain':
      return [...course.broker, ...course.base]
    case 'backlog':
      return course.broker
    case 'store':
      return course.runs.map(({ trouble }) => trouble)
    case 'idle':
    case 'start':
      return []
    default:
      return course satisfies never
  }
}

function troubleText(courses: readonly Course[]): string {
  const lines = courses.flatMap((course) =>
    troublesOf(course)
      .filter((trouble) => !isClean(trouble))
      .map((trouble) => troubleLine(course.row.name, trouble)),
  )
  return lines.length === 0 ? 'Nothing lost, duplicated, reordered or altered; no connection failed.' : lines.join('\n')
}

function troubleLine(row: string, trouble: Trouble): string {
  const { lost, duplicated, reordered, foreign, altered, unconfirmed, errors } = trouble
  const counts = Object.entries({ lost, duplicated, reordered, foreign, altered, unconfirmed })
  const parts = counts.filter(([, value]) => value > 0).map(([name, value]) => `${count(value)} ${name}`)
  return `ERROR ${row}: ${[...parts, ...errors.slice(0, 3)].join(', ')}`
}

function findings(runs: readonly Trouble[]): string {
  const sum = (pick: (trouble: Trouble) => number): number => runs.reduce((all, run) => all + pick(run), 0)
  return [sum(({ lost }) => lost), sum(({ duplicated }) => duplicated), sum(({ reordered }) => reordered)].join(' / ')
}

function range({ min, max }: Spread, text: (value: number) => string): string {
  return `${text(min)}-${text(max)}`
}
