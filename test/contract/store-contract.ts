import { afterEach, describe, expect, test } from 'vitest'
import { stateBytesMax, stateKeyBytesMax } from '../../src/limits.ts'
import type { ContentFormat, Message } from '../../src/message.ts'
import { MessageSource } from '../../src/message.ts'
import type { MessageStore, OwnerId, OwnerRecord, OwnerSpec, StoredEntry, WriteBatch } from '../../src/store/store.ts'
import { type MessageGiven, messageOf } from '../support/messages.ts'

/** Where one store after another keeps its messages. */
export interface StoreGround {
  /** A store over what is there: for the first time, or after the one before was closed. */
  store(): MessageStore | Promise<MessageStore>
  /** Ends the ground itself: removes files. */
  clear?(): Promise<void>
}

/** Knows the format of the messages that tests make, and no other. */
function formats(name: string): ContentFormat | undefined {
  const { format } = messageOf()
  return name === format.name ? format : undefined
}

/** A store that is open, and what a test does with it. */
class Bench {
  readonly ground: StoreGround
  records: readonly OwnerRecord[]
  #store: MessageStore

  private constructor(ground: StoreGround, store: MessageStore, records: readonly OwnerRecord[]) {
    this.ground = ground
    this.records = records
    this.#store = store
  }

  static async open(ground: StoreGround): Promise<Bench> {
    const store = await ground.store()
    return new Bench(ground, store, await store.open(formats))
  }

  get store(): MessageStore {
    return this.#store
  }

  /** Fills a batch, commits it and waits. */
  async commit(fill: (batch: WriteBatch) => void): Promise<void> {
    const batch = this.#store.batch()
    fill(batch)
    await this.committed(batch)
  }

  committed(batch: WriteBatch): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#store.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
    })
  }

  /** Defines an owner in a commit of its own. */
  async define(spec: OwnerSpec): Promise<OwnerId> {
    let owner: OwnerId = 0
    await this.commit((batch) => {
      owner = batch.define(spec)
    })
    return owner
  }

  async reopen(): Promise<void> {
    await this.#store.close()
    this.#store = await this.ground.store()
    this.records = await this.#store.open(formats)
  }

  record(name: string): OwnerRecord | undefined {
    return this.records.find((record) => record.spec.name === name)
  }

  /** All entries of an owner and priority, read in pages of `page`. */
  async read(owner: OwnerId, priority = 4, page = 100): Promise<StoredEntry[]> {
    const found: StoredEntry[] = []
    for (;;) {
      const entries = await this.#store.read(owner, priority, found.at(-1)?.sequence ?? 0, page)
      found.push(...entries)
      if (entries.length < page) return found
    }
  }

  async texts(owner: OwnerId, priority = 4): Promise<string[]> {
    return (await this.read(owner, priority)).map((entry) => textOf(entry.message))
  }
}

function queue(name: string): OwnerSpec {
  return { kind: 'queue', name, settings: {} }
}

const source = new MessageSource('ID:contract-1-', 'client', 'principal')

function durable(text: string, given: MessageGiven = {}): Message {
  return messageOf({ body: text, durable: true, source, ...given })
}

function textOf(message: Message): string {
  return Buffer.from(message.content).toString()
}

/** What a message is to look like when it comes back. */
function factsOf(message: Message): unknown {
  return {
    id: message.id,
    address: message.address.toString(),
    format: message.format.name,
    content: Buffer.from(message.content).toString('hex'),
    bodyOffset: message.bodyOffset,
    durable: message.durable,
    priority: message.priority,
    expiresAt: message.expiresAt,
    deliverAt: message.deliverAt,
    timestamp: message.timestamp,
    groupId: message.groupId,
    retain: message.retain,
    annotations: message.annotations,
    additions: message.additions === undefined ? undefined : Buffer.from(message.additions).toString('hex'),
    clientId: message.source.clientId,
    principal: message.source.principal,
  }
}

/** What every engine of {@link MessageStore} promises. `open` gives a new, empty ground for each test. */
export function storeContract(name: string, open: () => Promise<StoreGround>): void {
  describe(`${name} as a message store`, () => {
    const benches: Bench[] = []

    async function bench(): Promise<Bench> {
      const made = await Bench.open(await open())
      benches.push(made)
      return made
    }

    afterEach(async () => {
      for (const made of benches.splice(0)) {
        await made.store.close()
        await made.ground.clear?.()
      }
    })

    describe('opened', () => {
      test('for the first time holds nothing', async () => {
        expect((await bench()).records).toEqual([])
      })

      test('again holds the owners with their settings, and their entries counted', async () => {
        const b = await bench()
        const spec: OwnerSpec = {
          kind: 'subscription',
          name: 'own/2:me/mine',
          settings: { filter: 'a.*', shared: false },
        }
        const [orders, mine] = [await b.define(queue('orders')), await b.define(spec)]
        await b.commit((batch) => {
          for (const [index, priority] of [4, 9, 4, 0].entries()) {
            batch.put(orders, index + 1, durable('x', { priority }), 0)
          }
        })
        await b.reopen()
        expect(b.records).toHaveLength(2)
        expect(b.record('orders')).toMatchObject({
          id: orders,
          spec: queue('orders'),
          counts: [1, 0, 0, 0, 2, 0, 0, 0, 0, 1],
          lastSequence: 4,
        })
        expect(b.record('own/2:me/mine')).toMatchObject({ id: mine, spec, bytes: 0, counts: Array(10).fill(0) })
        expect(b.record('orders')?.bytes).toBeGreaterThan(0)
      })

      test('again gives no new owner the number of an old one', async () => {
        const b = await bench()
        const [first, second] = [await b.define(queue('a')), await b.define(queue('b'))]
        await b.commit((batch) => batch.remove(second))
        await b.reopen()
        const third = await b.define(queue('c'))
        expect(new Set([first, second, third]).size).toBe(3)
        await b.reopen()
        expect(b.records.map((record) => record.spec.name).sort()).toEqual(['a', 'c'])
      })

      test('again remembers the highest sequence even of an owner that is empty', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        await b.commit((batch) => batch.put(owner, 7, durable('x'), 0))
        await b.commit((batch) => batch.ack(owner, 4, 7, true))
        await b.reopen()
        expect(b.record('orders')).toMatchObject({ lastSequence: 7, counts: Array(10).fill(0) })
      })

      test('again does not hold what was not committed', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        const batch = b.store.batch()
        batch.put(owner, 1, durable('never'), 0)
        batch.define(queue('never'))
        await b.reopen()
        expect(b.records.map((record) => record.spec.name)).toEqual(['orders'])
        expect(await b.texts(owner)).toEqual([])
      })

      test('several times holds what every one of them has committed', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        for (const [index, text] of ['a', 'b', 'c', 'd'].entries()) {
          await b.commit((batch) => {
            batch.put(owner, index + 1, durable(text), 0)
            if (text === 'c') batch.ack(owner, 4, 1, true)
          })
          await b.reopen()
        }
        expect(await b.texts(owner)).toEqual(['b', 'c', 'd'])
      })
    })

    describe('committing', () => {
      test('answers once, and never before the call returns', async () => {
        const b = await bench()
        const batch = b.store.batch()
        batch.define(queue('orders'))
        const answers: unknown[] = []
        let hasReturned = false
        const answered = new Promise<void>((resolve) => {
          b.store.commit(batch, (error) => {
            answers.push([hasReturned, error])
            resolve()
          })
          hasReturned = true
        })
        await answered
        await b.store.close()
        expect(answers).toEqual([[true, undefined]])
      })

      test('answers in order, however many are under way', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        const answers: number[] = []
        const all = Array.from({ length: 20 }, (_, index) => {
          const batch = b.store.batch()
          batch.put(owner, index + 1, durable(`${index}`), 0)
          return new Promise<void>((resolve, reject) => {
            b.store.commit(batch, (error) => {
              answers.push(index)
              if (error === undefined) resolve()
              else reject(error)
            })
          })
        })
        await Promise.all(all)
        expect(answers).toEqual(Array.from({ length: 20 }, (_, index) => index))
        await b.reopen()
        expect(await b.texts(owner)).toEqual(answers.map(String))
      })

      test('applies the changes of a batch in their order', async () => {
        const b = await bench()
        await b.commit((batch) => {
          const owner = batch.define(queue('a'))
          batch.put(owner, 1, durable('in and out'), 0)
          batch.ack(owner, 4, 1, false)
          batch.put(owner, 2, durable('stays'), 0)
          batch.redeliver(owner, 4, 2, 1, 0)
          batch.redeliver(owner, 4, 2, 2, 5000)
          const gone = batch.define(queue('gone'))
          batch.put(gone, 1, durable('x'), 0)
          batch.remove(gone)
        })
        await b.reopen()
        expect(b.records.map((record) => record.spec.name)).toEqual(['a'])
        const [record] = b.records
        expect(await b.read(record?.id ?? 0)).toMatchObject([{ sequence: 2, deliveryCount: 2, notBefore: 5000 }])
      })

      test('applies batches in the order of their commits, not of their making', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        const [first, second] = [b.store.batch(), b.store.batch()]
        second.put(owner, 1, durable('x'), 0)
        first.ack(owner, 4, 1, false)
        await Promise.all([b.committed(second), b.committed(first)])
        await b.reopen()
        expect(await b.texts(owner)).toEqual([])
      })

      test('takes a batch whose every put has left again', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        const batch = b.store.batch()
        expect(batch.isEmpty).toBe(true)
        batch.put(owner, 1, durable('x'), 0)
        batch.ack(owner, 4, 1, true)
        expect(batch.isEmpty).toBe(false)
        await b.committed(batch)
        await b.reopen()
        expect(await b.texts(owner)).toEqual([])
      })

      test('keeps a put that an acknowledgement of another owner or priority resembles', async () => {
        const b = await bench()
        const [a, c] = [await b.define(queue('a')), await b.define(queue('c'))]
        await b.commit((batch) => {
          batch.put(a, 1, durable('a1'), 0)
          batch.put(a, 2, durable('a2', { priority: 5 }), 0)
          batch.put(c, 1, durable('c1'), 0)
          batch.put(c, 2, durable('c2'), 0)
        })
        await b.commit((batch) => {
          batch.ack(c, 4, 1, true)
          batch.ack(a, 5, 2, true)
        })
        await b.reopen()
        expect([await b.texts(a), await b.texts(a, 5), await b.texts(c)]).toEqual([['a1'], [], ['c2']])
      })
    })

    describe('an entry', () => {
      test('comes back as it was put, every field of the message', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        const messages = [
          durable(''),
          durable('x'.repeat(100_000), { groupId: 'gröup', priority: 4, expiresAt: 1_800_000_000_123 }),
          durable('', { body: new Uint8Array([0, 255, 10, 13, 0]), retain: true, deliverAt: 12, timestamp: 34 }),
          durable('annotated', { annotations: { reason: 'nö', count: 3, time: 1_700_000_000_000 } }),
          durable('added to', { annotations: { reason: 'x' }, additions: new Uint8Array([0, 200, 255]) }),
          messageOf({
            body: 'not durable, but kept',
            address: 'topic://a.b',
            source: new MessageSource('p-', undefined, ''),
          }),
        ]
        await b.commit((batch) => {
          for (const [index, message] of messages.entries()) batch.put(owner, index + 1, message, index)
        })
        await b.reopen()
        const entries = await b.read(owner)
        expect(entries.map((entry) => factsOf(entry.message))).toEqual(messages.map(factsOf))
        expect(
          entries.map(({ sequence, deliveryCount, redelivered, notBefore }) => [
            sequence,
            deliveryCount,
            redelivered,
            notBefore,
          ]),
        ).toEqual([1, 2, 3, 4, 5, 6].map((sequence) => [sequence, 0, false, sequence - 1]))
      })

      test('keeps its last delivery count and time, and counts as seen', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        await b.commit((batch) => {
          for (const sequence of [1, 2]) batch.put(owner, sequence, durable('x'), 0)
        })
        await b.commit((batch) => batch.redeliver(owner, 4, 2, 1, 1000))
        await b.commit((batch) => batch.redeliver(owner, 4, 2, 2, 0))
        await b.reopen()
        expect(await b.read(owner)).toMatchObject([
          { sequence: 1, deliveryCount: 0, redelivered: false, notBefore: 0 },
          { sequence: 2, deliveryCount: 2, redelivered: true, notBefore: 0 },
        ])
      })

      test('whose message is amended has the newer one, in its place, and its neighbours do not', async () => {
        const b = await bench()
        const owners = [await b.define(queue('a')), await b.define(queue('b'))] as const
        const [shared, long] = [durable('shared', { annotations: { kept: 1 } }), durable('l'.repeat(100_000))]
        await b.commit((batch) => {
          for (const owner of owners) batch.put(owner, 1, shared, 7)
          batch.put(owners[0], 2, long, 0)
          batch.put(owners[0], 3, durable('last'), 0)
        })
        const amended = [shared, long].map((message) => message.with({ additions: new Uint8Array([1, 2]) }))
        const latest = amended[1]?.with({ additions: new Uint8Array([3]) }) as Message
        for (const [index, message] of [...amended, latest].entries()) {
          const sequence = Math.min(index + 1, 2)
          await b.commit((batch) => {
            batch.redeliver(owners[0], 4, sequence, index, 100 + index)
            batch.amend(owners[0], 4, sequence, message)
          })
        }
        const check = async (): Promise<void> => {
          const entries = await b.read(owners[0])
          expect(entries.map(({ message }) => factsOf(message))).toEqual(
            [amended[0] as Message, latest, durable('last')].map((message, index) => ({
              ...(factsOf(message) as object),
              id: entries[index]?.message.id,
            })),
          )
          expect(entries).toMatchObject([
            { sequence: 1, deliveryCount: 0, redelivered: true, notBefore: 100 },
            { sequence: 2, deliveryCount: 2, redelivered: true, notBefore: 102 },
            { sequence: 3, deliveryCount: 0, redelivered: false, notBefore: 0 },
          ])
          const [other] = await b.read(owners[1])
          expect([other?.notBefore, other === undefined ? undefined : factsOf(other.message)]).toEqual([
            7,
            factsOf(shared),
          ])
        }
        await check()
        await b.reopen()
        await check()
        await b.commit((batch) => {
          for (const sequence of [1, 2]) batch.ack(owners[0], 4, sequence, true)
        })
        await b.reopen()
        expect(await b.texts(owners[0])).toEqual(['last'])
      })

      test('that has left is not brought back by amending it', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        const message = durable('p'.repeat(100_000))
        await b.commit((batch) => batch.put(owner, 1, message, 0))
        await b.commit((batch) => batch.ack(owner, 4, 1, true))
        await b.commit((batch) => batch.amend(owner, 4, 1, message.with({ additions: new Uint8Array([1]) })))
        await b.reopen()
        expect([await b.texts(owner), b.record('orders')?.counts[4]]).toEqual([[], 0])
      })

      test('that is acknowledged does not come back, and a second time does no harm', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        await b.commit((batch) => {
          for (const [index, text] of ['a', 'b', 'c', 'd'].entries()) batch.put(owner, index + 1, durable(text), 0)
        })
        await b.commit((batch) => {
          for (const sequence of [2, 3]) batch.ack(owner, 4, sequence, true)
        })
        await b.commit((batch) => batch.ack(owner, 4, 2, true))
        await b.reopen()
        expect(await b.texts(owner)).toEqual(['a', 'd'])
      })

      test('that is moved has left the one owner and is new in the other, as the message it became', async () => {
        const b = await bench()
        const [from, to] = [await b.define(queue('orders')), await b.define(queue('DLQ.orders'))]
        const message = durable('x', { expiresAt: 99 })
        await b.commit((batch) => batch.put(from, 1, message, 0))
        await b.commit((batch) => batch.redeliver(from, 4, 1, 3, 0))
        const dead = message.with({ expiresAt: 0, annotations: { 'dead-letter-reason': 'odd' } })
        await b.commit((batch) => batch.move(from, 4, 1, to, 5, dead))
        await b.reopen()
        expect([await b.texts(from), b.record('orders')?.counts[4]]).toEqual([[], 0])
        const [entry] = await b.read(to)
        expect(entry).toMatchObject({ sequence: 5, deliveryCount: 0, redelivered: false, notBefore: 0 })
        expect(entry === undefined ? undefined : factsOf(entry.message)).toEqual(factsOf(dead))
        expect(b.record('DLQ.orders')).toMatchObject({ lastSequence: 5 })
      })

      test('put into several owners comes back in each, and leaves each by itself', async () => {
        const b = await bench()
        const owners = [await b.define(queue('a')), await b.define(queue('b')), await b.define(queue('c'))]
        const [fan, other] = [durable('f'.repeat(50_000)), durable('other')]
        await b.commit((batch) => {
          for (const owner of owners) batch.put(owner, 1, fan, 0)
          for (const owner of owners) batch.put(owner, 2, other, 0)
        })
        await b.commit((batch) => {
          batch.ack(owners[0] ?? 0, 4, 1, true)
          batch.remove(owners[1] ?? 0)
        })
        await b.reopen()
        expect(await b.texts(owners[0] ?? 0)).toEqual(['other'])
        expect(await b.texts(owners[1] ?? 0)).toEqual([])
        expect((await b.read(owners[2] ?? 0)).map((entry) => factsOf(entry.message))).toEqual([fan, other].map(factsOf))
      })
    })

    describe('an owner', () => {
      test('that is removed is gone with all its entries, and its name can be used again', async () => {
        const b = await bench()
        const old = await b.define(queue('orders'))
        await b.commit((batch) => batch.put(old, 1, durable('old'), 0))
        let anew: OwnerId = 0
        await b.commit((batch) => {
          batch.remove(old)
          anew = batch.define(queue('orders'))
          batch.put(anew, 1, durable('new'), 0)
        })
        await b.reopen()
        expect([b.records.length, await b.texts(old), await b.texts(anew)]).toEqual([1, [], ['new']])
      })

      test('that is removed takes no more, whatever is still said of it', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        await b.commit((batch) => batch.put(owner, 1, durable('x'), 0))
        await b.commit((batch) => batch.remove(owner))
        await b.commit((batch) => {
          batch.ack(owner, 4, 1, false)
          batch.redeliver(owner, 4, 1, 1, 0)
          batch.clear(owner, 4, 1, 9)
          batch.remove(owner)
        })
        await b.reopen()
        expect(b.records).toEqual([])
      })

      test('is cleared of one priority up to a sequence', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        await b.commit((batch) => {
          for (const sequence of [1, 2, 3, 4, 5, 6]) {
            batch.put(owner, sequence, durable(`${sequence}`, { priority: sequence % 2 === 0 ? 9 : 4 }), 0)
          }
        })
        await b.commit((batch) => batch.clear(owner, 4, 1, 3))
        await b.reopen()
        expect([await b.texts(owner, 4), await b.texts(owner, 9)]).toEqual([['5'], ['2', '4', '6']])
      })

      test('closed in order has nothing seen but what was delivered in vain', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        await b.commit((batch) => {
          for (const sequence of [1, 2]) batch.put(owner, sequence, durable('x'), 0)
          batch.horizon(owner, 100)
        })
        await b.commit((batch) => batch.redeliver(owner, 4, 1, 0, 0))
        await b.reopen()
        expect((await b.read(owner)).map((entry) => entry.redelivered)).toEqual([true, false])
      })
    })

    describe('reading', () => {
      test('goes page by page in the order of sequences, with gaps', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        await b.commit((batch) => {
          for (let sequence = 1; sequence <= 500; sequence += 1) {
            batch.put(owner, sequence, durable(`${sequence}`, { priority: sequence % 5 === 0 ? 7 : 4 }), 0)
          }
        })
        await b.commit((batch) => {
          for (let sequence = 1; sequence <= 500; sequence += 3) {
            batch.ack(owner, sequence % 5 === 0 ? 7 : 4, sequence, true)
          }
        })
        await b.reopen()
        const left = Array.from({ length: 500 }, (_, index) => index + 1).filter((sequence) => sequence % 3 !== 1)
        for (const page of [1, 7, 100, 1000]) {
          const low = (await b.read(owner, 4, page)).map((entry) => entry.sequence)
          const high = (await b.read(owner, 7, page)).map((entry) => entry.sequence)
          expect(low).toEqual(left.filter((sequence) => sequence % 5 !== 0))
          expect(high).toEqual(left.filter((sequence) => sequence % 5 === 0))
        }
      })

      test('begins after a sequence, whether that is there or not', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        await b.commit((batch) => {
          for (const sequence of [2, 4, 6]) batch.put(owner, sequence, durable(`${sequence}`), 0)
        })
        const readAfter = async (sequence: number) =>
          (await b.store.read(owner, 4, sequence, 10)).map((entry) => entry.sequence)
        expect([
          await readAfter(0),
          await readAfter(3),
          await readAfter(4),
          await readAfter(6),
          await readAfter(100),
        ]).toEqual([[2, 4, 6], [4, 6], [6], [], []])
      })

      test('of an owner or a priority that is not there finds nothing', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        expect(await b.store.read(owner, 0, 0, 10)).toEqual([])
        expect(await b.store.read(owner + 1000, 4, 0, 10)).toEqual([])
      })

      test('sees what has just been committed', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        for (const sequence of [1, 2, 3]) {
          await b.commit((batch) => batch.put(owner, sequence, durable(`${sequence}`), 0))
          expect((await b.texts(owner)).at(-1)).toBe(`${sequence}`)
        }
        await b.commit((batch) => batch.ack(owner, 4, 2, true))
        expect(await b.texts(owner)).toEqual(['1', '3'])
      })
    })

    describe('small state', () => {
      const bytes = (text: string) => new Uint8Array(Buffer.from(text))
      const statesOf = (b: Bench) =>
        [...b.store.states].map(([key, value]) => `${key}=${Buffer.from(value).toString()}`).sort()

      test('of an empty store is none', async () => {
        expect(statesOf(await bench())).toEqual([])
      })

      test('is what was last set of each key, also by a store opened later', async () => {
        const b = await bench()
        await b.commit((batch) => {
          batch.state('a', bytes('1'))
          batch.state('b', bytes('1'))
          batch.state('b', bytes('2'))
          batch.state('gone', bytes('x'))
          batch.state('schlüssel', bytes(''))
        })
        await b.commit((batch) => {
          batch.state('gone', undefined)
          batch.state('never', undefined)
          batch.state('a', bytes('3'))
        })
        const expected = ['a=3', 'b=2', 'schlüssel=']
        expect(statesOf(b)).toEqual(expected)
        for (let time = 0; time < 2; time += 1) {
          await b.reopen()
          expect(statesOf(b)).toEqual(expected)
        }
      })

      test('comes to be with the rest of its batch, and not before that is done', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        const batch = b.store.batch()
        batch.put(owner, 1, durable('x'), 0)
        batch.state('last', bytes('1'))
        expect(batch.isEmpty).toBe(false)
        expect(statesOf(b)).toEqual([])
        await b.committed(batch)
        expect(statesOf(b)).toEqual(['last=1'])
        const lost = b.store.batch()
        lost.state('last', bytes('2'))
        await b.reopen()
        expect(statesOf(b)).toEqual(['last=1'])
        expect(await b.texts(owner)).toEqual(['x'])
      })

      test('is kept byte for byte up to its limits, and refused past them', async () => {
        const b = await bench()
        const [key, value] = ['k'.repeat(stateKeyBytesMax), new Uint8Array(stateBytesMax).map((_, at) => at % 251)]
        await b.commit((batch) => {
          batch.state(key, value)
          batch.state('not aligned', value.subarray(1, 100))
        })
        await b.reopen()
        expect(Buffer.from(b.store.states.get(key) ?? []).equals(value)).toBe(true)
        expect(Buffer.from(b.store.states.get('not aligned') ?? []).equals(value.subarray(1, 100))).toBe(true)
        const batch = b.store.batch()
        expect(() => batch.state(`${key}k`, bytes('x'))).toThrow(RangeError)
        expect(() => batch.state('ü'.repeat(stateKeyBytesMax), undefined)).toThrow(RangeError)
        expect(() => batch.state('k', new Uint8Array(stateBytesMax + 1))).toThrow(RangeError)
        expect(batch.isEmpty).toBe(true)
      })

      test('of very many keys is all there', async () => {
        const b = await bench()
        for (let round = 0; round < 5; round += 1) {
          await b.commit((batch) => {
            for (let at = 0; at < 20_000; at += 1) batch.state(`session/${at}`, bytes(`${round}:${at}`))
          })
        }
        await b.reopen()
        expect(b.store.states.size).toBe(20_000)
        expect(Buffer.from(b.store.states.get('session/19999') ?? []).toString()).toBe('4:19999')
      })
    })

    describe('closing', () => {
      test('waits for the commits under way', async () => {
        const b = await bench()
        const owner = await b.define(queue('orders'))
        const batch = b.store.batch()
        batch.put(owner, 1, durable('x'), 0)
        let isDone = false
        b.store.commit(batch, () => {
          isDone = true
        })
        await b.store.close()
        expect(isDone).toBe(true)
        await b.reopen()
        expect(await b.texts(owner)).toEqual(['x'])
      })

      test('may be asked for again, at once and later', async () => {
        const b = await bench()
        await b.define(queue('orders'))
        await Promise.all([b.store.close(), b.store.close()])
        await b.store.close()
        await b.reopen()
        expect(b.records).toHaveLength(1)
      })
    })
  })
}
