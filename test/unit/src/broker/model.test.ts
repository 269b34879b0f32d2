import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import { Memory } from '../../../../src/broker/flow.ts'
import { Groups } from '../../../../src/broker/groups.ts'
import { defaultQueuePolicy, type Policy } from '../../../../src/broker/policy.ts'
import { Queue } from '../../../../src/broker/queue.ts'
import { BrokerSession } from '../../../../src/broker/session.ts'
import { BrokerSubscription } from '../../../../src/broker/subscription.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { type ContentFormat, emptyView, type Message } from '../../../../src/message.ts'
import type { Delivery, Outcome, Transaction } from '../../../../src/session.ts'
import type { JournalSizes } from '../../../../src/store/journal-limits.ts'
import { JournalStore } from '../../../../src/store/journal-store.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { policyRule } from '../../../support/policy-rule.ts'
import {
  type MessageFacts,
  Model,
  type ModelConsumer,
  type ModelQueue,
  type ModelSession,
  type ModelTransaction,
  sessionOf,
} from '../../../support/queue-model.ts'
import { fuzzSeconds } from '../../../support/seed.ts'
import { SimulatedDisk } from '../../../support/simulated-disk.ts'
import { TestBroker, TestClient } from '../../../support/test-broker.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

/** What the queues of one run may be like. Where the limit counts, nothing expires: when it is swept is the broker's affair. */
const profiles = {
  plain: { deliveriesMax: 3 },
  delaying: { deliveriesMax: 4, redeliveryDelayMs: 300, redeliveryBackoff: 2, redeliveryDelayMsMax: 1000 },
  burying: { deliveriesMax: 3, expired: 'queue' },
  dropping: { messagesMax: 4, overflow: 'drop-oldest' },
  rejecting: { messagesMax: 5, overflow: 'reject', deliveriesMax: 2 },
  blocking: { messagesMax: 4, overflow: 'block' },
} as const satisfies Record<string, Partial<Policy>>

type ProfileName = keyof typeof profiles

const narrowWindow = { messages: 3, bytes: 1_000_000, messagesLow: 2, readCount: 2 }

const sizes: JournalSizes = {
  segmentBytes: 24 * 1024,
  frameBytesMax: 6 * 1024,
  partBytes: 2 * 1024,
  eagerBytes: 1024,
  patientBytes: 1024,
  checkpointBytes: 40 * 1024,
  pageCacheBytes: 4 * 1024,
  pageEntries: 24,
}

/** Messages whose text begins with the letter of their color. */
const colored: ContentFormat = {
  name: 'colored',
  view: ({ content }) => ({
    ...emptyView,
    properties: [['color', content[0] === 0x72 ? 'red' : 'blue']],
    body: { kind: 'bytes', bytes: content },
  }),
}

const formats = (name: string): ContentFormat | undefined => (name === colored.name ? colored : undefined)

const queueNames = ['q.0', 'q.1', 'q.2']
const consumable = [...queueNames, ...queueNames, 'q.*', 'DLQ.q.0', 'DLQ.q.1']
/** Every message counts as many bytes. */
const messageBytes = 406

const percent = (chance: number) => fc.nat(99).map((roll) => roll < chance)
const times = [0, 0, 0, 300, 1000]

const commandOf = {
  send: fc.record({
    session: fc.nat(3),
    queue: fc.nat(2),
    priority: fc.constantFrom(4, 4, 4, 0, 9),
    color: fc.constantFrom('red', 'blue'),
    group: fc.constantFrom(undefined, undefined, undefined, 'g0', 'g1'),
    lifeMs: fc.constantFrom(...times),
    delayMs: fc.constantFrom(...times),
    durable: fc.boolean(),
    isTransacted: percent(20),
  }),
  subscribe: fc.record({
    session: fc.nat(3),
    to: fc.nat(consumable.length - 1),
    color: fc.constantFrom(undefined, undefined, undefined, 'red', 'blue'),
    priority: fc.constantFrom(0, 0, 0, 5),
    isExclusive: percent(8),
    isPresettled: percent(12),
    isBrowser: percent(15),
    credit: fc.nat(4),
  }),
  drain: fc.record({ consumer: fc.nat(7) }),
  credit: fc.record({ consumer: fc.nat(7), count: fc.integer({ min: 1, max: 5 }) }),
  settle: fc.record({
    consumer: fc.nat(7),
    index: fc.nat(5),
    isThrough: percent(30),
    outcome: fc.constantFrom<Outcome>(
      { kind: 'accepted' },
      { kind: 'accepted' },
      { kind: 'rejected', reason: 'odd' },
      { kind: 'released' },
      { kind: 'modified' },
      { kind: 'modified', delayMs: 500 },
    ),
    isTransacted: percent(20),
  }),
  begin: fc.record({ session: fc.nat(3) }),
  end: fc.record({ session: fc.nat(3), index: fc.nat(2), isCommit: percent(70) }),
  suspend: fc.record({ session: fc.nat(3) }),
  resume: fc.record({ session: fc.nat(3) }),
  sync: fc.record({ session: fc.nat(3) }),
  unsubscribe: fc.record({ consumer: fc.nat(7) }),
  close: fc.record({ session: fc.nat(3), how: fc.constantFrom('clean' as const, 'lost' as const) }),
  advance: fc.record({ ms: fc.constantFrom(1, 100, 300, 1000, 3000) }),
  pause: fc.record({ queue: fc.nat(2), isPaused: fc.boolean() }),
  purge: fc.record({ queue: fc.nat(2) }),
  delete: fc.record({ queue: fc.nat(2) }),
  hold: fc.record({ isHeld: fc.boolean() }),
  letGo: fc.record({ count: fc.integer({ min: 1, max: 2 }) }),
  look: fc.record({ queue: fc.nat(2) }),
  turn: fc.constant({}),
  quiesce: fc.constant({}),
}

type Kind = keyof typeof commandOf
type Given<K extends Kind> = (typeof commandOf)[K] extends fc.Arbitrary<infer G> ? G : never
type Command = { [K in Kind]: { readonly kind: K; readonly given: Given<K> } }[Kind]

const weights: Partial<Record<Kind, number>> = { send: 12, subscribe: 5, credit: 5, settle: 10, turn: 8, quiesce: 4 }

const command = fc.oneof(
  ...Object.entries(commandOf).map(([kind, given]) => ({
    weight: weights[kind as Kind] ?? 1,
    arbitrary: (given as fc.Arbitrary<unknown>).map((value) => ({ kind, given: value }) as unknown as Command),
  })),
)

const scenario = fc.record({
  /** Deliveries that a queue keeps in memory: few, so that most messages are in the backlog, or more than there are. */
  isNarrow: fc.boolean(),
  /** A store that keeps all in memory, one from which the backlog is read back, and the journal, which is that in earnest. */
  store: fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom('memory' as const, 'paging' as const) },
    { weight: 2, arbitrary: fc.constant('journal' as const) },
  ),
  profiles: fc.tuple(...queueNames.map(() => fc.constantFrom(...(Object.keys(profiles) as ProfileName[])))),
  commands: fc.array(command, { maxLength: 120, size: 'max' }),
})

type Scenario = typeof scenario extends fc.Arbitrary<infer S> ? S : never

/** A session of the broker and of the model. */
class Client {
  readonly model: ModelSession
  readonly test: TestClient
  readonly consumers: Consumer[]
  readonly transactions: { readonly model: ModelTransaction; readonly real: Transaction }[]
  /** For each send number, the messages that must be safe before it is confirmed. */
  readonly needs: Message[][]
  confirmedUpTo: number

  constructor(world: World) {
    this.model = sessionOf()
    this.test = new TestClient(world.test, undefined)
    this.consumers = []
    this.transactions = []
    this.needs = []
    this.confirmedUpTo = 0
    this.test.confirmed = (upTo) => {
      if (this.model.isClosed) throw new Error('confirmed to a closed session')
      if (this.test.session.isBlocked) throw new Error('confirmed to a blocked session')
      if (upTo <= this.confirmedUpTo || upTo > this.needs.length) throw new Error(`confirmed up to ${upTo}`)
      for (const messages of this.needs.slice(this.confirmedUpTo, upTo)) {
        for (const message of messages) if (!world.store.safe.has(message)) throw new Error('confirmed too early')
      }
      this.confirmedUpTo = upTo
    }
  }
}

class Consumer {
  readonly model: ModelConsumer
  readonly client: Client
  readonly deliveries: Map<string, Delivery>
  subscription: Exclude<ReturnType<BrokerSession['subscribe']>, BrokerError>

  constructor(world: World, client: Client, model: ModelConsumer) {
    this.model = model
    this.client = client
    this.deliveries = new Map()
    const address = Address.must('queue', model.address)
    const subscription = client.test.session.subscribe({
      address,
      presettled: model.isPresettled,
      selector: model.color === undefined ? undefined : `color = '${model.color}'`,
      priority: model.priority,
      exclusive: model.isExclusive,
      browse: model.isBrowser,
      consumer: {
        deliver: (delivery) => {
          const text = Buffer.from(delivery.message.content).toString()
          if (model.isBrowser) world.model.show(model, text)
          else world.model.deliver(model, text, delivery)
          this.deliveries.set(text, delivery)
        },
        ended: (error) => {
          if (!model.isBrowser || error !== undefined) world.ended.add(model)
          else world.model.ended(model)
          world.forget(this)
        },
      },
    })
    if (subscription instanceof BrokerError) throw subscription
    this.subscription = subscription
  }
}

/** A broker and the model of it, that are told the same and must say the same. */
class World {
  readonly store: HeldStore
  /** What the journal is on, if it is the journal. */
  readonly disk: SimulatedDisk | undefined
  readonly test: TestBroker
  readonly model: Model
  readonly clients: Client[]
  /** Consumers that the broker has ended with an error, to be compared with whom the model would have ended. */
  readonly ended: Set<ModelConsumer>
  readonly #profiles: readonly ProfileName[]
  readonly #real: Map<ModelQueue, Queue>
  readonly #expired: Map<string, number>
  #sent: number

  private constructor(
    store: HeldStore,
    test: TestBroker,
    names: readonly ProfileName[],
    disk: SimulatedDisk | undefined,
  ) {
    this.store = store
    this.disk = disk
    this.test = test
    this.model = new Model(test.clock.now(), (name) => ({ ...defaultQueuePolicy, ...this.#profileOf(name) }))
    this.clients = []
    this.ended = new Set()
    this.#profiles = names
    this.#real = new Map()
    this.#expired = new Map()
    this.#sent = 0
  }

  static async open({ profiles: names, isNarrow, store: kind }: Scenario): Promise<World> {
    const disk = kind === 'journal' ? new SimulatedDisk() : undefined
    const clock = new VirtualClock()
    const store =
      disk === undefined
        ? new HeldStore(undefined, kind === 'paging')
        : new HeldStore(new JournalStore(disk, clock, sizes))
    const window = isNarrow ? narrowWindow : undefined
    const policies = queueNames.map((name, index) => policyRule(name, profiles[names[index] ?? 'plain']))
    return new World(store, await TestBroker.open({ store, clock, policies, window, formats }), names, disk)
  }

  static async run(given: Scenario): Promise<void> {
    const world = await World.open(given)
    for (const { kind, given: what } of given.commands) {
      await world.#do(kind, what as never)
      world.#compare()
    }
    await world.#finish()
  }

  forget(consumer: Consumer): void {
    const { consumers } = consumer.client
    if (consumers.includes(consumer)) consumers.splice(consumers.indexOf(consumer), 1)
  }

  async #do<K extends Kind>(kind: K, given: Given<K>): Promise<void> {
    const act = this.#acts[kind] as (given: Given<K>) => void | Promise<void>
    await act(given)
    for (let round = 0; round < 3; round += 1) await Promise.resolve()
  }

  readonly #acts: { readonly [K in Kind]: (given: Given<K>) => void | Promise<void> } = {
    send: (given) => {
      const client = this.#client(given.session)
      const to = queueNames[given.queue] ?? 'q.0'
      const facts = this.#facts(to, given)
      const message = this.#message(client, to, facts)
      const transaction = given.isTransacted ? client.transactions[0] : undefined
      if (transaction !== undefined) {
        transaction.model.sends.push({ facts, to })
        client.needs.push([])
        client.test.session.send(message, transaction.real as never)
        this.#pending.set(facts.text, message)
        return
      }
      const isRefused = this.model.admit(this.model.queue(to)) === 'refuse'
      client.needs.push(facts.durable && !isRefused ? [message] : [])
      if (!isRefused) this.model.put(facts, to, client.model)
      const before = client.test.refusals.length
      client.test.session.send(message)
      same(client.test.refusals.length - before, isRefused ? 1 : 0, 'refusals')
    },
    subscribe: (given) => {
      const client = this.#client(given.session)
      const address = consumable[given.to] ?? 'q.0'
      const isBrowser = given.isBrowser && !address.endsWith('*')
      const { color, priority, isExclusive, isPresettled } = given
      const model: ModelConsumer = {
        session: client.model,
        address,
        color,
        priority,
        isExclusive: isExclusive && !isBrowser,
        isPresettled: isPresettled || isBrowser,
        isBrowser,
        credit: 0,
        isClosed: false,
        unsettled: [],
        expected: new Set(),
        shown: new Set(),
      }
      const consumer = new Consumer(this, client, model)
      this.model.subscribe(model)
      client.consumers.push(consumer)
      consumer.subscription.addCredit(given.credit)
      model.credit += given.credit
    },
    credit: (given) => {
      const consumer = this.#consumer(given.consumer)
      if (consumer === undefined) return
      consumer.model.credit += given.count
      consumer.subscription.addCredit(given.count)
    },
    drain: (given) => {
      const consumer = this.#consumer(given.consumer)
      if (consumer === undefined || consumer.model.isBrowser) return
      consumer.subscription.drain((creditLeft) => {
        same(creditLeft, consumer.model.credit, 'credit left')
        // Of several queues one may have something again when the last of them has nothing.
        const isSure = creditLeft > 0 && !consumer.model.address.endsWith('*')
        const missed = isSure ? this.model.availableTo(consumer.model) : undefined
        if (missed !== undefined) throw new Error(`${missed.text} waits for a consumer that is told nothing does`)
        consumer.model.credit = 0
      })
    },
    settle: (given) => {
      const consumer = this.#consumer(given.consumer)
      const message = consumer?.model.unsettled[given.index % Math.max(1, consumer.model.unsettled.length)]
      if (consumer === undefined || message === undefined) return
      const transaction = given.isTransacted ? consumer.client.transactions[0] : undefined
      const delivery = consumer.deliveries.get(message.text)
      if (delivery === undefined) throw new Error(`${message.text}: no delivery`)
      const { unsettled } = consumer.model
      const end = unsettled.indexOf(message)
      const messages = given.isThrough ? unsettled.slice(0, end + 1) : [message]
      const isDropping = messages.some(({ queue }) => this.#profileNameOf(queue.name) === 'dropping')
      const outcome: Outcome = isDropping && given.outcome.kind === 'modified' ? { kind: 'modified' } : given.outcome
      const free = messages.filter((each) => each.transaction === undefined)
      this.model.settle(messages, outcome, transaction?.model)
      if (given.isThrough) {
        const settled = consumer.subscription.settleThrough(delivery as never, outcome, transaction?.real as never)
        same(settled.length, free.length, 'settled through')
      } else consumer.subscription.settle(delivery as never, outcome, transaction?.real as never)
    },
    begin: (given) => {
      const client = this.#client(given.session)
      const model: ModelTransaction = { session: client.model, sends: [], settlements: [] }
      const real = client.test.session.begin()
      if (real instanceof BrokerError) throw real
      client.model.transactions.push(model)
      client.transactions.push({ model, real })
    },
    end: (given) => {
      const client = this.#client(given.session)
      const index = given.index % Math.max(1, client.transactions.length)
      const [transaction] = client.transactions.splice(index, 1)
      if (transaction === undefined) return
      if (!given.isCommit) {
        this.model.abort(transaction.model)
        transaction.real.abort()
        return
      }
      const messages = transaction.model.sends.map(({ facts }) => (facts.durable ? [this.#pendingOf(facts.text)] : []))
      const isAccepted = this.model.commit(transaction.model)
      client.needs.push(isAccepted ? messages.flat() : [])
      const before = client.test.refusals.length
      transaction.real.commit()
      same(client.test.refusals.length - before, isAccepted ? 0 : 1, 'refusals of a commit')
    },
    suspend: (given) => {
      const client = this.#client(given.session)
      client.model.isSuspended = true
      client.test.session.suspend()
    },
    resume: (given) => {
      const client = this.#client(given.session)
      client.model.isSuspended = false
      client.test.session.resume()
    },
    sync: (given) => {
      const client = this.#client(given.session)
      client.needs.push([])
      client.test.session.sync()
    },
    unsubscribe: (given) => {
      const consumer = this.#consumer(given.consumer)
      if (consumer === undefined) return
      this.model.closeConsumer(consumer.model, 'clean')
      consumer.subscription.close()
      this.forget(consumer)
    },
    close: (given) => {
      const client = this.clients[given.session]
      if (client === undefined || client.model.isClosed) return
      this.model.closeSession(client.model, given.how)
      client.test.session.close(given.how)
      client.consumers.length = 0
    },
    advance: (given) => {
      this.model.advance(given.ms)
      this.test.clock.advance(given.ms)
    },
    pause: (given) => {
      const [model, real] = this.#queue(given.queue)
      model.isPaused = given.isPaused
      if (given.isPaused) real.pause()
      else real.resume()
    },
    purge: (given) => {
      const [model, real] = this.#queue(given.queue)
      const count = this.model.purge(model, 'purged', real.counters.expired)
      same(real.purge(), count, 'purged')
    },
    delete: (given) => {
      const [model, real] = this.#queue(given.queue)
      this.#expired.set(model.name, (this.#expired.get(model.name) ?? 0) + real.counters.expired)
      this.ended.clear()
      const ended = this.model.delete(model, real.counters.expired)
      expect(this.test.broker.router.deleteDestination(Address.must('queue', model.name))).toBe(true)
      same([...this.ended].length, ended.length, 'consumers of a deleted queue')
      for (const consumer of ended) same(this.ended.has(consumer), true, 'ended')
      this.ended.clear()
    },
    hold: (given) => {
      this.store.isHeld = given.isHeld
      if (!given.isHeld) this.store.letGo()
    },
    letGo: (given) => this.store.letGo(given.count),
    look: async (given) => {
      const [model, real] = this.#queue(given.queue)
      if (this.store.isPaging && this.store.isHeld) return
      await this.#settle()
      await this.#look(model, real)
    },
    turn: () => this.test.turn(),
    quiesce: async () => {
      await this.#settle()
      // What is stored is handed out once the store has noted that it may be.
      if (this.store.isPaging && this.store.isHeld) return
      const overlooked = this.model.overlooked()
      if (overlooked !== undefined) throw new Error(overlooked)
      for (const browser of this.model.browsers) {
        if (browser.credit > 0 && !browser.session.isSuspended) throw new Error('a browser does not end')
      }
    },
  }

  /** Messages of open transactions. */
  readonly #pending: Map<string, Message> = new Map()

  /** What the model and the broker count. */
  #compare(): void {
    let alive = 0
    for (const [name, model] of this.model.queues) {
      const real = this.#realOf(model)
      const expired = model.expiredCount - model.expiredButPurgedCount - real.counters.expired
      if (expired < 0) throw new Error(`${name}: ${-expired} expired too many`)
      const { model: m } = this
      same(real.readyCount, m.count(model, 'ready') + expired, `${name} ready`)
      same(real.delayedCount, m.count(model, 'delayed'), `${name} delayed`)
      same(real.unsettledCount, m.count(model, 'unsettled'), `${name} unsettled`)
      same(real.count, model.messages.size + expired, `${name} count`)
      same(real.bytes, real.count * messageBytes, `${name} bytes`)
      same(real.counters.acknowledged, model.acceptedCount, `${name} acknowledged`)
      same(real.counters.deadLettered, model.deadCount, `${name} dead-lettered`)
      same(real.counters.dropped, model.droppedCount, `${name} dropped`)
      alive += real.count
    }
    for (const message of this.model.messages) {
      if (message.queue.isDeleted && message.state === 'unsettled') alive += 1
    }
    for (const name of queueNames) {
      const grave = this.test.broker.find(Address.must('queue', `ExpiryQueue.${name}`))
      if (grave instanceof Queue) alive += grave.count
    }
    if (!this.store.isPaging) same(this.test.broker.memory.bytes, alive * messageBytes, 'memory')
    for (const client of this.clients) {
      if (client.model.isClosed) continue
      same(client.test.session.isBlocked, this.model.isBlocked(client.model), 'blocked')
      same(client.test.isBlocked, client.test.session.isBlocked, 'told that it is blocked')
      for (const { model, subscription } of client.consumers) {
        same(subscription.credit, model.credit, 'credit')
        same(subscription.unsettledCount, model.unsettled.length, 'unsettled')
      }
    }
  }

  /** That the messages wait in their order; those that have expired may be there still. */
  async #look(model: ModelQueue, real: Queue): Promise<void> {
    const waiting: string[] = []
    const walk = real.walk(({ message }) => {
      if (message.expiresAt === 0 || message.expiresAt > this.model.now) waiting.push(textOf(message))
      return 'leave'
    })
    await through(walk, () => this.#settle())
    expect(waiting, `${model.name} waiting`).toEqual(this.model.waiting(model).map((message) => message.text))
  }

  /** Lets everything come to rest, compares with the store, then takes every message out. */
  async #finish(): Promise<void> {
    for (const name of queueNames) if (this.model.queues.has(name)) await this.#resume(name)
    for (const [session, client] of this.clients.entries()) {
      if (client.model.isClosed) continue
      for (const _ of client.transactions.slice()) await this.#step('end', { session, index: 0, isCommit: false })
      await this.#step('resume', { session })
    }
    await this.#step('hold', { isHeld: false })
    for (let round = 0; round < 3; round += 1) {
      await this.#step('quiesce', {})
      await this.#step('advance', { ms: 3000 })
    }
    await this.#step('quiesce', {})
    for (const [model, real] of this.#alive()) await this.#look(model, real)
    if (this.disk === undefined) await this.#compareWithStore()
    for (const [session] of this.clients.entries()) await this.#step('close', { session, how: 'clean' })
    await this.#step('quiesce', {})
    if (this.disk !== undefined) return await this.#compareWithNext(this.disk)
    await this.#drain()
    for (const client of this.clients.filter(({ model }) => !model.isClosed)) {
      same(client.confirmedUpTo, client.needs.length, 'confirmed in the end')
    }
  }

  /** The durable messages, and nothing else, are in the store as they are in the queues. */
  async #compareWithStore(): Promise<void> {
    const stored = new Map<string, string[]>()
    for (const record of await this.store.inner.open(() => undefined)) {
      const lines: string[] = []
      for (const priority of [9, 4, 0]) {
        for (const entry of await this.store.read(record.id, priority, 0, 1000)) {
          lines.push(`${textOf(entry.message)} ${entry.deliveryCount} ${entry.notBefore > this.model.now}`)
        }
      }
      if (lines.length > 0 && !record.spec.name.startsWith('ExpiryQueue')) stored.set(record.spec.name, lines.sort())
    }
    const kept = new Map<string, string[]>()
    for (const [name, queue] of this.model.queues) {
      const lines = [...queue.messages]
        .filter((message) => message.durable)
        .map((message) => `${message.text} ${message.count} ${message.state === 'delayed'}`)
      if (lines.length > 0) kept.set(name, lines.sort())
    }
    expect([...stored].sort(), 'stored').toEqual([...kept].sort())
  }

  /**
   * The next broker on the same disk has the durable messages, and nothing else, in their order; but those that were delayed have
   * the place again that they had when they were sent.
   */
  async #compareWithNext(disk: SimulatedDisk): Promise<void> {
    const waiting = new Map([...this.model.queues].map(([name, queue]) => [name, this.model.waiting(queue)]))
    await this.#settle()
    await this.#close(this.test)
    const { clock } = this.test
    const store = new JournalStore(disk, clock, sizes)
    const next = await TestBroker.open({ store, clock, window: narrowWindow, formats })
    for (const [name, messages] of waiting) {
      const kept = messages.filter((message) => message.durable)
      const wereDelayed = new Set(kept.filter(({ deliverAt }) => deliverAt > 0).map(({ text }) => text))
      const found: string[] = []
      const walk = next.queue(name).walk(({ message }) => {
        if (message.expiresAt === 0 || message.expiresAt > this.model.now) found.push(textOf(message))
        return 'leave'
      })
      await through(walk, () => next.settleSlowly())
      const texts = kept.map(({ text }) => text)
      expect([...found].sort(), `${name} after a restart`).toEqual([...texts].sort())
      const inOrder = (all: readonly string[]) => all.filter((text) => !wereDelayed.has(text))
      expect(inOrder(found), `${name} after a restart`).toEqual(inOrder(texts))
    }
    await this.#close(next)
  }

  async #close(test: TestBroker): Promise<void> {
    await through(test.broker.close(), () => test.settleSlowly())
  }

  async #settle(): Promise<void> {
    if (this.store.isPaging) await this.test.settleSlowly()
    else await this.test.settle()
  }

  /** Every message that is left can be had once, and then nothing is left. */
  async #drain(): Promise<void> {
    const client = new Client(this)
    this.clients.push(client)
    const session = this.clients.length - 1
    for (const [to] of consumable.entries()) {
      await this.#step('subscribe', { ...drainer, session, to })
      await this.#step('quiesce', {})
      const consumer = client.consumers.at(-1)
      for (const message of consumer?.model.unsettled.slice() ?? []) {
        this.model.settle([message], { kind: 'accepted' }, undefined)
        consumer?.subscription.settle(consumer.deliveries.get(message.text) as never, { kind: 'accepted' })
      }
      await this.#step('quiesce', {})
    }
    const left = [...this.model.queues].filter(([name, queue]) => name !== 'DLQ.q.2' && queue.messages.size > 0)
    same(left.length, 0, 'left')
    for (const [name, expired] of this.#expiredByName()) {
      const grave = this.test.broker.find(Address.must('queue', `ExpiryQueue.${name}`))
      const isBuried = this.#profileNameOf(name) === 'burying'
      same(grave instanceof Queue ? grave.count : 0, isBuried ? expired : 0, `${name} in the expiry queue`)
      if (grave instanceof Queue) grave.purge()
    }
    const last = this.test.broker.find(Address.must('queue', 'DLQ.q.2'))
    if (last instanceof Queue) last.purge()
    same(this.test.broker.memory.bytes, this.test.broker.states.bytes, 'memory in the end')
    await this.test.settle()
  }

  async #step<K extends Kind>(kind: K, given: Given<K>): Promise<void> {
    await this.#do(kind, given)
    this.#compare()
  }

  async #resume(name: string): Promise<void> {
    await this.#step('pause', { queue: queueNames.indexOf(name), isPaused: false })
  }

  #expiredByName(): Map<string, number> {
    const counts = new Map(this.#expired)
    for (const [model, real] of this.#alive()) {
      counts.set(model.name, (counts.get(model.name) ?? 0) + real.counters.expired)
    }
    return counts
  }

  #alive(): [ModelQueue, Queue][] {
    return [...this.model.queues.values()].map((model) => [model, this.#realOf(model)])
  }

  #queue(index: number): [ModelQueue, Queue] {
    const model = this.model.queue(queueNames[index] ?? 'q.0')
    return [model, this.#realOf(model)]
  }

  /** The broker's queue; the one that it had when the model's was made, unless that was deleted. */
  #realOf(model: ModelQueue): Queue {
    const found = this.#real.get(model)
    if (found !== undefined) return found
    const queue = this.test.queue(model.name)
    this.#real.set(model, queue)
    return queue
  }

  #client(index: number): Client {
    const found = this.clients[index]
    if (found !== undefined && !found.model.isClosed) return found
    const client = new Client(this)
    for (let slot = this.clients.length; slot < index; slot += 1) this.clients.push(new Client(this))
    this.clients[index] = client
    return client
  }

  #consumer(index: number): Consumer | undefined {
    const consumers = this.clients.flatMap((client) => (client.model.isClosed ? [] : client.consumers))
    return consumers[index % Math.max(1, consumers.length)]
  }

  #facts(to: string, given: Given<'send'>): MessageFacts {
    this.#sent += 1
    const name = this.#profileNameOf(to)
    const isCounted = name === 'dropping' || name === 'rejecting' || name === 'blocking'
    const now = this.model.now
    return {
      // The color comes first, where the format of the messages finds it.
      text: given.color.slice(0, 1) + String(this.#sent).padStart(5, '0'),
      durable: given.durable,
      priority: given.priority,
      color: given.color,
      groupId: given.group,
      expiresAt: given.lifeMs === 0 || isCounted ? 0 : now + given.lifeMs,
      deliverAt: given.delayMs === 0 || name === 'dropping' ? 0 : now + given.delayMs,
    }
  }

  #message(client: Client, to: string, facts: MessageFacts): Message {
    const { text, durable, priority, groupId, expiresAt, deliverAt } = facts
    return client.test.message(to, text, { durable, priority, groupId, expiresAt, deliverAt }).with({ format: colored })
  }

  #pendingOf(text: string): Message {
    const message = this.#pending.get(text)
    if (message === undefined) throw new Error(`${text}: not in a transaction`)
    return message
  }

  #profileNameOf(name: string): ProfileName {
    return this.#profiles[queueNames.indexOf(name)] ?? 'plain'
  }

  #profileOf(name: string): Partial<Policy> {
    return queueNames.includes(name) ? profiles[this.#profileNameOf(name)] : {}
  }
}

/** Lets the broker go on until something is done. */
async function through(done: Promise<void>, settle: () => Promise<void>): Promise<void> {
  let isOver = false
  const over = done.then(() => {
    isOver = true
  })
  for (let rounds = 0; !isOver; rounds += 1) {
    if (rounds > 100) throw new Error('there is no end to it')
    await settle()
  }
  await over
}

const drainer: Omit<Given<'subscribe'>, 'session' | 'to'> = {
  color: undefined,
  priority: 0,
  isExclusive: false,
  isPresettled: false,
  isBrowser: false,
  credit: 1000,
}

/** As `expect(actual).toBe(expected)`, which takes a hundred times as long. */
function same<T>(actual: T, expected: T, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${actual} instead of ${expected}`)
}

function textOf(message: Message): string {
  return Buffer.from(message.content).toString()
}

const property = fc.asyncProperty(scenario, (given) => World.run(given))

function sent(given: Partial<Given<'send'>>): Command {
  const usual = { session: 0, queue: 2, priority: 4, color: 'red', group: undefined, durable: false } as const
  return { kind: 'send', given: { ...usual, lifeMs: 0, delayMs: 0, isTransacted: true, ...given } }
}

const consumed: Given<'subscribe'> = {
  ...{ session: 0, to: 5, color: undefined, priority: 0, isExclusive: true },
  ...{ isPresettled: true, isBrowser: false, credit: 1 },
}
const plain: ProfileName[] = ['plain', 'plain', 'plain']

test.each<[what: string, store: Scenario['store'], commands: Command[]]>([
  [
    'a browser is not shown what was purged after it had been read',
    'journal',
    [
      ...[sent({}), sent({}), sent({}), sent({})],
      { kind: 'subscribe', given: { ...consumed, isBrowser: true, credit: 3 } },
      { kind: 'quiesce', given: {} },
      { kind: 'purge', given: { queue: 2 } },
      { kind: 'credit', given: { consumer: 0, count: 1 } },
    ],
  ],
  [
    'what has been read of a backlog expires before it is served',
    'paging',
    [
      ...[sent({}), sent({}), sent({ lifeMs: 300 }), sent({ durable: true })],
      { kind: 'subscribe', given: consumed },
      ...[sent({ lifeMs: 300, delayMs: 300, durable: true }), sent({ lifeMs: 1000, durable: true })],
    ],
  ],
])('%s', async (_, store, commands) => {
  await World.run({ isNarrow: true, store, profiles: plain, commands })
})

test(
  'whatever is asked of queues, they do as the model says',
  async () => {
    await fc.assert(
      property,
      // The limit for one run finds out what comes to a halt, which an interruption would not.
      {
        numRuns: 1_000_000,
        timeout: 20_000,
        interruptAfterTimeLimit: fuzzSeconds * 1000,
        markInterruptAsFailure: false,
      },
    )
  },
  (fuzzSeconds + 60) * 1000,
)

/** Puts `broken` in the place of a method, for as long as it takes to see whether the model finds out. */
async function findsOut<T extends object, K extends keyof T>(
  owner: T,
  name: K,
  broken: (original: T[K]) => T[K],
): Promise<boolean> {
  const original = owner[name]
  owner[name] = broken(original)
  try {
    const { failed } = await fc.check(property, { numRuns: 3000, endOnFailure: true })
    return failed
  } finally {
    owner[name] = original
  }
}

type Method = (this: unknown, ...given: unknown[]) => unknown

describe('the model finds out about a broker', () => {
  test('that forgets a message which is released', async () => {
    const isFound = await findsOut(Queue.prototype, 'settle', (original) => {
      return function settle(this: Queue, delivery, outcome, isFinal) {
        original.call(this, delivery, outcome.kind === 'released' ? { kind: 'accepted' } : outcome, isFinal)
      }
    })
    expect(isFound).toBe(true)
  })

  test.each<[what: string, owner: object, name: string, broken: (original: Method) => Method]>([
    ['gives a group to everybody', Groups.prototype, 'claim', () => () => true],
    ['does not give memory back', Memory.prototype, 'release', () => () => {}],
    ['confirms before the commit', BrokerSession.prototype, 'await', () => BrokerSession.prototype.settleNow as Method],
    ['loses a purge', Queue.prototype, 'purge', () => () => 0],
    ['goes on when paused', Queue.prototype, 'pause', () => () => {}],
    ['does not suspend', BrokerSession.prototype, 'suspend', () => () => {}],
    [
      'takes a lost connection for a clean one',
      BrokerSession.prototype,
      'close',
      (original) => {
        return function close(this: unknown) {
          return original.call(this, 'clean')
        }
      },
    ],
    ['does not offer a consumer that gets credit', BrokerSubscription.prototype, 'offer', () => () => {}],
    [
      'says that nothing waits before it has looked',
      BrokerSubscription.prototype,
      'drain',
      () => {
        return function drain(this: unknown, done) {
          const told = done as (creditLeft: number) => void
          told((this as BrokerSubscription).credit)
        }
      },
    ],
    [
      'hands out without regard to credit',
      BrokerSubscription.prototype,
      'addCredit',
      (original) => {
        return function addCredit(this: unknown, count) {
          return original.call(this, (count as number) + 1)
        }
      },
    ],
  ])('that %s', async (_what, owner, name, broken) => {
    expect(await findsOut(owner as Record<string, Method>, name, broken)).toBe(true)
  })
})
