import { median, ratio, type Spread, spread } from '../statistics.ts'
import { count, fixed, table } from '../text.ts'
import type { Figures } from './course.ts'

/** All rounds of all rows, by name. */
export type Results = ReadonlyMap<string, readonly Figures[]>

type Flow = Extract<Figures, { kind: 'flow' }>

/** A row to reach so many times what another one does. */
interface Reach {
  readonly row: string
  readonly times: number
  readonly base: string
}

const reaches: readonly Reach[] = [
  { row: 'stored-always-256', times: 5, base: 'stored-jetstream-1' },
  { row: 'vm-reference-1k', times: 5, base: 'tcp-1k' },
  { row: 'ws-1k', times: 0.6, base: 'tcp-1k' },
]
const requestUsMax = { row: 'request-vm-reference', us: 20 } as const

export function report(results: Results): string {
  const lines = [...results].map(([name, figures]) => line(name, figures))
  const head = ['row', 'median', 'range', 'client us', 'broker us', 'limit of one core', 'lost/dup/reordered']
  return [table(head, lines), goals(results), troubles(results)].filter((part) => part !== '').join('\n\n')
}

/** Whether every message of every row arrived once, in order and whole. */
export function isAllClean(results: Results): boolean {
  return [...results.values()].flat().every((one) => one.kind !== 'flow' || isClean(one))
}

function line(name: string, figures: readonly Figures[]): readonly string[] {
  const flows = figures.filter((one) => one.kind === 'flow')
  const all = spread(figures.map(rateOrTime))
  const isTime = figures[0]?.kind === 'request'
  const text = (value: number): string => (isTime ? `${fixed(value, 1)} us` : `${count(value)}/s`)
  const first = [name, text(all.median), `${text(all.min)} - ${text(all.max)}`]
  if (flows.length === 0) return first
  const clientUs = median(flows.map((flow) => flow.clientUs))
  const sum = (pick: (flow: Flow) => number): number => flows.reduce((total, flow) => total + pick(flow), 0)
  return [
    ...first,
    fixed(clientUs, 2),
    fixed(median(flows.map((flow) => flow.brokerUs)), 2),
    `${count(1_000_000 / clientUs)}/s`,
    [sum(({ lost }) => lost), sum(({ duplicated }) => duplicated), sum(({ reordered }) => reordered)].join(' / '),
  ]
}

function goals(results: Results): string {
  const lines = reaches.flatMap(({ row, times, base }) => {
    const [values, bases] = [valuesOf(results, row), valuesOf(results, base)]
    if (values.length === 0 || bases.length === 0) return []
    const share = ratio(values, bases)
    return [`${mark(share.median >= times)}  ${row}: ${timesText(share)} x ${base}, at least ${times}`]
  })
  const us = valuesOf(results, requestUsMax.row)
  if (us.length > 0) {
    const isReached = median(us) < requestUsMax.us
    lines.push(`${mark(isReached)}  ${requestUsMax.row}: ${fixed(median(us), 1)} us, under ${requestUsMax.us}`)
  }
  return lines.join('\n')
}

function troubles(results: Results): string {
  const lines = [...results].flatMap(([name, figures]) =>
    figures.flatMap((one) => {
      if (one.kind !== 'flow' || isClean(one)) return []
      const { lost, duplicated, reordered, foreign, altered, errors } = one
      const counts = Object.entries({ lost, duplicated, reordered, foreign, altered }).filter(([, value]) => value > 0)
      const parts = [...counts.map(([what, value]) => `${count(value)} ${what}`), ...errors.slice(0, 3)]
      return [`ERROR ${name}: ${parts.join(', ')}`]
    }),
  )
  return lines.length === 0 ? 'Nothing lost, duplicated, reordered or altered; no connection failed.' : lines.join('\n')
}

function isClean({ lost, duplicated, reordered, foreign, altered, errors }: Flow): boolean {
  return lost + duplicated + reordered + foreign + altered + errors.length === 0
}

function valuesOf(results: Results, row: string): readonly number[] {
  return (results.get(row) ?? []).map(rateOrTime)
}

function rateOrTime(figures: Figures): number {
  return figures.kind === 'request' ? figures.us : figures.perSecond
}

function timesText({ median: middle, min, max }: Spread): string {
  return `${fixed(middle, 2)} (${fixed(min, 2)}-${fixed(max, 2)})`
}

function mark(isReached: boolean): string {
  return isReached ? 'PASS' : 'miss'
}
