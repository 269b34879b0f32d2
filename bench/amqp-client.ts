import { connect, type Socket } from 'node:net'
import { Decoder, Disposition, Flow, type Frame, type FrameHandler, Transfer } from '../protocols/amqp/decoder.ts'
import {
  acceptedState,
  OutgoingTransfer,
  payloadOf,
  writeDisposition,
  writeFlow,
  writePart,
  writeTransfer,
} from '../protocols/amqp/encoder.ts'
import { type AmqpFault, Code, Cursor, Layer, Performative, Section } from '../protocols/amqp/frame.ts'
import { ValueWriter } from '../protocols/amqp/values.ts'
import { Output, type WireEvents } from '../src/transport/output.ts'
import type { Value } from '../src/value.ts'
import {
  type ClientEvents,
  type ClientServices,
  type FlowClient,
  handshakeMsMax,
  outputBytesHigh,
} from './flow-client.ts'
import { monotonicMs } from './monotonic.ts'
import type { FlowPlan } from './plan.ts'
import { stampBytes } from './stamp.ts'

const protocolHeader = Buffer.from([0x41, 0x4d, 0x51, 0x50, Layer.amqp, 1, 0, 0])
const frameBytesMax = 128 * 1024
const windowFrames = 2 ** 31 - 1
/** What a consumer may be sent ahead, given again when half is used. */
const consumerCredit = 1000

const uint = (value: number): Value => ({ type: 'uint', value })
const ubyte = (value: number): Value => ({ type: 'ubyte', value })

/** One AMQP connection with one session and one link, on the project's own codec and output. */
export class AmqpClient implements FlowClient, FrameHandler, WireEvents {
  readonly number: number
  readonly output: Output
  readAtMs: number
  readonly #socket: Socket
  readonly #decoder: Decoder
  readonly #events: ClientEvents
  readonly #cursor: Cursor
  readonly #incoming: Transfer
  readonly #flow: Flow
  readonly #disposition: Disposition
  readonly #outgoing: OutgoingTransfer
  /** The performative that is waited for, and who waits. */
  #waiting: { readonly code: number; readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined
  #isLeaving: boolean
  /** Of the link: what may be sent, and how many deliveries there have been. */
  #credit: number
  #deliveryCount: number
  /** The delivery that comes: its id, whether it came settled, and of one in several frames the stamp and the bytes so far. */
  #deliveryId: number
  #isSettled: boolean
  #stamp: Buffer | undefined
  #bodyBytes: number

  constructor(port: number, number: number, services: ClientServices, events: ClientEvents) {
    this.number = number
    this.readAtMs = 0
    this.#events = events
    this.#cursor = new Cursor(Buffer.alloc(0))
    this.#incoming = new Transfer()
    this.#flow = new Flow()
    this.#disposition = new Disposition()
    this.#outgoing = new OutgoingTransfer()
    this.#waiting = undefined
    this.#isLeaving = false
    this.#credit = 0
    this.#deliveryCount = 0
    this.#deliveryId = 0
    this.#isSettled = false
    this.#stamp = undefined
    this.#bodyBytes = 0
    this.#decoder = new Decoder(this, frameBytesMax)
    const callback = (count: number, buffer: Uint8Array): boolean => {
      this.#read(Buffer.from(buffer.buffer, buffer.byteOffset, count))
      return true
    }
    const onread = { buffer: services.buffer, callback }
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread })
    this.#socket.on('error', (error) => this.#fail(error.message))
    this.#socket.on('close', () => this.#fail('the server hung up'))
    this.output = new Output(this.#socket, services.turn, services.slabs, outputBytesHigh, this)
  }

  get isHeld(): boolean {
    return this.output.isCongested || this.#credit === 0
  }

  async connect(): Promise<void> {
    this.output.write(protocolHeader)
    this.#perform(Performative.open, (writer) => {
      const fields: Value[] = [`bench-${process.pid}-${this.number}`, 'bench', uint(frameBytesMax)]
      for (const field of fields) writer.write(field)
      return fields.length
    })
    await this.#answer(Performative.open)
    this.#perform(Performative.begin, (writer) => {
      const fields: Value[] = [null, uint(0), uint(windowFrames), uint(windowFrames)]
      for (const field of fields) writer.write(field)
      return fields.length
    })
    await this.#answer(Performative.begin)
  }

  /** Attaches as a sender and waits for credit. */
  async publish({ destination, isPersistent, isSettled, bodyBytes }: FlowPlan): Promise<void> {
    this.#attach(destination, false, isSettled)
    await this.#answer(Performative.flow)
    const head = Buffer.from([Code.described, Code.smallUlong, Section.data, Code.binary32, 0, 0, 0, 0])
    head.writeUInt32BE(bodyBytes, 4)
    const transfer = this.#outgoing
    transfer.settled = isSettled
    transfer.hasHeader = true
    transfer.durable = isPersistent
    transfer.annotations = head
  }

  async subscribe({ destination, isSettled }: FlowPlan): Promise<void> {
    this.#attach(destination, true, isSettled)
    await this.#answer(Performative.attach)
    this.#grant()
  }

  send(_sequence: number, body: Buffer): void {
    const transfer = this.#outgoing
    transfer.content = body
    transfer.deliveryId = this.#deliveryCount
    if (!writeTransfer(this.output, transfer, frameBytesMax)) {
      const payload = payloadOf(transfer)
      for (let at = 0; at < payload.bytes; ) at = writePart(this.output, transfer, payload, at, frameBytesMax)
    }
    this.#deliveryCount = (this.#deliveryCount + 1) >>> 0
    this.#credit -= 1
    if (transfer.settled) this.#events.onReceipts(this, 1)
  }

  acknowledge(): void {
    if (this.#isSettled) return
    const id = this.#deliveryId
    writeDisposition(this.output, 0, true, { first: id, last: id }, true, acceptedState)
  }

  async leave(): Promise<void> {
    if (this.#socket.closed) return
    const closed = new Promise<void>((resolve) => {
      this.#socket.once('close', () => resolve())
    })
    if (!this.#isLeaving) {
      this.#isLeaving = true
      this.#perform(Performative.close, () => 0)
      this.output.end()
    }
    const timer = setTimeout(() => this.#socket.destroy(), handshakeMsMax)
    await closed
    clearTimeout(timer)
  }

  onHeader(): void {
    this.#decoder.expects = Layer.amqp
  }

  onFrame(frame: Frame): void {
    const cursor = this.#cursor
    cursor.set(frame.bytes, frame.bodyStart, frame.end)
    const code = cursor.performative()
    switch (code) {
      case Performative.transfer:
        if (this.#incoming.read(cursor) === undefined) this.#onTransfer(this.#incoming, frame)
        return
      case Performative.disposition:
        if (this.#disposition.read(cursor) === undefined) this.#onDisposition(this.#disposition)
        return
      case Performative.flow:
        if (this.#flow.read(cursor) === undefined) this.#onFlow(this.#flow)
        break
      case Performative.detach:
      case Performative.end:
      case Performative.close:
        this.#fail(`the server said ${frame.bytes.toString('latin1', frame.bodyStart, frame.end)}`)
        return
      default:
    }
    if (this.#waiting?.code === code) this.#waiting.resolve()
  }

  onFault(fault: AmqpFault): void {
    this.#fail(`no AMQP: ${fault.sentence}`)
  }

  congested(): void {
    // Seen in output.isCongested.
  }

  drained(): void {
    this.#events.onRoom(this)
  }

  #onTransfer(transfer: Transfer, frame: Frame): void {
    if (transfer.deliveryId >= 0) this.#deliveryId = transfer.deliveryId
    if (transfer.settled !== undefined) this.#isSettled = transfer.settled
    let start = transfer.payloadStart
    if (this.#stamp === undefined) start = bodyStart(frame.bytes, start, frame.end)
    if (transfer.more || this.#stamp !== undefined) {
      this.#stamp ??= Buffer.from(frame.bytes.subarray(start, start + stampBytes))
      this.#bodyBytes += frame.end - start
      if (transfer.more) return
      this.#events.onMessage(this, this.#stamp, 0, this.#bodyBytes)
      this.#stamp = undefined
      this.#bodyBytes = 0
    } else this.#events.onMessage(this, frame.bytes, start, frame.end - start)
    this.#deliveryCount = (this.#deliveryCount + 1) >>> 0
    this.#credit -= 1
    if (this.#credit <= consumerCredit / 2) this.#grant()
  }

  #onDisposition({ first, last, role }: Disposition): void {
    if (role) this.#events.onReceipts(this, ((last - first) >>> 0) + 1)
  }

  #onFlow({ handle, deliveryCount, linkCredit }: Flow): void {
    if (handle < 0) return
    this.#credit = linkCredit - ((this.#deliveryCount - Math.max(deliveryCount, 0)) >>> 0)
    this.#events.onRoom(this)
  }

  #grant(): void {
    this.#credit = consumerCredit
    writeFlow(this.output, 0, {
      nextIncomingId: 0,
      incomingWindow: windowFrames,
      nextOutgoingId: 0,
      outgoingWindow: windowFrames,
      handle: 0,
      deliveryCount: this.#deliveryCount,
      linkCredit: consumerCredit,
      drain: false,
    })
  }

  #attach(destination: string, isReceiver: boolean, isSettled: boolean): void {
    this.#perform(Performative.attach, (writer) => {
      for (const field of ['bench', uint(0), isReceiver, ubyte(isSettled ? 1 : 0), ubyte(0)]) writer.write(field)
      for (const [code, isOurs] of [
        [0x28, !isReceiver],
        [0x29, isReceiver],
      ] as const) {
        writer.described(code)
        writer.list(isOurs ? [] : [destination])
      }
      if (isReceiver) return 7
      for (const field of [null, null, uint(0)]) writer.write(field)
      return 10
    })
  }

  /** `fields` writes them and says how many there are. */
  #perform(code: number, fields: (writer: ValueWriter) => number): void {
    const items = new ValueWriter()
    const count = fields(items)
    const writer = new ValueWriter()
    writer.described(code)
    writer.nested(() => writer.raw(items.bytes), count)
    const head = Buffer.from([0, 0, 0, 0, 2, 0, 0, 0])
    head.writeUInt32BE(head.length + writer.bytes.length, 0)
    this.output.write(Buffer.concat([head, writer.bytes]))
  }

  #read(bytes: Buffer): void {
    this.readAtMs = monotonicMs()
    this.#decoder.push(bytes)
    this.#events.onRead(this)
  }

  #answer(code: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the server does not answer')), handshakeMsMax)
      const settle = (act: () => void): void => {
        clearTimeout(timer)
        this.#waiting = undefined
        act()
      }
      this.#waiting = {
        code,
        resolve: () => settle(resolve),
        reject: (error) => settle(() => reject(error)),
      }
    })
  }

  #fail(reason: string): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.#decoder.close()
    if (this.#waiting === undefined) this.#events.onFailure(this, reason)
    else this.#waiting.reject(new Error(reason))
    this.#socket.destroy()
  }
}

/** Where the body of a message begins: behind the header section and the head of the data section. */
function bodyStart(bytes: Buffer, start: number, end: number): number {
  const cursor = new Cursor(bytes, start, end)
  while (cursor.at < end) {
    if (cursor.section() === Section.data) return cursor.at + (bytes[cursor.at] === Code.binary8 ? 2 : 5)
    cursor.skip()
  }
  return end
}
