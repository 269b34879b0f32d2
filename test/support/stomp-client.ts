import type { Duplex } from 'node:stream'
import { Decoder } from '../../protocols/stomp/decoder.ts'
import { type ByteSink, writeFrame } from '../../protocols/stomp/encoder.ts'
import { Command, commandNames, type Frame, type FrameHandler, FrameScratch } from '../../protocols/stomp/frame.ts'
import type { Version } from '../../protocols/stomp/headers.ts'
import { defaultFrameLimits } from '../../protocols/stomp/limits.ts'

/** A frame as a test reads it; the first of repeated headers counts. */
export interface ReceivedFrame {
  readonly command: string
  readonly headers: Readonly<Record<string, string>>
  /** Every header in order. */
  readonly lines: readonly (readonly [string, string])[]
  readonly body: string
}

class BufferSink implements ByteSink {
  buffer = Buffer.alloc(1024)
  position = 0

  reserve(bytes: number): void {
    if (this.buffer.length - this.position >= bytes) return
    const grown = Buffer.alloc((this.position + bytes) * 2)
    this.buffer.copy(grown)
    this.buffer = grown
  }

  write(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.buffer.set(bytes, this.position)
    this.position += bytes.length
  }
}

/** The bytes of one frame. */
export function frameBytes(
  command: keyof typeof Command,
  headers: Record<string, string>,
  body: string | Uint8Array = '',
  version: Version = '1.2',
): Buffer {
  const sink = new BufferSink()
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  writeFrame(sink, Command[command], Object.entries(headers), version, bytes)
  return sink.buffer.subarray(0, sink.position)
}

/** A STOMP client on any stream, for tests: sends what it is told and keeps what comes. */
export class StompTestClient implements FrameHandler {
  readonly stream: Duplex
  readonly version: Version
  readonly frames: ReceivedFrame[]
  readonly closed: Promise<void>
  isClosed: boolean
  heartBeats: number
  readonly #decoder: Decoder
  #waiting: {
    readonly wants: (frame: ReceivedFrame) => boolean
    readonly take: (frame: ReceivedFrame | undefined) => void
  }[]

  constructor(stream: Duplex, version: Version = '1.2') {
    this.stream = stream
    this.version = version
    this.frames = []
    this.isClosed = false
    this.heartBeats = 0
    this.#waiting = []
    this.#decoder = new Decoder(this, defaultFrameLimits, new FrameScratch())
    this.#decoder.version = version
    stream.on('error', () => undefined)
    stream.on('data', (chunk: Buffer) => this.#decoder.push(chunk))
    this.closed = new Promise((resolve) => {
      stream.on('close', () => {
        this.isClosed = true
        for (const { take } of this.#waiting.splice(0)) take(undefined)
        resolve()
      })
    })
  }

  onFrame(frame: Frame): void {
    const lines: (readonly [string, string])[] = []
    const headers: Record<string, string> = Object.create(null)
    for (let index = 0; index < frame.headerCount; index += 1) {
      const name = frame.nameTextAt(index)
      const value = frame.valueTextAt(index)
      lines.push([name, value])
      headers[name] ??= value
    }
    const body = frame.bytes.toString('utf8', frame.bodyStart, frame.bodyEnd)
    const received = { command: commandNames.names[frame.command] ?? '', headers, lines, body }
    const index = this.#waiting.findIndex(({ wants }) => wants(received))
    if (index >= 0) this.#waiting.splice(index, 1)[0]?.take(received)
    else this.frames.push(received)
  }

  onHeartBeat(): void {
    this.heartBeats += 1
  }

  onError(fault: { readonly sentence: string }): void {
    throw new Error(`the server sent no STOMP: ${fault.sentence}`)
  }

  write(bytes: string | Uint8Array): void {
    this.stream.write(bytes)
  }

  send(command: keyof typeof Command, headers: Record<string, string> = {}, body: string | Uint8Array = ''): void {
    this.write(frameBytes(command, headers, body, this.version))
  }

  /** Connects and waits for CONNECTED. */
  async connect(headers: Record<string, string> = {}): Promise<ReceivedFrame> {
    this.send('connect', { 'accept-version': this.version, host: 'test', ...headers })
    return await this.next('CONNECTED')
  }

  /** Sends with a receipt and waits for it. */
  async sure(
    command: keyof typeof Command,
    headers: Record<string, string> = {},
    body: string | Uint8Array = '',
  ): Promise<void> {
    const receipt = `r${Math.random()}`
    this.send(command, { ...headers, receipt }, body)
    const answer = await this.next('RECEIPT', 'ERROR')
    if (answer.command === 'ERROR') throw new Error(`ERROR: ${answer.body}`)
    if (answer.headers['receipt-id'] !== receipt)
      throw new Error(`receipt ${answer.headers['receipt-id']} instead of ${receipt}`)
  }

  /** The next frame of one of these commands, which is taken off the record; rejects if the connection closes first. */
  next(...commands: readonly string[]): Promise<ReceivedFrame> {
    const wants = (frame: ReceivedFrame): boolean => commands.includes(frame.command)
    const index = this.frames.findIndex(wants)
    const found = index >= 0 ? this.frames.splice(index, 1)[0] : undefined
    if (found !== undefined) return Promise.resolve(found)
    return new Promise((resolve, reject) => {
      const take = (frame: ReceivedFrame | undefined): void => {
        if (frame === undefined) reject(new Error(`closed while waiting for ${commands.join(' or ')}`))
        else resolve(frame)
      }
      if (this.isClosed) take(undefined)
      else this.#waiting.push({ wants, take })
    })
  }

  /** The next `count` messages. */
  async messages(count: number): Promise<ReceivedFrame[]> {
    const all: ReceivedFrame[] = []
    while (all.length < count) all.push(await this.next('MESSAGE'))
    return all
  }

  close(): void {
    this.stream.destroy()
  }
}
