import { describe, expect, test } from 'vitest'
import type { JournalTimes } from '../../../../src/store/journal-limits.ts'
import { JournalStore } from '../../../../src/store/journal-store.ts'
import type { OwnerId, WriteBatch } from '../../../../src/store/store.ts'
import { patientSizes } from '../../../support/crash.ts'
import { messageOf, testFormats } from '../../../support/messages.ts'
import { SimulatedDisk } from '../../../support/simulated-disk.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

class FailingDisk extends SimulatedDisk {
  isFailing = false

  override commit(...all: Parameters<SimulatedDisk['commit']>): void {
    if (this.isFailing) queueMicrotask(() => all[4](new Error('EIO')))
    else super.commit(...all)
  }
}

class Scene {
  readonly disk: FailingDisk
  readonly clock: VirtualClock
  readonly store: JournalStore
  /** What has been told, in order: the names of commits. */
  readonly told: string[]
  #owner: OwnerId
  #sequence: number

  private constructor(times?: JournalTimes) {
    this.disk = new FailingDisk()
    this.clock = new VirtualClock()
    this.store = new JournalStore(this.disk, this.clock, patientSizes, times)
    this.told = []
    this.#owner = 0
    this.#sequence = 0
  }

  static async open(times?: JournalTimes): Promise<Scene> {
    const scene = new Scene(times)
    await scene.store.open(testFormats)
    const batch = scene.store.batch()
    scene.#owner = batch.define({ kind: 'queue', name: 'q', settings: {} })
    scene.store.commit(batch, () => undefined)
    await scene.rest()
    return scene
  }

  /** With a consumer that has just accepted what was put. */
  static async prompt(times?: JournalTimes): Promise<Scene> {
    const scene = await Scene.open(times)
    const range = scene.put('sample')
    await scene.rest()
    scene.accept('sample accepted', range)
    await scene.rest()
    scene.told.length = 0
    return scene
  }

  /** Puts messages in one commit, each as long as `bytes`. Returns the first and the last sequence. */
  put(name: string, count = 4, bytes = 200, init = {}): readonly [number, number] {
    const batch = this.store.batch()
    const first = this.#sequence + 1
    for (let left = count; left > 0; left -= 1) {
      this.#sequence += 1
      const message = messageOf({ body: `${name} `.padEnd(bytes, 'x'), durable: true, ...init })
      batch.put(this.#owner, this.#sequence, message, message.deliverAt)
    }
    this.#commit(batch, name)
    return [first, this.#sequence]
  }

  accept(
    name: string,
    [first, last]: readonly [number, number],
    also: (batch: { horizon: () => void }) => void = noMore,
  ): void {
    const batch = this.store.batch()
    for (let sequence = first; sequence <= last; sequence += 1) batch.ack(this.#owner, 4, sequence, true)
    also({ horizon: () => batch.horizon(this.#owner, last) })
    this.#commit(batch, name)
  }

  #commit(batch: WriteBatch, name: string): void {
    this.store.commit(batch, (error) => this.told.push(error === undefined ? name : `${name}: ${error.code}`))
  }

  /** Lets the disk do what it has been given. */
  async rest(): Promise<void> {
    for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate)
  }

  /** Whether any file has that text. */
  async holds(text: string): Promise<boolean> {
    for (const name of await this.disk.list()) if ((await this.disk.readFile(name)).includes(text)) return true
    return false
  }

  async sequences(): Promise<readonly number[]> {
    return (await this.store.read(this.#owner, 4, 0, 1000)).map(({ sequence }) => sequence)
  }
}

function noMore(): void {
  // Nothing else is in the batch.
}

describe('nothing waits', () => {
  test('before a message has been accepted, nor while none is', async () => {
    const scene = await Scene.open()
    for (let name = 0; name < 5; name += 1) {
      scene.put(`${name}`)
      await scene.rest()
      scene.clock.advance(1_100)
    }
    expect(scene.told).toEqual(['0', '1', '2', '3', '4'])
  })

  test('if it may for 0 ms', async () => {
    const scene = await Scene.prompt({ syncMs: 0, patienceMs: 0 })
    scene.put('written')
    await scene.rest()
    expect(scene.told).toEqual(['written'])
  })

  test('for consumers that take longer than it may', async () => {
    const scene = await Scene.prompt()
    const range = scene.put('waits')
    await scene.rest()
    scene.clock.advance(29)
    scene.accept('in time', range)
    const late = scene.put('waits too')
    await scene.rest()
    expect(scene.told).toEqual(['waits', 'in time'])
    scene.clock.advance(30)
    await scene.rest()
    scene.accept('late', late)
    scene.put('does not wait')
    await scene.rest()
    expect(scene.told.slice(2)).toEqual(['waits too', 'late', 'does not wait'])
  })

  test('for a message that is never accepted, but for others again once they are', async () => {
    const scene = await Scene.prompt()
    scene.put('never accepted')
    await scene.rest()
    scene.clock.advance(1_100)
    await scene.rest()
    scene.accept('accepted', scene.put('does not wait'))
    expect(scene.told).toEqual(['never accepted'])
    await scene.rest()
    expect(scene.told).toEqual(['never accepted', 'does not wait', 'accepted'])
    scene.clock.advance(50)
    scene.put('waits')
    await scene.rest()
    expect(scene.told.slice(3)).toEqual([])
  })

  test('for consumers that accept only what has been confirmed, but once in ten seconds', async () => {
    const scene = await Scene.prompt()
    const waits = async (): Promise<boolean> => {
      scene.told.length = 0
      const range = scene.put('put')
      await scene.rest()
      const hasWaited = scene.told.length === 0
      if (hasWaited) scene.clock.advance(30)
      await scene.rest()
      scene.accept('accepted', range)
      await scene.rest()
      return hasWaited
    }
    for (let tries = 0; tries < 3; tries += 1) {
      expect(await waits()).toBe(true)
      for (let time = 0; time < 9; time += 1) {
        expect(await waits()).toBe(false)
        scene.clock.advance(1_000)
      }
      scene.clock.advance(1_000)
      expect(await waits()).toBe(false)
    }
  })
})

test('what is accepted while it waits is safe at once, in the order of commits, and the disk is not touched', async () => {
  const scene = await Scene.prompt()
  const { operations } = scene.disk
  const first = scene.put('first')
  const second = scene.put('second')
  await scene.rest()
  expect(scene.told).toEqual([])
  scene.accept('second accepted', second)
  expect(scene.told).toEqual([])
  scene.accept('first accepted', first)
  expect(scene.told).toEqual(['first', 'second', 'second accepted', 'first accepted'])
  await scene.rest()
  expect(scene.disk.operations).toBe(operations)
  expect(await scene.sequences()).toEqual([])
})

test('what is not accepted in time is written, and what was accepted of the same batch is not', async () => {
  const scene = await Scene.prompt()
  const [first, last] = scene.put('mixed', 6)
  scene.accept('two accepted', [first + 1, first + 2])
  await scene.rest()
  expect(scene.told).toEqual([])
  scene.clock.advance(29)
  await scene.rest()
  expect([scene.told, await scene.holds('mixed')]).toEqual([[], false])
  scene.clock.advance(1)
  await scene.rest()
  expect([scene.told, await scene.holds('mixed')]).toEqual([['mixed', 'two accepted'], true])
  expect(await scene.sequences()).toEqual([first, first + 3, first + 4, last])
})

test('little is written at once, and so is the rest of a batch of which little is left', async () => {
  const scene = await Scene.prompt()
  scene.put('little', 1)
  await scene.rest()
  expect(scene.told).toEqual(['little'])
  const [first, last] = scene.put('most', 6)
  await scene.rest()
  scene.accept('accepted', [first, last - 1])
  await scene.rest()
  expect(scene.told).toEqual(['little', 'most', 'accepted'])
  expect(await scene.sequences()).toEqual([first - 1, last])
})

test('other changes of a batch are written once its messages have been accepted', async () => {
  const scene = await Scene.prompt()
  const range = scene.put('accepted')
  scene.accept('with a horizon', range, (batch) => batch.horizon())
  expect(scene.told).toEqual(['accepted'])
  await scene.rest()
  expect(scene.told).toEqual(['accepted', 'with a horizon'])
})

test('after a wait in vain nothing waits for a while, and for longer the next time', async () => {
  const scene = await Scene.prompt()
  for (const restMs of [50, 100, 200]) {
    scene.told.length = 0
    const [, last] = scene.put('in vain', 8)
    await scene.rest()
    expect(scene.told).toEqual([])
    scene.clock.advance(30)
    await scene.rest()
    expect(scene.told).toEqual(['in vain'])
    scene.accept('too late', [last - 7, last])
    scene.clock.advance(restMs - 1)
    scene.told.length = 0
    // As long as it is being written nobody is told, although it is accepted.
    scene.accept('accepted', scene.put('rests'))
    expect(scene.told).toEqual([])
    await scene.rest()
    scene.clock.advance(1)
  }
})

test('nothing waits longer because the time is set back', async () => {
  const scene = await Scene.prompt()
  scene.put('waits')
  await scene.rest()
  expect(scene.told).toEqual([])
  const { now } = scene.clock
  scene.clock.now = () => now.call(scene.clock) - 3_600_000
  scene.clock.advance(30)
  await scene.rest()
  expect(scene.told).toEqual(['waits'])
})

test.each([
  ['that nobody gets before they are on disk', { waitsForStore: true }],
  ['that are for later', { deliverAt: 1_700_000_100_000 }],
])('messages %s do not wait to be accepted', async (_, init) => {
  const scene = await Scene.prompt()
  scene.put('pressing', 4, 200, init)
  await scene.rest()
  expect(scene.told).toEqual(['pressing'])
})

test('closing waits for nobody: what has not been accepted is written', async () => {
  const scene = await Scene.prompt()
  const [first, last] = scene.put('left', 2, 400)
  await scene.store.close()
  expect(scene.told).toEqual(['left'])
  const again = new JournalStore(scene.disk, scene.clock, patientSizes)
  const [owner] = await again.open(testFormats)
  const found = await again.read(owner?.id ?? 0, 4, 0, 1000)
  expect(found.map(({ sequence }) => sequence)).toEqual([first, last])
})

test('a failed write fails what waits', async () => {
  const scene = await Scene.prompt()
  scene.disk.isFailing = true
  scene.put('little', 1)
  scene.put('waiting')
  expect(scene.told).toEqual([])
  await scene.rest()
  expect(scene.told).toEqual(['little: store-failed', 'waiting: store-failed'])
  expect(scene.clock.pendingCount).toBe(0)
})

test('who is told may commit more, and is told of that after all that was before', async () => {
  const scene = await Scene.prompt()
  const batch = scene.store.batch()
  batch.state('key', new Uint8Array(1))
  scene.store.commit(batch, () => {
    scene.told.push('outer')
    const inner = scene.store.batch()
    scene.store.commit(inner, () => scene.told.push('inner'))
  })
  scene.store.commit(scene.store.batch(), () => scene.told.push('behind'))
  await scene.rest()
  expect(scene.told).toEqual(['outer', 'behind', 'inner'])
})
