import { fileURLToPath } from 'node:url'
import { Bench } from './bench.ts'
import { StandaloneBroker } from './broker.ts'
import { type Client, clients } from './clients.ts'
import type { Driver } from './driver.ts'
import { exchange, type Party } from './matrix.ts'
import { runSample, samples } from './samples.ts'
import { type Step, steps } from './steps.ts'
import { table } from './table.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const stepMsMax = 60_000

/** Names of clients or steps, to run only these while working on them; none: everything. */
const wanted = process.argv.slice(2)

/** A client that is installed and started; or why it is not, which fails everything that it should have done. */
interface Column {
  readonly client: Client
  readonly version: string
  /** Started anew when it has ended before its time. */
  driver: Driver | Error
}

interface Result {
  readonly row: string
  readonly column: string
  /** Undefined: passed. */
  readonly failure: string | undefined
}

/** Runs every step with every client, then everything from every client to every other; prints one table and the counts. */
async function main(): Promise<void> {
  const columns: Column[] = []
  for (const client of clients) if (isWanted(client.name)) columns.push(await started(client))
  const broker = await StandaloneBroker.start(root)
  const results: Result[] = []
  const attempt = async (row: string, column: Column, what: () => Promise<void>): Promise<void> => {
    const failure = await failureOf(what)
    const complaints = column.driver instanceof Error ? '' : column.driver.complaints()
    results.push({ row, column: column.client.name, failure: failure && `${failure}\n${complaints}`.trim() })
  }
  for (const [index, step] of steps.entries()) {
    if (!isWanted(step.name)) continue
    for (const column of columns) {
      const prefix = `${column.client.name}.${index}`
      await attempt(step.name, column, async () => runStep(step, partyOf(column), broker, prefix))
    }
  }
  for (const sample of samples) {
    for (const column of columns) {
      if (column.client.name === sample.client) await attempt(sample.path, column, () => runSample(sample, root))
    }
  }
  for (const from of columns) {
    for (const to of columns) {
      const row = `sent by ${from.client.name}, received by`
      await attempt(row, to, async () => exchange(partyOf(from), partyOf(to), broker))
    }
  }
  await broker.remove()
  for (const { driver } of columns) if (!(driver instanceof Error)) driver.stop()
  report(columns, results)
}

/** Whether the words of the command line leave it in: those that name clients choose clients, the others steps. */
function isWanted(name: string): boolean {
  const isClient = (word: string): boolean => clients.some((client) => client.name === word)
  const words = wanted.filter((word) => isClient(word) === isClient(name))
  return words.length === 0 || words.some((word) => name.includes(word))
}

async function started(client: Client): Promise<Column> {
  try {
    const version = await client.install(root)
    return { client, version, driver: client.start(root) }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { client, version: 'missing', driver: new Error(`cannot be had (needs ${client.interpreter}): ${reason}`) }
  }
}

function partyOf(column: Column): Party {
  const { client } = column
  if (column.driver instanceof Error) throw column.driver
  if (column.driver.hasEnded) column.driver = client.start(root)
  return { name: client.name, carrier: client.carrier, traits: client.traits, driver: column.driver }
}

async function runStep(step: Step, party: Party, broker: StandaloneBroker, prefix: string): Promise<void> {
  const bench = new Bench(party, broker, prefix)
  try {
    await step.run(bench)
  } finally {
    await bench.close()
  }
}

/** What goes wrong, if anything does; a step that takes too long has failed. */
async function failureOf(what: () => Promise<void>): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`not done within ${stepMsMax} ms`), stepMsMax)
  })
  const failure = new Promise<string | undefined>((resolve) => {
    resolve(what().then(() => undefined))
  }).catch((error: unknown) => (error instanceof Error ? error.message : String(error)))
  const first = await Promise.race([failure, late])
  clearTimeout(timer)
  return first
}

function report(columns: readonly Column[], results: readonly Result[]): void {
  const head = ['', ...columns.map(({ client, version }) => `${client.name} ${version}`)]
  const names = [...new Set(results.map(({ row }) => row))]
  const rows = names.map((row) => [row, ...columns.map(({ client }) => cell(results, row, client.name))])
  const failures = results.filter(({ failure }) => failure !== undefined)
  const lines = failures.map(({ row, column, failure }) => `FAILED  ${row} (${column}): ${failure}`)
  process.stdout.write(`${[table(head, rows), ...lines].join('\n')}\n`)
  process.stdout.write(`${results.length - failures.length} passed, ${failures.length} failed\n`)
  process.exit(failures.length === 0 ? 0 : 1)
}

function cell(results: readonly Result[], row: string, column: string): string {
  const result = results.find((other) => other.row === row && other.column === column)
  if (result === undefined) return ''
  return result.failure === undefined ? 'ok' : 'FAILED'
}

await main()
