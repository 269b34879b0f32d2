import { connect } from 'node:net'
import { join } from 'node:path'
import { expect } from 'vitest'
import { Running, startAlone, startBroker } from './command-line.ts'
import { type ReceivedFrame, StompTestClient } from './stomp-client.ts'

const producers = 3
const queues = ['kill.a', 'kill.b'] as const
const inFlightMax = 32

/** A broker in a process of its own with clients at work on it, that is crashed and started again on what is left. */
export class CrashingBroker {
  readonly #folder: string
  #broker: Running | undefined
  #clients: StompTestClient[]

  constructor(folder: string) {
    this.#folder = folder
    this.#clients = []
  }

  /** Returns the port for STOMP. */
  async start(): Promise<number> {
    const started = await startBroker(['--data', join(this.#folder, 'data')])
    this.#broker = started.broker
    return started.port
  }

  /** Starts it without waiting until it has. */
  begin(): void {
    this.#broker = new Running([...startAlone, '--data', join(this.#folder, 'data')])
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#broker?.signal(signal)
    await this.#broker?.ended()
    this.#broker = undefined
    for (const client of this.#clients.splice(0)) client.close()
  }

  async client(port: number, headers: Record<string, string> = {}): Promise<StompTestClient> {
    const made = new StompTestClient(connect(port, '127.0.0.1'))
    this.#clients.push(made)
    await made.connect(headers)
    return made
  }
}

/** What clients know of the messages, through all the runs of the broker. */
class Ledger {
  readonly confirmed = new Set<string>()
  readonly acknowledged = new Set<string>()
  /** By message, the run in which it was delivered first. */
  readonly delivered = new Map<string, number>()
  readonly violations: string[] = []
  redeliveries = 0
  readonly #lastFirst = new Map<string, number>()

  took(run: number, queue: string, { body, headers }: ReceivedFrame): void {
    const first = this.delivered.get(body)
    if (this.acknowledged.has(body))
      this.violations.push(`${body} was acknowledged and is delivered again in run ${run}`)
    if (first !== undefined) {
      this.redeliveries += 1
      if (headers.redelivered !== 'true')
        this.violations.push(`${body} of run ${first} comes in run ${run} without a flag`)
      return
    }
    this.delivered.set(body, run)
    const [producer = '', , number] = body.split(' ')
    const stream = `${queue} ${producer}`
    const last = this.#lastFirst.get(stream) ?? 0
    if (Number(number) < last) this.violations.push(`${body} comes after ${last}`)
    this.#lastFirst.set(stream, Number(number))
  }
}

export interface CrashOptions {
  readonly crashes: number
  readonly random: () => number
  /** Ends the broker as nothing in order does. */
  readonly crash: () => Promise<void>
}

export interface CrashFigures {
  readonly confirmed: number
  readonly acknowledged: number
  readonly redeliveries: number
  readonly crashesWhileStarting: number
  /** Messages that came twice though acknowledged, again without a flag, or out of their producer's order. */
  readonly violations: readonly string[]
  /** Messages that were confirmed and never came. */
  readonly lost: readonly string[]
  /** Messages that were acknowledged and are there after all. */
  readonly back: readonly string[]
}

/** Crashes a broker time and again under producers and consumers, sometimes while it starts, and says what has become of all messages. */
export async function crashUnderLoad(
  broker: CrashingBroker,
  { crashes, random, crash }: CrashOptions,
): Promise<CrashFigures> {
  const ledger = new Ledger()
  const numbers = new Array<number>(producers).fill(0)
  let crashesWhileStarting = 0
  for (let run = 1; run <= crashes; run += 1) {
    if (run > 1 && random() < 0.3) {
      crashesWhileStarting += 1
      broker.begin()
      await sleep(100 + random() * 400)
      await crash()
    }
    const port = await broker.start()
    const isSlow = random() < 0.3
    const share = () => random() < (isSlow ? 0.3 : 0.9)
    const work = [
      ...queues.map((queue) => consume(broker, port, { queue, run, share }, ledger)),
      ...numbers.map((_, at) => {
        const next = () => {
          numbers[at] = (numbers[at] ?? 0) + 1
          return numbers[at] as number
        }
        return produce(broker, port, { name: `p${at}`, next }, ledger)
      }),
    ].map(untilClosed)
    await sleep(random() * 400)
    await crash()
    await Promise.all(work)
  }
  const port = await broker.start()
  const rest = { run: crashes + 1, share: () => true }
  const work = queues.map((queue) => untilClosed(consume(broker, port, { queue, ...rest }, ledger)))
  for (let last = -1, idle = 0; idle < 5; ) {
    await sleep(100)
    idle = ledger.acknowledged.size === last ? idle + 1 : 0
    last = ledger.acknowledged.size
  }
  await broker.end('SIGTERM')
  await Promise.all(work)
  return {
    confirmed: ledger.confirmed.size,
    acknowledged: ledger.acknowledged.size,
    redeliveries: ledger.redeliveries,
    crashesWhileStarting,
    violations: ledger.violations,
    lost: [...ledger.confirmed].filter((body) => !ledger.delivered.has(body)),
    back: await acknowledgedThatAreBack(broker, ledger),
  }
}

/** Nothing is lost, back or unflagged, and there has been something to lose. */
export function expectSound(figures: CrashFigures, seed: number): void {
  const { violations, lost, back, confirmed, redeliveries } = figures
  expect(violations.slice(0, 5), `seed ${seed}`).toEqual([])
  expect(lost.slice(0, 5), `seed ${seed}`).toEqual([])
  expect(back).toEqual([])
  expect(confirmed).toBeGreaterThan(0)
  expect(redeliveries).toBeGreaterThan(0)
}

async function acknowledgedThatAreBack(broker: CrashingBroker, ledger: Ledger): Promise<readonly string[]> {
  const client = await broker.client(await broker.start())
  for (const [id, queue] of queues.entries())
    client.send('subscribe', { destination: `/queue/${queue}`, id: String(id) })
  await sleep(300)
  return client.frames.map(({ body }) => body).filter((body) => ledger.acknowledged.has(body))
}

/** Sends numbered messages, some of them on their way at a time, until the connection breaks. */
async function produce(
  broker: CrashingBroker,
  port: number,
  { name, next }: { readonly name: string; readonly next: () => number },
  ledger: Ledger,
): Promise<void> {
  const sender = await broker.client(port)
  let inFlight = 0
  for (;;) {
    while (inFlight < inFlightMax) {
      const number = next()
      const queue = queues[number % 2] as string
      const body = `${name} ${queue} ${number}`
      sender.send('send', { destination: `/queue/${queue}`, persistent: 'true', receipt: body }, body)
      inFlight += 1
    }
    const { command, headers, body } = await sender.next('RECEIPT', 'ERROR')
    if (command === 'ERROR') throw new Error(body)
    ledger.confirmed.add(headers['receipt-id'] as string)
    inFlight -= 1
  }
}

/** Takes messages and acknowledges `share` of them, until the connection breaks. */
async function consume(
  broker: CrashingBroker,
  port: number,
  { queue, run, share }: { readonly queue: string; readonly run: number; readonly share: () => boolean },
  ledger: Ledger,
): Promise<void> {
  const taker = await broker.client(port)
  taker.send('subscribe', {
    destination: `/queue/${queue}`,
    id: '1',
    ack: 'client-individual',
    'prefetch-count': '100',
  })
  for (;;) {
    const frame = await taker.next('MESSAGE', 'RECEIPT', 'ERROR')
    if (frame.command === 'ERROR') throw new Error(frame.body)
    if (frame.command === 'RECEIPT') ledger.acknowledged.add(frame.headers['receipt-id'] as string)
    else {
      ledger.took(run, queue, frame)
      if (share()) taker.send('ack', { id: frame.headers.ack as string, receipt: frame.body })
    }
  }
}

/** The connection is closed by the crash; a store that has failed says so before. */
function untilClosed(work: Promise<void>): Promise<void> {
  return work.catch((error: Error) => {
    if (!/closed while waiting|ECONNRE|shutting down|the store cannot be (written|read)/.test(error.message))
      throw error
  })
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
