import { describe, expect, test, vi } from 'vitest'
import type { BrokerTransaction } from '../../src/broker/transaction.ts'
import { BrokerError } from '../../src/errors.ts'
import type { Delivery, Outcome, SendNumber } from '../../src/session.ts'
import { accepted, failed, released } from '../../src/session.ts'
import type { JournalSizes } from '../../src/store/journal-limits.ts'
import { JournalStore } from '../../src/store/journal-store.ts'
import type { Segments } from '../../src/store/segments.ts'
import type { OwnerRecord } from '../../src/store/store.ts'
import {
  type CrashSimulation,
  closeOrHalt,
  crashAgain,
  goOn,
  openOrCrash,
  patientSizes,
  seeded,
  TailLosingDisk,
  Violation,
} from '../support/crash.ts'
import { policyRule } from '../support/policy-rule.ts'
import { randomOf, startSeed } from '../support/seed.ts'
import { type Random, SimulatedDisk } from '../support/simulated-disk.ts'
import type { TestBroker, TestClient, TestConsumer } from '../support/test-broker.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const environment: { readonly CRASHES?: string } = process.env
const crashesWanted = Number(environment.CRASHES ?? 1_000)
const roundsPerSeed = 10

const sabotage = vi.hoisted(() => ({ freesByCurrentLiveness: false }))

// The broken variant of storage.md 6.3: segments are given up for what is alive now, not at the last durable checkpoint.
vi.mock('../../src/store/checkpoints.ts', async (importOriginal) => {
  const { Checkpoints } = await importOriginal<typeof import('../../src/store/checkpoints.ts')>()
  class EagerCheckpoints extends Checkpoints {
    readonly #segments: Segments

    constructor(...given: ConstructorParameters<typeof Checkpoints>) {
      super(...given)
      this.#segments = given[3]
    }

    override advance(...given: Parameters<InstanceType<typeof Checkpoints>['advance']>): void {
      super.advance(...given)
      if (!sabotage.freesByCurrentLiveness) return
      const current = given[0].place?.segment.id ?? 0
      for (const segment of [...this.#segments.all]) {
        if (segment.liveEntries === 0 && segment.id < current)
          void this.#segments.recycle(segment).catch(() => undefined)
      }
    }
  }
  return { Checkpoints: EagerCheckpoints }
})

/** Remembers the owners that it found when it was opened. */
class WatchedStore extends JournalStore {
  records: readonly OwnerRecord[] = []

  override async open(...given: Parameters<JournalStore['open']>): Promise<readonly OwnerRecord[]> {
    this.records = await super.open(...given)
    return this.records
  }
}

type Certainty = 'no' | 'asked' | 'yes'

/** One message in one queue or durable subscription, through all crashes. */
interface Item {
  readonly body: string
  readonly home: string
  readonly producer: number
  readonly number: number
  readonly priority: number
  readonly deliverAt: number
  /** It came in a transaction, whose items become durable together. */
  readonly group: object | undefined
  isSure: boolean
  /** Its consumer has accepted it. */
  accepted: Certainty
  /** It has been given to the dead. */
  buried: Certainty
  /** Where a consumer has been given it. */
  readonly seenAt: Set<string>
  failures: number
  sureFailures: number
}

interface Held {
  readonly delivery: Delivery
  readonly consumer: TestConsumer
  readonly client: Client
}

/** What a session waits to hear about. */
interface Pending {
  readonly send: SendNumber
  readonly sure: () => void
}

interface Client {
  readonly client: TestClient
  readonly pending: Pending[]
  readonly consumers: { readonly consumer: TestConsumer; readonly place: string }[]
}

interface Statistics {
  crashes: number
  crashesWhileOpening: number
  confirmed: number
  acknowledged: number
  found: number
  redeliveries: number
}

const queues = ['queue/q.a', 'queue/q.b'] as const
const durables = ['one', 'two'] as const
const prices = 'topic://prices'
const policies = [
  policyRule('queue://q.*', { deliveriesMax: 1000 }),
  policyRule('topic://prices', { deliveriesMax: 1000 }),
]

/** A broker that crashes again and again, with clients that do something at random, and what must be true of it. */
class Simulation implements CrashSimulation {
  readonly statistics: Statistics
  readonly #sizes: JournalSizes
  readonly random: Random
  readonly #clock: VirtualClock
  readonly #items: Map<string, Item>
  readonly #firstSeen: Map<string, number>
  #store: WatchedStore
  #test: TestBroker | undefined
  #clients: Client[]
  #held: Held[]
  /** Deliveries in the order in which they came. */
  #arrived: { readonly held: Held; readonly place: string }[]
  #lastNumber: number
  #run: number

  constructor(random: Random, statistics: Statistics, sizesGiven: JournalSizes) {
    this.statistics = statistics
    this.#sizes = sizesGiven
    this.random = random
    this.#clock = new VirtualClock()
    this.#items = new Map()
    this.#firstSeen = new Map()
    this.#store = new WatchedStore(new SimulatedDisk(), this.#clock, sizesGiven)
    this.#test = undefined
    this.#clients = []
    this.#held = []
    this.#arrived = []
    this.#lastNumber = 0
    this.#run = 0
  }

  async open(disk: SimulatedDisk, crashAfter: number): Promise<boolean> {
    this.#run += 1
    this.#held = []
    this.#arrived = []
    this.#clients = []
    const store = new WatchedStore(disk, this.#clock, this.#sizes)
    const test = await openOrCrash(disk, disk.operations + crashAfter, { store, clock: this.#clock, policies })
    if (test === undefined) {
      this.statistics.crashesWhileOpening += 1
      return false
    }
    this.#store = store
    this.#test = test
    await this.#check()
    for (let count = 0; count < 3; count += 1) this.#connect()
    return true
  }

  #connect(): void {
    const client = this.#opened.connect(`c${this.#clients.length}`)
    const made: Client = { client, pending: [], consumers: [] }
    this.#clients.push(made)
    const name = durables[this.#clients.length - 1]
    if (name !== undefined) this.#subscribe(made, prices, `subscription/${name}`, { name, durable: true })
  }

  #subscribe(client: Client, to: string, place: string, request: object = {}): void {
    const consumer = client.client.subscribe(to, { credit: 1 + this.#pick(20), ...request })
    consumer.deliver = (delivery) => this.#arrived.push({ held: { delivery, consumer, client }, place })
    client.consumers.push({ consumer, place })
  }

  get #opened(): TestBroker {
    if (this.#test === undefined) throw new Error('not open')
    return this.#test
  }

  #pick(count: number): number {
    return Math.floor(this.random() * count)
  }

  step(): void {
    const random = this.random
    const client = this.#clients[this.#pick(this.#clients.length)] as Client
    const chance = random()
    if (chance < 0.35) for (let count = 1 + this.#pick(6); count > 0; count -= 1) this.#send(client, undefined)
    else if (chance < 0.42) this.#transact(client)
    else if (chance < 0.5) this.#changeConsumers(client)
    else if (chance < 0.9) this.#settleSome(undefined, client)
    else
      for (const { consumer } of client.consumers) if (!consumer.isOver) consumer.subscription.addCredit(this.#pick(30))
    if (random() < 0.2) this.#clock.advance(this.#pick(1_500))
    if (random() < 0.005) this.#clock.advance(31_000)
  }

  #send(client: Client, transaction: BrokerTransaction | undefined, group?: object): readonly Item[] {
    const random = this.random
    this.#lastNumber += 1
    const number = this.#lastNumber
    const isTopic = random() < 0.2
    const to = isTopic ? prices : `queue://${(queues[this.#pick(2)] as string).slice('queue/'.length)}`
    const priority = random() < 0.2 ? 7 : 4
    const durable = random() < 0.9
    const deliverAt = !isTopic && random() < 0.1 ? this.#clock.now() + 1 + this.#pick(3_000) : 0
    const length = random() < 0.02 ? 6_000 + this.#pick(12_000) : this.#pick(300)
    const body = `${number}:${'x'.repeat(length)}`
    const message = client.client.message(to, body, { durable, priority, deliverAt })
    const homes = isTopic ? durables.map((name) => `subscription/${name}`) : [`queue/${to.slice('queue://'.length)}`]
    const items = homes.map((home): Item => {
      const producer = this.#run * 10 + this.#clients.indexOf(client)
      return {
        body,
        home,
        producer,
        number,
        priority,
        deliverAt,
        group,
        isSure: false,
        accepted: 'no',
        buried: 'no',
        seenAt: new Set(),
        failures: 0,
        sureFailures: 0,
      }
    })
    if (durable) for (const item of items) this.#items.set(`${item.home} ${number}`, item)
    const send = client.client.session.send(message, transaction)
    if (transaction === undefined) client.pending.push({ send, sure: () => this.#sent(items) })
    return items
  }

  #sent(items: readonly Item[]): void {
    for (const item of items) item.isSure = true
    this.statistics.confirmed += items.length
  }

  #transact(client: Client): void {
    const transaction = client.client.session.begin()
    if (transaction instanceof BrokerError) throw new Violation(transaction.message)
    const group = {}
    const items: Item[] = []
    for (let count = 1 + this.#pick(4); count > 0; count -= 1) items.push(...this.#send(client, transaction, group))
    const sures = this.#settleSome(transaction, client)
    if (this.random() < 0.2) {
      transaction.abort()
      for (const item of items) this.#items.delete(`${item.home} ${item.number}`)
      return
    }
    const send = transaction.commit()
    client.pending.push({
      send,
      sure: () => {
        this.#sent(items)
        for (const sure of sures) sure()
      },
    })
  }

  #changeConsumers(client: Client): void {
    const at = client.consumers.findIndex(({ place }) => place.startsWith('queue/'))
    const found = client.consumers[at]
    if (found !== undefined && this.random() < 0.5) {
      this.#held = this.#held.filter(({ consumer }) => consumer !== found.consumer)
      client.consumers.splice(at, 1)
      found.consumer.subscription.close()
      return
    }
    const place = this.random() < 0.15 ? 'queue/DLQ.q.a' : (queues[this.#pick(2)] as string)
    this.#subscribe(client, `queue://${place.slice('queue/'.length)}`, place)
  }

  /** Settles some of what a client holds; in a transaction those that it commits. Returns what is sure once that is safe. */
  #settleSome(transaction: BrokerTransaction | undefined, client: Client): (() => void)[] {
    const sures: (() => void)[] = []
    const kept: Held[] = []
    for (const held of this.#held) {
      if (held.client !== client || this.random() < 0.4) {
        kept.push(held)
        continue
      }
      if (transaction !== undefined) {
        // Whether it stands is known when the transaction is; an aborted one leaves it with the consumer, unasked.
        sures.push(...this.#settle(held, accepted, transaction))
        continue
      }
      const chance = this.random()
      const isOfQueue = this.#placeOf(held).startsWith('queue/')
      const rejected: Outcome = { kind: 'rejected', reason: 'no' }
      const outcome =
        chance < 0.75 ? accepted : chance < 0.85 ? released : chance < 0.93 || !isOfQueue ? failed : rejected
      sures.push(...this.#settle(held, outcome, undefined))
    }
    this.#held = kept
    if (transaction === undefined && sures.length > 0) {
      const sure = () => {
        for (const one of sures) one()
      }
      client.pending.push({ send: client.client.session.sync(), sure })
    }
    return sures
  }

  #settle(held: Held, outcome: Outcome, transaction: BrokerTransaction | undefined): (() => void)[] {
    const place = this.#placeOf(held)
    const item = this.#itemOf(held.delivery, place)
    held.consumer.subscription.settle(held.delivery, outcome, transaction)
    if (item === undefined) return []
    switch (outcome.kind) {
      case 'accepted':
        item.accepted = 'asked'
        return [
          () => {
            item.accepted = 'yes'
            this.statistics.acknowledged += 1
          },
        ]
      case 'rejected':
        if (isGrave(place)) return []
        item.buried = 'asked'
        return [
          () => {
            item.buried = 'yes'
          },
        ]
      case 'modified': {
        if (isGrave(place)) return []
        item.failures += 1
        const { failures } = item
        return [
          () => {
            item.sureFailures = Math.max(item.sureFailures, failures)
          },
        ]
      }
      case 'released':
        return []
      default:
        return outcome satisfies never
    }
  }

  #placeOf({ consumer, client }: Held): string {
    return client.consumers.find((one) => one.consumer === consumer)?.place ?? ''
  }

  #itemOf(delivery: Delivery, place: string): Item | undefined {
    const number = numberOf(delivery.message.content)
    if (!isGrave(place)) return this.#items.get(`${place} ${number}`)
    return queues.map((home) => this.#items.get(`${home} ${number}`)).find((item) => item !== undefined)
  }

  /** Lets the broker and the disk go on a little, and looks at what has come. */
  async turn(): Promise<void> {
    await goOn(this.#opened, this.random)
    for (const client of this.#clients) {
      while ((client.pending[0]?.send ?? Number.POSITIVE_INFINITY) <= client.client.confirmedUpTo) {
        client.pending.shift()?.sure()
      }
    }
    for (const { held, place } of this.#arrived.splice(0)) this.#delivered(held, place)
  }

  #delivered(held: Held, place: string): void {
    this.#held.push(held)
    const { delivery } = held
    const item = this.#itemOf(delivery, place)
    if (item === undefined) return
    const name = `${place} ${item.number}`
    if (item.accepted === 'yes') throw new Violation(`${name} was accepted, confirmed, and is delivered again`)
    if (item.deliverAt > this.#clock.now()) throw new Violation(`${name} is delivered before its time`)
    if (item.seenAt.has(place)) {
      this.statistics.redeliveries += 1
      if (!delivery.redelivered) throw new Violation(`${name} comes again without a flag`)
    } else if (item.deliverAt === 0 && item.group === undefined && !isGrave(place)) {
      const stream = `${place} ${item.producer} ${item.priority}`
      if (item.number < (this.#firstSeen.get(stream) ?? 0)) throw new Violation(`${name} comes out of its order`)
      this.#firstSeen.set(stream, item.number)
    }
    if (delivery.deliveryCount < item.sureFailures && !isGrave(place)) throw new Violation(`${name} has lost its count`)
    item.seenAt.add(place)
  }

  /** Compares what the store holds after it was opened with what it must, and goes on from there. */
  async #check(): Promise<void> {
    const found = new Map<Item, string>()
    for (const record of this.#store.records) {
      const place = `${record.spec.kind}/${nameOf(record)}`
      const last = new Map<string, number>()
      for (const [priority, count] of record.counts.entries()) {
        if (count > 0) await this.#checkEntries(record, place, priority, found, last)
      }
    }
    const groups = new Map<object, Set<boolean>>()
    for (const [key, item] of this.#items) {
      const isThere = found.has(item)
      this.#checkItem(item, isThere, found.get(item))
      if (item.group !== undefined && !item.isSure && item.accepted === 'no') {
        groups.set(item.group, (groups.get(item.group) ?? new Set()).add(isThere))
      }
      if (isThere) {
        item.isSure = true
        item.accepted = 'no'
        item.buried = isGrave(found.get(item) ?? '') ? 'yes' : 'no'
        item.failures = item.sureFailures
      } else if (item.accepted === 'no') this.#items.delete(key)
      else item.accepted = 'yes'
    }
    for (const answers of groups.values()) if (answers.size > 1) throw new Violation('half of a transaction is there')
    this.statistics.found += found.size
  }

  async #checkEntries(
    record: OwnerRecord,
    place: string,
    priority: number,
    found: Map<Item, string>,
    last: Map<string, number>,
  ): Promise<void> {
    let after = 0
    for (;;) {
      const page = await this.#store.read(record.id, priority, after, 50)
      for (const entry of page) {
        const number = numberOf(entry.message.content)
        const item = this.#itemOf({ message: entry.message } as Delivery, place)
        const name = `${place} ${number}`
        if (entry.sequence <= after) throw new Violation(`${name} has a sequence out of order`)
        after = entry.sequence
        if (item === undefined) throw new Violation(`${name} should not be there, or not any more`)
        if (found.has(item)) throw new Violation(`${name} is there twice`)
        found.set(item, place)
        if (Buffer.from(entry.message.content).toString() !== item.body) throw new Violation(`${name} is garbled`)
        if (item.seenAt.has(place) && !entry.redelivered) throw new Violation(`${name} was seen and has lost its flag`)
        if (!isGrave(place) && item.deliverAt === 0 && item.group === undefined) {
          const stream = `${item.producer} ${priority}`
          if (number < (last.get(stream) ?? 0)) throw new Violation(`${name} stands out of order`)
          last.set(stream, number)
        }
      }
      if (page.length < 50) return
    }
  }

  #checkItem(item: Item, isThere: boolean, place: string | undefined): void {
    const name = `${item.home} ${item.number}`
    if (item.isSure && item.accepted === 'no' && !isThere) throw new Violation(`${name} was confirmed and is lost`)
    if (item.accepted === 'yes' && isThere) throw new Violation(`${name} was accepted, confirmed, and is back`)
    if (!isThere || place === undefined) return
    if (item.buried === 'yes' && !isGrave(place)) throw new Violation(`${name} was buried and is back`)
    if (item.buried === 'no' && isGrave(place)) throw new Violation(`${name} is among the dead`)
  }

  /** Takes everything that is left. */
  async end(): Promise<void> {
    const client = this.#clients[2] as Client
    for (const place of [...queues, 'queue/DLQ.q.a', 'queue/DLQ.q.b']) {
      this.#subscribe(client, `queue://${place.slice('queue/'.length)}`, place, { credit: 100_000 })
    }
    for (const one of this.#clients) for (const { consumer } of one.consumers) consumer.subscription.addCredit(100_000)
    for (let idle = 0, turns = 0; idle < 6; turns += 1) {
      if (turns > 20_000) throw new Violation('there is no end to what is delivered')
      await this.turn()
      await new Promise(setImmediate)
      idle = this.#held.length === 0 ? idle + 1 : 0
      for (const held of this.#held.splice(0)) {
        const [sure] = this.#settle(held, accepted, undefined)
        if (sure !== undefined) held.client.pending.push({ send: held.client.client.session.sync(), sure })
      }
      if (idle === 3) this.#clock.advance(10_000)
    }
    for (const { home, number, accepted: state } of this.#items.values()) {
      if (state !== 'yes') throw new Violation(`${home} ${number} was never drained`)
    }
    await closeOrHalt(this.#opened)
  }
}

function isGrave(place: string): boolean {
  return place.startsWith('queue/DLQ.')
}

function numberOf(content: Uint8Array): number {
  return Number.parseInt(Buffer.from(content).toString('latin1', 0, 12), 10)
}

function nameOf({ spec }: OwnerRecord): string {
  return spec.kind === 'subscription' ? (durables.find((name) => spec.name.includes(name)) ?? spec.name) : spec.name
}

function noStatistics(): Statistics {
  return { crashes: 0, crashesWhileOpening: 0, confirmed: 0, acknowledged: 0, found: 0, redeliveries: 0 }
}

/** Simulates with a seed; names it if something is wrong. */
async function simulate(
  seed: number,
  disk: SimulatedDisk,
  statistics: Statistics,
  sizesGiven = patientSizes,
): Promise<void> {
  const simulation = new Simulation(randomOf(seed), statistics, sizesGiven)
  await seeded(seed, () => crashAgain(simulation, disk, roundsPerSeed))
  statistics.crashes += roundsPerSeed
}

/** The first violation that a seed leads to; with CRASHES all of them. */
async function violations(seeds: number, diskOf: () => SimulatedDisk, sizesGiven = patientSizes): Promise<string[]> {
  const found: string[] = []
  for (let seed = 1; seed <= seeds && (found.length === 0 || environment.CRASHES !== undefined); seed += 1) {
    await simulate(seed, diskOf(), noStatistics(), sizesGiven).catch((error: unknown) => found.push(String(error)))
  }
  if (environment.CRASHES !== undefined) console.log(`${found.length} of ${seeds}`, found.slice(0, 3))
  return found
}

test(`a broker that crashes ${crashesWanted} times loses nothing it confirmed, and nothing accepted comes back`, async () => {
  const start = startSeed()
  const statistics = noStatistics()
  for (let seed = start; statistics.crashes < crashesWanted; seed += 1) {
    await simulate(seed, new SimulatedDisk(), statistics)
  }
  if (environment.CRASHES !== undefined) console.log(JSON.stringify({ start, ...statistics }))
  expect(statistics.crashes).toBeGreaterThanOrEqual(crashesWanted)
  expect(statistics.acknowledged).toBeGreaterThan(statistics.crashes)
}, 600_000)

describe('the same simulation finds the fault', () => {
  const wrong = /is lost|is back|cannot be opened|should not be there|is garbled|RangeError|has lost its/

  test('of a recovery that does not flush the tail it has found', async () => {
    expect((await violations(40, () => new TailLosingDisk())).join()).toMatch(wrong)
  }, 60_000)

  test('of segments given up for what is alive now instead of at the last durable checkpoint', async () => {
    // Most of what recovery has to read lies behind the last checkpoint then.
    const rare = { ...patientSizes, checkpointBytes: 1024 * 1024 }
    sabotage.freesByCurrentLiveness = true
    try {
      expect((await violations(20, () => new SimulatedDisk(), rare)).join()).toMatch(wrong)
    } finally {
      sabotage.freesByCurrentLiveness = false
    }
  }, 60_000)
})
