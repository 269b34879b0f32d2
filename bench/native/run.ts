/**
 * `npm run bench:native [-- --rows tcp-*,stomp-1k --rounds 3 --seconds 2 --json FILE --folder FOLDER]`: the native client over TCP,
 * WebSockets and within the process, beside our own STOMP and NATS. See ../README.md. The exit code tells of messages lost, duplicated,
 * out of order or altered, never of times.
 */
import { writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { rowsNamed } from '../row-names.ts'
import { type Figures, Subjects } from './course.ts'
import { isAllClean, report } from './report.ts'
import { rows } from './rows.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    json: { type: 'string' },
    folder: { type: 'string', default: tmpdir() },
  },
})
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
if (!(rounds > 0 && seconds > 0)) throw new Error('--rounds and --seconds must be numbers above 0')
const chosen = values.rows === undefined ? rows : rowsNamed(rows, values.rows.split(','))

const load = loadavg().map((value) => value.toFixed(1))
console.log(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? '?'}, load ${load.join(' ')} before`)
const results = new Map<string, Figures[]>(chosen.map(({ name }) => [name, []]))
const subjects = new Subjects(values.folder, seconds * 1000)
// A round that does not count, so that nothing is measured while code is compiled.
for (let round = 0; round <= rounds; round += 1) {
  for (const row of chosen) {
    const figures = await subjects.measure(row)
    if (round === 0) continue
    results.get(row.name)?.push(figures)
    process.stderr.write(`${row.name} ${round}: ${JSON.stringify(figures)}\n`)
  }
}
await subjects.stop()
console.log(report(results))
if (values.json !== undefined) {
  const lines = [...results].flatMap(([row, all]) =>
    all.map((figures, round) => ({ row, round: round + 1, ...figures })),
  )
  writeFileSync(values.json, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
}
process.exit(isAllClean(results) ? 0 : 1)
