import { type AddressInfo, createServer, type DropArgument, type Server, type Socket } from 'node:net'
import type { Timer } from '../clock.ts'
import { BrokerError } from '../errors.ts'
import { Output, type WireEvents } from './output.ts'
import type { Wire, WireServices } from './wire.ts'

/** Idle time after which the operating system begins to ask whether the peer is still there. */
const keepAliveMs = 60_000
/** The shortest time between two reports of refused connections. */
const reportMs = 10_000
/** How often in `stalledMsMax` the wires are looked at. */
const sweepsPerStall = 4

export interface TcpOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly backlog: number
  /** The settings this listener is made from, named in errors: `listeners.stomp`. */
  readonly setting: string
}

export interface TcpEvents {
  /** A connection; called as soon as it is accepted. */
  accepted(wire: Wire): void
  /** A connection is over, for whatever reason. */
  closed(wire: Wire): void
  /** Connections were refused, or could not be accepted. The listener goes on. */
  troubled(error: BrokerError): void
}

/**
 * Opens a port. Fails with an error that names the setting to change if the port cannot be had.
 */
export async function listenTcp(options: TcpOptions, services: WireServices, events: TcpEvents): Promise<TcpListener> {
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(explain(error, options)))
    server.listen({ host: options.host, port: options.port, backlog: options.backlog }, resolve)
  })
  server.removeAllListeners('error')
  return new TcpListener(server, services, events)
}

/** An open port and the connections that came through it. */
export class TcpListener {
  readonly address: AddressInfo
  readonly #server: Server
  readonly #services: WireServices
  readonly #events: TcpEvents
  readonly #wires: Map<Socket, TcpWire>
  readonly #onSocketClose: (this: Socket) => void
  #sweep: Timer | undefined
  #whenEmpty: (() => void) | undefined
  #refusedCount: number
  #reportedAt: number

  constructor(server: Server, services: WireServices, events: TcpEvents) {
    this.address = server.address() as AddressInfo
    this.#server = server
    this.#services = services
    this.#events = events
    this.#wires = new Map()
    const closed = (socket: Socket) => this.#closed(socket)
    // One function for all sockets, which tells them apart by `this`.
    this.#onSocketClose = function onSocketClose() {
      closed(this)
    }
    this.#sweep = undefined
    this.#whenEmpty = undefined
    this.#refusedCount = 0
    this.#reportedAt = Number.NEGATIVE_INFINITY
    server.maxConnections = services.limits.connectionsMax
    server.on('connection', (socket) => this.#accept(socket))
    server.on('drop', (dropped) => this.#refuse(dropped))
    server.on('error', (error) => events.troubled(trouble(error)))
  }

  /** `tcp://127.0.0.1:61613` */
  get url(): string {
    return `tcp://${hostPort(this.address.address, this.address.port)}`
  }

  get connectionCount(): number {
    return this.#wires.size
  }

  /** Accepts no more. The connections that are open belong to their adapters. Idempotent. */
  close(): void {
    if (this.#server.listening) this.#server.close()
  }

  /**
   * Resolves when no connection is open any more; those that still are after `ms` are cut, and at once those that
   * nothing has been said to yet. Accepts no more.
   */
  async emptied(ms: number): Promise<void> {
    this.close()
    for (const socket of this.#wires.keys()) if (socket.bytesWritten === 0) socket.destroy()
    if (this.#wires.size > 0) {
      const empty = new Promise<void>((resolve) => {
        this.#whenEmpty = resolve
      })
      const timer = this.#services.clock.after(ms, () => this.#cutAll())
      if (ms <= 0) this.#cutAll()
      await empty
      timer.cancel()
    }
    this.#sweep?.cancel()
  }

  #accept(socket: Socket): void {
    socket.on('error', ignore)
    socket.on('close', this.#onSocketClose)
    const wire = new TcpWire(socket, this.#services)
    this.#wires.set(socket, wire)
    this.#scheduleSweep()
    this.#events.accepted(wire.seen)
  }

  #refuse(dropped: DropArgument | undefined): void {
    this.#refusedCount += 1
    const now = this.#services.clock.now()
    if (now - this.#reportedAt < reportMs) return
    const count = this.#refusedCount
    this.#refusedCount = 0
    this.#reportedAt = now
    const peer = dropped === undefined ? 'a peer' : hostPort(dropped.remoteAddress ?? '?', dropped.remotePort ?? 0)
    const others = count > 1 ? ` and ${count - 1} before it` : ''
    const limit = this.#services.limits.connectionsMax
    const sentence = `refused the connection of ${peer}${others}: ${limit} are open, as many as limits.connectionsMax allows`
    this.#events.troubled(new BrokerError('limit-exceeded', sentence))
  }

  #closed(socket: Socket): void {
    const wire = this.#wires.get(socket)
    this.#wires.delete(socket)
    if (wire !== undefined) this.#events.closed(wire.seen)
    if (this.#wires.size === 0) this.#whenEmpty?.()
  }

  #cutAll(): void {
    for (const socket of this.#wires.keys()) socket.destroy()
  }

  #scheduleSweep(): void {
    this.#sweep ??= this.#services.clock.after(this.#services.limits.stalledMsMax / sweepsPerStall, () => {
      this.#sweep = undefined
      for (const wire of this.#wires.values()) wire.sweep()
      if (this.#wires.size > 0) this.#scheduleSweep()
    })
  }
}

/** One socket. */
class TcpWire implements Wire {
  readonly stream: Socket
  /** The wire as its adapter sees it. */
  readonly seen: Wire
  readonly #services: WireServices
  #output: Output | undefined
  /** What the peer had still to read at the last sweep, and for how many sweeps it has read nothing. */
  #unreadBytes: number
  #takenBytes: number
  #idleSweeps: number

  constructor(stream: Socket, services: WireServices) {
    this.stream = stream
    // Asked now, for the socket remembers it then, and nobody can say any more once it is closed.
    stream.remoteFamily
    this.#services = services
    this.#output = undefined
    this.#unreadBytes = 0
    this.#takenBytes = 0
    this.#idleSweeps = 0
    this.seen = services.through?.(this, services) ?? this
  }

  get remote(): string {
    return hostPort(this.stream.remoteAddress ?? '?', this.stream.remotePort ?? 0)
  }

  get isLocal(): boolean {
    const address = this.stream.remoteAddress ?? ''
    return address.startsWith('127.') || address === '::1' || address.startsWith('::ffff:127.')
  }

  open(events: WireEvents): Output {
    const { turn, slabs, limits } = this.#services
    this.#output = new Output(this.stream, turn, slabs, limits.outputBytesHigh, events)
    return this.#output
  }

  /** Cuts the connection if its peer has read nothing of what waits for it, or not hung up, for `stalledMsMax`. */
  sweep(): void {
    const { stream } = this
    const waiting = this.#output?.waitingBytes ?? stream.writableLength
    if (waiting === 0 && !stream.writableFinished) {
      this.#idleSweeps = 0
      return
    }
    const unread = unreadBytes(stream)
    const taken = this.#output?.takenBytes ?? stream.bytesWritten - stream.writableLength
    const hasRead = unread < this.#unreadBytes || taken !== this.#takenBytes
    this.#unreadBytes = unread
    this.#takenBytes = taken
    this.#idleSweeps = hasRead ? 0 : this.#idleSweeps + 1
    if (this.#idleSweeps <= sweepsPerStall) return
    const seconds = this.#services.limits.stalledMsMax / 1000
    const fault = waiting > 0 ? `has read none of the ${waiting} bytes that wait for it` : 'has not hung up'
    stream.destroy(new BrokerError('timed-out', `the peer ${fault} for ${seconds} s (limits.stalledMsMax)`))
  }
}

/**
 * Bytes that the operating system has not taken of the write under way. net.Socket has no public name for it; its own
 * time-out looks at the same field. Without it a long write counts as one step.
 */
function unreadBytes(socket: Socket): number {
  const { _handle: handle } = socket as { readonly _handle?: { readonly writeQueueSize?: number } | null }
  return handle?.writeQueueSize ?? 0
}

function ignore(): void {
  // 'close' follows, which the adapter listens to.
}

/** `127.0.0.1:5`, `[::1]:5` */
function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function trouble(cause: Error): BrokerError {
  return new BrokerError('resource-exhausted', `cannot accept a connection: ${cause.message}`, { cause })
}

function explain(cause: NodeJS.ErrnoException, options: TcpOptions): BrokerError {
  const { host, port, setting } = options
  const otherPort = `${setting}.port (--set ${setting}.port=…)`
  const otherHost = `${setting}.host (--set ${setting}.host=…)`
  const place = hostPort(host, port)
  switch (cause.code) {
    case 'EADDRINUSE':
      return new BrokerError(
        'in-use',
        `port ${port} is in use on ${host}: stop the program that has it, or choose another with ${otherPort}`,
        { cause },
      )
    case 'EACCES':
      return new BrokerError(
        'not-authorised',
        `this user may not listen on port ${port}: choose one above 1023 with ${otherPort}`,
        { cause },
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new BrokerError(
        'invalid-request',
        `"${host}" is no address of this machine: choose one with ${otherHost}`,
        { cause },
      )
    default:
      return new BrokerError('invalid-request', `cannot listen on ${place} (${setting}): ${cause.message}`, { cause })
  }
}
