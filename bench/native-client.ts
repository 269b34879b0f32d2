import type { Cursor } from '../protocols/native/cursor.ts'
import { Decoder, type FrameHandler } from '../protocols/native/decoder.ts'
import {
  type Fields,
  headBytesMax,
  writeBye,
  writeCredit,
  writeMapFrame,
  writeOpen,
  writeSettle,
} from '../protocols/native/encoder.ts'
import { FieldMap, readError, readRejections } from '../protocols/native/fields.ts'
import { Flag, FrameType, Info, type Malformed, OutcomeCode, preface } from '../protocols/native/frame.ts'
import { Kind, plainHeadBytes, putPlainHead, SectionFacts } from '../protocols/native/section.ts'
import { skipEntries } from '../protocols/native/values.ts'
import { beginFrame, endFrame, putVarint } from '../protocols/native/writer.ts'
import { ClientWire } from './client-wire.ts'
import type { ClientEvents, ClientServices, FlowClient } from './flow-client.ts'
import type { FlowPlan } from './plan.ts'

const frameBytesMax = 1024 * 1024
/** Longer bodies are sent from where they are. */
const copiedBytesMax = 4096
/** What a consumer may be sent ahead, given again when half is used. */
const consumerCredit = 1000
const consumerCreditBytes = 8 * 1024 * 1024
const link = 1
const corr = 1

const int = (value: number) => ({ type: 'int', value }) as const

/**
 * One connection of the native protocol with one link, on the project's own codec and output. Sends are confirmed as the broker does
 * unless it is told otherwise (`stored`), deliveries are settled one by one, those of one read in one frame.
 */
export class NativeClient implements FlowClient, FrameHandler {
  readonly number: number
  readonly #wire: ClientWire
  readonly #decoder: Decoder
  readonly #events: ClientEvents
  readonly #facts: SectionFacts
  #isPersistent: boolean
  #isSettled: boolean
  /** What may be sent, the number of the last send, and up to where they are confirmed. */
  #credit: number
  #creditBytes: number
  #lastSeq: number
  #confirmed: number
  /** Of a consumer: what it may still get, the delivery that is told, and those that are to be settled. */
  #left: number
  #leftBytes: number
  #delivery: number
  #settleFrom: number
  #settleTo: number

  constructor(port: number, number: number, services: ClientServices, events: ClientEvents) {
    this.number = number
    this.#events = events
    this.#facts = new SectionFacts()
    this.#isPersistent = false
    this.#isSettled = false
    this.#credit = 0
    this.#creditBytes = 0
    this.#lastSeq = 0
    this.#confirmed = 0
    this.#left = 0
    this.#leftBytes = 0
    this.#delivery = 0
    this.#settleFrom = 0
    this.#settleTo = -1
    this.#decoder = new Decoder(this, frameBytesMax, (bytes) => Buffer.allocUnsafe(bytes))
    const decoder = {
      push: (bytes: Buffer) => this.#read(bytes),
      close: () => this.#decoder.close(),
    }
    this.#wire = new ClientWire(port, services, { client: this, events, decoder })
  }

  get readAtMs(): number {
    return this.#wire.readAtMs
  }

  get isHeld(): boolean {
    return this.#wire.output.isCongested || this.#credit <= 0 || this.#creditBytes <= 0
  }

  async connect(): Promise<void> {
    this.#wire.output.write(preface())
    writeMapFrame(this.#wire.output, FrameType.hello, {
      product: 'bench',
      clientId: `bench-${process.pid}-${this.number}`,
      heartBeatMs: int(0),
      frameBytesMax: int(frameBytesMax),
      mechanism: 'ANONYMOUS',
    })
    await this.#wire.answer(FrameType.welcome)
  }

  async publish(plan: FlowPlan): Promise<void> {
    this.#isPersistent = plan.isPersistent
    this.#isSettled = plan.isSettled
    const confirm = plan.isSettled ? 'none' : 'stored'
    await this.#open(FrameType.producer, { destination: addressOf(plan), confirm })
  }

  async subscribe(plan: FlowPlan): Promise<void> {
    const ack = plan.ack === 'auto' || plan.isSettled ? 'none' : 'explicit'
    this.#isSettled = ack === 'none'
    await this.#open(FrameType.consumer, { source: addressOf(plan), ack })
    this.#grant(consumerCredit, consumerCreditBytes)
  }

  send(_sequence: number, body: Buffer): void {
    const { output } = this.#wire
    const isCopied = body.length <= copiedBytesMax
    output.reserve(headBytesMax + plainHeadBytes + (isCopied ? body.length : 0))
    const start = output.position
    beginFrame(output, FrameType.send, 0)
    const { buffer } = output
    this.#lastSeq += 1
    let at = putVarint(buffer, output.position, link)
    at = putVarint(buffer, at, this.#lastSeq)
    at = putPlainHead(buffer, at, Kind.bytes, this.#isPersistent)
    if (isCopied) buffer.set(body, at)
    output.position = isCopied ? at + body.length : at
    endFrame(output, start, isCopied ? 0 : body.length)
    if (!isCopied) output.write(body)
    this.#credit -= 1
    this.#creditBytes -= plainHeadBytes + body.length
    if (this.#isSettled) this.#events.onReceipts(this, 1)
  }

  acknowledge(): void {
    if (this.#isSettled) return
    const number = this.#delivery
    if (number !== this.#settleTo + 1) {
      this.#settle()
      this.#settleFrom = number
    }
    this.#settleTo = number
  }

  leave(): Promise<void> {
    return this.#wire.leave(() => writeBye(this.#wire.output, undefined))
  }

  onPreface(): void {
    // A version that is none of ours is followed by an ERROR.
  }

  onFrame(type: number, cursor: Cursor, _corr: number, _transaction: number, flags: number): void {
    switch (type) {
      case FrameType.deliver:
        if (flags & Flag.more) this.#wire.fail('a message in parts')
        else this.#onDelivery(cursor)
        return
      case FrameType.accepted:
        this.#onAccepted(cursor)
        return
      case FrameType.credit:
        cursor.varint()
        this.#credit += cursor.varint()
        this.#creditBytes += cursor.varint()
        this.#events.onRoom(this)
        return
      case FrameType.ok: {
        cursor.varint()
        const fields = FieldMap.read(cursor)
        this.#credit = fields.number('credit') ?? 0
        this.#creditBytes = fields.number('creditBytes') ?? 0
        this.#wire.answered()
        return
      }
      case FrameType.welcome:
        this.#wire.answered()
        return
      case FrameType.error:
        cursor.varint()
        this.#wire.fail(readError(cursor)?.text ?? 'an ERROR')
        return
      case FrameType.closeLink:
      case FrameType.bye:
        this.#wire.fail(`a frame of type ${type}`)
        return
      default:
    }
  }

  onMalformed(fault: Malformed): void {
    this.#wire.fail(`no MNP: ${fault.message}`)
  }

  #read(bytes: Buffer): void {
    this.#decoder.push(bytes)
    this.#decoder.own()
    this.#settle()
  }

  async #open(type: number, fields: Fields): Promise<void> {
    writeOpen(this.#wire.output, type, corr, link, fields)
    await this.#wire.answer(FrameType.ok)
  }

  #onDelivery(cursor: Cursor): void {
    cursor.varint()
    this.#delivery = cursor.varint()
    const info = cursor.byte()
    cursor.varint()
    if (info & Info.count) cursor.varint()
    if (info & Info.origin) cursor.skipBlock()
    if (info & Info.address) cursor.skipBlock()
    if (info & Info.annotations) skipEntries(cursor)
    this.#left -= 1
    this.#leftBytes -= cursor.left
    this.#facts.read(cursor)
    this.#events.onMessage(this, cursor.bytes as Buffer, cursor.at, cursor.left)
    if (this.#left > consumerCredit / 2 && this.#leftBytes > consumerCreditBytes / 2) return
    this.#grant(consumerCredit - this.#left, consumerCreditBytes - this.#leftBytes)
  }

  #onAccepted(cursor: Cursor): void {
    cursor.varint()
    const upTo = cursor.varint()
    const [rejection] = readRejections(cursor)
    if (rejection !== undefined) {
      this.#wire.fail(`a send was refused: ${rejection.text}`)
      return
    }
    this.#events.onReceipts(this, upTo - this.#confirmed)
    this.#confirmed = upTo
  }

  #grant(messages: number, bytes: number): void {
    writeCredit(this.#wire.output, link, messages, bytes)
    this.#left += messages
    this.#leftBytes += bytes
  }

  #settle(): void {
    const [from, to] = [this.#settleFrom, this.#settleTo]
    if (to < from) return
    this.#settleFrom = to + 1
    const outcome = { outcome: OutcomeCode.accept, delayMs: undefined, reason: undefined }
    writeSettle(this.#wire.output, { link, ranges: [[from, to]], ...outcome }, 0, 0)
  }
}

/** `/queue/bench.1f` is `queue://bench.1f`. */
function addressOf({ destination }: FlowPlan): string {
  return destination.replace(/^\/(\w+)\//, '$1://')
}
