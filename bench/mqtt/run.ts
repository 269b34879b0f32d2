/**
 * `npm run bench:mqtt [-- --rows session-64 --rounds 3 --seconds 3 --folder FOLDER --json FILE]`: QoS 1 through sessions that are
 * kept, and through clean ones, beside the `mosquitto` of the machine. See ../README.md. The exit code tells of messages lost,
 * duplicated, out of order or altered, and of connections that broke, never of times.
 */
import { appendFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { type FlowFigures, Generators, measureFlow } from '../measure.ts'
import type { Load } from '../plan.ts'
import { Workplace } from '../processes.ts'
import { rowsNamed } from '../row-names.ts'
import type { FlowShape } from '../rows.ts'
import { median } from '../statistics.ts'
import { openServers, type Server } from './servers.ts'

const underWayMax = 4000

const shape: FlowShape = {
  protocol: 'mqtt',
  isSettled: false,
  isTopic: true,
  producers: 1,
  consumers: 1,
  bodyBytes: 64,
  isPersistent: true,
  ack: 'client-individual',
  window: underWayMax,
  unreceivedMax: underWayMax,
}

const allRows: readonly { readonly name: string; readonly shape: FlowShape }[] = [
  { name: 'session-64', shape },
  { name: 'session-1k', shape: { ...shape, bodyBytes: 1024 } },
  { name: 'clean-64', shape: { ...shape, isPersistent: false } },
  { name: 'clean-1k', shape: { ...shape, isPersistent: false, bodyBytes: 1024 } },
]

const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    json: { type: 'string' },
    folder: { type: 'string', default: tmpdir() },
  },
})
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
if (!(rounds > 0 && seconds > 0)) throw new Error('--rounds and --seconds must be numbers above 0')
const rows = values.rows === undefined ? allRows : rowsNamed(allRows, values.rows.split(','))

const workplace = new Workplace(values.folder)
process.on('exit', () => workplace.remove())
const load = loadavg().map((value) => value.toFixed(1))
console.log(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? '?'}, load ${load.join(' ')} before\n`)
const generators = new Generators(workplace)
const servers = await openServers(workplace)
let isClean = true
for (const row of rows) {
  const figures = new Map<Server, FlowFigures[]>(servers.map((server) => [server, []]))
  // The first round does not count: code is compiled while it runs.
  for (let round = 0; round <= rounds; round += 1) {
    for (const server of servers) {
      const timed: Load = { kind: 'timed', seconds: round === 0 ? 1.5 : seconds }
      const found = await measureFlow(server, generators, generators.plan(server, row.shape, timed))
      isClean &&= isFaultless(found)
      if (round > 0) figures.get(server)?.push(found)
      const line = { row: row.name, server: server.name, round, ...found }
      if (values.json !== undefined) appendFileSync(values.json, `${JSON.stringify(line)}\n`)
    }
  }
  report(row.name, figures)
}
await generators.stop()
for (const server of servers) await server.stop()
process.exit(isClean ? 0 : 1)

function isFaultless({ altered, duplicated, errors, foreign, lost, reordered, unconfirmed }: FlowFigures): boolean {
  return errors.length === 0 && altered + duplicated + foreign + lost + reordered + unconfirmed === 0
}

function report(row: string, figures: ReadonlyMap<Server, readonly FlowFigures[]>): void {
  const rates: number[] = []
  for (const [{ name }, all] of figures) {
    const of = (value: (one: FlowFigures) => number): number => median(all.map(value))
    rates.push(of(({ perSecond }) => perSecond))
    const rate = Math.round(rates.at(-1) ?? 0).toLocaleString('en')
    const cpu = of(({ cpuUsPerDelivery }) => cpuUsPerDelivery).toFixed(2)
    const p99 = of(({ p99Ms }) => p99Ms).toFixed(1)
    const lost = all.reduce((sum, one) => sum + one.lost + one.duplicated + one.reordered + one.unconfirmed, 0)
    const errors = all
      .flatMap((one) => one.errors)
      .slice(0, 2)
      .join('; ')
    console.log(
      `${row.padEnd(12)}${name.padEnd(12)}${rate.padStart(10)} msg/s  ${cpu.padStart(6)} us CPU  p99 ${p99.padStart(6)} ms  lost, twice, out of order ${lost} ${errors}`,
    )
  }
  const [ours = 0, theirs = 0] = rates
  if (rates.length > 1) console.log(`${row.padEnd(12)}${(ours / theirs).toFixed(2)} x mosquitto\n`)
}
