import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Running, startAlone, startBroker } from '../support/command-line.ts'
import { randomOf, startSeed } from '../support/seed.ts'
import { type ReceivedFrame, StompTestClient } from '../support/stomp-client.ts'

const environment: { readonly KILLS?: string } = process.env
const kills = Number(environment.KILLS ?? 50)
const producers = 3
const queues = ['kill.a', 'kill.b'] as const
const inFlightMax = 32

let folder: string
let broker: Running | undefined
let clients: StompTestClient[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-kill-'))
  clients = []
})

afterEach(async () => {
  for (const client of clients) client.close()
  broker?.signal('SIGKILL')
  await broker?.ended()
  broker = undefined
  rmSync(folder, { recursive: true, force: true })
})

/** Starts a broker on the folder. Returns its port. */
async function start(): Promise<number> {
  const started = await startBroker(['--data', join(folder, 'data')])
  broker = started.broker
  return started.port
}

async function end(signal: NodeJS.Signals): Promise<void> {
  broker?.signal(signal)
  await broker?.ended()
  for (const client of clients.splice(0)) client.close()
}

async function client(port: number, headers: Record<string, string> = {}): Promise<StompTestClient> {
  const made = new StompTestClient(connect(port, '127.0.0.1'))
  clients.push(made)
  await made.connect(headers)
  return made
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
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

/** Sends numbered messages, some of them on their way at a time, until the connection breaks. */
async function produce(port: number, name: string, next: () => number, ledger: Ledger): Promise<void> {
  const sender = await client(port)
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
  port: number,
  { queue, run, share }: { readonly queue: string; readonly run: number; readonly share: () => boolean },
  ledger: Ledger,
): Promise<void> {
  const taker = await client(port)
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

function untilClosed(work: Promise<void>): Promise<void> {
  return work.catch((error: Error) => {
    if (!/closed while waiting|ECONNRE|shutting down/.test(error.message)) throw error
  })
}

test(
  `a broker killed ${kills} times under load loses nothing it confirmed, and nothing acknowledged comes back`,
  async () => {
    const seed = startSeed()
    const random = randomOf(seed)
    const ledger = new Ledger()
    const numbers = new Array<number>(producers).fill(0)
    let killsWhileStarting = 0
    for (let run = 1; run <= kills; run += 1) {
      if (run > 1 && random() < 0.3) {
        killsWhileStarting += 1
        broker = new Running([...startAlone, '--data', join(folder, 'data')])
        await sleep(100 + random() * 400)
        await end('SIGKILL')
      }
      const port = await start()
      const isSlow = random() < 0.3
      const work = [
        ...queues.map((queue) => consume(port, { queue, run, share: () => random() < (isSlow ? 0.3 : 0.9) }, ledger)),
        ...numbers.map((_, at) => {
          const next = () => {
            numbers[at] = (numbers[at] ?? 0) + 1
            return numbers[at] as number
          }
          return produce(port, `p${at}`, next, ledger)
        }),
      ].map(untilClosed)
      await sleep(random() * 400)
      await end('SIGKILL')
      await Promise.all(work)
    }
    const port = await start()
    const work = queues.map((queue) => untilClosed(consume(port, { queue, run: kills + 1, share: () => true }, ledger)))
    for (let last = -1, idle = 0; idle < 5; ) {
      await sleep(100)
      idle = ledger.acknowledged.size === last ? idle + 1 : 0
      last = ledger.acknowledged.size
    }
    await end('SIGTERM')
    await Promise.all(work)
    const lost = [...ledger.confirmed].filter((body) => !ledger.delivered.has(body))
    const { confirmed, acknowledged, redeliveries } = ledger
    const figures = { confirmed: confirmed.size, acknowledged: acknowledged.size, redeliveries, killsWhileStarting }
    if (environment.KILLS !== undefined) console.log(JSON.stringify({ seed, kills, ...figures }))
    expect(ledger.violations.slice(0, 5), `seed ${seed}`).toEqual([])
    expect(lost.slice(0, 5), `seed ${seed}`).toEqual([])
    expect(confirmed.size).toBeGreaterThan(0)
    expect(redeliveries).toBeGreaterThan(0)
    const again = await start()
    const rest = await client(again)
    for (const [id, queue] of queues.entries())
      rest.send('subscribe', { destination: `/queue/${queue}`, id: String(id) })
    await sleep(300)
    expect(rest.frames.filter(({ body }) => acknowledged.has(body))).toEqual([])
  },
  30_000 + kills * 5_000,
)

describe('a broker that was stopped and started again', () => {
  test('has flags and counts as they were: what was delivered is marked, what was not is not', async () => {
    const first = await client(await start())
    for (const body of ['taken', 'failed', 'waiting']) {
      await first.sure('send', { destination: '/queue/q', persistent: 'true' }, body)
    }
    first.send('subscribe', { destination: '/queue/q', id: '1', ack: 'client-individual', 'prefetch-count': '2' })
    const [, failing] = await first.messages(2)
    first.send('nack', { id: failing?.headers.ack as string })
    expect((await first.next('MESSAGE')).body).toBe('failed')
    await first.sure('disconnect')
    await end('SIGTERM')
    const second = await client(await start())
    second.send('subscribe', { destination: '/queue/q', id: '1', ack: 'client-individual' })
    const frames = await second.messages(3)
    expect(frames.map(({ body, headers }) => [body, headers.redelivered, headers['delivery-count']])).toEqual([
      ['taken', 'true', undefined],
      ['failed', 'true', '1'],
      ['waiting', undefined, undefined],
    ])
  })

  test('flags nothing that nobody was given, although there was a crash before', async () => {
    const first = await client(await start())
    await first.sure('send', { destination: '/queue/q', persistent: 'true' }, 'before')
    first.send('subscribe', { destination: '/queue/q', id: '1', ack: 'client-individual' })
    await first.next('MESSAGE')
    await end('SIGKILL')
    const second = await client(await start())
    await second.sure('send', { destination: '/queue/q', persistent: 'true' }, 'after')
    await end('SIGTERM')
    const third = await client(await start())
    third.send('subscribe', { destination: '/queue/q', id: '1', ack: 'client-individual' })
    const frames = await third.messages(2)
    expect(frames.map(({ body, headers }) => [body, headers.redelivered])).toEqual([
      ['before', 'true'],
      ['after', undefined],
    ])
  })

  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'with %s has durable subscriptions, delayed, retained and dead messages back',
    async (signal) => {
      const first = await client(await start(), { 'client-id': 'c' })
      first.send('subscribe', {
        destination: '/topic/t',
        id: 'd',
        ack: 'client-individual',
        'durable-subscription-name': 'd',
      })
      await first.sure('unsubscribe', { id: 'd' })
      const persistent = { persistent: 'true' }
      await first.sure('send', { destination: '/topic/t', ...persistent }, 'collected')
      await first.sure('send', { destination: '/topic/r', retain: 'true', ...persistent }, 'retained')
      await first.sure('send', { destination: '/queue/later', AMQ_SCHEDULED_DELAY: '1500', ...persistent }, 'delayed')
      await first.sure('send', { destination: '/queue/dying', ...persistent }, 'dead')
      first.send('subscribe', { destination: '/queue/dying', id: '1', ack: 'client-individual' })
      const dying = await first.next('MESSAGE')
      await first.sure('nack', { id: dying.headers.ack as string, requeue: 'false' })
      await end(signal)
      const second = await client(await start(), { 'client-id': 'c' })
      const subscribed = { ack: 'client-individual' }
      second.send('subscribe', { destination: '/topic/t', id: 'd', 'durable-subscription-name': 'd', ...subscribed })
      expect((await second.next('MESSAGE')).body).toBe('collected')
      second.send('subscribe', { destination: '/topic/r', id: 'r', ...subscribed })
      expect((await second.next('MESSAGE')).body).toBe('retained')
      second.send('subscribe', { destination: '/queue/later', id: 'l', ...subscribed })
      const delayed = await second.next('MESSAGE')
      expect([delayed.body, delayed.headers.redelivered]).toEqual(['delayed', undefined])
      second.send('subscribe', { destination: '/queue/DLQ.dying', id: 'x', ...subscribed })
      second.send('subscribe', { destination: '/queue/dying', id: 'y', ...subscribed })
      const dead = await second.next('MESSAGE')
      expect(dead.body).toBe('dead')
    },
  )
})
