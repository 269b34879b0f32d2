import { beforeEach, describe, expect, test } from 'vitest'
import { type TransportEvents, WirePeer } from '../../../../protocols/native/client/index.ts'
import type { Dialled, PeerEvents } from '../../../../protocols/native/client/peer.ts'
import {
  type Fields,
  writeBye,
  writeError,
  writeMapFrame,
  writeNonce,
  writeOk,
} from '../../../../protocols/native/encoder.ts'
import { Flag, FrameType } from '../../../../protocols/native/frame.ts'
import { type ByteSink, beginFrame, endFrame, GrowingBytes } from '../../../../protocols/native/writer.ts'
import { FrameLog, prefaceHex } from '../../../support/native-frames.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

/** A broker that says what the test has it say, and the client's end of its connection. */
class FakeBroker {
  readonly clock = new VirtualClock()
  readonly told: unknown[][] = []
  readonly log = new FrameLog()
  readonly dialling: Promise<Dialled>
  isEnded = false
  #transport: TransportEvents | undefined

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
      { hello, environment, allocate: (bytes) => new Uint8Array(bytes) },
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

const shuttingDown = { code: 600, name: 'shutting-down', text: 'the broker is shutting down', retryable: true }
let broker: FakeBroker

beforeEach(() => {
  broker = new FakeBroker()
})

describe('a client that dials', () => {
  test('sends its preface and HELLO without waiting', async () => {
    await broker.welcome()
    expect(broker.log.preface).toEqual([1, 0])
    expect(broker.log.frames.map(({ type }) => type)).toEqual(['hello'])
  })

  test('learns who is there', async () => {
    const time = { type: 'timestamp', value: broker.clock.now() + 5000 } as const
    const { welcome } = await broker.welcome({ product: 'Fake/1', time })
    expect(welcome).toEqual({ connectionId: '7', broker: 'fake', product: 'Fake/1', clockOffsetMs: 5000 })
  })

  test('is told why it is refused', async () => {
    await Promise.resolve()
    const error = { code: 200, name: 'not-authenticated', text: 'no such user', retryable: false }
    broker.bytes(prefaceHex)
    broker.say((sink) => writeError(sink, 0, error))
    broker.hangUp()
    await expect(broker.dialling).rejects.toMatchObject({ code: 'not-authenticated', message: 'no such user' })
  })

  test('does not take another major version for its own', async () => {
    await Promise.resolve()
    broker.bytes('4d4e464402000000')
    broker.hangUp()
    await expect(broker.dialling).rejects.toThrow('the broker speaks MNP/2, this client MNP/1')
  })

  test('takes nothing before WELCOME', async () => {
    await Promise.resolve()
    broker.bytes(prefaceHex)
    broker.frame(FrameType.ping, 0)
    await expect(broker.dialling).rejects.toThrow('the first frame must be WELCOME')
    expect(broker.isEnded).toBe(true)
  })
})

describe('a client that is connected', () => {
  test('leaves out frames of unknown types that are SKIPPABLE', async () => {
    await broker.welcome()
    broker.frame(0x06, Flag.skippable)
    broker.frame(0x7e, Flag.skippable)
    broker.say((sink) => writeOk(sink, 5, {}))
    expect(broker.told).toMatchObject([['ok', 5, {}]])
  })

  test('ends at others', async () => {
    await broker.welcome()
    broker.frame(0x7e, 0)
    expect(broker.lost).toMatchObject({ code: 'protocol-error', message: expect.stringContaining('type 126') })
    expect(broker.isEnded).toBe(true)
  })

  test('ends at a frame that is longer than it takes', async () => {
    await broker.welcome()
    broker.bytes('000186a13000')
    expect(broker.lost).toMatchObject({ code: 'protocol-error', message: expect.stringContaining('over the limit') })
  })

  test('answers PING', async () => {
    await broker.welcome()
    broker.say((sink) => writeNonce(sink, FrameType.ping, 99))
    await Promise.resolve()
    expect(broker.log.frames.at(-1)).toMatchObject({ type: 'pong', nonce: 99 })
  })

  test('gives up a broker that is silent for three heart-beats', async () => {
    await broker.welcome({ heartBeatMs: { type: 'int', value: 1000 } })
    for (let beat = 0; beat < 3; beat += 1) broker.clock.advance(1000)
    expect(broker.lost).toBeUndefined()
    broker.clock.advance(1000)
    expect(broker.lost).toMatchObject({ code: 'timed-out' })
  })

  test('tells what the broker said when it went', async () => {
    await broker.welcome()
    broker.say((sink) => writeBye(sink, shuttingDown))
    broker.hangUp()
    expect(broker.lost).toMatchObject({ code: 'shutting-down', retryable: true })
  })

  test('tells once that the connection is lost', async () => {
    const { peer } = await broker.welcome()
    broker.hangUp()
    broker.hangUp()
    peer.end()
    expect(broker.told).toHaveLength(1)
    expect(broker.lost).toMatchObject({ code: 'connection-lost', retryable: true })
  })
})
