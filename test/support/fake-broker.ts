import { type CarrierEvents, carried, WirePeer } from '../../protocols/native/client/index.ts'
import type { Dialled, PeerEvents } from '../../protocols/native/client/peer.ts'
import { type Fields, writeMapFrame } from '../../protocols/native/encoder.ts'
import { FrameType } from '../../protocols/native/frame.ts'
import { type ByteSink, beginFrame, endFrame, GrowingBytes } from '../../protocols/native/writer.ts'
import { FrameLog, prefaceHex } from './native-frames.ts'
import { VirtualClock } from './virtual-clock.ts'

/** A broker that says what the test has it say, and the client's end of its connection. */
export class FakeBroker {
  readonly clock = new VirtualClock()
  readonly told: unknown[][] = []
  readonly log = new FrameLog()
  readonly dialling: Promise<Dialled>
  isEnded = false
  #transport: CarrierEvents | undefined

  constructor() {
    const events = new Proxy({} as PeerEvents, {
      get:
        (_target, name) =>
        (...all: unknown[]) =>
          this.told.push([name, ...all]),
    })
    const environment = {
      now: () => this.clock.now(),
      after: (ms: number, callback: () => void) => this.clock.after(ms, callback),
      random: () => 0,
      soon: queueMicrotask,
    }
    const hello = { clientId: 'c', user: 'u', password: 'p', heartBeatMs: 1000, frameBytesMax: 100_000 }
    this.dialling = WirePeer.dial(
      carried(
        async (transport) => {
          this.#transport = transport
          const end = (): void => {
            this.isEnded = true
          }
          return {
            write: (bytes, done) => {
              this.log.decoder.push(Buffer.from(bytes))
              done()
            },
            end,
            destroy: end,
          }
        },
        (bytes) => new Uint8Array(bytes),
      ),
      { hello, environment },
      events,
      new AbortController().signal,
    )
    this.dialling.catch(() => undefined)
  }

  bytes(hex: string): void {
    this.#transport?.data(Buffer.from(hex, 'hex'))
  }

  say(fill: (sink: ByteSink) => void): void {
    const bytes = new GrowingBytes()
    fill(bytes)
    this.bytes(Buffer.from(bytes.bytes).toString('hex'))
  }

  /** A frame of one byte. */
  frame(type: number, flags: number): void {
    this.say((sink) => {
      sink.reserve(16)
      const start = sink.position
      beginFrame(sink, type, flags)
      sink.buffer[sink.position] = 1
      sink.position += 1
      endFrame(sink, start)
    })
  }

  async welcome(fields: Fields = {}): Promise<Dialled> {
    // The transport is there once what awaits it has run.
    await Promise.resolve()
    this.bytes(prefaceHex)
    this.say((sink) => writeMapFrame(sink, FrameType.welcome, { connectionId: '7', broker: 'fake', ...fields }))
    return await this.dialling
  }

  hangUp(): void {
    this.#transport?.closed(undefined)
  }

  /** What it told of the end of the connection. */
  get lost(): unknown {
    return this.told.find(([name]) => name === 'lost')?.[1]
  }
}
