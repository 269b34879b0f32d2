import { expect, test } from 'vitest'
import type { Message } from '../../src/message.ts'
import { frameHeaderBytes, isFrameIntact, RecordType, readBlocks, readFrameHeader } from '../../src/store/frame.ts'
import { JournalStore } from '../../src/store/journal-store.ts'
import type { OwnerId, OwnerRecord, StoredEntry, WriteBatch } from '../../src/store/store.ts'
import { crashSizes } from '../support/crash.ts'
import { messageOf, testFormats } from '../support/messages.ts'
import { randomOf, startSeed } from '../support/seed.ts'
import { type Random, SimulatedDisk } from '../support/simulated-disk.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const sizes = { ...crashSizes, segmentBytes: 12 * 1024, checkpointBytes: 20 * 1024 }

const environment: { readonly CRASHES?: string } = process.env
const crashesWanted = Number(environment.CRASHES ?? 300)
const roundsPerSeed = 10
/** One entry in so many is forgotten: it keeps its segment until it is moved. */
const forgottenEvery = 11

type Certainty = 'no' | 'asked' | 'yes'

interface Entry {
  readonly owner: Owner
  readonly sequence: number
  readonly priority: number
  readonly body: string
  put: Certainty
  gone: Certainty
  failures: number
  sureFailures: number
  /** What has been added to it; grows. */
  additions: number
  sureAdditions: number
  /** What it has been moved to become: exactly one of the two is there. */
  movedTo: Entry | undefined
}

/** Of an entry that a batch has been told of. */
const untold = {
  put: 'asked',
  gone: 'no',
  failures: 0,
  sureFailures: 0,
  additions: 0,
  sureAdditions: 0,
  movedTo: undefined,
} as const

/** The message with all that has been added to it. */
function amended({ body, priority, additions }: Entry): Message {
  return messageOf({ body, priority, durable: true, additions: Uint8Array.of(additions >> 8, additions) })
}

function additionsOf({ message }: StoredEntry): number {
  const [high = 0, low = 0] = message.additions ?? []
  return high * 256 + low
}

interface Owner {
  id: OwnerId
  readonly name: string
  lastSequence: number
  defined: Certainty
  removed: Certainty
}

/** What a store has been told, and how sure that is. */
class Model {
  readonly owners: Owner[] = []
  entries: Entry[] = []
  readonly #random: Random
  #names = 0
  #bodies = 0

  constructor(random: Random) {
    this.#random = random
  }

  #pick(count: number): number {
    return Math.floor(this.#random() * count)
  }

  /** One batch of all kinds of changes. Returns what is to be called once it is sure. */
  fill(batch: WriteBatch): () => void {
    const sures: (() => void)[] = []
    if (this.owners.length < 3 || this.#random() < 0.01) this.#define(batch, sures)
    else if (this.owners.length > 4 || this.#random() < 0.01) this.#remove(batch, sures)
    for (let count = this.#pick(6); count > 0; count -= 1) this.#put(batch, sures)
    for (const entry of this.entries) if (this.#random() < 0.3) this.#leave(batch, entry, sures)
    if (this.#random() < 0.01) this.#purge(batch, sures)
    return () => {
      for (const sure of sures) sure()
    }
  }

  #define(batch: WriteBatch, sures: (() => void)[]): void {
    this.#names += 1
    const name = `q${this.#names}`
    const id = batch.define({ kind: 'queue', name, settings: {} })
    const owner: Owner = { id, name, lastSequence: 0, defined: 'asked', removed: 'no' }
    this.owners.push(owner)
    sures.push(() => {
      owner.defined = 'yes'
    })
  }

  #remove(batch: WriteBatch, sures: (() => void)[]): void {
    const [owner] = this.owners.splice(this.#pick(this.owners.length), 1) as [Owner]
    batch.remove(owner.id)
    owner.removed = 'asked'
    const gone = this.entries.filter((entry) => entry.owner === owner && entry.gone === 'no')
    for (const entry of gone) entry.gone = 'asked'
    sures.push(() => {
      owner.removed = 'yes'
      for (const entry of gone) entry.gone = 'yes'
    })
  }

  #add(batch: WriteBatch, owner: Owner, body: string, sures: (() => void)[]): Entry {
    owner.lastSequence += 1 + (this.#random() < 0.1 ? 1 : 0)
    const priority = this.#random() < 0.2 ? 7 : 4
    const { lastSequence: sequence } = owner
    const entry: Entry = { owner, sequence, priority, body, ...untold }
    batch.put(owner.id, sequence, messageOf({ body, priority, durable: true }), 0)
    this.entries.push(entry)
    sures.push(() => {
      entry.put = 'yes'
    })
    return entry
  }

  #put(batch: WriteBatch, sures: (() => void)[]): void {
    const owner = this.owners[this.#pick(this.owners.length)] as Owner
    this.#bodies += 1
    const length = this.#random() < 0.02 ? 3_000 + this.#pick(6_000) : this.#pick(500)
    this.#add(batch, owner, `${this.#bodies}:${'x'.repeat(length)}`, sures)
  }

  /** Most entries leave soon; the forgotten ones are now and then redelivered, or moved. */
  #leave(batch: WriteBatch, entry: Entry, sures: (() => void)[]): void {
    const { owner, priority, sequence } = entry
    if (entry.gone !== 'no') return
    const isForgotten = sequence % forgottenEvery === 0
    if (isForgotten && this.#random() < 0.05) {
      entry.failures += 1
      const { failures } = entry
      if (this.#random() < 0.5) entry.additions += 1
      const { additions } = entry
      batch.redeliver(owner.id, priority, sequence, failures, 0)
      if (additions > 0) batch.amend(owner.id, priority, sequence, amended(entry))
      sures.push(() => {
        entry.sureFailures = Math.max(entry.sureFailures, failures)
        entry.sureAdditions = Math.max(entry.sureAdditions, additions)
      })
    } else if (isForgotten && this.#random() < 0.005) {
      const to = this.owners[this.#pick(this.owners.length)] as Owner
      to.lastSequence += 1
      const moved: Entry = { owner: to, sequence: to.lastSequence, priority, body: entry.body, ...untold }
      batch.move(
        owner.id,
        priority,
        sequence,
        to.id,
        moved.sequence,
        messageOf({ body: entry.body, priority, durable: true }),
      )
      this.entries.push(moved)
      entry.gone = 'asked'
      entry.movedTo = moved
      sures.push(() => {
        entry.gone = 'yes'
        moved.put = 'yes'
      })
    } else if (!isForgotten) {
      batch.ack(owner.id, priority, sequence, this.#random() < 0.5)
      entry.gone = 'asked'
      sures.push(() => {
        entry.gone = 'yes'
      })
    }
  }

  #purge(batch: WriteBatch, sures: (() => void)[]): void {
    const owner = this.owners[this.#pick(this.owners.length)] as Owner
    batch.clear(owner.id, 4, 1, owner.lastSequence)
    const gone = this.entries.filter((entry) => entry.owner === owner && entry.priority === 4 && entry.gone === 'no')
    for (const entry of gone) entry.gone = 'asked'
    sures.push(() => {
      for (const entry of gone) entry.gone = 'yes'
    })
  }

  /** Compares with what a store has found, and goes on from there. */
  async check(store: JournalStore, records: readonly OwnerRecord[], seed: number): Promise<void> {
    const found = new Map<string, StoredEntry>()
    for (const { id, counts } of records) {
      for (const [priority, count] of counts.entries()) {
        const entries = count === 0 ? [] : await store.read(id, priority, 0, count + 1)
        expect(entries.length, `count of ${id}/${priority}, seed ${seed}`).toBe(count)
        for (const entry of entries) found.set(`${id}/${entry.sequence}`, entry)
      }
    }
    this.#checkOwners(records, seed)
    const isThere = (entry: Entry): boolean => found.has(`${entry.owner.id}/${entry.sequence}`)
    for (const entry of this.entries) {
      const name = `${entry.owner.name} ${entry.sequence}, seed ${seed}`
      const stored = found.get(`${entry.owner.id}/${entry.sequence}`)
      if (entry.put === 'yes' && entry.gone === 'no') expect(stored, `${name} is lost`).toBeDefined()
      if (entry.gone === 'yes') expect(stored, `${name} is back`).toBeUndefined()
      if (entry.movedTo !== undefined && entry.put === 'yes' && entry.movedTo.gone === 'no' && entry.gone === 'asked') {
        expect(isThere(entry) !== isThere(entry.movedTo), `${name} is there twice, or not at all`).toBe(true)
      }
      if (stored === undefined) continue
      expect(Buffer.from(stored.message.content).toString(), `body of ${name}`).toBe(entry.body)
      expect(stored.deliveryCount, `count of ${name}`).toBeGreaterThanOrEqual(entry.sureFailures)
      expect(additionsOf(stored), `additions of ${name}`).toBeGreaterThanOrEqual(entry.sureAdditions)
    }
    const known = new Set(this.entries.map(({ owner, sequence }) => `${owner.id}/${sequence}`))
    expect(
      [...found.keys()].filter((key) => !known.has(key)),
      `never put, seed ${seed}`,
    ).toEqual([])
    this.entries = this.entries.filter(isThere)
    for (const entry of this.entries) {
      const stored = found.get(`${entry.owner.id}/${entry.sequence}`) as StoredEntry
      const { deliveryCount } = stored
      const additions = additionsOf(stored)
      Object.assign(entry, {
        put: 'yes',
        gone: 'no',
        movedTo: undefined,
        failures: deliveryCount,
        sureFailures: deliveryCount,
        additions,
        sureAdditions: additions,
      })
    }
  }

  #checkOwners(records: readonly OwnerRecord[], seed: number): void {
    const names = new Map(records.map(({ spec, id }) => [spec.name, id]))
    const all = new Set([...this.owners, ...this.entries.map(({ owner }) => owner)])
    for (const owner of all) {
      const isThere = names.has(owner.name)
      if (owner.defined === 'yes' && owner.removed === 'no') expect(isThere, `${owner.name}, seed ${seed}`).toBe(true)
      if (owner.removed === 'yes') expect(isThere, `${owner.name}, seed ${seed}`).toBe(false)
      if (!isThere) continue
      owner.defined = 'yes'
      owner.removed = 'no'
    }
    this.owners.length = 0
    this.owners.push(...[...all].filter(({ name }) => names.has(name)))
  }
}

/** Entries that compaction has moved, as far as the segments still tell. */
async function rewritesIn(disk: SimulatedDisk): Promise<number> {
  let count = 0
  for (const name of await disk.list()) {
    if (!name.startsWith('seg-')) continue
    const bytes = await disk.readFile(name)
    for (let at = 0; ; ) {
      const header = readFrameHeader(bytes, at)
      if (header === undefined || `seg-${header.segment}` !== name || !isFrameIntact(bytes, at, header)) break
      readBlocks(bytes, at + frameHeaderBytes, at + header.bytes, ({ type }) => {
        if (type === RecordType.rewrite) count += 1
      })
      at += header.bytes
    }
  }
  return count
}

/** False if it crashed while it was opening. */
async function opened(store: JournalStore, disk: SimulatedDisk): Promise<readonly OwnerRecord[] | undefined> {
  let records: readonly OwnerRecord[] | undefined
  let failure: unknown
  store.open(testFormats).then(
    (found) => {
      records = found
    },
    (error: unknown) => {
      failure = error
    },
  )
  for (let turns = 0; records === undefined && !disk.isCrashed; turns += 1) {
    if (failure !== undefined) throw failure
    if (turns > 20_000) throw new Error('neither opened nor crashed')
    await new Promise(setImmediate)
  }
  return disk.isCrashed ? undefined : records
}

async function crashes(seed: number): Promise<number> {
  const random = randomOf(seed)
  const model = new Model(random)
  const clock = new VirtualClock()
  let disk = new SimulatedDisk()
  let rewrites = 0
  for (let round = 0; round <= roundsPerSeed; round += 1) {
    disk.crashAfter = round === 0 || round === roundsPerSeed ? Number.POSITIVE_INFINITY : Math.floor(random() * 300)
    const store = new JournalStore(disk, clock, sizes)
    const records = await opened(store, disk)
    if (records !== undefined) {
      disk.crashAfter = Number.POSITIVE_INFINITY
      await model.check(store, records, seed)
      if (round === roundsPerSeed) return rewrites
      disk.crashAfter = disk.operations + 100 + Math.floor(random() * 900)
      for (let steps = 0; !disk.isCrashed; steps += 1) {
        if (steps > 5_000) throw new Error(`the store has come to a halt, seed ${seed}`)
        const batch = store.batch()
        const sure = model.fill(batch)
        if (!batch.isEmpty) {
          store.commit(batch, (error) => {
            if (error !== undefined) throw error
            sure()
          })
        }
        if (random() < 0.02) clock.advance(31_000)
        await new Promise(setImmediate)
      }
    }
    rewrites += await rewritesIn(copyOf(disk))
    disk = disk.after(random() < 0.3 ? 'kill' : 'power loss', random)
  }
  return rewrites
}

function copyOf(disk: SimulatedDisk): SimulatedDisk {
  return disk.after('kill', Math.random)
}

test(`a journal that is being compacted, purged and its owners removed, loses power ${crashesWanted} times and nothing else`, async () => {
  const start = startSeed()
  let rewrites = 0
  for (let seed = start; seed < start + crashesWanted / roundsPerSeed; seed += 1) rewrites += await crashes(seed)
  expect(rewrites).toBeGreaterThan(crashesWanted)
}, 300_000)
