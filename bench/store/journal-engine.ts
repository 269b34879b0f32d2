import { join } from 'node:path'
import { Address } from '../../src/address.ts'
import { systemClock } from '../../src/clock.ts'
import { type ContentFormat, Message, MessageSource } from '../../src/message.ts'
import { JournalStore } from '../../src/store/journal-store.ts'
import { FileDisk } from '../../src/store/log/file-disk.ts'
import { PoolLane } from '../../src/store/log/pool-lane.ts'
import { WorkerLane } from '../../src/store/log/worker-lane.ts'
import type { OwnerId } from '../../src/store/store.ts'
import type { Engine } from './engine.ts'

const priority = 4
const format: ContentFormat = {
  name: 'bench',
  view() {
    throw new Error('nobody looks into these messages')
  },
}

/** The broker's own store with one queue in it. */
export class JournalEngine implements Engine {
  readonly #folder: string
  readonly #isPooled: boolean
  readonly #address: Address
  readonly #source: MessageSource
  #store: JournalStore | undefined
  #owner: OwnerId

  constructor(folder: string, isPooled: boolean) {
    this.#folder = join(folder, 'journal')
    this.#isPooled = isPooled
    this.#address = Address.must('queue', 'bench')
    this.#source = new MessageSource('bench-', undefined, 'bench')
    this.#store = undefined
    this.#owner = 0
  }

  async open(): Promise<void> {
    const lane = this.#isPooled ? new PoolLane() : new WorkerLane()
    const store = new JournalStore(await FileDisk.open(this.#folder, lane, () => Promise.resolve()), systemClock)
    this.#store = store
    const [queue] = await store.open(() => format)
    if (queue !== undefined) this.#owner = queue.id
    else {
      const batch = store.batch()
      this.#owner = batch.define({ kind: 'queue', name: 'bench', settings: {} })
      await commit(store, batch)
    }
  }

  exchange(first: number, bodies: readonly Buffer[], goneFrom: number, goneTo: number): Promise<void> {
    const store = this.#opened()
    const batch = store.batch()
    for (const [index, body] of bodies.entries()) {
      batch.put(this.#owner, first + index + 1, this.#message(body, first + index), 0)
    }
    for (let number = goneFrom; number < goneTo; number += 1) batch.ack(this.#owner, priority, number + 1, true)
    return commit(store, batch)
  }

  async read(from: number, count: number): Promise<readonly Buffer[]> {
    const entries = await this.#opened().read(this.#owner, priority, from, count)
    return entries.map(({ message }) => message.content as Buffer)
  }

  async close(): Promise<void> {
    await this.#opened().close()
  }

  #opened(): JournalStore {
    if (this.#store === undefined) throw new Error('the journal is not open')
    return this.#store
  }

  #message(content: Buffer, number: number): Message {
    return new Message({
      address: this.#address,
      format,
      content,
      bodyOffset: 0,
      durable: true,
      priority,
      expiresAt: 0,
      deliverAt: 0,
      timestamp: 0,
      groupId: undefined,
      retain: false,
      source: this.#source,
      number,
      annotations: undefined,
    })
  }
}

function commit(store: JournalStore, batch: Parameters<JournalStore['commit']>[0]): Promise<void> {
  return new Promise((resolve, reject) => {
    store.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
  })
}
