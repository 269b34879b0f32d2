import { createReadStream, existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Address } from '../../address.ts'
import { systemClock } from '../../clock.ts'
import { Message, MessageSource } from '../../message.ts'
import type { JournalStore } from '../../store/journal-store.ts'
import { journalAt, journalFolder, lockFolder } from '../../store/open-journal.ts'
import type { OwnerId, OwnerRecord, WriteBatch } from '../../store/store.ts'
import { CommandError, tell } from '../failure.ts'
import { Progress } from '../progress.ts'
import { entriesOf } from './entries.ts'
import { type DataOptions, dataFolder, holderName } from './folder.ts'
import { OpaqueFormat } from './formats.ts'
import {
  type EndLine,
  type ExportLine,
  exportVersion,
  LineError,
  MessageReader,
  type OwnerLine,
  parseLine,
} from './lines.ts'
import { countOf, messages, nameOf, number } from './names.ts'

export interface ImportOptions extends DataOptions {
  /** Put behind what is there already. */
  readonly merge?: boolean
}

/** Where a store is built that is not there yet. */
const stagingFolder = 'journal.importing'
const batchMessages = 256
/** What the broker itself keeps of an owner is under its number, which is another one here. */
const ownerStatePattern = /^(broker\/[^/]+\/)(\d+)$/
const batchBytes = 4 * 1024 * 1024

/**
 * Reads an export into the store of a stopped broker. A store that is not there or empty is there as a whole afterwards or not at
 * all; into one that is not empty nothing is put unless `merge`.
 */
export async function importData(file: string, options: ImportOptions): Promise<void> {
  const end = await checked(file)
  const folder = await dataFolder(options)
  const lock = await lockFolder(folder, holderName('import'))
  try {
    const isMerged = await importInto(folder, file, end, options.merge === true)
    tell(
      `imported ${messages(end.messages)} of ${number(end.owners)} owners into ${folder}${isMerged ? ', behind what was there' : ''}`,
    )
  } finally {
    await lock.release()
  }
}

/** Reads the file once, to find all that is wrong with it before anything is changed. */
async function checked(file: string): Promise<EndLine> {
  const progress = new Progress('checked', undefined)
  const reader = new MessageReader((name) => new OpaqueFormat(name))
  const counts = { owners: 0, messages: 0, states: 0 }
  const known = new Set<number>()
  const names = new Set<string>()
  /** By owner and priority. */
  const last = new Map<string, number>()
  let end: EndLine | undefined
  try {
    for await (const { line, at } of linesOf(file)) {
      if (end !== undefined) throw lineError(file, at, 'there is more after the end')
      if (at === 1) checkHead(file, line)
      else if (line.kind === 'owner') {
        counts.owners += 1
        const name = nameOf(line.spec)
        if (known.has(line.id) || names.has(name)) throw lineError(file, at, `the owner ${name} comes twice`)
        known.add(line.id)
        names.add(name)
      } else if (line.kind === 'message') {
        if (!known.has(line.owner)) throw lineError(file, at, `its owner ${line.owner} has not come before it`)
        const { priority } = located(file, at, () => reader.read(line))
        const row = `${line.owner} ${priority}`
        if (line.sequence <= (last.get(row) ?? 0))
          throw lineError(file, at, `its sequence ${line.sequence} is out of order`)
        last.set(row, line.sequence)
        counts.messages += 1
        progress.count += 1
      } else if (line.kind === 'state') counts.states += 1
      else if (line.kind === 'end') end = line
      else throw lineError(file, at, 'an export begins in the middle')
    }
  } finally {
    progress.end()
  }
  if (end === undefined) throw new CommandError(`${file} has no end: the export was cut short`)
  const { owners, messages: count, states } = end
  if (owners !== counts.owners || count !== counts.messages || states !== counts.states) {
    throw new CommandError(`${file} is not whole: it ends with ${count} messages and has ${counts.messages}`)
  }
  return end
}

function checkHead(file: string, line: ExportLine): void {
  if (line.kind !== 'manifoldmq-export') throw new CommandError(`${file} is no export of manifoldmq`)
  if (line.version > exportVersion) {
    throw new CommandError(`${file} has version ${line.version}; this program reads versions up to ${exportVersion}`)
  }
}

async function importInto(folder: string, file: string, end: EndLine, mayMerge: boolean): Promise<boolean> {
  const path = join(folder, journalFolder)
  if (existsSync(path)) {
    const store = await journalAt(path, systemClock, () => Promise.resolve())
    const owners = await store.open((name) => new OpaqueFormat(name))
    if (owners.length > 0 || store.states.size > 0) {
      try {
        if (!mayMerge) throw notEmpty(folder, owners)
        await new Import(store, owners, file, end).run()
      } finally {
        await store.close()
      }
      return true
    }
    await store.close()
  }
  const staging = join(folder, stagingFolder)
  await rm(staging, { recursive: true, force: true })
  const store = await journalAt(staging, systemClock, () => Promise.resolve())
  try {
    await new Import(store, await store.open((name) => new OpaqueFormat(name)), file, end).run()
    await store.close()
    await rm(path, { recursive: true, force: true })
    await rename(staging, path)
    await flushFolder(folder)
  } catch (error) {
    await store.abandon()
    await rm(staging, { recursive: true, force: true })
    throw error
  }
  return false
}

function notEmpty(folder: string, owners: readonly OwnerRecord[]): CommandError {
  const count = owners.reduce((sum, owner) => sum + countOf(owner), 0)
  const what = `${messages(count)} of ${number(owners.length)} owners are in ${folder} already`
  return new CommandError(`${what}; --merge puts the import behind them, after a backup: manifoldmq data backup`)
}

interface ImportedOwner {
  readonly id: OwnerId
  readonly offset: number
  /** Its last sequence where it comes from, and the last that is used here. */
  readonly lastSequence: number
  putSequence: number
}

/** One run over the file, that puts its lines into an open store. */
class Import {
  readonly #store: JournalStore
  readonly #file: string
  readonly #progress: Progress
  readonly #reader: MessageReader
  /** What was there before, by kind and name. */
  readonly #present: ReadonlyMap<string, OwnerRecord>
  /** Owners of the file: who they are here, and what their sequences count from. */
  readonly #owners: Map<number, ImportedOwner>
  /** Where the retained message of each topic is that was there before. */
  readonly #retained: Map<string, { readonly owner: OwnerId; readonly priority: number; readonly sequence: number }>
  #batch: WriteBatch
  #messages: number
  #bytes: number

  constructor(store: JournalStore, owners: readonly OwnerRecord[], file: string, end: EndLine) {
    this.#store = store
    this.#file = file
    this.#progress = new Progress('imported', end.messages)
    this.#reader = new MessageReader((name) => new OpaqueFormat(name))
    this.#present = new Map(owners.map((owner) => [nameOf(owner.spec), owner]))
    this.#owners = new Map()
    this.#retained = new Map()
    this.#batch = store.batch()
    this.#messages = 0
    this.#bytes = 0
  }

  async run(): Promise<void> {
    try {
      if (this.#present.size > 0 || this.#store.states.size > 0) await this.#checkConflicts()
      for await (const { line } of linesOf(this.#file)) {
        if (line.kind === 'owner') this.#owner(line)
        else if (line.kind === 'state') this.#batch.state(this.#keyOf(line.key), Buffer.from(line.value, 'base64'))
        else if (line.kind === 'message') {
          this.#put(line)
          if (this.#messages >= batchMessages || this.#bytes >= batchBytes) await this.#commit()
        }
      }
      for (const owner of this.#owners.values()) this.#useUp(owner)
      await this.#commit()
    } finally {
      this.#progress.end()
    }
  }

  /** Before anything is changed: the same name must mean the same thing. */
  async #checkConflicts(): Promise<void> {
    for await (const { line } of linesOf(this.#file)) {
      if (line.kind === 'owner') {
        const name = nameOf(line.spec)
        const found = this.#present.get(name)
        if (found !== undefined && canonical(found.spec.settings) !== canonical(line.spec.settings))
          throw new CommandError(`${name} is there with other settings; remove it, or leave it out of the export`)
      }
      if (line.kind === 'state' && !ownerStatePattern.test(line.key) && this.#store.states.has(line.key))
        throw new CommandError(`the state "${line.key}" is there already; two brokers' clients cannot be merged`)
    }
    const retained = this.#present.get('retained')
    if (retained === undefined) return
    for await (const { sequence, message } of entriesOf(this.#store, retained, () => undefined)) {
      this.#retained.set(message.address.name, { owner: retained.id, priority: message.priority, sequence })
    }
  }

  #owner({ id, spec, lastSequence }: OwnerLine): void {
    const found = this.#present.get(nameOf(spec))
    const offset = found?.lastSequence ?? 0
    this.#owners.set(id, { id: found?.id ?? this.#batch.define(spec), offset, lastSequence, putSequence: 0 })
  }

  /** No sequence is used again that had been used where the owner comes from: what clients remember may speak of it. */
  #useUp({ id, offset, lastSequence, putSequence }: ImportedOwner): void {
    if (putSequence >= lastSequence) return
    const message = placeholder()
    this.#batch.put(id, offset + lastSequence, message, 0)
    this.#batch.ack(id, message.priority, offset + lastSequence, false)
  }

  /** The key of a state, which may be one of an owner. */
  #keyOf(key: string): string {
    const [, prefix, id] = ownerStatePattern.exec(key) ?? []
    const owner = this.#owners.get(Number(id))
    return prefix === undefined || owner === undefined ? key : `${prefix}${owner.id}`
  }

  #put(line: Extract<ExportLine, { readonly kind: 'message' }>): void {
    const owner = this.#owners.get(line.owner)
    if (owner === undefined) throw new CommandError(`${this.#file} has changed while it was read`)
    const message = this.#reader.read(line)
    const sequence = owner.offset + line.sequence
    const { deliveryCount, redelivered, notBefore } = line
    const before = this.#retained.get(message.address.name)
    if (before?.owner === owner.id) {
      this.#batch.ack(owner.id, before.priority, before.sequence, false)
      this.#retained.delete(message.address.name)
    }
    this.#batch.put(owner.id, sequence, message, notBefore)
    owner.putSequence = Math.max(owner.putSequence, line.sequence)
    if (redelivered) this.#batch.redeliver(owner.id, message.priority, sequence, deliveryCount, notBefore)
    this.#messages += 1
    this.#bytes += message.content.length
  }

  async #commit(): Promise<void> {
    const batch = this.#batch
    if (batch.isEmpty) return
    await new Promise<void>((resolve, reject) => {
      this.#store.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
    })
    this.#progress.count += this.#messages
    this.#batch = this.#store.batch()
    this.#messages = 0
    this.#bytes = 0
  }
}

/** A message that leaves as it comes. */
function placeholder(): Message {
  return new Message({
    address: Address.must('queue', 'import'),
    format: new OpaqueFormat('import'),
    content: Buffer.alloc(0),
    bodyOffset: 0,
    durable: true,
    priority: 0,
    expiresAt: 0,
    deliverAt: 0,
    timestamp: 0,
    groupId: undefined,
    retain: false,
    source: new MessageSource('import-', undefined, 'import'),
    number: 0,
    annotations: undefined,
  })
}

async function* linesOf(file: string): AsyncGenerator<{ readonly line: ExportLine; readonly at: number }> {
  const stream = createReadStream(file)
  await new Promise<void>((resolve, reject) => {
    stream.once('open', () => resolve())
    stream.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        new CommandError(
          error.code === 'ENOENT' ? `there is no file ${file}` : `${file} cannot be read: ${error.message}`,
        ),
      )
    })
  })
  let at = 0
  for await (const text of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
    at += 1
    yield { line: located(file, at, () => parseLine(text)), at }
  }
}

/** Does something with a line and says which one it was if that fails. */
function located<T>(file: string, at: number, act: () => T): T {
  try {
    return act()
  } catch (error) {
    if (error instanceof LineError) throw lineError(file, at, error.message)
    throw error
  }
}

function lineError(file: string, at: number, reason: string): CommandError {
  return new CommandError(`${file}:${at}: ${reason}`)
}

function canonical(settings: Readonly<Record<string, string | boolean>>): string {
  return JSON.stringify(Object.entries(settings).sort(([left], [right]) => (left < right ? -1 : 1)))
}

async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  await handle.sync()
  await handle.close()
}
