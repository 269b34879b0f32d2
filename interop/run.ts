import { fileURLToPath } from 'node:url'
import { OtherSide, otherClients } from './amqp/other.ts'
import { type AmqpClient, amqpClients, runAmqpClient, runCrossed, StompEcho } from './amqp.ts'
import { Bench } from './bench.ts'
import { StandaloneBroker } from './broker.ts'
import { type Client, clients } from './clients.ts'
import type { Driver } from './driver.ts'
import { exchange, type Party } from './matrix.ts'
import { mqttClients } from './mqtt/clients.ts'
import { mqttAttempts } from './mqtt/run.ts'
import { nativePrograms, runNativeProgram } from './native.ts'
import { readOnlySteps } from './read-only.ts'
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

interface Head {
  readonly name: string
  readonly text: string
}

/** The clients of one protocol and what they have done. */
interface Table {
  readonly heads: readonly Head[]
  readonly results: readonly Result[]
}

function headOf({ name }: { readonly name: string }, version: string): Head {
  return { name, text: `${name} ${version}` }
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
  for (const { driver } of columns) if (!(driver instanceof Error)) driver.stop()
  const stomp = { heads: columns.map(({ client, version }) => headOf(client, version)), results }
  const mqtt = await mqttTable(broker)
  const amqp = await amqpTable(broker)
  const native = await nativeTable(broker)
  await broker.remove()
  report([stomp, mqtt, amqp, native, await readOnlyTable()])
}

/** What every MQTT client makes of its steps, with STOMP on the other side of some. */
async function mqttTable(broker: StandaloneBroker): Promise<Table> {
  const { columns, attempts, stop } = await mqttAttempts(root, broker, isWanted)
  const results: Result[] = []
  for (const { row, column, work, complaints } of attempts) {
    const failure = await failureOf(work)
    results.push({ row, column, failure: failure && `${failure}\n${complaints()}`.trim() })
  }
  for (const sample of samples) {
    if (!columns.some(({ name }) => name === sample.client)) continue
    const failure = await failureOf(() => runSample(sample, root))
    results.push({ row: sample.path, column: sample.client, failure })
  }
  stop()
  return { heads: columns.map((column) => headOf(column, column.version)), results }
}

/** What every AMQP client reports of its own steps, with a STOMP client on the other side of some. */
async function amqpTable(broker: StandaloneBroker): Promise<Table> {
  const echo = await StompEcho.start(broker.port)
  const others = await startedOthers(broker)
  const heads: Head[] = []
  const results: Result[] = []
  for (const client of amqpClients) {
    if (!isWanted(client.name)) continue
    const version = await client.install(root).catch((error: Error) => error)
    heads.push(headOf(client, version instanceof Error ? 'missing' : version))
    for (const { step, failure } of await amqpResults(client, broker, version)) {
      results.push({ row: step, column: client.name, failure })
    }
    for (const { step, failure } of await crossResults(client, broker, others)) {
      results.push({ row: step, column: client.name, failure })
    }
    for (const sample of samples) {
      if (sample.client !== client.name) continue
      results.push({ row: sample.path, column: client.name, failure: await failureOf(() => runSample(sample, root)) })
    }
  }
  echo.stop()
  for (const { side, driver } of others) {
    if (side instanceof OtherSide) await side.stop()
    driver?.stop()
  }
  return { heads, results }
}

/** A client of another protocol at its work, or why it is not. */
interface Other {
  readonly name: string
  readonly side: OtherSide | Error
  readonly driver: Driver | undefined
}

/** Those that are named on the command line, or all. */
async function startedOthers(broker: StandaloneBroker): Promise<readonly Other[]> {
  if (!amqpClients.some(({ name }) => isWanted(name))) return []
  const named = otherClients.filter(({ name }) => wanted.includes(name))
  const others: Other[] = []
  for (const client of named.length > 0 ? named : otherClients) {
    const { name, interpreter } = client
    try {
      await client.install(root)
      const driver = client.start(root)
      others.push({ name, driver, side: await OtherSide.start(client, driver, broker) })
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      others.push({ name, driver: undefined, side: new Error(`cannot be had (needs ${interpreter}): ${reason}`) })
    }
  }
  return others
}

/** Durable and shared subscriptions, selectors, transactions and so on with each of them on the other side. */
async function crossResults(
  client: AmqpClient,
  broker: StandaloneBroker,
  others: readonly Other[],
): Promise<Awaited<ReturnType<typeof runCrossed>>> {
  const sides = others.map(({ side }) => side).filter((side) => side instanceof OtherSide)
  const missing = others.flatMap(({ name, side }) =>
    side instanceof Error ? [{ step: `crossed with ${name}`, failure: side.message }] : [],
  )
  const crossed = await runCrossed(client, root, broker, sides).catch((error: Error) => [
    { step: 'crossed', failure: error.message },
  ])
  return [...missing, ...crossed]
}

async function amqpResults(
  client: AmqpClient,
  broker: StandaloneBroker,
  version: string | Error,
): Promise<Awaited<ReturnType<typeof runAmqpClient>>> {
  const step = 'all steps'
  if (version instanceof Error) {
    return [{ step, failure: `cannot be had (needs ${client.interpreter}): ${version.message}` }]
  }
  return runAmqpClient(client, root, broker).catch((error: Error) => [{ step, failure: error.message }])
}

/** What programs that speak the native protocol report of their own steps. */
async function nativeTable(broker: StandaloneBroker): Promise<Table> {
  const wantedPrograms = nativePrograms.filter(({ name }) => isWanted(name))
  const results: Result[] = []
  for (const program of wantedPrograms) {
    const reported = await runNativeProgram(program, root, broker).catch((error: Error) => [
      { step: 'all steps', failure: `cannot be run (needs ${program.interpreter}): ${error.message}` },
    ])
    for (const { step, failure } of reported) results.push({ row: step, column: program.name, failure })
  }
  return { heads: wantedPrograms.map(({ name }) => ({ name, text: name })), results }
}

/** What the broker makes of a disk that is read-only. */
async function readOnlyTable(): Promise<Table> {
  const name = 'ext4 in a file'
  const results: Result[] = []
  for (const step of readOnlySteps) {
    if (isWanted(step.name))
      results.push({ row: step.name, column: name, failure: await failureOf(() => step.run(root)) })
  }
  return { heads: [{ name, text: name }], results }
}

/** Whether the words of the command line leave it in: those that name clients choose clients, the others steps. */
function isWanted(name: string): boolean {
  const isClient = (word: string): boolean =>
    [...clients, ...amqpClients, ...mqttClients, ...nativePrograms].some((client) => client.name === word)
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

function report(tables: readonly Table[]): void {
  for (const { heads, results } of tables) {
    if (results.length === 0) continue
    const names = [...new Set(results.map(({ row }) => row))]
    const rows = names.map((row) => [row, ...heads.map(({ name }) => cell(results, row, name))])
    process.stdout.write(`${table(['', ...heads.map(({ text }) => text)], rows)}\n\n`)
  }
  const results = tables.flatMap((one) => one.results)
  const failures = results.filter(({ failure }) => failure !== undefined)
  const lines = failures.map(({ row, column, failure }) => `FAILED  ${row} (${column}): ${failure}\n`)
  process.stdout.write(lines.join(''))
  process.stdout.write(`${results.length - failures.length} passed, ${failures.length} failed\n`)
  process.exit(failures.length === 0 ? 0 : 1)
}

function cell(results: readonly Result[], row: string, column: string): string {
  const result = results.find((other) => other.row === row && other.column === column)
  if (result === undefined) return ''
  return result.failure === undefined ? 'ok' : 'FAILED'
}

await main()
