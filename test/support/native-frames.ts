import type { Cursor } from '../../protocols/native/cursor.ts'
import { Decoder, type FrameHandler } from '../../protocols/native/decoder.ts'
import { readError, readRanges, readRejections } from '../../protocols/native/fields.ts'
import { FrameType, Info, type Malformed } from '../../protocols/native/frame.ts'
import { checkBody, readSection } from '../../protocols/native/section.ts'
import { readEntries } from '../../protocols/native/values.ts'
import type { Value } from '../../src/core.ts'

/** A frame as JSON can show it. */
export interface Described {
  readonly type: string
  readonly flags: number
  readonly corr?: number
  readonly transaction?: number
  readonly [field: string]: unknown
}

const names = Object.fromEntries(Object.entries(FrameType).map(([name, type]) => [type, name]))

/** A value as JSON can show it: what JSON has no type for is written out as an object. */
export function showValue(value: Value): unknown {
  if (typeof value === 'bigint') return { long: String(value) }
  if (typeof value === 'number') return { double: Object.is(value, -0) ? '-0' : String(value) }
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') }
  if (typeof value !== 'object' || value === null) return value
  if (value.type === 'list') return { list: value.value.map(showValue) }
  if (value.type === 'map') return { map: value.value.map(([key, item]) => [showValue(key), showValue(item)]) }
  const inner = value.value instanceof Uint8Array ? Buffer.from(value.value).toString('hex') : String(value.value)
  return { [value.type]: inner }
}

function showEntries(entries: readonly (readonly [string, Value])[]): unknown {
  return entries.map(([name, value]) => [name, showValue(value)])
}

function showSection(cursor: Cursor): object {
  const bytes = cursor.bytes.slice(cursor.at, cursor.end)
  const { head, body } = readSection(bytes)
  const { correlationId, properties, ...rest } = head
  cursor.at = cursor.end - body.length
  checkBody(head.kind, cursor)
  cursor.at = cursor.end
  return {
    ...rest,
    ...(correlationId === undefined ? {} : { correlationId: showValue(correlationId) }),
    properties: showEntries(properties),
    body: Buffer.from(body).toString('hex'),
  }
}

function showFacts(cursor: Cursor): object {
  const number = cursor.varint()
  const info = cursor.byte()
  return {
    number,
    info,
    messageNumber: cursor.varint(),
    ...(info & Info.count ? { count: cursor.varint() } : {}),
    ...(info & Info.origin ? { origin: cursor.string() } : {}),
    ...(info & Info.address ? { address: cursor.string() } : {}),
    ...(info & Info.annotations ? { annotations: showEntries(readEntries(cursor)) } : {}),
  }
}

function showSettle(cursor: Cursor): object {
  const link = cursor.varint()
  const outcome = cursor.byte()
  const ranges = readRanges(cursor)
  return {
    link,
    outcome,
    ranges,
    ...(outcome === 2 ? { delay: cursor.varint() } : {}),
    ...(outcome === 3 ? { reason: cursor.string() } : {}),
  }
}

/** Reads the whole payload, as strictly as the two sides do. */
export function describePayload(type: number, cursor: Cursor): object {
  switch (type) {
    case FrameType.hello:
    case FrameType.welcome:
    case FrameType.destination:
      return { fields: showEntries(readEntries(cursor)) }
    case FrameType.ping:
    case FrameType.pong:
      return { nonce: cursor.varint() }
    case FrameType.bye:
      return { error: readError(cursor) ?? null }
    case FrameType.ok:
      return { answers: cursor.varint(), fields: showEntries(readEntries(cursor)) }
    case FrameType.error:
      return { answers: cursor.varint(), error: readError(cursor) ?? null }
    case FrameType.producer:
    case FrameType.consumer:
      return { link: cursor.varint(), fields: showEntries(readEntries(cursor)) }
    case FrameType.closeLink:
      return { link: cursor.varint(), error: readError(cursor) ?? null }
    case FrameType.send:
      return { link: cursor.varint(), seq: cursor.varint(), section: showSection(cursor) }
    case FrameType.accepted:
      return { link: cursor.varint(), upTo: cursor.varint(), rejections: readRejections(cursor) }
    case FrameType.deliver:
      return { link: cursor.varint(), ...showFacts(cursor), section: showSection(cursor) }
    case FrameType.part:
      return {
        link: cursor.varint(),
        bytes: Buffer.from(cursor.bytes.slice(cursor.skip(cursor.left), cursor.end)).toString('hex'),
      }
    case FrameType.settle:
      return showSettle(cursor)
    case FrameType.credit: {
      const credit = { link: cursor.varint(), messages: cursor.varint(), bytes: cursor.varint() }
      return { ...credit, drain: cursor.byte() }
    }
    case FrameType.drained:
      return { link: cursor.varint(), unused: cursor.varint() }
    case FrameType.transactionEnd:
      return { number: cursor.varint(), how: cursor.byte() }
    default:
      return { bytes: Buffer.from(cursor.bytes.slice(cursor.skip(cursor.left), cursor.end)).toString('hex') }
  }
}

/** Writes down what a decoder makes of a stream. */
export class FrameLog implements FrameHandler {
  readonly frames: Described[]
  readonly decoder: Decoder
  preface: readonly [number, number] | undefined
  fault: Malformed | undefined

  constructor(frameBytesMax = 1024 * 1024) {
    this.frames = []
    this.preface = undefined
    this.fault = undefined
    this.decoder = new Decoder(this, frameBytesMax)
  }

  onPreface(major: number, minor: number): void {
    this.preface = [major, minor]
  }

  onFrame(type: number, cursor: Cursor, corr: number, transaction: number, flags: number): void {
    const payload = describePayload(type, cursor)
    cursor.close()
    const name = names[type] ?? String(type)
    const head = { type: name, flags, ...(corr > 0 ? { corr } : {}), ...(transaction > 0 ? { transaction } : {}) }
    this.frames.push({ ...head, ...payload })
  }

  onMalformed(fault: Malformed): void {
    this.fault = fault
  }
}

export const prefaceHex = '4d4e464401000000'

/** What a decoder makes of frames in hexadecimal. */
export function decodeHex(hex: string, frameBytesMax?: number): FrameLog {
  const log = new FrameLog(frameBytesMax)
  log.decoder.push(Buffer.from(prefaceHex + hex, 'hex'))
  return log
}
