import { Duplex } from 'node:stream'
import { Output, type WireEvents } from '../transport/output.ts'
import type { Wire, WireServices } from '../transport/wire.ts'

/**
 * When a fault strikes a connection: once this much has passed through it, counted from when the fault was asked for, or
 * from the beginning of a connection that came later. The byte that fills the count is the last to pass.
 */
export interface FaultPoint {
  /** Bytes from the client. */
  readonly received?: number
  /** Bytes to the client. */
  readonly sent?: number
  /** Whole frames to the client, of protocols that say where theirs end: STOMP, over TCP. */
  readonly frames?: number
}

export type FaultKind = 'cut' | 'stall'

interface Fault {
  readonly kind: FaultKind
  readonly after: FaultPoint
}

/** Stands between a broker and its clients, and lets connections go wrong. */
export class Faults {
  /** Whatever has passed, in both directions: a number that only tells whether something did. */
  passed: number
  readonly #lines: Set<Line>
  #waiting: Fault[]
  #refusals: number

  constructor() {
    this.passed = 0
    this.#lines = new Set()
    this.#waiting = []
    this.#refusals = 0
  }

  get connectionCount(): number {
    return this.#lines.size
  }

  /** Lets a fault happen to every connection now, or to the first one that gets to a point. */
  strike(kind: FaultKind, after: FaultPoint | undefined): void {
    if (after !== undefined) {
      const fault = { kind, after }
      this.#waiting.push(fault)
      for (const line of this.#lines) line.await(fault)
    } else for (const line of [...this.#lines]) line.strike(kind)
  }

  /** Cuts the next connections as soon as they are accepted. */
  refuse(times: number): void {
    this.#refusals = times
  }

  /** Ends every stall, and refuses nobody; faults that have not happened will not. */
  heal(): void {
    this.#refusals = 0
    this.#waiting = []
    for (const line of this.#lines) line.heal()
  }

  /** A wire on which faults may happen. */
  through(wire: Wire, services: WireServices): Wire {
    this.passed += 1
    const line = new Line(wire.stream, {
      passed: () => {
        this.passed += 1
      },
      claim: (fault) => this.#claim(fault),
      closed: () => this.#lines.delete(line),
    })
    this.#lines.add(line)
    for (const fault of this.#waiting) line.await(fault)
    if (this.#refusals > 0) {
      this.#refusals -= 1
      line.strike('cut')
    }
    return new FaultyWire(wire, line, services)
  }

  /** True for the first connection that gets to the point of a fault. */
  #claim(fault: Fault): boolean {
    const index = this.#waiting.indexOf(fault)
    if (index >= 0) this.#waiting.splice(index, 1)
    return index >= 0
  }
}

interface LineHost {
  passed(): void
  claim(fault: Fault): boolean
  closed(): void
}

/** A fault and where in this connection it happens, in bytes and frames since its beginning. */
interface Awaited {
  readonly fault: Fault
  readonly received: number
  readonly sent: number
  readonly frames: number
}

/** The stream of a connection, between socket and adapter. */
class Line extends Duplex {
  /** Where frames to the client end, in bytes since the beginning. */
  readonly marks: number[]
  readonly #inner: Duplex
  readonly #host: LineHost
  #awaited: Awaited[]
  #receivedBytes: number
  #sentBytes: number
  #isStalled: boolean
  /** Written while stalled. */
  #held: (() => void)[]

  constructor(inner: Duplex, host: LineHost) {
    super({ allowHalfOpen: false, autoDestroy: false })
    this.marks = []
    this.#inner = inner
    this.#host = host
    this.#awaited = []
    this.#receivedBytes = 0
    this.#sentBytes = 0
    this.#isStalled = false
    this.#held = []
    this.on('error', () => undefined)
    inner.on('data', (chunk: Buffer) => this.#receive(chunk))
    inner.on('end', () => this.push(null))
    inner.on('close', () => this.destroy(inner.errored ?? undefined))
  }

  await(fault: Fault): void {
    const { received = Number.POSITIVE_INFINITY, sent = Number.POSITIVE_INFINITY } = fault.after
    const frames = (fault.after.frames ?? Number.POSITIVE_INFINITY) + this.#frameCount
    this.#awaited.push({ fault, received: received + this.#receivedBytes, sent: sent + this.#sentBytes, frames })
  }

  strike(kind: FaultKind): void {
    if (kind === 'cut') this.#inner.destroy()
    else {
      this.#isStalled = true
      this.#inner.pause()
    }
  }

  heal(): void {
    this.#awaited = []
    if (!this.#isStalled) return
    this.#isStalled = false
    this.#inner.resume()
    for (const write of this.#held.splice(0)) write()
  }

  override _read(): void {
    if (!this.#isStalled) this.#inner.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#isStalled) {
      this.#held.push(() => this._write(chunk, _encoding, done))
      return
    }
    const next = this.#awaited.map((awaited) => [this.#sentLimit(awaited), awaited.fault] as const)
    const first = earliest(next)
    const room = first === undefined ? Number.POSITIVE_INFINITY : first[0] - this.#sentBytes
    const now = room < chunk.length ? chunk.subarray(0, Math.max(0, room)) : chunk
    this.#sentBytes += now.length
    this.#host.passed()
    if (first === undefined || room > chunk.length) {
      this.#inner.write(now, done)
      return
    }
    const rest = chunk.subarray(now.length)
    this.#inner.write(now, (error) => {
      this.#happen(first[1])
      if (error || this.#inner.destroyed || rest.length === 0) done(error)
      else this._write(rest, _encoding, done)
    })
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#isStalled) this.#held.push(() => this._final(done))
    else this.#inner.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#host.closed()
    this.#held = []
    if (this.#inner.closed) done(error)
    else {
      this.#inner.once('close', () => done(error))
      this.#inner.destroy(error ?? undefined)
    }
  }

  get #frameCount(): number {
    return this.marks.filter((mark) => mark <= this.#sentBytes).length
  }

  /** Bytes sent after which a fault happens. */
  #sentLimit({ sent, frames }: Awaited): number {
    return Math.min(sent, this.marks[frames - 1] ?? Number.POSITIVE_INFINITY)
  }

  #receive(chunk: Buffer): void {
    this.#host.passed()
    const first = earliest(this.#awaited.map(({ received, fault }) => [received, fault] as const))
    const room = first === undefined ? Number.POSITIVE_INFINITY : first[0] - this.#receivedBytes
    const now = chunk.subarray(0, Math.min(chunk.length, Math.max(0, room)))
    this.#receivedBytes += now.length
    if (now.length > 0 && !this.push(now)) this.#inner.pause()
    if (first === undefined || room > chunk.length) return
    this.#happen(first[1])
    const rest = chunk.subarray(now.length)
    if (rest.length > 0 && !this.#inner.destroyed) this.#inner.unshift(rest)
  }

  #happen(fault: Fault): void {
    this.#awaited = this.#awaited.filter((awaited) => awaited.fault !== fault)
    if (this.#host.claim(fault)) this.strike(fault.kind)
  }
}

function earliest(
  points: readonly (readonly [at: number, fault: Fault])[],
): readonly [at: number, fault: Fault] | undefined {
  const [first] = [...points].sort(([left], [right]) => left - right)
  return first !== undefined && first[0] < Number.POSITIVE_INFINITY ? first : undefined
}

class FaultyWire implements Wire {
  readonly stream: Line
  readonly remote: string
  readonly isLocal: boolean
  readonly #services: WireServices

  constructor(wire: Wire, line: Line, services: WireServices) {
    this.stream = line
    this.remote = wire.remote
    this.isLocal = wire.isLocal
    this.#services = services
  }

  open(events: WireEvents): Output {
    const { turn, slabs, limits } = this.#services
    return new Output(this.stream, turn, slabs, limits.outputBytesHigh, events, this.stream.marks)
  }
}
