/**
 * `npm run bench [-- --rows a,b --rounds 3 --seconds 3 --json FILE --profile FOLDER --folder FOLDER]`: the broker against a bare relay, over
 * loopback, with producers and consumers in processes of their own. See README.md. The exit code tells of messages lost,
 * duplicated or out of order and of broken connections, never of times.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { Bench, type Course, type Settings } from './course.ts'
import { goalsOf } from './goals.ts'
import { Workplace } from './processes.ts'
import { isAllClean, report } from './report.ts'
import { rowsNamed } from './row-names.ts'
import { rows, usualRows } from './rows.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    backlog: { type: 'string', default: '1000000' },
    connections: { type: 'string', default: '10000' },
    json: { type: 'string' },
    profile: { type: 'string' },
    folder: { type: 'string', default: tmpdir() },
  },
})

function positive(name: 'rounds' | 'seconds' | 'backlog' | 'connections'): number {
  const value = Number(values[name])
  if (!(value > 0)) throw new Error(`--${name} must be a number above 0, not "${values[name]}"`)
  return value
}

const settings: Settings = {
  rounds: positive('rounds'),
  seconds: positive('seconds'),
  backlogMessages: positive('backlog'),
  idleConnections: positive('connections'),
  profileFolder: values.profile,
}
const chosen = values.rows === undefined ? usualRows() : rowsNamed(rows, values.rows.split(','))
if (values.profile !== undefined) mkdirSync(values.profile, { recursive: true })

const lines: object[] = []
const workplace = new Workplace(values.folder)
process.on('exit', () => workplace.remove())
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
const bench = new Bench(settings, workplace, (row, subject, round, figures) => {
  lines.push({ row, subject, round, ...figures })
  process.stderr.write(`${row} ${subject} ${round}: ${brief(figures)}\n`)
})

const load = loadavg().map((value) => value.toFixed(1))
console.log(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? '?'}, load ${load.join(' ')} before`)
const courses: Course[] = []
for (const row of chosen) {
  const course = await bench.run(row)
  courses.push(course)
  for (const goal of goalsOf(course)) lines.push(goal)
}
console.log(report(courses))
if (values.json !== undefined) writeFileSync(values.json, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
if (!isAllClean(courses)) process.exitCode = 1

function brief(figures: object): string {
  const shown = Object.entries(figures).filter(
    ([name, value]) => /PerSecond|Cpu|cpu|Cores|Pause|kib|Mib|Ms$/.test(name) && value !== 0,
  )
  return shown
    .map(([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`)
    .join(', ')
}
