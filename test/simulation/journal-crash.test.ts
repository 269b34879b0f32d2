import { describe, expect, test } from 'vitest'
import { JournalStore } from '../../src/store/journal-store.ts'
import type { CommitDone, OwnerId, StoredEntry, WriteBatch } from '../../src/store/store.ts'
import { patientSizes, crashSizes as sizes } from '../support/crash.ts'
import { messageOf, testFormats } from '../support/messages.ts'
import { randomOf, startSeed } from '../support/seed.ts'
import { type Names, type Random, SimulatedDisk } from '../support/simulated-disk.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** What a store must hold: by owner and sequence, what the entry's body is and how sure that is. */
interface Expected {
  readonly body: string
  readonly owner: OwnerId
  readonly sequence: number
  readonly priority: number
  /** The commit of its put is done. */
  isConfirmed: boolean
  /** Its acknowledgement was handed over; `gone` once the commit of that is done. */
  isAcked: boolean
  isGone: boolean
}

/** The small state of one key. */
interface ExpectedState {
  sure: string | undefined
  /** What was asked for since, in order. */
  readonly asked: (string | undefined)[]
}

/** Drives one store with random batches until its disk loses power, then says what the next one must hold. */
class Workload {
  readonly #store: JournalStore
  readonly #random: Random
  readonly #entries: Map<string, Expected>
  readonly #sequences: Map<OwnerId, number>
  readonly #states: Map<string, ExpectedState>
  underWay: number

  constructor(
    store: JournalStore,
    random: Random,
    entries: Map<string, Expected>,
    sequences: Map<OwnerId, number>,
    states: Map<string, ExpectedState>,
  ) {
    this.#store = store
    this.#random = random
    this.#entries = entries
    this.#sequences = sequences
    this.#states = states
    this.underWay = 0
  }

  /** One batch: some puts, some acknowledgements, at times a body shared by two owners or a very long one. */
  step(owners: readonly OwnerId[]): void {
    const random = this.#random
    const batch = this.#store.batch()
    const put: Expected[] = []
    const acked: Expected[] = []
    for (let count = Math.floor(random() * 8); count > 0; count -= 1) {
      const length = random() < 0.02 ? 9_000 + Math.floor(random() * 9_000) : Math.floor(random() * 400)
      const priority = random() < 0.2 ? 7 : 4
      const body = `${Math.floor(random() * 1e9)}:${'x'.repeat(length)}`
      const message = messageOf({ body, priority, durable: true })
      for (const owner of random() < 0.2 ? owners.slice(0, 2) : owners.slice(0, 1 + Math.floor(random() * 1))) {
        const sequence = (this.#sequences.get(owner) ?? 0) + 1 + Math.floor(random() * 2)
        this.#sequences.set(owner, sequence)
        batch.put(owner, sequence, message, 0)
        put.push({ body, owner, sequence, priority, isConfirmed: false, isAcked: false, isGone: false })
      }
    }
    for (const expected of this.#entries.values()) {
      if (expected.isAcked || random() > 0.3) continue
      expected.isAcked = true
      batch.ack(expected.owner, expected.priority, expected.sequence, random() < 0.5)
      acked.push(expected)
      if (acked.length > 6) break
    }
    for (const expected of put) this.#entries.set(`${expected.owner}/${expected.sequence}`, expected)
    const sures = this.#setStates(batch)
    if (batch.isEmpty) return
    this.underWay += 1
    this.#store.commit(batch, (error) => {
      if (error !== undefined) throw error
      this.underWay -= 1
      for (const expected of put) expected.isConfirmed = true
      for (const expected of acked) expected.isGone = true
      for (const sure of sures) sure()
    })
  }

  /** Sets or removes a few keys. Returns what is to be called when that is done. */
  #setStates(batch: WriteBatch): (() => void)[] {
    const sures: (() => void)[] = []
    for (let count = Math.floor(this.#random() * 3); count > 0; count -= 1) {
      const key = `key ${Math.floor(this.#random() * 12)}`
      const value = this.#random() < 0.2 ? undefined : `${this.#random()}`
      batch.state(key, value === undefined ? undefined : new Uint8Array(Buffer.from(value)))
      const expected = this.#states.get(key) ?? { sure: undefined, asked: [] }
      this.#states.set(key, expected)
      expected.asked.push(value)
      sures.push(() => {
        expected.sure = expected.asked.shift()
      })
    }
    return sures
  }
}

async function entriesOf(store: JournalStore, owner: OwnerId): Promise<StoredEntry[]> {
  const all: StoredEntry[] = []
  for (let priority = 0; priority < 10; priority += 1) {
    let after = 0
    for (;;) {
      const page = await store.read(owner, priority, after, 7)
      all.push(...page)
      if (page.length < 7) break
      after = page.at(-1)!.sequence
    }
  }
  return all
}

/** Compares a store that has been opened after a crash with what it must hold; what it may hold is taken as it is. */
async function check(
  store: JournalStore,
  entries: Map<string, Expected>,
  owners: readonly OwnerId[],
  seed: number,
): Promise<void> {
  const found = new Map<string, StoredEntry>()
  for (const owner of owners) {
    let last = new Map<number, number>()
    for (const entry of await entriesOf(store, owner)) {
      const { priority } = entry.message
      expect(entry.sequence, `order, seed ${seed}`).toBeGreaterThan(last.get(priority) ?? 0)
      last = last.set(priority, entry.sequence)
      found.set(`${owner}/${entry.sequence}`, entry)
    }
  }
  for (const [key, expected] of entries) {
    const entry = found.get(key)
    if (expected.isConfirmed && !expected.isAcked)
      expect(entry, `${key} was confirmed and is lost, seed ${seed}`).toBeDefined()
    if (expected.isGone) expect(entry, `${key} was gone and is back, seed ${seed}`).toBeUndefined()
    if (entry !== undefined) {
      expect(Buffer.from(entry.message.content).toString(), `body of ${key}, seed ${seed}`).toBe(expected.body)
      expected.isConfirmed = true
      expected.isAcked = false
    } else entries.delete(key)
  }
  for (const key of found.keys()) expect(entries.has(key), `${key} was never put, seed ${seed}`).toBe(true)
}

/** The small state must be what was sure, or something asked for later. */
function checkStates(store: JournalStore, states: Map<string, ExpectedState>, seed: number): void {
  for (const [key, expected] of states) {
    const bytes = store.states.get(key)
    const found = bytes === undefined ? undefined : Buffer.from(bytes).toString()
    expect([expected.sure, ...expected.asked], `${key}, seed ${seed}`).toContain(found)
    expected.sure = found
    expected.asked.length = 0
  }
  expect([...store.states.keys()].filter((key) => !states.has(key))).toEqual([])
}

async function crashes(seed: number, rounds: number): Promise<number> {
  const random = randomOf(seed)
  const entries = new Map<string, Expected>()
  const sequences = new Map<OwnerId, number>()
  const states = new Map<string, ExpectedState>()
  let disk = new SimulatedDisk()
  let owners: OwnerId[] = []
  for (let round = 0; round < rounds; round += 1) {
    disk.crashAfter = round === 0 ? Number.POSITIVE_INFINITY : Math.floor(random() * 150)
    const clock = new VirtualClock()
    const store = new JournalStore(disk, clock, patientSizes)
    const opened = await Promise.race([store.open(testFormats).then(() => true), until(() => disk.isCrashed)])
    if (opened === true && !disk.isCrashed) {
      disk.crashAfter = Number.POSITIVE_INFINITY
      await check(store, entries, owners, seed)
      checkStates(store, states, seed)
      if (owners.length === 0) owners = await define(store)
      disk.crashAfter = disk.operations + Math.floor(random() * 400)
      const workload = new Workload(store, random, entries, sequences, states)
      for (let steps = 0; !disk.isCrashed; steps += 1) {
        if (steps > 2_000) throw new Error(`the store has come to a halt, seed ${seed}, round ${round}`)
        workload.step(owners)
        if (random() < 0.3) clock.advance(Math.floor(random() * 8))
        if (random() < 0.5) await new Promise(setImmediate)
      }
    }
    disk = disk.after(random() < 0.3 ? 'kill' : 'power loss', random)
  }
  return rounds
}

async function define(store: JournalStore): Promise<OwnerId[]> {
  const batch = store.batch()
  const owners = ['a', 'b', 'c'].map((name) => batch.define({ kind: 'queue', name, settings: {} }))
  await new Promise<void>((resolve, reject) => {
    store.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
  })
  return owners
}

async function until(condition: () => boolean): Promise<false> {
  for (let turns = 0; !condition(); turns += 1) {
    if (turns > 20_000) throw new Error('neither opened nor crashed')
    await new Promise(setImmediate)
  }
  return false
}

test('a journal that loses power again and again keeps what it confirmed, and nothing comes back', async () => {
  const start = startSeed()
  for (let seed = start; seed < start + 20; seed += 1) await crashes(seed, 10)
}, 120_000)

function commit(store: JournalStore, batch: WriteBatch): Promise<void> {
  return new Promise((resolve, reject) => {
    store.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
  })
}

async function opened(disk: SimulatedDisk, clock = new VirtualClock()): Promise<JournalStore> {
  const store = new JournalStore(disk, clock, sizes)
  await store.open(testFormats)
  return store
}

async function ticks(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) await Promise.resolve()
}

const ignored: CommitDone = () => undefined

describe('a journal', () => {
  test('takes no checkpoint in the middle of a batch', async () => {
    for (let wait = 0; wait < 60; wait += 1) {
      const disk = new SimulatedDisk()
      const clock = new VirtualClock()
      const store = await opened(disk, clock)
      const [owner] = (await define(store)) as [OwnerId]
      const batch = store.batch()
      for (let sequence = 1; sequence <= 12; sequence += 1) {
        batch.put(owner, sequence, messageOf({ body: 'x'.repeat(1_500), durable: true }), 0)
      }
      store.commit(batch, ignored)
      await ticks(wait)
      clock.advance(31_000)
      await new Promise(setImmediate)
      const after = await opened(disk.after('kill', Math.random))
      const sequences = (await entriesOf(after, owner)).map(({ sequence }) => sequence)
      expect(sequences, `after ${wait} ticks`).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    }
  })

  test('relies on a checkpoint only once that is on disk, whoever has written it', async () => {
    const flushed: string[] = []
    class WatchedDisk extends SimulatedDisk {
      override async flush(file: Parameters<SimulatedDisk['flush']>[0]): Promise<void> {
        await super.flush(file)
        flushed.push(file.name)
      }
      override async rename(from: string, to: string): Promise<void> {
        await super.rename(from, to)
        flushed.push(`${from} away`)
      }
      protected override successor({ names, flushedNames }: Names): SimulatedDisk {
        return new WatchedDisk(names, flushedNames)
      }
    }
    const disk = new WatchedDisk()
    const store = await opened(disk)
    const [owner] = (await define(store)) as [OwnerId]
    for (let sequence = 1; sequence < 40; sequence += 1) {
      const batch = store.batch()
      batch.put(owner, sequence, messageOf({ body: 'x'.repeat(1_500), durable: true }), 0)
      batch.ack(owner, 4, sequence - 1, false)
      await commit(store, batch)
    }
    await store.close()
    flushed.length = 0
    await opened(disk.after('kill', Math.random))
    const checkpoint = flushed.findIndex((name) => name.startsWith('ckpt-'))
    expect(checkpoint).toBeGreaterThanOrEqual(0)
    expect(flushed.findIndex((name) => name.endsWith('away')) + 1 || 1e9).toBeGreaterThan(checkpoint)
  })

  test('does not mix the parts of a long body that was accepted meanwhile with those of the next', async () => {
    for (let wait = 0; wait < 40; wait += 1) {
      const store = await opened(new SimulatedDisk())
      const [owner] = (await define(store)) as [OwnerId]
      const batch = store.batch()
      batch.put(owner, 1, messageOf({ body: 'a'.repeat(15_000), durable: true }), 0)
      batch.put(owner, 2, messageOf({ body: 'b'.repeat(15_000), durable: true }), 0)
      store.commit(batch, ignored)
      await ticks(wait)
      const acks = store.batch()
      acks.ack(owner, 4, 1, true)
      await commit(store, acks)
      const bodies = (await entriesOf(store, owner)).map(({ message }) => Buffer.from(message.content).toString())
      expect(bodies, `after ${wait} ticks`).toEqual(['b'.repeat(15_000)])
    }
  })

  test('that could not be opened says nothing of its state when it is closed', async () => {
    const disk = new SimulatedDisk()
    const store = await opened(disk)
    const [owner] = (await define(store)) as [OwnerId]
    const batch = store.batch()
    batch.put(owner, 1, messageOf({ body: 'kept', durable: true }), 0)
    await commit(store, batch)
    await store.close()
    const second = disk.after('kill', Math.random)
    const open = second.open.bind(second)
    second.open = async (name) => {
      const file = await open(name)
      file.size = () => Promise.reject(new Error('the device does not answer'))
      return file
    }
    const failing = new JournalStore(second, new VirtualClock(), sizes)
    await expect(failing.open(testFormats)).rejects.toThrow('does not answer')
    await failing.close()
    const third = await opened(second.after('kill', Math.random))
    expect((await entriesOf(third, owner)).map(({ sequence }) => sequence)).toEqual([1])
  })

  test('flags after a crash what consumers may have seen, and not what came later', async () => {
    const disk = new SimulatedDisk()
    const store = await opened(disk)
    const [owner] = (await define(store)) as [OwnerId]
    const batch = store.batch()
    batch.put(owner, 1, messageOf({ body: 'seen', durable: true }), 0)
    batch.horizon(owner, 8_192)
    await commit(store, batch)
    const second = await opened(disk.after('kill', Math.random))
    const more = second.batch()
    more.put(owner, 2, messageOf({ body: 'new', durable: true }), 0)
    await commit(second, more)
    expect((await entriesOf(second, owner)).map(({ redelivered }) => redelivered)).toEqual([true, false])
  })

  test('does not return what leaves, with its segments, while it is being read', async () => {
    let gone = 0
    for (let wait = 0; wait < 200; wait += 2) {
      const clock = new VirtualClock()
      const store = await opened(new SimulatedDisk(), clock)
      const [owner] = (await define(store)) as [OwnerId]
      const body = 'a'.repeat(15_000)
      for (let sequence = 1; sequence <= 4; sequence += 1) {
        const batch = store.batch()
        batch.put(owner, sequence, messageOf({ body, durable: true }), 0)
        await commit(store, batch)
      }
      const purge = store.batch()
      purge.clear(owner, 4, 1, 4)
      const purged = commit(store, purge).then(() => clock.advance(31_000))
      await ticks(wait)
      const entries = await store.read(owner, 4, 0, 4)
      await purged
      for (const { message } of entries) expect(Buffer.from(message.content).toString()).toBe(body)
      if (entries.length < 4) gone += 1
      expect(store.report.damages, `after ${wait} ticks`).toEqual([])
      expect(store.failure).toBeUndefined()
      await store.close()
    }
    expect(gone).toBeGreaterThan(0)
  })

  test('fails in order when the next segment cannot be made', async () => {
    const disk = new SimulatedDisk()
    const store = await opened(disk)
    const [owner] = (await define(store)) as [OwnerId]
    disk.open = () => Promise.reject(new Error('too many open files'))
    let failure: Error | undefined
    for (let sequence = 1; failure === undefined && sequence < 100; sequence += 1) {
      const batch = store.batch()
      batch.put(owner, sequence, messageOf({ body: 'x'.repeat(1_500), durable: true }), 0)
      await commit(store, batch).catch((error: Error) => {
        failure = error
      })
    }
    expect(failure?.message).toContain('too many open files')
    await store.close()
  })
})
