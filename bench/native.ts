/**
 * The native protocol over TCP, over WebSockets and within the process: `npm run bench:native`. One client process sends and
 * takes, the broker is another one; at most `windowMax` messages are between the two, so that no backlog grows.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Connection, connect } from '../src/client.ts'
import { Generators, measureFlow, type Served } from './measure.ts'
import { natsFigures } from './nats.ts'
import { paced } from './paced.ts'
import { programFile, Workplace } from './processes.ts'
import type { FlowShape } from './rows.ts'
import { median } from './statistics.ts'
import { type Usage, usageOf } from './usage.ts'

const windowMax = 3000
const rounds = Number(process.argv[2] ?? 3)
const roundMs = Number(process.argv[3] ?? 1500)

interface Row {
  readonly name: string
  readonly url: (urls: ReadonlyMap<string, string>) => string
  readonly bodyBytes: number
  readonly isPersistent: boolean
  readonly pairs: number
}

const tcp = (urls: ReadonlyMap<string, string>): string => urls.get('native') ?? ''
const ws = (urls: ReadonlyMap<string, string>): string => urls.get('ws') ?? ''

const rows: readonly Row[] = [
  { name: 'tcp, 64 B', url: tcp, bodyBytes: 64, isPersistent: false, pairs: 1 },
  { name: 'tcp, 1 KiB', url: tcp, bodyBytes: 1024, isPersistent: false, pairs: 1 },
  { name: 'tcp, 16 KiB', url: tcp, bodyBytes: 16 * 1024, isPersistent: false, pairs: 1 },
  { name: 'tcp, 1 KiB, 10 to 10', url: tcp, bodyBytes: 1024, isPersistent: false, pairs: 10 },
  { name: 'tcp, 1 KiB, persistent', url: tcp, bodyBytes: 1024, isPersistent: true, pairs: 1 },
  { name: 'ws, 1 KiB', url: ws, bodyBytes: 1024, isPersistent: false, pairs: 1 },
  { name: 'vm by value, 1 KiB', url: () => 'vm://bench?create=true', bodyBytes: 1024, isPersistent: false, pairs: 1 },
  {
    name: 'vm by reference, 1 KiB',
    url: () => 'vm://bench?create=true&pass=reference',
    bodyBytes: 1024,
    isPersistent: false,
    pairs: 1,
  },
]

/** What the same goes at over STOMP, with a generator of two processes that knows no promises. */
const stompShape: FlowShape = {
  protocol: 'stomp',
  isSettled: false,
  isTopic: false,
  producers: 1,
  consumers: 1,
  bodyBytes: 64,
  isPersistent: false,
  ack: 'client-individual',
  window: 1000,
  unreceivedMax: 2000,
}

interface Measured {
  readonly perSecond: number
  /** Microseconds of processor time for each message. */
  readonly clientUs: number
  readonly brokerUs: number
}

/** A broker in a process of its own. */
class BenchBroker implements Served {
  readonly urls: Map<string, string>
  readonly #child: ChildProcess
  readonly #folder: string

  private constructor(child: ChildProcess, folder: string) {
    this.urls = new Map()
    this.#child = child
    this.#folder = folder
  }

  static async start(...more: readonly string[]): Promise<BenchBroker> {
    const folder = await mkdtemp(join(tmpdir(), 'manifoldmq-bench-'))
    const off = ['mqtt', 'amqp'].map((name) => `listeners.${name}.enabled=false`)
    const on = ['native', 'ws', 'stomp'].map((name) => `listeners.${name}.port=0`)
    const settings = [...on, ...off, 'log.level=warn', `data=${folder}`, ...more]
    const args = [programFile('../src/main.js'), 'start', ...settings.flatMap((setting) => ['--set', setting])]
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
    const broker = new BenchBroker(child, folder)
    await new Promise<void>((resolve) => {
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        for (const [, name = '', url = ''] of text.matchAll(/^ready (\w+) (\S+)$/gm)) broker.urls.set(name, url)
        if (broker.urls.size >= on.length) resolve()
      })
    })
    return broker
  }

  /** Of its STOMP listener. */
  get port(): number {
    return Number(new URL(this.urls.get('stomp') ?? '').port)
  }

  usage(): Usage {
    return usageOf(this.#child.pid ?? 0)
  }

  get cpuMs(): number {
    return this.usage().cpuSeconds * 1000
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    await new Promise((resolve) => this.#child.once('exit', resolve))
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** Sends and takes for a while. */
async function measure(row: Row, broker: BenchBroker, ms: number): Promise<Measured> {
  const url = row.url(broker.urls)
  const client = await connect(url)
  const body = new Uint8Array(row.bodyBytes).fill(120)
  const start = performance.now()
  const cpuStart = process.cpuUsage()
  const brokerStart = broker.cpuMs
  const counts = await Promise.all(
    Array.from({ length: row.pairs }, (_, pair) =>
      flow(client, `${row.name} ${pair}`, row, { body, until: start + ms }),
    ),
  )
  const count = counts.reduce((sum, one) => sum + one, 0)
  const cpu = process.cpuUsage(cpuStart)
  const isWithin = url.startsWith('vm:')
  const measured = {
    perSecond: (count / (performance.now() - start)) * 1000,
    clientUs: (cpu.user + cpu.system) / count,
    brokerUs: isWithin ? 0 : ((broker.cpuMs - brokerStart) * 1000) / count,
  }
  await client.close()
  return measured
}

/** One producer and one consumer of a queue. Returns how many messages went through. */
async function flow(
  client: Connection,
  name: string,
  { isPersistent, pairs }: Row,
  { body, until }: { readonly body: Uint8Array; readonly until: number },
): Promise<number> {
  const queue = client.queue(name)
  const producer = queue.producer({ persistent: isPersistent })
  const window = Math.ceil(windowMax / pairs)
  let sent = 0
  let received = 0
  let isOver = false
  let wake: (() => void) | undefined
  const taking = (async () => {
    for await (const message of queue.consume({ credit: 1000, creditBytes: 8_000_000 })) {
      void message.accept()
      received += 1
      if (sent - received < window / 2) wake?.()
      if (isOver && received === sent) break
    }
  })()
  while (performance.now() < until) {
    for (let some = 0; some < 64 && sent - received < window; some += 1) {
      sent += 1
      void producer.send(body)
    }
    if (sent - received >= window) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  isOver = true
  // One more, so that the consumer sees that it is the last.
  sent += 1
  await producer.send(body)
  await taking
  return sent
}

async function measureStomp(broker: BenchBroker, generators: Generators, bodyBytes: number): Promise<Measured> {
  const plan = generators.plan(broker, { ...stompShape, bodyBytes }, { kind: 'timed', seconds: roundMs / 1000 })
  const { perSecond, cpuUsPerDelivery: brokerUs, ...figures } = await measureFlow(broker, generators, plan)
  const clientUs = ((figures.producerCores + figures.consumerCores) / perSecond) * 1_000_000
  return { perSecond, clientUs, brokerUs }
}

/** Microseconds of one request and its answer, the median. */
async function roundTrip(url: string): Promise<number> {
  const client = await connect(url)
  const queue = client.queue('echo')
  const workers = queue.process((message) => message.text)
  const times: number[] = []
  for (let count = 0; count < 4000; count += 1) {
    const start = performance.now()
    await queue.request('x')
    times.push((performance.now() - start) * 1000)
  }
  await workers.close()
  await client.close()
  return median(times.slice(1000))
}

/** Persistent sends to a queue that nobody consumes from, each answered once it is as safe as the broker is told to make it. */
async function storedFigures(url: string, title: string): Promise<readonly string[]> {
  const client = await connect(url)
  const queue = client.queue('stored')
  const body = new Uint8Array(1024).fill(120)
  const pipelined = await paced(roundMs, 256, () => queue.send(body))
  const single = await paced(roundMs, 1, () => queue.send(body))
  await queue.purge()
  await client.close()
  const line = (how: string, perSecond: number): string =>
    `${`${title}, 1 KiB, ${how}`.padEnd(42)} ${Math.round(perSecond).toLocaleString('en').padStart(7)}/s`
  return [line('256 at a time', pipelined), line('one at a time', single)]
}

const broker = await BenchBroker.start()
const workplace = new Workplace(tmpdir())
const generators = new Generators(workplace)
const all = new Map<string, Measured[]>()
const note = (name: string, measured: Measured): void => {
  all.set(name, [...(all.get(name) ?? []), measured])
}
for (const row of rows) await measure(row, broker, roundMs)
await measureStomp(broker, generators, 64)
for (let round = 0; round < rounds; round += 1) {
  note('stomp, 64 B', await measureStomp(broker, generators, 64))
  note('stomp, 1 KiB', await measureStomp(broker, generators, 1024))
  for (const row of rows) note(row.name, await measure(row, broker, roundMs))
}
await generators.stop()
workplace.remove()
for (const [name, measured] of all) {
  const of = (pick: (one: Measured) => number): number => median(measured.map(pick))
  const rate = Math.round(of((one) => one.perSecond)).toLocaleString('en')
  const client = of((one) => one.clientUs).toFixed(2)
  const served = of((one) => one.brokerUs).toFixed(2)
  console.log(`${name.padEnd(26)} ${rate.padStart(10)}/s   client ${client} us   broker ${served} us`)
}
for (const line of await storedFigures(tcp(broker.urls), 'stored, sync: always')) console.log(line)
console.log(`request and answer, tcp    ${(await roundTrip(tcp(broker.urls))).toFixed(1)} us`)
console.log(`request and answer, vm     ${(await roundTrip('vm://bench?create=true&pass=reference')).toFixed(1)} us`)
await broker.stop()
// JetStream writes before it answers and flushes every two minutes (its sync_interval): this is what compares with it.
const relaxed = await BenchBroker.start('sync=interval')
for (const line of await storedFigures(tcp(relaxed.urls), 'stored, sync: interval')) console.log(line)
for (const line of await natsFigures(roundMs)) console.log(line)
await relaxed.stop()
