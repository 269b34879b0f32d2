import { Duplex } from 'node:stream'
import { Output, type WireEvents } from './output.ts'
import type { Wire, WireServices } from './wire.ts'

/** Bytes one end may have sent that the other has not read; more waits, as it would on a socket. */
const unreadBytesMax = 64 * 1024

/** One end of a connection within this process: what is written to one end is read, as a copy, from the other. */
class MemoryDuplex extends Duplex {
  #peer: MemoryDuplex | undefined
  /** Called when this end has read what the peer's last write put there. */
  #onRead: (() => void) | undefined

  constructor() {
    super({ allowHalfOpen: false, readableHighWaterMark: unreadBytesMax })
    this.#peer = undefined
    this.#onRead = undefined
    this.on('error', ignore)
  }

  static pair(): readonly [Duplex, Duplex] {
    const left = new MemoryDuplex()
    const right = new MemoryDuplex()
    left.#peer = right
    right.#peer = left
    return [left, right]
  }

  override _read(): void {
    const done = this.#onRead
    this.#onRead = undefined
    done?.()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    const peer = this.#peer
    if (peer === undefined || peer.destroyed) done(broken())
    // The writer uses its buffer again once the write is done; whoever reads may keep what it got.
    else if (peer.push(Buffer.from(chunk))) done()
    else peer.#onRead = done
  }

  override _final(done: () => void): void {
    this.#peer?.push(null)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const peer = this.#peer
    this.#peer = undefined
    this._read()
    if (peer !== undefined && !peer.destroyed) {
      // Like a socket: the peer reads what has arrived, then the end; in the midst of things it is an error.
      if (error === null && !peer.readableEnded) peer.push(null)
      else peer.destroy()
    }
    done(error)
  }
}

/** A wire within this process, for tests and embedded clients. */
class MemoryWire implements Wire {
  readonly stream: Duplex
  readonly remote: string
  readonly isLocal: boolean
  readonly #services: WireServices

  constructor(stream: Duplex, remote: string, services: WireServices) {
    this.stream = stream
    this.remote = remote
    this.isLocal = true
    this.#services = services
  }

  open(events: WireEvents): Output {
    const { turn, slabs, limits } = this.#services
    return new Output(this.stream, turn, slabs, limits.outputBytesHigh, events)
  }
}

/** A connected pair: the wire for an adapter, and the stream of its client. */
export function memoryWire(
  services: WireServices,
  remote = 'memory',
): { readonly wire: Wire; readonly client: Duplex } {
  const [stream, client] = MemoryDuplex.pair()
  return { wire: new MemoryWire(stream, remote, services), client }
}

/** Two ends of a connection within this process. */
export function memoryPair(): readonly [Duplex, Duplex] {
  return MemoryDuplex.pair()
}

function broken(): Error {
  return Object.assign(new Error('the other end is closed'), { code: 'EPIPE' })
}

function ignore(): void {
  // 'close' follows.
}
