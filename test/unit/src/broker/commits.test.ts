import { describe, expect, test } from 'vitest'
import { Commits, type Confirmable } from '../../../../src/broker/commits.ts'
import { Memory } from '../../../../src/broker/flow.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { Turn } from '../../../../src/turn.ts'
import { HeldStore } from '../../../support/held-store.ts'
import { messageOf } from '../../../support/messages.ts'
import { TestBroker } from '../../../support/test-broker.ts'

/** Closes the broker; false if that takes more turns than it ever should. */
async function closes(test: TestBroker): Promise<boolean> {
  let isClosed = false
  void test.broker.close().then(() => {
    isClosed = true
  })
  for (let round = 0; round < 5; round += 1) await Promise.resolve()
  for (let round = 0; round < 50 && !isClosed; round += 1) {
    await test.settle()
    test.clock.advance(1000)
  }
  return isClosed
}

class Scene {
  readonly store: HeldStore
  readonly turn: Turn
  readonly commits: Commits
  readonly failures: BrokerError[]
  readonly #runs: (() => void)[]
  #puts: number

  constructor() {
    this.store = new HeldStore()
    this.failures = []
    this.#runs = []
    this.#puts = 0
    this.turn = new Turn((run) => this.#runs.push(run))
    this.commits = new Commits(this.store, this.turn, new Memory(Number.POSITIVE_INFINITY), (error) =>
      this.failures.push(error),
    )
    this.turn.attach(this.commits)
  }

  put(): void {
    this.#puts += 1
    const { batch } = this.commits
    batch.put(batch.define({ kind: 'queue', name: `q${this.#puts}`, settings: {} }), 1, messageOf(), 0)
  }

  /** A few turns, with time for the store between them. */
  async settle(): Promise<void> {
    for (let round = 0; round < 5; round += 1) {
      for (const run of this.#runs.splice(0)) run()
      await Promise.resolve()
    }
  }

  async isIdle(): Promise<boolean> {
    let resolved = false
    void this.commits.idle().then(() => {
      resolved = true
    })
    await this.settle()
    return resolved
  }
}

/** Numbers its requests as a session does. */
class Asker implements Confirmable {
  isTouched = false
  needsCommit = false
  confirmedUpTo = 0
  onConfirmed: () => void = () => {}
  readonly #scene: Scene
  #asked = 0
  #safe = 0
  #marks: { upTo: number; readonly commit: number }[] = []

  constructor(scene: Scene) {
    this.#scene = scene
  }

  ask(isDurable: boolean): void {
    this.#asked += 1
    if (isDurable) {
      this.needsCommit = true
      this.#scene.put()
    }
    this.#scene.commits.touch(this)
  }

  settleNow(): void {
    this.needsCommit = false
    const last = this.#marks.at(-1)
    if (last === undefined) this.#safe = this.#asked
    else last.upTo = this.#asked
  }

  await(commit: number): void {
    this.needsCommit = false
    this.#marks.push({ upTo: this.#asked, commit })
  }

  committed(commit: number): void {
    while (this.#marks[0] !== undefined && this.#marks[0].commit <= commit) this.#safe = this.#marks.shift()?.upTo ?? 0
    this.confirm()
  }

  confirm(): void {
    if (this.confirmedUpTo === this.#safe) return
    this.confirmedUpTo = this.#safe
    this.onConfirmed()
  }
}

describe('commits', () => {
  test('answer what needs no store at the end of the turn', async () => {
    const scene = new Scene()
    scene.store.isHeld = true
    const asker = new Asker(scene)
    asker.ask(false)
    expect(asker.confirmedUpTo).toBe(0)
    await scene.settle()
    expect(asker.confirmedUpTo).toBe(1)
    expect(scene.store.heldCount).toBe(0)
  })

  test('answer what needs the store when its commit is done, one commit after the other', async () => {
    const scene = new Scene()
    scene.store.isHeld = true
    const asker = new Asker(scene)
    for (let round = 0; round < 3; round += 1) {
      asker.ask(true)
      asker.ask(false)
      await scene.settle()
    }
    expect([asker.confirmedUpTo, scene.store.heldCount]).toEqual([0, 3])
    for (const upTo of [2, 4, 6]) {
      scene.store.letGo(1)
      await scene.settle()
      expect(asker.confirmedUpTo).toBe(upTo)
    }
  })

  test('keep what needs no store behind what does', async () => {
    const scene = new Scene()
    scene.store.isHeld = true
    const [durable, other] = [new Asker(scene), new Asker(scene)]
    durable.ask(true)
    await scene.settle()
    durable.ask(false)
    other.ask(false)
    await scene.settle()
    expect([durable.confirmedUpTo, other.confirmedUpTo]).toEqual([0, 1])
    scene.store.letGo()
    await scene.settle()
    expect(durable.confirmedUpTo).toBe(2)
  })

  test('confirm nothing early that is asked from inside a confirm of the same turn', async () => {
    const scene = new Scene()
    const [first, second] = [new Asker(scene), new Asker(scene)]
    first.ask(false)
    second.ask(false)
    scene.store.isHeld = true
    first.onConfirmed = () => {
      first.onConfirmed = () => {}
      second.ask(true)
    }
    await scene.settle()
    expect([first.confirmedUpTo, second.confirmedUpTo]).toEqual([1, 1])
    scene.store.letGo()
    await scene.settle()
    expect(second.confirmedUpTo).toBe(2)
  })

  test('write nothing where there is nothing to write', async () => {
    const scene = new Scene()
    scene.store.isHeld = true
    new Asker(scene).ask(false)
    await scene.settle()
    scene.turn.mark()
    await scene.settle()
    expect(scene.store.heldCount).toBe(0)
  })
})

describe('waiting for commits', () => {
  test('is over at once when there are none', async () => {
    expect(await new Scene().isIdle()).toBe(true)
  })

  test('is over when the last commit is done', async () => {
    const scene = new Scene()
    scene.store.isHeld = true
    scene.put()
    await scene.settle()
    scene.put()
    expect(await scene.isIdle()).toBe(false)
    scene.store.letGo(1)
    expect(await scene.isIdle()).toBe(false)
    scene.store.letGo(1)
    expect(await scene.isIdle()).toBe(true)
  })

  test('is over when there were only answers to give', async () => {
    const scene = new Scene()
    new Asker(scene).ask(false)
    expect(await scene.isIdle()).toBe(true)
  })

  test('is over when a turn finds that nothing was left to do', async () => {
    const scene = new Scene()
    scene.put()
    const asker = new Asker(scene)
    asker.onConfirmed = () => {
      asker.onConfirmed = () => {}
      asker.ask(false)
    }
    asker.ask(true)
    expect(await scene.isIdle()).toBe(true)
    expect(asker.confirmedUpTo).toBe(2)
  })

  test('is over when the store has failed, before or after', async () => {
    const scene = new Scene()
    scene.store.failure = new BrokerError('store-failed', 'no space left')
    scene.put()
    expect(await scene.isIdle()).toBe(true)
    scene.put()
    expect(await scene.isIdle()).toBe(true)
  })
})

describe('a failed commit', () => {
  test('is reported once; nothing is confirmed or written after it', async () => {
    const scene = new Scene()
    scene.store.isHeld = true
    const asker = new Asker(scene)
    asker.ask(true)
    await scene.settle()
    asker.ask(true)
    await scene.settle()
    scene.store.failure = new BrokerError('store-failed', 'no space left')
    scene.store.letGo()
    await scene.settle()
    scene.store.failure = undefined
    asker.ask(true)
    asker.ask(false)
    await scene.settle()
    expect(scene.failures.map((error) => error.code)).toEqual(['store-failed'])
    expect([asker.confirmedUpTo, scene.store.heldCount]).toEqual([0, 0])
  })

  test('followed by one that succeeds confirms nothing', async () => {
    const scene = new Scene()
    scene.store.isHeld = true
    const asker = new Asker(scene)
    asker.ask(true)
    await scene.settle()
    asker.ask(true)
    await scene.settle()
    scene.store.failure = new BrokerError('store-failed', 'lost')
    scene.store.letGo(1)
    await scene.settle()
    scene.store.failure = undefined
    scene.store.letGo(1)
    await scene.settle()
    expect(asker.confirmedUpTo).toBe(0)
  })

  test('ends every session with the reason, tells the owner, and lets the broker be closed', async () => {
    const store = new HeldStore()
    const test = await TestBroker.open({ store })
    const [sender, reader] = [test.connect(), test.connect()]
    reader.subscribe('orders')
    store.failure = new BrokerError('store-failed', 'no space left')
    sender.send('orders', 'a', { durable: true })
    sender.send('orders', 'b')
    await test.settle()
    expect([sender.closedBy?.code, reader.closedBy?.code]).toEqual(['store-failed', 'store-failed'])
    expect([sender.confirmedUpTo, reader.confirmedUpTo]).toEqual([0, 0])
    expect(test.failures).toHaveLength(1)
    expect(test.broker.connect({ principal: 'late', clientId: undefined }, sender)).toMatchObject({
      code: 'shutting-down',
    })
    expect(await closes(test)).toBe(true)
    expect(test.failures).toHaveLength(1)
  })
})

describe('closing a broker', () => {
  test('answers what was asked in the same turn', async () => {
    const test = await TestBroker.open()
    const client = test.connect()
    client.send('orders', 'a')
    expect(await closes(test)).toBe(true)
    expect([client.confirmedUpTo, client.closedBy?.code]).toEqual([1, 'shutting-down'])
  })

  test('waits for a commit under way, and twice is once', async () => {
    const store = new HeldStore()
    const test = await TestBroker.open({ store })
    const client = test.connect()
    store.isHeld = true
    client.send('orders', 'a', { durable: true })
    test.turn()
    const closed = test.broker.close()
    expect(test.broker.close()).toBe(closed)
    await test.settle()
    expect([client.confirmedUpTo, client.closedBy]).toEqual([0, undefined])
    store.letGo()
    expect(await closes(test)).toBe(true)
    expect([client.confirmedUpTo, client.closedBy?.code]).toEqual([1, 'shutting-down'])
  })
})
