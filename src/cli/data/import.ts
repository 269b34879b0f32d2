import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Address } from '../../address.ts'
import { systemClock } from '../../clock.ts'
import { Message, MessageSource } from '../../message.ts'
import { flushFolder } from '../../store/folder.ts'
import type { JournalStore } from '../../store/journal-store.ts'
import { journalAt, journalFolder, lockFolder, stagingFolder } from '../../store/open-journal.ts'
import type { OwnerId, OwnerRecord, WriteBatch } from '../../store/store.ts'
import { CommandError, tell } from '../failure.ts'
import { Progress } from '../progress.ts'
import { entriesOf } from './entries.ts'
import { type DataOptions, dataFolder, holderName } from './folder.ts'
import { OpaqueFormat } from './formats.ts'
import { ImportMarks } from './import-marks.ts'
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

const batchMessages = 256
/** What the broker itself keeps of an owner is under its number, which is another one here. */
const ownerStatePattern = /^(broker\/[^/]+\/)(\d+)$/
const batchBytes = 4 * 1024 * 1024

/**
 * Reads an export into the store of a stopped broker. A store that is not there or empty is there as a whole afterwards or not at
 * all; into one that is not empty nothing is put unless `merge`, and if that is interrupted, the same import goes on where it was.
 */
export async function importData(file: string, options: ImportOptions): Promise<void> {
  const content = await checked(file)
  const folder = await dataFolder(options)
  const lock = await lockFolder(folder, holderName('import'))
  try {
    const isMerged = await importInto(folder, content, options.merge === true)
    tell(
      `imported ${messages(content.end.messages)} of ${number(content.end.owners)} owners into ${folder}${isMerged ? ', behind what was there' : ''}`,
    )
  } finally {
    await lock.release()
  }
}

/** A file that has been found to be right. */
interface Content {
  readonly file: string
  readonly end: EndLine
  /** Of every line. */
  readonly digest: string
}

/** Reads the file once, to find all that is wrong with it before anything is changed. */
async function checked(file: string): Promise<Content> {
  const hash = createHash('sha256')
  const progress = new Progress('checked', undefined)
  const reader = new MessageReader((name) => new OpaqueFormat(name))
  const counts = { owners: 0, messages: 0, states: 0 }
  const known = new Set<number>()
  const names = new Set<string>()
  /** By owner and priority. */
  const last = new Map<string, number>()
  let end: EndLine | undefined
  try {
    for await (const { line, at, text } of linesOf(file)) {
      hash.update(text).update('\n')
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
  return { file, end, digest: hash.digest('hex') }
}

function checkHead(file: string, line: ExportLine): void {
  if (line.kind !== 'manifoldmq-export') throw new CommandError(`${file} is no export of manifoldmq`)
  if (line.version > exportVersion) {
    throw new CommandError(`${file} has version ${line.version}; this program reads versions up to ${exportVersion}`)
  }
}

async function importInto(folder: string, content: Content, mayMerge: boolean): Promise<boolean> {
  const path = join(folder, journalFolder)
  if (existsSync(path)) {
    const store = await journalAt(path, systemClock, () => Promise.resolve())
    const owners = await store.open((name) => new OpaqueFormat(name))
    if (owners.length > 0 || store.states.size > 0) {
      try {
        if (!mayMerge) throw notEmpty(folder, owners)
        await new Import(store, owners, content, new ImportMarks(store.states, content.digest)).run()
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
    await new Import(store, await store.open((name) => new OpaqueFormat(name)), content, undefined).run()
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
  /** It has been given something in this batch. */
  isTouched: boolean
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
  /** How far it has come, if it is to go on after an interruption. */
  readonly #marks: ImportMarks | undefined
  /** Where the retained message of each topic is that was there before. */
  readonly #retained: Map<string, { readonly owner: OwnerId; readonly priority: number; readonly sequence: number }>
  #batch: WriteBatch
  #messages: number
  #bytes: number

  constructor(
    store: JournalStore,
    owners: readonly OwnerRecord[],
    { file, end }: Content,
    marks: ImportMarks | undefined,
  ) {
    this.#store = store
    this.#file = file
    this.#marks = marks
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
      const done = this.#marks?.done ?? { lines: 0, messages: 0 }
      if (done.lines > 0) tell(`an import of this file was interrupted: ${messages(done.messages)} are in already`)
      this.#progress.count = done.messages
      for await (const { line, at } of linesOf(this.#file)) {
        if (line.kind === 'owner') this.#owner(line)
        else if (at <= done.lines) this.#skip(line)
        else if (line.kind === 'state') this.#state(line.key, line.value, done.lines > 0)
        else if (line.kind === 'message') {
          this.#put(line)
          if (this.#messages >= batchMessages || this.#bytes >= batchBytes) await this.#commit(at)
        }
      }
      for (const owner of this.#owners.values()) this.#useUp(owner)
      this.#marks?.clear(this.#batch)
      await this.#commit(undefined)
    } finally {
      this.#progress.end()
    }
  }

  /** Before anything is changed: the same name must mean the same thing. */
  async #checkConflicts(): Promise<void> {
    const isResumed = this.#marks !== undefined && this.#marks.done.lines > 0
    for await (const { line } of linesOf(this.#file)) {
      if (line.kind === 'owner') {
        const name = nameOf(line.spec)
        const found = this.#present.get(name)
        if (found !== undefined && canonical(found.spec.settings) !== canonical(line.spec.settings))
          throw new CommandError(`${name} is there with other settings; remove it, or leave it out of the export`)
      }
      if (line.kind === 'state' && !isResumed && !ownerStatePattern.test(line.key) && this.#store.states.has(line.key))
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
    const offset = found === undefined ? 0 : (this.#marks?.offset(id, found) ?? found.lastSequence)
    const own = found?.id ?? this.#batch.define(spec)
    this.#owners.set(id, { id: own, offset, lastSequence, putSequence: 0, isTouched: found === undefined })
  }

  /** It came in before the import was interrupted. */
  #skip(line: ExportLine): void {
    if (line.kind !== 'message') return
    const owner = this.#owners.get(line.owner)
    if (owner !== undefined) owner.putSequence = Math.max(owner.putSequence, line.sequence)
  }

  /** `isResumed`: what is there already came in before the interruption, or is newer. */
  #state(key: string, value: string, isResumed: boolean): void {
    const own = this.#keyOf(key)
    if (!isResumed || !this.#store.states.has(own)) this.#batch.state(own, Buffer.from(value, 'base64'))
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
    owner.isTouched = true
    if (redelivered) this.#batch.redeliver(owner.id, message.priority, sequence, deliveryCount, notBefore)
    this.#messages += 1
    this.#bytes += message.content.length
  }

  /** `line`: all is in up to that one; undefined at the end. */
  async #commit(line: number | undefined): Promise<void> {
    const batch = this.#batch
    if (batch.isEmpty) return
    this.#progress.count += this.#messages
    if (line !== undefined) this.#mark(batch, { lines: line, messages: this.#progress.count })
    await new Promise<void>((resolve, reject) => {
      this.#store.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
    })
    this.#batch = this.#store.batch()
    this.#messages = 0
    this.#bytes = 0
  }

  #mark(batch: WriteBatch, progress: { readonly lines: number; readonly messages: number }): void {
    const marks = this.#marks
    if (marks === undefined) return
    marks.reached(batch, progress)
    for (const [id, owner] of this.#owners) {
      if (!owner.isTouched) continue
      owner.isTouched = false
      marks.gave(batch, id, { offset: owner.offset, last: owner.offset + owner.putSequence })
    }
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

/** `at`: its number, from 1. */
interface ReadLine {
  readonly line: ExportLine
  readonly text: string
  readonly at: number
}

async function* linesOf(file: string): AsyncGenerator<ReadLine> {
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
    yield { line: located(file, at, () => parseLine(text)), text, at }
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
