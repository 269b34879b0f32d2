import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AmqpPeer, composite, encode, type ReceivedFrame, type Seen, sectionsOf, t } from '../support/amqp-peer.ts'
import { type Running, startBroker } from '../support/command-line.ts'
import { randomOf, startSeed } from '../support/seed.ts'

const environment: { readonly KILLS?: string } = process.env
const kills = Number(environment.KILLS ?? 6)
const queue = 'queue://amqp.kill'
const accepted = composite(0x24)

let folder: string
let broker: Running | undefined
let peers: AmqpPeer[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-amqp-kill-'))
  peers = []
})

afterEach(async () => {
  await end()
  rmSync(folder, { recursive: true, force: true })
})

/** Starts a broker on the folder. Returns its AMQP port. */
async function start(): Promise<number> {
  const started = await startBroker(['--data', join(folder, 'data')], { listener: 'amqp' })
  broker = started.broker
  return started.port
}

async function end(): Promise<void> {
  broker?.signal('SIGKILL')
  await broker?.ended()
  broker = undefined
  for (const peer of peers.splice(0)) peer.cut()
}

async function peerOn(port: number, name: string): Promise<AmqpPeer> {
  const peer = new AmqpPeer(connect(port, '127.0.0.1'))
  peers.push(peer)
  await peer.open(name)
  await peer.begin()
  return peer
}

/** What peers know of the messages, through all the runs of the broker. */
class Ledger {
  readonly confirmed = new Set<string>()
  readonly delivered = new Map<string, number>()
  readonly violations: string[] = []
  redeliveries = 0

  took(run: number, frame: ReceivedFrame): void {
    const sections = sectionsOf(frame.payload)
    const body = String(sections.get(0x77))
    const header = sections.get(0x70) as readonly Seen[]
    const first = this.delivered.get(body)
    if (first === undefined) this.delivered.set(body, run)
    else {
      this.redeliveries += 1
      if (header[3] !== false)
        this.violations.push(`${body} of run ${first} comes in run ${run} as if for the first time`)
    }
    if (header[0] !== true) this.violations.push(`${body} is not durable any more`)
  }
}

/** Sends numbered durable messages unsettled, as credit allows, until the connection breaks. */
async function produce(port: number, name: string, ledger: Ledger): Promise<void> {
  const peer = await peerOn(port, name)
  await peer.sender('s', queue)
  for (let id = 0; ; ) {
    for (let batch = 0; batch < 20; batch += 1, id += 1) {
      const body = t.described(0x77, t.string(`${name} ${id}`))
      peer.transfer(id, encode(composite(0x70, t.boolean(true)), body))
    }
    for (let confirmed = 0; confirmed < 20; ) {
      const { fields } = await peer.next(0x15)
      const first = Number(fields[1])
      const last = Number(fields[2] ?? fields[1])
      for (let one = first; one <= last; one += 1) ledger.confirmed.add(`${name} ${one}`)
      confirmed += last - first + 1
    }
  }
}

/** Takes messages and settles `share` of them, until the connection breaks. */
async function consume(port: number, run: number, share: () => boolean, ledger: Ledger): Promise<void> {
  const peer = await peerOn(port, `consumer ${run}`)
  await peer.receiver('r', queue, { credit: 100_000 })
  for (;;) {
    const frame = await peer.next(0x14)
    ledger.took(run, frame)
    const id = Number(frame.fields[1])
    if (share()) peer.disposition(id, id, accepted)
  }
}

function untilClosed(work: Promise<void>): Promise<void> {
  return work.catch((error: Error) => {
    if (!/closed while waiting|ECONNRE/.test(error.message)) throw error
  })
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

test(`a broker killed ${kills} times under unsettled AMQP load loses nothing it accepted`, {
  timeout: 30_000 * kills,
}, async () => {
  const seed = startSeed()
  const random = randomOf(seed)
  const ledger = new Ledger()
  for (let run = 1; run <= kills; run += 1) {
    const port = await start()
    const work = [consume(port, run, () => random() < 0.5, ledger)]
    for (let producer = 0; producer < 3; producer += 1) work.push(produce(port, `p${run}.${producer}`, ledger))
    const all = work.map(untilClosed)
    await sleep(200 + random() * 600)
    await end()
    await Promise.all(all)
  }
  const port = await start()
  const last = untilClosed(consume(port, kills + 1, () => true, ledger))
  for (let before = -1, idle = 0; idle < 5; ) {
    await sleep(100)
    idle = ledger.delivered.size === before ? idle + 1 : 0
    before = ledger.delivered.size
  }
  await end()
  await last
  const lost = [...ledger.confirmed].filter((body) => !ledger.delivered.has(body))
  expect({ seed, lost, violations: ledger.violations.slice(0, 5) }).toEqual({ seed, lost: [], violations: [] })
  expect(ledger.confirmed.size).toBeGreaterThan(0)
  expect(ledger.redeliveries).toBeGreaterThan(0)
})
