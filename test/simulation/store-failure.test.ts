import { describe, expect, test } from 'vitest'
import type { BrokerError } from '../../src/errors.ts'
import { sealFrame } from '../../src/store/frame.ts'
import { defaultJournalTimes } from '../../src/store/journal-limits.ts'
import { JournalStore } from '../../src/store/journal-store.ts'
import type { DiskFile, Flushed } from '../../src/store/log/disk.ts'
import type { OwnerId } from '../../src/store/store.ts'
import { crashSizes as sizes } from '../support/crash.ts'
import { messageOf, testFormats } from '../support/messages.ts'
import { randomOf, startSeed } from '../support/seed.ts'
import { type Names, SimulatedDisk } from '../support/simulated-disk.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

function fault(code: string): Error {
  return Object.assign(new Error(`${code}: the device answers with an error`), { code })
}

/** A disk of which one kind of operation can be made to fail. */
class FaultyDisk extends SimulatedDisk {
  fails: 'nothing' | 'commit' | 'write' | 'writeFile' | 'flush' | 'everything that changes it' = 'nothing'

  protected override successor({ names, flushedNames }: Names): SimulatedDisk {
    return new FaultyDisk(names, flushedNames)
  }

  override commit(file: DiskFile, memory: Buffer, bytes: number, offset: number, flushed: Flushed): void {
    if (this.#failing('commit')) queueMicrotask(() => flushed(fault('EIO')))
    else super.commit(file, memory, bytes, offset, flushed)
  }

  override async write(file: DiskFile, bytes: Uint8Array, offset: number): Promise<void> {
    if (this.#failing('write')) throw fault('EIO')
    await super.write(file, bytes, offset)
  }

  override async writeFile(name: string, bytes: Uint8Array): Promise<void> {
    if (this.#failing('writeFile')) throw fault(this.fails === 'writeFile' ? 'EIO' : 'EROFS')
    await super.writeFile(name, bytes)
  }

  override async flush(file: DiskFile): Promise<void> {
    if (this.#failing('flush')) throw fault('EIO')
    await super.flush(file)
  }

  #failing(what: string): boolean {
    return this.fails === what || this.fails === 'everything that changes it'
  }
}

/** A disk whose commits are written but not flushed. */
class LazyDisk extends SimulatedDisk {
  protected override successor({ names, flushedNames }: Names): SimulatedDisk {
    return new LazyDisk(names, flushedNames)
  }

  override commit(file: DiskFile, memory: Buffer, bytes: number, offset: number, flushed: Flushed): void {
    const frame = memory.subarray(0, bytes)
    sealFrame(frame)
    this.write(file, frame, offset).then(() => flushed())
  }
}

interface Scene {
  readonly disk: SimulatedDisk
  readonly clock: VirtualClock
  readonly store: JournalStore
  readonly owner: OwnerId
  readonly failures: BrokerError[]
}

async function sceneOf<D extends SimulatedDisk>(disk: D, syncMs = 0): Promise<Scene & { disk: D }> {
  const clock = new VirtualClock()
  const store = new JournalStore(disk, clock, sizes, { ...defaultJournalTimes, syncMs })
  const failures: BrokerError[] = []
  store.onFailure = (error) => failures.push(error)
  const [found] = await store.open(testFormats)
  let owner = found?.id ?? 0
  if (owner === 0) {
    const batch = store.batch()
    owner = batch.define({ kind: 'queue', name: 'q', settings: {} })
    await new Promise<void>((resolve) => store.commit(batch, () => resolve()))
  }
  return { disk, clock, store, owner, failures }
}

/** Puts one message. Undefined, or why that failed. */
function put({ store, owner }: Scene, sequence: number, bytes = 100): Promise<BrokerError | undefined> {
  const batch = store.batch()
  batch.put(owner, sequence, messageOf({ body: 'x'.repeat(bytes), durable: true }), 0)
  return new Promise((resolve) => store.commit(batch, resolve))
}

async function turns(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) await new Promise(setImmediate)
}

async function sequences(disk: SimulatedDisk): Promise<number[]> {
  const { store, owner } = await sceneOf(disk)
  return (await store.read(owner, 4, 0, 10_000)).map(({ sequence }) => sequence)
}

describe('a store whose disk fails', () => {
  test('confirms nothing any more once a flush has failed, though later ones would succeed', async () => {
    const scene = await sceneOf(new FaultyDisk())
    expect(await put(scene, 1)).toBeUndefined()
    scene.disk.fails = 'commit'
    const [second, third] = [put(scene, 2), put(scene, 3)]
    expect((await second)?.code).toBe('store-failed')
    scene.disk.fails = 'nothing'
    expect((await third)?.code).toBe('store-failed')
    expect((await put(scene, 4))?.message).toBe('the store cannot be written: EIO: the device answers with an error')
    expect(scene.failures.map(({ message }) => message)).toEqual([
      'the store cannot be written: EIO: the device answers with an error',
    ])
    await scene.store.close()
    expect(await sequences(scene.disk.after('power loss', randomOf(1)))).toEqual([1])
  })

  test.each(['write', 'writeFile', 'flush'] as const)(
    'says so, commit or none, when a checkpoint cannot be made for a failed %s',
    async (what) => {
      const scene = await sceneOf(new FaultyDisk())
      expect(await put(scene, 1)).toBeUndefined()
      scene.disk.fails = what
      scene.clock.advance(31_000)
      await turns(20)
      expect(scene.failures.map(({ code }) => code)).toEqual(['store-failed'])
      scene.disk.fails = 'nothing'
      expect((await put(scene, 2))?.message).toMatch(/^the store cannot be written: EIO/)
      await scene.store.close()
      expect(await sequences(scene.disk.after('kill', randomOf(1)))).toEqual([1])
    },
  )

  test('cannot be opened on a disk that takes no changes, and leaves what is there', async () => {
    const scene = await sceneOf(new FaultyDisk())
    await put(scene, 1)
    await scene.store.close()
    const readOnly = scene.disk.after('kill', randomOf(1)) as FaultyDisk
    readOnly.fails = 'everything that changes it'
    const store = new JournalStore(readOnly, new VirtualClock(), sizes)
    await expect(store.open(testFormats)).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringMatching(/^the store cannot be opened: E(IO|ROFS): /),
    })
    await store.close()
    expect(await sequences(readOnly.after('kill', randomOf(1)))).toEqual([1])
  })
})

describe('the epoch file', () => {
  const line = async (disk: SimulatedDisk) => JSON.parse((await disk.readFile('epoch')).toString())

  test('is on disk before anything is appended, and grows with every opening', async () => {
    const disk = new SimulatedDisk()
    const first = await sceneOf(disk)
    expect(await line(disk)).toMatchObject({ epoch: 1 })
    await first.store.close()
    const second = disk.after('power loss', randomOf(1))
    await sceneOf(second)
    expect(await line(second)).toMatchObject({ epoch: 2 })
    expect((await line(second)).id).not.toBe((await line(disk)).id)
  })

  test('that is not whole is taken for none', async () => {
    const disk = new SimulatedDisk()
    const scene = await sceneOf(disk)
    await put(scene, 1)
    await disk.writeFile('epoch', Buffer.from('{"epo'))
    const next = disk.after('kill', randomOf(1))
    expect(await sequences(next)).toEqual([1])
    expect(await line(next)).toMatchObject({ epoch: 2 })
  })

  test('of another broker fails the store within a second, though nothing is committed', async () => {
    const scene = await sceneOf(new SimulatedDisk())
    await scene.disk.writeFile('epoch', Buffer.from('{"epoch":2,"id":"another"}\n'))
    scene.clock.advance(1_000)
    await turns(5)
    expect(scene.failures.map(({ message }) => message)).toEqual([
      'the data folder is not this broker\'s any more: it says {"epoch":2,"id":"another"}',
    ])
    expect((await put(scene, 1))?.code).toBe('store-failed')
  })

  test('that is gone fails it too', async () => {
    const scene = await sceneOf(new SimulatedDisk())
    await scene.disk.remove('epoch')
    scene.clock.advance(1_000)
    await turns(5)
    expect(scene.failures.map(({ message }) => message)).toEqual([expect.stringMatching(/epoch file cannot be read/)])
  })

  test('is looked at before a commit is confirmed that was stalled for long', async () => {
    const scene = await sceneOf(new SimulatedDisk())
    expect(await put(scene, 1)).toBeUndefined()
    const answers: unknown[] = []
    void put(scene, 2).then((error) => answers.push(error?.code))
    // The process stands still: its timers come late, after the flush.
    const stalled = scene.clock.now() + 2_001
    scene.clock.now = () => stalled
    await scene.disk.writeFile('epoch', Buffer.from('{"epoch":2,"id":"another"}\n'))
    await turns(10)
    expect(answers).toEqual(['store-failed'])
  })
})

describe('a store that is flushed now and then', () => {
  test('loses nothing to a kill, and to a power loss nothing older than that', async () => {
    const start = startSeed()
    for (let seed = start; seed < start + 30; seed += 1) {
      const random = randomOf(seed)
      const scene = await sceneOf(new LazyDisk(), 1_000)
      for (let sequence = 1; sequence <= 40; sequence += 1) expect(await put(scene, sequence, 900)).toBeUndefined()
      scene.clock.advance(1_000)
      await turns(20)
      for (let sequence = 41; sequence <= 60; sequence += 1) expect(await put(scene, sequence, 900)).toBeUndefined()
      const all = Array.from({ length: 60 }, (_, index) => index + 1)
      expect(await sequences(scene.disk.after('kill', random)), `seed ${seed}`).toEqual(all)
      const left = await sequences(scene.disk.after('power loss', random))
      expect(left.slice(0, 40), `seed ${seed}`).toEqual(all.slice(0, 40))
    }
  })

  test('flushes what a checkpoint relies on before that', async () => {
    const scene = await sceneOf(new LazyDisk(), 60_000)
    for (let sequence = 1; sequence <= 20; sequence += 1) await put(scene, sequence, 900)
    scene.clock.advance(31_000)
    await turns(20)
    for (let seed = 1; seed <= 20; seed += 1) {
      const left = await sequences(scene.disk.after('power loss', randomOf(seed)))
      expect(left, `seed ${seed}`).toHaveLength(20)
    }
  })
})
