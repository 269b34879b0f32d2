import type { Duplex } from 'node:stream'
import rhea from 'rhea'

/** A value as rhea has it: an encoder and decoder that is not ours. */
export type Wired = ReturnType<typeof rhea.types.wrap_uint>

/** The parts of rhea's codec that its typings leave out. */
interface Codec {
  readonly Reader: new (bytes: Buffer) => { read(): RheaTyped; remaining(): number; readonly position: number }
  wrap_map_as_map(map: ReadonlyMap<Buffer, Wired>): Wired
  readonly Writer: new (bytes: Buffer) => { write(value: Wired): void; toBuffer(): Buffer }
}

const { types } = rhea
const codec = types as unknown as Codec

/** Values with the types that the standard wants. */
export const t = {
  uint: (value: number): Wired => types.wrap_uint(value),
  ubyte: (value: number): Wired => types.wrap_ubyte(value),
  ushort: (value: number): Wired => types.wrap_ushort(value),
  ulong: (value: number): Wired => types.wrap_ulong(value),
  long: (value: number): Wired => types.wrap_long(value),
  timestamp: (value: number): Wired => types.wrap_timestamp(value),
  string: (value: string): Wired => types.wrap_string(value),
  symbol: (value: string): Wired => types.wrap_symbol(value),
  symbols: (...values: string[]): Wired => types.wrap_array(values, 0xa3, undefined as never),
  binary: (value: Uint8Array | string): Wired => types.wrap_binary(Buffer.from(value) as never),
  boolean: (value: boolean): Wired => types.wrap_boolean(value),
  null: (): Wired => (types as unknown as { Null(): Wired }).Null(),
  map: (entries: Record<string, unknown>): Wired => types.wrap_symbolic_map(entries),
  /** A map by binary keys: an unsettled map. */
  tags: (states: Record<string, Wired>): Wired =>
    codec.wrap_map_as_map(new Map(Object.entries(states).map(([tag, state]) => [Buffer.from(tag, 'latin1'), state]))),
  list: (...values: (Wired | undefined)[]): Wired => types.wrap_list(values.map((value) => value ?? t.null())),
  described: (descriptor: number | string, value: Wired): Wired =>
    types.described(
      typeof descriptor === 'number' ? types.wrap_ulong(descriptor) : types.wrap_symbol(descriptor),
      value,
    ),
}

/** A described list. */
export function composite(code: number, ...fields: (Wired | undefined)[]): Wired {
  return t.described(code, t.list(...fields))
}

export function encode(...values: readonly Wired[]): Buffer {
  const writer = new codec.Writer(Buffer.alloc(4096))
  for (const value of values) writer.write(value)
  return Buffer.from(writer.toBuffer())
}

/** One frame: its head, a performative, a payload. */
export function frameBytes(
  performative: Uint8Array,
  payload: Uint8Array = Buffer.alloc(0),
  channel = 0,
  type = 0,
): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(8 + performative.length + payload.length, 0)
  head[4] = 2
  head[5] = type
  head.writeUInt16BE(channel, 6)
  return Buffer.concat([head, performative, payload])
}

export const headers = {
  amqp: Buffer.from('AMQP\0\x01\0\0', 'latin1'),
  sasl: Buffer.from('AMQP\x03\x01\0\0', 'latin1'),
}

/** A value as tests look at it: plain, or a described one with its descriptor. */
export type Seen =
  | null
  | boolean
  | number
  | string
  | Buffer
  | Date
  | readonly Seen[]
  | { readonly descriptor: number | string; readonly value: Seen }
  | ReadonlyMap<Seen, Seen>

export interface ReceivedFrame {
  readonly type: number
  readonly channel: number
  /** The descriptor of the performative; 0 for an empty frame, -1 for a protocol header. */
  readonly code: number
  /** Those of an attach are all there, absent ones as null. */
  readonly fields: readonly Seen[]
  readonly payload: Buffer
}

interface RheaTyped {
  readonly type: { readonly typecode: number }
  readonly value: unknown
  readonly descriptor?: RheaTyped
}

function seen(typed: RheaTyped | null | undefined): Seen {
  if (typed === null || typed === undefined) return null
  const plain = plainOf(typed)
  if (typed.descriptor === undefined) return plain
  return { descriptor: typed.descriptor.value as number | string, value: plain }
}

function plainOf(typed: RheaTyped): Seen {
  if (!Array.isArray(typed.value)) return (typed.value ?? null) as Seen
  const items = (typed.value as unknown[]).map((item) =>
    typeof item === 'object' && item !== null && 'type' in item ? seen(item as RheaTyped) : (item as Seen),
  )
  if (typed.type.typecode !== 0xc1 && typed.type.typecode !== 0xd1) return items
  const map = new Map<Seen, Seen>()
  for (let index = 0; index + 1 < items.length; index += 2) map.set(items[index] as Seen, items[index + 1] as Seen)
  return map
}

/** Decodes one value after the other until the bytes end. */
export function decodeAll(bytes: Buffer): Seen[] {
  const reader = new codec.Reader(bytes)
  const values: Seen[] = []
  while (reader.remaining() > 0) values.push(seen(reader.read()))
  return values
}

/** The sections of a message by descriptor; of several data sections the last. */
export function sectionsOf(payload: Buffer): ReadonlyMap<number, Seen> {
  const sections = new Map<number, Seen>()
  for (const section of decodeAll(payload)) {
    if (typeof section === 'object' && section !== null && 'descriptor' in section) {
      sections.set(section.descriptor as number, section.value)
    }
  }
  return sections
}

/** The fields of a described list. */
export function fieldsOf(value: Seen | undefined): readonly Seen[] {
  if (typeof value !== 'object' || value === null || !('descriptor' in value)) return []
  return Array.isArray(value.value) ? value.value : []
}

export function descriptorOf(value: Seen | undefined): number | string | undefined {
  return typeof value === 'object' && value !== null && 'descriptor' in value ? value.descriptor : undefined
}

interface Waiting {
  readonly wants: (frame: ReceivedFrame) => boolean
  readonly take: (frame: ReceivedFrame | undefined) => void
}

/** A peer that writes the frames it is told to, right or wrong, and keeps what comes. */
export class AmqpPeer {
  readonly stream: Duplex
  readonly frames: ReceivedFrame[]
  /** Everything that has come, in order, whether it was taken or not. */
  readonly history: ReceivedFrame[]
  readonly closed: Promise<void>
  isClosed: boolean
  #rest: Buffer
  #waiting: Waiting[]

  constructor(stream: Duplex) {
    this.stream = stream
    this.frames = []
    this.history = []
    this.isClosed = false
    this.#rest = Buffer.alloc(0)
    this.#waiting = []
    stream.on('error', () => undefined)
    stream.on('data', (chunk: Buffer) => this.#read(chunk))
    this.closed = new Promise((resolve) => {
      stream.on('close', () => {
        this.isClosed = true
        for (const { take } of this.#waiting.splice(0)) take(undefined)
        resolve()
      })
    })
  }

  write(...pieces: readonly Uint8Array[]): void {
    this.stream.write(Buffer.concat(pieces))
  }

  send(performative: Wired, payload: Uint8Array = Buffer.alloc(0), channel = 0): void {
    this.write(frameBytes(encode(performative), payload, channel))
  }

  /** SASL ANONYMOUS, open and the answers to them. */
  async open(containerId = 'peer', ...fields: (Wired | undefined)[]): Promise<ReceivedFrame> {
    this.write(headers.sasl, frameBytes(encode(composite(0x41, t.symbol('ANONYMOUS'))), undefined, 0, 1))
    await this.next(0x44)
    this.write(headers.amqp)
    this.send(composite(0x10, t.string(containerId), undefined, ...fields))
    return this.next(0x10)
  }

  async begin(channel = 0, window = 100_000): Promise<ReceivedFrame> {
    this.send(composite(0x11, undefined, t.uint(0), t.uint(window), t.uint(100_000)), undefined, channel)
    return this.next(0x11)
  }

  /** Attaches as a sender and waits for credit. */
  async sender(name: string, address: string | Wired | undefined, more: SenderOptions = {}): Promise<ReceivedFrame> {
    const {
      handle = 0,
      channel = 0,
      sndSettleMode = 2,
      rcvSettleMode = 0,
      unsettled,
      source,
      incomplete = false,
    } = more
    const target = typeof address === 'string' ? composite(0x29, t.string(address)) : address
    const modes = [t.ubyte(sndSettleMode), t.ubyte(rcvSettleMode)]
    const attach = [
      t.string(name),
      t.uint(handle),
      t.boolean(false),
      ...modes,
      source ?? composite(0x28),
      target,
      unsettled,
    ]
    this.send(composite(0x12, ...attach, t.boolean(incomplete), t.uint(0)), undefined, channel)
    const answer = await this.next(0x12)
    if (answer.fields[6] !== null) await this.next(0x13)
    return answer
  }

  /** Attaches as a receiver. */
  async receiver(
    name: string,
    address: string | Wired | undefined,
    more: ReceiverOptions = {},
  ): Promise<ReceivedFrame> {
    const {
      handle = 1,
      channel = 0,
      sndSettleMode = 2,
      rcvSettleMode = 0,
      credit = 0,
      unsettled,
      desired,
      maxMessageSize,
      incomplete = false,
    } = more
    const source = typeof address === 'string' ? composite(0x28, t.string(address)) : address
    const modes = [t.ubyte(sndSettleMode), t.ubyte(rcvSettleMode)]
    const attach = [t.string(name), t.uint(handle), t.boolean(true), ...modes, source, composite(0x29), unsettled]
    const largest = maxMessageSize === undefined ? undefined : t.ulong(maxMessageSize)
    this.send(
      composite(0x12, ...attach, t.boolean(incomplete), undefined, largest, undefined, desired),
      undefined,
      channel,
    )
    const answer = await this.next(0x12)
    if (credit > 0) this.credit(handle, credit, 0, channel)
    return answer
  }

  /** A flow of one link. */
  credit(handle: number, credit: number, deliveryCount = 0, channel = 0, drain = false, echo = false): void {
    this.send(
      composite(
        0x13,
        t.uint(0),
        t.uint(100_000),
        t.uint(0),
        t.uint(100_000),
        t.uint(handle),
        t.uint(deliveryCount),
        t.uint(credit),
        undefined,
        t.boolean(drain),
        t.boolean(echo),
      ),
      undefined,
      channel,
    )
  }

  /** One delivery in one frame, unsettled unless told otherwise. */
  transfer(deliveryId: number, payload: Uint8Array, more: TransferOptions = {}): void {
    const {
      handle = 0,
      channel = 0,
      settled = false,
      messageFormat = 0,
      state,
      hasMore = false,
      aborted = false,
      resume = false,
    } = more
    const tag = t.binary(Buffer.from(more.tag ?? String(deliveryId)))
    this.send(
      composite(
        0x14,
        t.uint(handle),
        t.uint(deliveryId),
        tag,
        t.uint(messageFormat),
        t.boolean(settled),
        t.boolean(hasMore),
        undefined,
        state,
        t.boolean(resume),
        t.boolean(aborted),
      ),
      payload,
      channel,
    )
  }

  /** Settles what the broker has sent. */
  disposition(first: number, last: number, state: Wired | undefined, settled = true, channel = 0): void {
    this.send(
      composite(0x15, t.boolean(true), t.uint(first), t.uint(last), t.boolean(settled), state),
      undefined,
      channel,
    )
  }

  /** The next frame of one of these performatives, which is taken off the record; rejects if the connection closes first. */
  next(...codes: readonly number[]): Promise<ReceivedFrame> {
    const wants = (frame: ReceivedFrame): boolean => codes.includes(frame.code)
    const index = this.frames.findIndex(wants)
    const found = index >= 0 ? this.frames.splice(index, 1)[0] : undefined
    if (found !== undefined) return Promise.resolve(found)
    return new Promise((resolve, reject) => {
      const names = codes.map((code) => code.toString(16)).join(' or ')
      const take = (frame: ReceivedFrame | undefined): void => {
        if (frame === undefined) reject(new Error(`closed while waiting for ${names}`))
        else resolve(frame)
      }
      if (this.isClosed) take(undefined)
      else this.#waiting.push({ wants, take })
    })
  }

  async transfers(count: number): Promise<ReceivedFrame[]> {
    const all: ReceivedFrame[] = []
    while (all.length < count) all.push(await this.next(0x14))
    return all
  }

  /** Resolves when the broker has read and answered all that was written before. */
  async synced(): Promise<void> {
    this.send(composite(0x11, undefined, t.uint(0), t.uint(1), t.uint(1)), undefined, 99)
    await this.next(0x11)
    this.send(composite(0x17), undefined, 99)
    await this.next(0x17)
  }

  cut(): void {
    this.stream.destroy()
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    while (this.#rest.length >= 8) {
      const isHeader = this.#rest.subarray(0, 4).toString('latin1') === 'AMQP'
      const size = isHeader ? 8 : this.#rest.readUInt32BE(0)
      if (this.#rest.length < size) return
      const bytes = this.#rest.subarray(0, size)
      this.#rest = this.#rest.subarray(size)
      this.#take(isHeader ? { type: 0, channel: 0, code: -1, fields: [...bytes], payload: bytes } : frameIn(bytes))
    }
  }

  #take(frame: ReceivedFrame): void {
    this.history.push(frame)
    const index = this.#waiting.findIndex(({ wants }) => wants(frame))
    if (index >= 0) this.#waiting.splice(index, 1)[0]?.take(frame)
    else this.frames.push(frame)
  }
}

function frameIn(bytes: Buffer): ReceivedFrame {
  const type = bytes[5] as number
  const channel = type === 0 ? bytes.readUInt16BE(6) : 0
  const start = (bytes[4] as number) * 4
  if (start === bytes.length) return { type, channel, code: 0, fields: [], payload: bytes.subarray(start) }
  const reader = new codec.Reader(bytes.subarray(start))
  const performative = seen(reader.read())
  const code = descriptorOf(performative) as number
  const fields = fieldsOf(performative)
  return {
    type,
    channel,
    code,
    fields: code === 0x12 ? Array.from({ length: 14 }, (_, index) => fields[index] ?? null) : fields,
    payload: bytes.subarray(start + reader.position),
  }
}

export interface SenderOptions {
  readonly handle?: number
  readonly channel?: number
  readonly sndSettleMode?: number
  readonly rcvSettleMode?: number
  readonly unsettled?: Wired
  readonly incomplete?: boolean
  readonly source?: Wired
}

export interface ReceiverOptions {
  readonly handle?: number
  readonly channel?: number
  readonly sndSettleMode?: number
  readonly rcvSettleMode?: number
  readonly credit?: number
  readonly unsettled?: Wired
  readonly incomplete?: boolean
  readonly desired?: Wired
  readonly maxMessageSize?: number
}

export interface TransferOptions {
  readonly handle?: number
  readonly channel?: number
  readonly settled?: boolean
  readonly messageFormat?: number
  readonly state?: Wired
  readonly hasMore?: boolean
  readonly aborted?: boolean
  readonly resume?: boolean
  /** The delivery id as text by default. */
  readonly tag?: string
}
