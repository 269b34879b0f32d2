import { accepted, jsonOfValue, type Outcome, type Value } from '../../src/core.ts'
import { Code, Cursor, State } from './frame.ts'
import { ValueReader, ValueWriter } from './values.ts'

/** What a disposition or a transfer says of a delivery. */
export type DeliveryState =
  | { readonly kind: 'outcome'; readonly outcome: Outcome }
  /** An outcome, if there is one, within a transaction. */
  | { readonly kind: 'transactional'; readonly transaction: string; readonly outcome: Outcome | undefined }
  /** Nothing final: no state, or how far a receiver has come. */
  | { readonly kind: 'none' }

const none: DeliveryState = { kind: 'none' }
const acceptedOnly: DeliveryState = { kind: 'outcome', outcome: accepted }
const unexplained = 'rejected by its consumer'
const reasonCharactersMax = 1024
/** Bytes of the annotations that consumers may add to one message; what goes beyond that is left out. */
const annotationBytesMax = 16 * 1024

/** Reads the state between `start` and `end`; undefined if it cannot be read. */
export function readState(bytes: Buffer, start: number, end: number): DeliveryState | undefined {
  if (start === end || bytes[start] === Code.null) return none
  // 00 53 24 45: accepted as nearly everybody writes it.
  if (end - start === 4 && bytes[start + 2] === State.accepted && bytes[start + 3] === Code.list0) return acceptedOnly
  const cursor = new Cursor(bytes, start, end)
  const state = stateFrom(cursor)
  return cursor.isBroken ? undefined : state
}

function stateFrom(cursor: Cursor): DeliveryState | undefined {
  const code = cursor.state()
  if (code === State.received) return none
  if (code === State.transactional) return transactional(cursor)
  const outcome = outcomeFrom(cursor, code)
  return outcome === undefined ? undefined : { kind: 'outcome', outcome }
}

/** Reads an outcome whose descriptor has been read. */
function outcomeFrom(cursor: Cursor, code: number): Outcome | undefined {
  switch (code) {
    case State.accepted:
      cursor.skip()
      return accepted
    case State.released:
      cursor.skip()
      return { kind: 'released' }
    case State.rejected:
      return { kind: 'rejected', reason: reasonFrom(cursor) }
    case State.modified:
      return modifiedFrom(cursor)
    default:
      return undefined
  }
}

/** Part 3, section 3.4.2: the error says why. */
function reasonFrom(cursor: Cursor): string {
  const count = cursor.list()
  if (count < 1 || cursor.bytes[cursor.at] === Code.null) return unexplained
  cursor.descriptor(new Map())
  const fields = cursor.list()
  const condition = fields > 0 ? cursor.symbol() : undefined
  const description = fields > 1 ? cursor.string() : undefined
  const infoAt = cursor.at
  if (fields > 2) cursor.check()
  const reason = reasonOf(condition, description)
  if (fields < 3 || cursor.isBroken || cursor.bytes[infoAt] === Code.null) return reason
  return explained(reason, new ValueReader(cursor.bytes, infoAt).read())
}

/** The error of a `rejected` as the reason of a dead letter. */
export function reasonOf(condition: string | undefined, description: string | undefined): string {
  const reason = [condition, description].filter((part) => part !== undefined).join(': ')
  return reason.slice(0, reasonCharactersMax) || unexplained
}

/** The `info` of an error follows as JSON, if there is room for all of it. */
function explained(reason: string, info: Value): string {
  const whole = `${reason} ${JSON.stringify(jsonOfValue(info, keyText))}`
  return whole.length <= reasonCharactersMax ? whole : reason
}

/** Part 3, section 3.4.5. */
function modifiedFrom(cursor: Cursor): Outcome {
  const count = cursor.list()
  const hasFailed = count > 0 && cursor.boolean() === true
  const isUndeliverableHere = count > 1 && cursor.boolean() === true
  const start = cursor.at
  if (count > 2) cursor.skip()
  const bytes = cursor.bytes.subarray(start, cursor.at)
  const annotations = bytes.length <= 1 || bytes.length > annotationBytesMax ? undefined : bytes
  return { kind: 'modified', hasFailed, isUndeliverableHere, annotations }
}

/** Part 4, section 4.5.8. */
function transactional(cursor: Cursor): DeliveryState | undefined {
  const count = cursor.list()
  const length = count > 0 ? cursor.binary() : -1
  if (length < 0) return undefined
  const transaction = cursor.bytes.toString('latin1', cursor.at - length, cursor.at)
  if (count < 2 || cursor.bytes[cursor.at] === Code.null)
    return { kind: 'transactional', transaction, outcome: undefined }
  return { kind: 'transactional', transaction, outcome: outcomeFrom(cursor, cursor.state()) }
}

/** The encoded map of annotations as entries; none if it is no such map: a peer, or an export edited by hand, may say anything. */
export function readAnnotations(bytes: Uint8Array): readonly (readonly [string, Value])[] {
  const reader = new ValueReader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), 0)
  try {
    return reader.readEntries().map(([key, value]) => [keyText(key), value] as const)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return []
  }
}

/** Annotations with others over them, encoded; those before if together they would be too long. */
export function mergeAnnotations(before: Uint8Array | undefined, added: Uint8Array): Uint8Array {
  if (before === undefined) return added
  const entries = new Map([...readAnnotations(before), ...readAnnotations(added)])
  const writer = new ValueWriter()
  writer.map([...entries], 'symbol')
  return writer.bytes.length > annotationBytesMax ? before : writer.bytes
}

function keyText(key: Value): string {
  if (typeof key === 'string') return key
  return typeof key === 'object' && key !== null && 'value' in key ? String(key.value) : String(key)
}

/** The state `rejected` with an error. */
export function rejectedState(condition: string, description: string): Buffer {
  const writer = new ValueWriter()
  writer.described(State.rejected)
  writer.nested(() => {
    writer.described(0x1d)
    writer.list([{ type: 'symbol', value: condition }, description])
  })
  return Buffer.from(writer.bytes)
}

/** The state `declared` of a new transaction (part 4, section 4.5.7). */
export function declaredState(transaction: string): Buffer {
  const writer = new ValueWriter()
  writer.described(State.declared)
  writer.list([Buffer.from(transaction, 'latin1')])
  return Buffer.from(writer.bytes)
}

/** An outcome within a transaction. */
export function transactionalState(transaction: string, outcome: Uint8Array): Buffer {
  const writer = new ValueWriter()
  writer.described(State.transactional)
  writer.nested(() => {
    writer.write(Buffer.from(transaction, 'latin1'))
    writer.raw(outcome)
  }, 2)
  return Buffer.from(writer.bytes)
}

/** The state of an outcome that a receiver has asked for, to be said back to it. */
export function stateOf(outcome: Outcome): Buffer {
  switch (outcome.kind) {
    case 'accepted':
      return emptyState(State.accepted)
    case 'released':
      return emptyState(State.released)
    case 'modified':
      return emptyState(State.modified)
    case 'rejected':
      return emptyState(State.rejected)
    default:
      return outcome satisfies never
  }
}

function emptyState(code: number): Buffer {
  return Buffer.from([Code.described, Code.smallUlong, code, Code.list0])
}
