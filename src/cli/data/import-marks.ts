import type { MessageStore, OwnerRecord, WriteBatch } from '../../store/store.ts'

/** Where an owner of the file is in the store. */
interface OwnerMark {
  /** What its sequences count from. */
  readonly offset: number
  /** The last sequence that it was given. */
  readonly last: number
}

/** How much of the file is in. */
interface Progress {
  readonly lines: number
  readonly messages: number
}

/**
 * How far the import of a file has come. It is kept in the store, in the same batches as what comes in: an import that is interrupted
 * goes on where it was, when the same file is imported again. Small states:
 *
 *     import/DIGEST          {"lines":300,"messages":256}
 *     import/DIGEST/OWNER    {"offset":7,"last":120}, by the owner's number in the file
 */
export class ImportMarks {
  /** What has come in before this run. */
  readonly done: Progress
  readonly #key: string
  readonly #states: MessageStore['states']
  readonly #owners: Set<number>

  /** `digest`: of the file. */
  constructor(states: MessageStore['states'], digest: string) {
    this.#key = `import/${digest}`
    this.#states = states
    this.#owners = new Set()
    this.done = this.#read<Progress>(this.#key) ?? { lines: 0, messages: 0 }
  }

  /** What the sequences of an owner of the file count from, who is in the store already. */
  offset(owner: number, found: OwnerRecord): number {
    this.#owners.add(owner)
    const mark = this.#read<OwnerMark>(`${this.#key}/${owner}`)
    // Somebody else may have put something behind what came in.
    return mark?.last === found.lastSequence ? mark.offset : found.lastSequence
  }

  /** An owner has been given something in a batch. */
  gave(batch: WriteBatch, owner: number, mark: OwnerMark): void {
    this.#owners.add(owner)
    batch.state(`${this.#key}/${owner}`, Buffer.from(JSON.stringify(mark)))
  }

  /** Everything up to a line is in with this batch. */
  reached(batch: WriteBatch, progress: Progress): void {
    batch.state(this.#key, Buffer.from(JSON.stringify(progress)))
  }

  /** All of the file is in with this batch. */
  clear(batch: WriteBatch): void {
    for (const owner of this.#owners) batch.state(`${this.#key}/${owner}`, undefined)
    batch.state(this.#key, undefined)
  }

  #read<T>(key: string): T | undefined {
    const value = this.#states.get(key)
    return value === undefined ? undefined : (JSON.parse(Buffer.from(value).toString()) as T)
  }
}
