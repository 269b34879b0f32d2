import type { Duplex } from 'node:stream'
import type { Environment } from '../../protocols/native/client/environment.ts'
import {
  Connection,
  ConnectionError,
  type ConnectOptions,
  carried,
  type Dial,
  defaultReconnect,
  everywhere,
  parseTarget,
  WirePeer,
} from '../../protocols/native/client/index.ts'
import { nativeFormat } from '../../protocols/native/content.ts'
import type { NativeOptions } from '../../protocols/native/options.ts'
import { createNative } from '../../protocols/native/protocol.ts'
import { stompFormats } from '../../protocols/stomp/content.ts'
import { createStomp } from '../../protocols/stomp/protocol.ts'
import type { Broker } from '../../src/broker/broker.ts'
import { VmPeer } from '../../src/client/vm-peer.ts'
import { embeddedFormat } from '../../src/embedded-format.ts'
import type { Protocol } from '../../src/protocol.ts'
import type { Wire, WireServices } from '../../src/transport/wire.ts'
import { FrameCutter } from './frame-cutter.ts'
import { memoryWebSocket } from './memory-websocket.ts'
import { StompTestClient } from './stomp-client.ts'
import type { VirtualClock } from './virtual-clock.ts'
import { serverName, WiredBroker, type WiredBrokerOptions } from './wired-broker.ts'

export const carriers = ['a wire', 'vm:// by value', 'vm:// by reference'] as const
export type Carrier = (typeof carriers)[number] | 'a WebSocket'

/** The client as it is, or as it was built for browsers. */
export type Client = Omit<typeof import('../../src/client.ts'), 'connect'> & {
  connect(url: string, options: ConnectOptions): Promise<Connection>
}

export interface NativeBrokerOptions extends WiredBrokerOptions {
  readonly native?: Partial<NativeOptions>
}

/** A broker with the native protocol, and STOMP, over wires of memory; on a virtual clock and real turns. */
export class NativeBroker implements AsyncDisposable {
  readonly clock: VirtualClock
  readonly broker: Broker
  readonly #wired: WiredBroker
  /** The clients' ends of the wires, in the order of connecting. */
  readonly streams: Duplex[]
  /** What carries the connections of {@link connect}. */
  carrier: Carrier
  /** Whose `connect` it is over a WebSocket. */
  client: Client | undefined
  /** True: no new wire is let in. */
  refusing: boolean
  /** True: nothing of the broker reaches its clients. */
  deaf: boolean
  /** How many frames pass on the wire that is opened next, in each direction, before it is cut. */
  cut: { readonly toBroker: number; readonly toClient: number } | undefined
  /** Frames that have passed on all wires that were to be cut. */
  readonly cutters: { readonly toBroker: FrameCutter; readonly toClient: FrameCutter }[]
  readonly #native: Protocol
  readonly #stomp: Protocol
  readonly #connections: Connection[]

  private constructor(options: NativeBrokerOptions) {
    this.streams = []
    this.carrier = 'a wire'
    this.client = undefined
    this.refusing = false
    this.deaf = false
    this.cut = undefined
    this.cutters = []
    this.#connections = []
    this.#wired = new WiredBroker(options, [nativeFormat, ...Object.values(stompFormats), embeddedFormat])
    this.clock = this.#wired.clock
    this.broker = this.#wired.broker
    this.#native = createNative(serverName, options.native)
    this.#stomp = createStomp(serverName)
  }

  static async open(options: NativeBrokerOptions = {}): Promise<NativeBroker> {
    const made = new NativeBroker(options)
    await made.broker.open()
    return made
  }

  /** The client's end of a new wire to the broker. */
  wire(): Duplex {
    const client = this.#wired.wire(this.#native)
    this.streams.push(client)
    return client
  }

  /** What its wires share. */
  get services(): WireServices {
    return this.#wired.services
  }

  /** Speaks the native protocol at the other end of a wire. */
  accept(wire: Wire): void {
    this.#native.accept(wire, this.broker)
  }

  /** A clock of the client's own machine: the virtual one, with real ends of turns. */
  get environment(): Environment {
    return {
      now: () => this.clock.now(),
      after: (ms, callback) => this.clock.after(ms, callback),
      random: Math.random,
      soon: (callback) => {
        setImmediate(callback)
      },
    }
  }

  async connect(options: ConnectOptions = {}): Promise<Connection> {
    const connection = await this.#connect({ environment: this.environment, ...options })
    this.#connections.push(connection)
    return connection
  }

  async #connect(options: ConnectOptions): Promise<Connection> {
    if (this.client !== undefined && this.carrier === 'a WebSocket') {
      Object.assign(globalThis, { WebSocket: memoryWebSocket(() => this.wire()) })
      return await this.client.connect('ws://memory', options)
    }
    const dial = this.carrier === 'a wire' ? this.dial : this.dialVm
    const target = parseTarget('tcp://memory', { ...defaultReconnect, ...options.reconnect }, everywhere)
    return await Connection.open(target, options, dial)
  }

  /** Reaches this broker over a new wire. */
  readonly dial: Dial = (_endpoint, { hello, environment }, events, signal) => {
    const allocate = (bytes: number): Uint8Array => Buffer.allocUnsafeSlow(bytes)
    return WirePeer.dial(
      carried(async (transport) => {
        if (this.refusing) throw new ConnectionError('connection-refused', 'nobody answers', { retryable: true })
        const stream = this.wire()
        const { toBroker = Number.POSITIVE_INFINITY, toClient = Number.POSITIVE_INFINITY } = this.cut ?? {}
        this.cut = undefined
        const gates = { toBroker: new FrameCutter(toBroker), toClient: new FrameCutter(toClient) }
        this.cutters.push(gates)
        stream.on('data', (chunk: Buffer) => {
          if (!this.deaf) transport.data(gates.toClient.push(chunk))
          if (gates.toClient.isShut) stream.destroy()
        })
        stream.on('close', () => transport.closed(undefined))
        return {
          write: (bytes, done) => {
            const passing = Buffer.from(gates.toBroker.push(bytes))
            if (stream.destroyed) done()
            else stream.write(passing, () => done())
            if (gates.toBroker.isShut && !stream.writableEnded) stream.end()
          },
          end: () => stream.end(),
          destroy: () => stream.destroy(),
        }
      }, allocate),
      { hello, environment, allocate },
      events,
      signal,
    )
  }

  /** Reaches this broker without a wire. */
  readonly dialVm: Dial = (_endpoint, { hello, environment }, events) => {
    const pass = this.carrier === 'vm:// by value' ? 'value' : 'reference'
    return VmPeer.dial(this.broker, events, { pass, hello, environment, onOver: () => undefined })
  }

  async stomp(): Promise<StompTestClient> {
    const client = this.#wired.wire(this.#stomp)
    const stomp = new StompTestClient(client)
    await stomp.connect()
    return stomp
  }

  /** Lets everything that is ready be done. */
  async idle(turns = 8): Promise<void> {
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  }

  /** Lets time pass, in steps that give everybody time to act. */
  async advance(ms: number): Promise<void> {
    await this.idle()
    this.clock.advance(ms)
    await this.idle()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()))
  }
}
