import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { decodeCheckpoint } from '../../src/store/checkpoint.ts'
import { type FrameHeader, isFrameIntact, readFrameHeader } from '../../src/store/frame.ts'
import { JournalStore } from '../../src/store/journal-store.ts'
import type { OwnerId, OwnerRecord, OwnerSpec, StoredEntry, WriteBatch } from '../../src/store/store.ts'
import { crashSizes as sizes } from '../support/crash.ts'
import { messageOf, testFormats } from '../support/messages.ts'
import { randomOf, startSeed } from '../support/seed.ts'
import { type Random, SimulatedDisk } from '../support/simulated-disk.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const environment: { readonly FLIPS?: string } = process.env
const flips = Number(environment.FLIPS ?? 300)

const owners: readonly { readonly spec: OwnerSpec; readonly address: string }[] = [
  { spec: { kind: 'queue', name: 'a', settings: {} }, address: 'queue://a' },
  { spec: { kind: 'queue', name: 'b', settings: {} }, address: 'queue://b' },
  { spec: { kind: 'subscription', name: 's', settings: {} }, address: 'topic://prices' },
]

interface Live {
  readonly owner: OwnerId
  readonly sequence: number
  readonly body: string
  readonly priority: number
}

/** A store as a broker leaves it, and what is in it. */
interface Filled {
  readonly disk: SimulatedDisk
  readonly live: readonly Live[]
  /** Frames by file, with what they put. */
  readonly frames: readonly Place[]
}

interface Place {
  readonly name: string
  readonly offset: number
  readonly header: FrameHeader
  readonly text: string
}

function commit(store: JournalStore, batch: WriteBatch): Promise<void> {
  return new Promise((resolve, reject) => {
    store.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
  })
}

/** `batches` of puts and acknowledgements, so that the first segments are given up, and then a clean end or none. */
async function fill(random: Random, batches: number, isClosed: boolean): Promise<Filled> {
  const disk = new SimulatedDisk()
  const store = new JournalStore(disk, new VirtualClock(), sizes)
  await store.open(testFormats)
  const first = store.batch()
  const ids = owners.map(({ spec }) => first.define(spec))
  await commit(store, first)
  const live = new Map<string, Live>()
  for (let step = 1; step <= batches; step += 1) {
    const batch = store.batch()
    for (const [at, owner] of ids.entries()) {
      const body = `<${owner}/${step}>${'x'.repeat(random() < 0.02 ? 9_000 : 1 + Math.floor(random() * 300))}`
      const priority = random() < 0.2 ? 7 : 4
      batch.put(owner, step, messageOf({ body, priority, durable: true, address: owners[at]!.address }), 0)
      live.set(`${owner}/${step}`, { owner, sequence: step, body, priority })
    }
    const old = [...live.values()].filter(({ sequence }) => sequence < step - 20)
    for (const { owner, priority, sequence } of old) {
      batch.ack(owner, priority, sequence, false)
      live.delete(`${owner}/${sequence}`)
    }
    await commit(store, batch)
    // A checkpoint that is under way goes on.
    await new Promise(setImmediate)
  }
  if (isClosed) await store.close()
  else for (let turns = 0; turns < 50; turns += 1) await new Promise(setImmediate)
  return { disk, live: [...live.values()], frames: await framesOf(disk) }
}

async function framesOf(disk: SimulatedDisk): Promise<Place[]> {
  const found: Place[] = []
  for (const name of await disk.list()) {
    if (!name.startsWith('seg-')) continue
    const bytes = await disk.readFile(name)
    for (let offset = 0; offset < bytes.length; ) {
      const header = readFrameHeader(bytes, offset)
      if (header === undefined || `seg-${header.segment}` !== name || !isFrameIntact(bytes, offset, header)) break
      found.push({ name, offset, header, text: bytes.toString('latin1', offset, offset + header.bytes) })
      offset += header.bytes
    }
  }
  return found
}

/** The frames that count only together with this one. */
function batchOf(frames: readonly Place[], { header }: Place): Place[] {
  const ordered = [...frames].sort((left, right) => left.header.number - right.header.number)
  const at = ordered.findIndex((other) => other.header.number === header.number)
  let first = at
  while (ordered[first - 1]?.header.continues === true) first -= 1
  let last = at
  while (ordered[last]?.header.continues === true) last += 1
  return ordered.slice(first, last + 1)
}

async function newestCheckpoint(disk: SimulatedDisk) {
  const names = (await disk.list()).filter((name) => name.startsWith('ckpt-'))
  const all = await Promise.all(
    names.map(async (name) => ({ name, checkpoint: decodeCheckpoint(await disk.readFile(name)) })),
  )
  return all.sort((left, right) => (right.checkpoint?.number ?? 0) - (left.checkpoint?.number ?? 0))
}

class Opened {
  readonly store: JournalStore
  readonly records: readonly OwnerRecord[]

  private constructor(store: JournalStore, records: readonly OwnerRecord[]) {
    this.store = store
    this.records = records
  }

  static async open(disk: SimulatedDisk): Promise<Opened> {
    const store = new JournalStore(disk, new VirtualClock(), sizes)
    return new Opened(store, await store.open(testFormats))
  }

  /** One entry, or nothing if it is not there or cannot be read. */
  async read({ owner, priority, sequence }: Live): Promise<StoredEntry | undefined> {
    const [entry] = await this.store.read(owner, priority, sequence - 1, 1).catch(() => [])
    return entry?.sequence === sequence ? entry : undefined
  }

  async all(): Promise<(StoredEntry & { readonly owner: OwnerId })[]> {
    const all: (StoredEntry & { readonly owner: OwnerId })[] = []
    for (const { id, counts } of this.records) {
      for (const [priority, count] of counts.entries()) {
        let unreadable = 0
        const entries = await this.store.read(id, priority, 0, count + 1, () => {
          unreadable += 1
        })
        expect(entries.length + unreadable).toBe(count)
        all.push(...entries.map((entry) => ({ ...entry, owner: id })))
      }
    }
    return all
  }
}

function bodyOf(entry: StoredEntry | undefined): string | undefined {
  return entry === undefined ? undefined : Buffer.from(entry.message.content).toString()
}

function copyOf(disk: SimulatedDisk): SimulatedDisk {
  return disk.after('kill', Math.random)
}

describe.each([
  ['closed', true],
  ['killed', false],
] as const)('one bit turned over in the journal of a broker that was %s', (_, isClosed) => {
  test('costs at most what it is in, garbles nothing, and is reported', async () => {
    const start = startSeed()
    const random = randomOf(start)
    const { disk, live, frames } = await fill(random, 150, isClosed)
    const [newest] = await newestCheckpoint(disk)
    const from = newest?.checkpoint?.frame ?? 0
    let lost = 0
    for (let flip = 0; flip < flips; flip += 1) {
      const place = frames[Math.floor(random() * frames.length)] as Place
      const at = Math.floor(random() * (random() < 0.3 ? 40 : place.header.bytes))
      const bit = Math.floor(random() * 8)
      const name = `seed ${start}, ${place.name} frame ${place.header.number} byte ${at} bit ${bit}`
      const flipped = copyOf(disk)
      flipped.flip(place.name, place.offset + at, bit)
      const opened = await Opened.open(flipped)
      const found = new Map((await opened.all()).map((entry) => [`${entry.owner}/${entry.sequence}`, entry]))
      for (const [key, entry] of found) expect(bodyOf(entry)?.startsWith(`<${key}>x`) ?? false, name).toBe(true)
      const spoilt = batchOf(frames, place)
      const missing = live.filter((one) => bodyOf(found.get(`${one.owner}/${one.sequence}`)) !== one.body)
      for (const one of missing) {
        const mark = `<${one.owner}/${one.sequence}>`
        const isHit = spoilt.some(({ text }) => text.includes(mark)) || one.body.length > 2_000
        expect(isHit, `${mark}, ${name}`).toBe(true)
      }
      if (place.header.number >= from || missing.length > 0) expect(opened.store.report.damages, name).not.toEqual([])
      const kept = (await flipped.list()).filter((file) => file.startsWith('damaged-'))
      if (place.header.number < from) expect(kept.length, name).toBe(missing.length)
      lost += missing.length
      const batch = opened.store.batch()
      batch.define({ kind: 'queue', name: 'later', settings: {} })
      await commit(opened.store, batch)
    }
    expect(lost).toBeGreaterThan(0)
  }, 120_000)

  test('leaves everything there if it is in a checkpoint, or in both', async () => {
    const start = startSeed()
    const random = randomOf(start)
    const { disk, live } = await fill(random, 150, isClosed)
    const names = (await newestCheckpoint(disk)).map(({ name }) => name)
    for (let flip = 0; flip < 40; flip += 1) {
      const flipped = copyOf(disk)
      for (const name of flip % 4 === 3 ? names : [names[flip % names.length] as string]) {
        const { length } = await flipped.readFile(name)
        flipped.flip(name, Math.floor(random() * length), Math.floor(random() * 8))
      }
      const opened = await Opened.open(flipped)
      const all = await opened.all()
      const found = new Map(all.map((entry) => [`${entry.owner}/${entry.sequence}`, entry]))
      for (const one of live) {
        const entry = found.get(`${one.owner}/${one.sequence}`)
        expect(bodyOf(entry), `seed ${start}, ${flip}, ${one.owner}/${one.sequence}`).toBe(one.body)
      }
      expect(new Set(all.map(({ owner, sequence }) => `${owner}/${sequence}`)).size).toBe(all.length)
      const known = new Set(live.map(({ owner, sequence }) => `${owner}/${sequence}`))
      const back = all.filter(({ owner, sequence }) => !known.has(`${owner}/${sequence}`))
      // What had been acknowledged may come back then, but marked, and not in silence.
      expect(back.every(({ redelivered }) => redelivered)).toBe(true)
      if (back.length > 0) expect(opened.store.report.damages).not.toEqual([])
      await opened.store.close()
    }
  }, 60_000)
})

describe('one bit turned over in the index of a broker that was closed', () => {
  async function indexFiles(disk: SimulatedDisk): Promise<{ name: string; length: number }[]> {
    const names = (await disk.list()).filter((name) => name.startsWith('index-'))
    const files = await Promise.all(names.map(async (name) => ({ name, length: (await disk.readFile(name)).length })))
    return files.filter(({ length }) => length > 0)
  }

  test('costs nothing, and is reported if it is where something was', async () => {
    const start = startSeed()
    const random = randomOf(start)
    const { disk, live } = await fill(random, 150, true)
    const files = await indexFiles(disk)
    expect(files).not.toEqual([])
    let reported = 0
    for (let flip = 0; flip < flips; flip += 1) {
      const { name, length } = files[Math.floor(random() * files.length)] as { name: string; length: number }
      const flipped = copyOf(disk)
      const at = Math.floor(random() * length)
      flipped.flip(name, at, Math.floor(random() * 8))
      const opened = await Opened.open(flipped)
      const found = new Map((await opened.all()).map((entry) => [`${entry.owner}/${entry.sequence}`, entry]))
      for (const one of live) {
        const entry = found.get(`${one.owner}/${one.sequence}`)
        expect(bodyOf(entry), `seed ${start}, ${name} byte ${at}, ${one.owner}/${one.sequence}`).toBe(one.body)
      }
      expect(found.size).toBe(live.length)
      if (opened.store.report.damages.length > 0) reported += 1
      await opened.store.close()
    }
    expect(reported).toBeGreaterThan(flips / 20)
  }, 60_000)

  test('or a file of it gone, or too short, or all of it', async () => {
    const { disk, live } = await fill(randomOf(5), 150, true)
    const files = await indexFiles(disk)
    for (const { name } of [...files, { name: 'all' }]) {
      for (const how of ['gone', 'short'] as const) {
        const hurt = copyOf(disk)
        for (const one of files.filter((file) => file.name === name || name === 'all')) {
          if (how === 'gone') await hurt.remove(one.name)
          else await hurt.truncate(await hurt.open(one.name), 100)
        }
        const opened = await Opened.open(hurt)
        const found = new Map((await opened.all()).map((entry) => [`${entry.owner}/${entry.sequence}`, entry]))
        for (const one of live)
          expect(bodyOf(found.get(`${one.owner}/${one.sequence}`)), `${name} ${how}`).toBe(one.body)
        expect(opened.store.report.damages, `${name} ${how}`).not.toEqual([])
        await opened.store.close()
      }
    }
  })
})

describe('without any checkpoint', () => {
  async function openedWithout(
    flipsOf: (disk: SimulatedDisk) => Promise<void>,
  ): Promise<[Filled, Opened, SimulatedDisk]> {
    const filled = await fill(randomOf(7), 150, true)
    const disk = copyOf(filled.disk)
    expect(filled.frames[0]?.header.number, 'the first segments must have been given up').toBeGreaterThan(2)
    await flipsOf(disk)
    return [filled, await Opened.open(disk), disk]
  }

  test('owners whose definition is gone have their messages in queues named after their addresses', async () => {
    const [{ live }, opened] = await openedWithout(async (disk) => {
      for (const { name } of await newestCheckpoint(disk)) disk.flip(name, 100, 3)
    })
    const names = opened.records.map(({ spec }) => `${spec.kind} ${spec.name}`)
    expect(names.sort()).toEqual(['queue RECOVERED.prices', 'queue a', 'queue b'])
    for (const one of live) expect(bodyOf(await opened.read(one))).toBe(one.body)
    const reasons = opened.store.report.damages.map(({ reason }) => reason)
    expect(reasons.filter((reason) => reason.includes('the definition of owner'))).toHaveLength(3)
    expect(reasons.join()).toContain('are in the queue RECOVERED.prices')
  })

  test('and keep them when the broker goes on, and is opened again', async () => {
    const [{ live }, opened, disk] = await openedWithout(async (given) => {
      for (const { name } of await newestCheckpoint(given)) given.flip(name, 100, 3)
    })
    const batch = opened.store.batch()
    const owner = batch.define({ kind: 'queue', name: 'later', settings: {} })
    expect(opened.records.map(({ id }) => id)).not.toContain(owner)
    batch.put(owner, 1, messageOf({ body: 'later', durable: true, address: 'queue://later' }), 0)
    await commit(opened.store, batch)
    for (const how of ['killed', 'closed']) {
      if (how === 'closed') await opened.store.close()
      const again = await Opened.open(copyOf(disk))
      expect(again.records.map(({ spec }) => spec.name).sort(), how).toEqual(['RECOVERED.prices', 'a', 'b', 'later'])
      for (const one of live) expect(bodyOf(await again.read(one)), how).toBe(one.body)
      if (how === 'closed') expect(again.store.report).toEqual({ frameCount: 0, wasClean: true, damages: [] })
    }
  })
})

test('a message that is damaged on disk is taken out, its bytes are kept, and the rest goes on', async () => {
  const { disk, live, frames } = await fill(randomOf(3), 60, true)
  const one = live.find(({ body }) => body.length < 300) as Live
  const mark = `<${one.owner}/${one.sequence}>`
  const place = frames.find(({ text }) => text.includes(mark)) as Place
  disk.flip(place.name, place.offset + place.text.indexOf(mark) + 3, 2)
  const opened = await Opened.open(disk)
  const told: string[] = []
  opened.store.onDamage = ({ reason }) => told.push(reason)
  const { owner, priority, sequence } = one
  const gone: number[] = []
  const entries = await opened.store.read(owner, priority, sequence - 1, 3, (lost) => gone.push(lost))
  const expected = live.filter((other) => other.owner === owner && other.priority === priority)
  const others = expected.filter((other) => other.sequence > sequence)
  expect(gone).toEqual([sequence])
  expect(entries.map((entry) => entry.sequence)).toEqual(others.slice(0, 3).map((other) => other.sequence))
  expect(told).toHaveLength(1)
  expect(told[0]).toMatch(new RegExp(`message ${sequence} of the queue . .owner ${owner}.* kept as damaged-`))
  const [kept] = (await disk.list()).filter((name) => name.startsWith('damaged-'))
  expect((await disk.readFile(kept as string)).toString('latin1')).toContain(one.body.slice(-20))
  await opened.store.close()
  const again = await Opened.open(copyOf(disk))
  const left = again.records.find(({ id }) => id === owner)?.counts[priority]
  expect(left).toBe(expected.length - 1)
  expect(again.store.report.damages).toEqual([])
})

describe('a store that a newer broker has written is refused with a sentence', () => {
  /** Raises the u16 version at a place, with the CRC of what follows `from` put right. */
  async function raise(
    disk: SimulatedDisk,
    name: string,
    at: number,
    crcAt: number,
    from: number,
    end?: number,
  ): Promise<void> {
    const bytes = await disk.readFile(name)
    bytes.writeUInt16LE(bytes.readUInt16LE(at) + 1, at)
    bytes.writeUInt32LE(crc32(bytes.subarray(from, end)), crcAt)
    await disk.writeFile(name, bytes)
  }

  test('found in a checkpoint', async () => {
    const { disk } = await fill(randomOf(1), 20, true)
    for (const { name } of await newestCheckpoint(disk)) await raise(disk, name, 8, 4, 8)
    await expect(Opened.open(disk)).rejects.toThrow(
      /the store has format 3; this broker knows formats up to 2: start the newer one/,
    )
  })

  test('found in a frame', async () => {
    const { disk, frames } = await fill(randomOf(1), 20, false)
    const [first] = frames
    await raise(disk, first?.name ?? '', 32, 8, 12, 40)
    await expect(Opened.open(disk)).rejects.toThrow(/the store has format 3; /)
  })
})
