import type { Duplex } from 'node:stream'
import {
  type Fields,
  type Settlement,
  writeBye,
  writeCloseLink,
  writeCredit,
  writeDestination,
  writeMapFrame,
  writeNonce,
  writeOpen,
  writeSettle,
  writeTransactionEnd,
} from '../../protocols/native/encoder.ts'
import { Flag, FrameType } from '../../protocols/native/frame.ts'
import { plainHead, type SectionHead, writeHead } from '../../protocols/native/section.ts'
import { beginFrame, endFrame, GrowingBytes, writeVarint } from '../../protocols/native/writer.ts'
import type { NativeBroker } from './native-broker.ts'
import { type Described, FrameLog, prefaceHex } from './native-frames.ts'

/** A client that sends whatever frames a test likes, and writes down what comes. */
export class RawNative {
  readonly stream: Duplex
  readonly #broker: NativeBroker
  readonly #log: FrameLog

  private constructor(broker: NativeBroker) {
    this.#broker = broker
    this.#log = new FrameLog()
    this.stream = broker.wire()
    this.stream.on('data', (chunk: Buffer) => this.#log.decoder.push(Buffer.from(chunk)))
  }

  /** Sends the preface, unless another is given, and nothing more. */
  static begin(broker: NativeBroker, preface = prefaceHex): RawNative {
    const raw = new RawNative(broker)
    raw.bytes(preface)
    return raw
  }

  /** Sends preface and HELLO and reads the WELCOME. */
  static async open(broker: NativeBroker, hello: Fields = {}): Promise<RawNative> {
    const raw = RawNative.begin(broker)
    raw.hello(hello)
    await raw.next('welcome')
    return raw
  }

  /** The version of the broker's preface. */
  get preface(): readonly [number, number] | undefined {
    return this.#log.preface
  }

  /** True once the broker has ended the connection. */
  get isOver(): boolean {
    return this.stream.readableEnded || this.stream.destroyed
  }

  bytes(hex: string): void {
    this.stream.write(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
  }

  write(fill: (sink: GrowingBytes) => void): void {
    const bytes = new GrowingBytes()
    fill(bytes)
    this.stream.write(Buffer.from(bytes.bytes))
  }

  frame(type: number, flags: number, ...numbers: readonly number[]): void {
    this.write((sink) => {
      sink.reserve(16)
      const start = sink.position
      beginFrame(sink, type, flags)
      for (const number of numbers) writeVarint(sink, number)
      endFrame(sink, start)
    })
  }

  hello(fields: Fields = {}): void {
    this.write((sink) => writeMapFrame(sink, FrameType.hello, { product: 'test', ...fields }))
  }

  ping(nonce: number): void {
    this.write((sink) => writeNonce(sink, FrameType.ping, nonce))
  }

  bye(): void {
    this.write((sink) => writeBye(sink, undefined))
  }

  producer(corr: number, link: number, fields: Fields = { destination: 'queue://q' }): void {
    this.write((sink) => writeOpen(sink, FrameType.producer, corr, link, fields))
  }

  consumer(corr: number, link: number, fields: Fields = {}): void {
    const credit = { type: 'int', value: 1000 } as const
    const all = { source: 'queue://q', credit, creditBytes: { ...credit, value: 1_000_000 }, ...fields }
    this.write((sink) => writeOpen(sink, FrameType.consumer, corr, link, all))
  }

  closeLink(corr: number, link: number): void {
    this.write((sink) => writeCloseLink(sink, corr, link, undefined))
  }

  send(
    link: number,
    seq: number,
    text: string,
    more: { readonly transaction?: number; readonly head?: Partial<SectionHead>; readonly flags?: number } = {},
  ): void {
    const { transaction = 0, head = {}, flags = 0 } = more
    this.write((sink) => {
      sink.reserve(32)
      const start = sink.position
      beginFrame(sink, FrameType.send, flags | (transaction > 0 ? Flag.transaction : 0))
      if (transaction > 0) writeVarint(sink, transaction)
      writeVarint(sink, link)
      writeVarint(sink, seq)
      writeHead(sink, { ...plainHead, kind: 2, ...head })
      sink.write(Buffer.from(text))
      endFrame(sink, start)
    })
  }

  part(link: number, text: string, isMore: boolean): void {
    this.write((sink) => {
      sink.reserve(32)
      const start = sink.position
      beginFrame(sink, FrameType.part, isMore ? Flag.more : 0)
      writeVarint(sink, link)
      sink.write(Buffer.from(text))
      endFrame(sink, start)
    })
  }

  settle(settlement: Partial<Settlement>, corr = 0, transaction = 0): void {
    const whole = { link: 2, outcome: 0, ranges: [], delayMs: undefined, reason: undefined, ...settlement }
    this.write((sink) => writeSettle(sink, whole, corr, transaction))
  }

  credit(link: number, messages: number, bytes: number, drain = false): void {
    this.write((sink) => writeCredit(sink, link, messages, bytes, drain))
  }

  transactionEnd(corr: number, transaction: number, how: number): void {
    this.write((sink) => writeTransactionEnd(sink, corr, transaction, how))
  }

  destination(corr: number, fields: Fields): void {
    this.write((sink) => writeDestination(sink, corr, fields))
  }

  /** Everything that has come and was not taken yet. */
  async all(): Promise<readonly Described[]> {
    await this.#broker.idle()
    return this.#log.frames.splice(0)
  }

  /** The next frame, which must be of that type. */
  async next(type: string): Promise<Described> {
    for (let turn = 0; this.#log.frames.length === 0 && turn < 100; turn += 1) await this.#broker.idle(1)
    const frame = this.#log.frames.shift()
    if (frame?.type !== type) throw new Error(`${type} should have come, not ${JSON.stringify(frame)}`)
    return frame
  }

  /** The text of the next frames' sections, which must be deliveries. */
  async delivered(): Promise<readonly string[]> {
    const frames = await this.all()
    return frames.map(({ type, section }) => {
      if (type !== 'deliver') throw new Error(`a delivery should have come, not ${type}`)
      return Buffer.from((section as { readonly body: string }).body, 'hex').toString()
    })
  }

  /** The error with which the connection ends. */
  async fatal(): Promise<{ readonly code: number; readonly text: string }> {
    const frames = await this.all()
    const last = frames.at(-1)
    if (last?.type !== 'error' || last.answers !== 0 || !this.isOver) {
      throw new Error(`the connection should have ended, not ${JSON.stringify(frames)}`)
    }
    return last.error as { readonly code: number; readonly text: string }
  }
}
