import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import type { Engine } from './engine.ts'

/** LMDB as it comes: binary keys and values, a batch durable when its flush is over. */
export class LmdbEngine implements Engine {
  readonly #path: string
  #database: RootDatabase<Buffer, Buffer> | undefined

  constructor(folder: string) {
    this.#path = join(folder, 'lmdb')
    this.#database = undefined
  }

  open(): Promise<void> {
    this.#database = open<Buffer, Buffer>({ path: this.#path, encoding: 'binary', keyEncoding: 'binary' })
    return Promise.resolve()
  }

  async exchange(first: number, bodies: readonly Buffer[], goneFrom: number, goneTo: number): Promise<void> {
    const database = this.#opened()
    let last: Promise<unknown> = Promise.resolve()
    for (const [index, body] of bodies.entries()) last = database.put(keyOf(first + index), body)
    for (let number = goneFrom; number < goneTo; number += 1) last = database.remove(keyOf(number))
    await last
    await database.flushed
  }

  read(from: number, count: number): Promise<readonly Buffer[]> {
    const range = this.#opened().getRange({ start: keyOf(from), limit: count })
    return Promise.resolve([...range].map(({ value }) => value))
  }

  async close(): Promise<void> {
    await this.#opened().close()
  }

  #opened(): RootDatabase<Buffer, Buffer> {
    if (this.#database === undefined) throw new Error('the database is not open')
    return this.#database
  }
}

function keyOf(number: number): Buffer {
  const key = Buffer.allocUnsafe(8)
  key.writeUInt32BE(Math.floor(number / 2 ** 32), 0)
  key.writeUInt32BE(number % 2 ** 32, 4)
  return key
}
