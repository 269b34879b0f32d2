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
import type { Value } from '../src/value.ts'
import { ClientWire } from './client-wire.ts'
import type { ClientEvents, ClientServices, FlowClient } from './flow-client.ts'
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
export class AmqpClient implements FlowClient, FrameHandler {
  readonly number: number
  readonly #wire: ClientWire
  readonly #decoder: Decoder
  readonly #events: ClientEvents
  readonly #cursor: Cursor
  readonly #incoming: Transfer
  readonly #flow: Flow
  readonly #disposition: Disposition
  readonly #outgoing: OutgoingTransfer
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
    this.#events = events
    this.#cursor = new Cursor(Buffer.alloc(0))
    this.#incoming = new Transfer()
    this.#flow = new Flow()
    this.#disposition = new Disposition()
    this.#outgoing = new OutgoingTransfer()
    this.#credit = 0
    this.#deliveryCount = 0
    this.#deliveryId = 0
    this.#isSettled = false
    this.#stamp = undefined
    this.#bodyBytes = 0
    this.#decoder = new Decoder(this, frameBytesMax)
    this.#wire = new ClientWire(port, services, { client: this, events, decoder: this.#decoder })
  }

  get readAtMs(): number {
    return this.#wire.readAtMs
  }

  get isHeld(): boolean {
    return this.#wire.output.isCongested || this.#credit === 0
  }

  async connect(): Promise<void> {
    this.#wire.output.write(protocolHeader)
    this.#perform(Performative.open, (writer) => {
      const fields: Value[] = [`bench-${process.pid}-${this.number}`, 'bench', uint(frameBytesMax)]
      for (const field of fields) writer.write(field)
      return fields.length
    })
    await this.#wire.answer(Performative.open)
    this.#perform(Performative.begin, (writer) => {
      const fields: Value[] = [null, uint(0), uint(windowFrames), uint(windowFrames)]
      for (const field of fields) writer.write(field)
      return fields.length
    })
    await this.#wire.answer(Performative.begin)
  }

  /** Attaches as a sender and waits for credit. */
  async publish({ destination, isPersistent, isSettled, bodyBytes }: FlowPlan): Promise<void> {
    this.#attach(destination, false, isSettled)
    await this.#wire.answer(Performative.flow)
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
    await this.#wire.answer(Performative.attach)
    this.#grant()
  }

  send(_sequence: number, body: Buffer): void {
    const transfer = this.#outgoing
    transfer.content = body
    transfer.deliveryId = this.#deliveryCount
    if (!writeTransfer(this.#wire.output, transfer, frameBytesMax)) {
      const payload = payloadOf(transfer)
      for (let at = 0; at < payload.bytes; ) at = writePart(this.#wire.output, transfer, payload, at, frameBytesMax)
    }
    this.#deliveryCount = (this.#deliveryCount + 1) >>> 0
    this.#credit -= 1
    if (transfer.settled) this.#events.onReceipts(this, 1)
  }

  acknowledge(): void {
    if (this.#isSettled) return
    const id = this.#deliveryId
    writeDisposition(this.#wire.output, 0, true, { first: id, last: id }, true, acceptedState)
  }

  leave(): Promise<void> {
    return this.#wire.leave(() => this.#perform(Performative.close, () => 0))
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
        this.#wire.fail(`the server said ${frame.bytes.toString('latin1', frame.bodyStart, frame.end)}`)
        return
      default:
    }
    if (this.#wire.awaited === code) this.#wire.answered()
  }

  onFault(fault: AmqpFault): void {
    this.#wire.fail(`no AMQP: ${fault.sentence}`)
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
    writeFlow(this.#wire.output, 0, {
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
    this.#wire.output.write(Buffer.concat([head, writer.bytes]))
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
