import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Timer } from '../clock.ts'
import type { BrokerError } from '../errors.ts'
import { Output, type WireEvents } from './output.ts'
import { listenTcp, type TcpListener, type TcpOptions } from './tcp.ts'
import { type Agreement, agree, noRequest, plainRequest, type Refusal, type Terms } from './upgrade.ts'
import { WebSocketStream } from './websocket-stream.ts'
import type { Wire, WireServices } from './wire.ts'

export interface WebSocketOptions extends TcpOptions, Terms {
  /** Those of the subprotocols whose messages may be text. */
  readonly textSubprotocols: ReadonlySet<string>
  /** How long a connection may take until its handshake has come, or to hang up when that is refused. */
  readonly handshakeMsMax: number
  /** How often a silent peer is asked whether it is there; 0: never. */
  readonly pingMs: number
}

export interface WebSocketEvents {
  /** A WebSocket, with the subprotocol that both sides have agreed on; called as soon as the handshake is answered. */
  accepted(wire: Wire, subprotocol: string): void
  /** A WebSocket is over, for whatever reason. */
  closed(wire: Wire, subprotocol: string): void
  /** Something came that is not let in. */
  refused(remote: string, sentence: string): void
  /** Connections were refused, or could not be accepted. The listener goes on. */
  troubled(error: BrokerError): void
}

/** Opens a port for WebSockets. Fails with an error that names the setting to change if the port cannot be had. */
export async function listenWebSocket(
  options: WebSocketOptions,
  services: WireServices,
  events: WebSocketEvents,
): Promise<WebSocketListener> {
  const door = new WebSocketDoor(options, services, events)
  const tcp = await listenTcp(options, services, {
    accepted: (wire) => door.accept(wire),
    closed: (wire) => door.closed(wire),
    troubled: (error) => events.troubled(error),
  })
  return new WebSocketListener(tcp, door)
}

/** An open port for WebSockets and the connections that came through it. */
export class WebSocketListener {
  readonly #tcp: TcpListener
  readonly #door: WebSocketDoor

  constructor(tcp: TcpListener, door: WebSocketDoor) {
    this.#tcp = tcp
    this.#door = door
  }

  get address(): AddressInfo {
    return this.#tcp.address
  }

  /** `ws://127.0.0.1:61614` */
  get url(): string {
    return this.#tcp.url.replace('tcp:', 'ws:')
  }

  get connectionCount(): number {
    return this.#tcp.connectionCount
  }

  /** As {@link TcpListener.close}. */
  close(): void {
    this.#tcp.close()
    this.#door.leave()
  }

  /** As {@link TcpListener.emptied}. */
  async emptied(ms: number): Promise<void> {
    this.close()
    this.#door.empty()
    await this.#tcp.emptied(ms)
  }
}

/** What came in through a wire: a handshake at first, then perhaps a WebSocket. */
interface Guest {
  readonly handshake: Timer
  isAnswered: boolean
  webSocket: WebSocketWire | undefined
}

/** Makes WebSockets of wires that carry HTTP: those of a port of its own, of TLS, or of a port that is shared. */
export class WebSocketDoor {
  readonly #options: WebSocketOptions
  readonly #services: WireServices
  readonly #events: WebSocketEvents
  /** Parses requests; it never listens. */
  readonly #http: Server
  readonly #guests: Map<Wire, Guest>
  readonly #wires: WeakMap<Duplex, Wire>
  #probe: Timer | undefined
  #isLeaving: boolean

  constructor(options: WebSocketOptions, services: WireServices, events: WebSocketEvents) {
    this.#options = options
    this.#services = services
    this.#events = events
    this.#guests = new Map()
    this.#wires = new WeakMap()
    this.#probe = undefined
    this.#isLeaving = false
    // The handshake has a time-out of the broker's own clock.
    this.#http = createServer({ headersTimeout: 0, requestTimeout: 0, keepAliveTimeout: 0 })
    this.#http.on('upgrade', (request: IncomingMessage, socket: Duplex, rest: Buffer) => {
      this.#answer(socket, rest, agree(request, options))
    })
    this.#http.on('request', ({ socket }: IncomingMessage) => this.#answer(socket, nothing, plainRequest(options)))
    this.#http.on('clientError', (_error: Error, socket: Duplex) => this.#answer(socket, nothing, noRequest(options)))
  }

  /** Waits for the handshake that comes through a wire. */
  accept(wire: Wire): void {
    const { stream } = wire
    const handshake = this.#services.clock.after(this.#options.handshakeMsMax, () => stream.destroy())
    this.#guests.set(wire, { handshake, isAnswered: false, webSocket: undefined })
    this.#wires.set(stream, wire)
    this.#http.emit('connection', stream)
    this.#schedule()
  }

  /** A wire of {@link accept} is closed. */
  closed(wire: Wire): void {
    const guest = this.#guests.get(wire)
    this.#guests.delete(wire)
    guest?.handshake.cancel()
    if (guest?.webSocket !== undefined) this.#events.closed(guest.webSocket, guest.webSocket.subprotocol)
    if (this.#guests.size > 0) return
    this.#probe?.cancel()
    this.#probe = undefined
  }

  /** Every close from now on is the server's going away. */
  leave(): void {
    this.#isLeaving = true
    for (const { webSocket } of this.#guests.values()) webSocket?.stream.leave()
  }

  /** Ends the WebSockets that nothing has been said to, and the handshakes. */
  empty(): void {
    for (const [{ stream }, { webSocket }] of this.#guests) {
      if (webSocket === undefined) stream.destroy()
      else if (webSocket.stream.sentBytes === 0) webSocket.stream.end()
    }
  }

  #answer(socket: Duplex, rest: Buffer, answer: Agreement | Refusal): void {
    const wire = this.#wires.get(socket)
    const guest = wire === undefined ? undefined : this.#guests.get(wire)
    if (wire === undefined || guest === undefined || guest.isAnswered || !socket.writable) return
    guest.isAnswered = true
    if ('subprotocol' in answer) {
      guest.handshake.cancel()
      socket.write(answer.response)
      if (rest.length > 0) socket.unshift(rest)
      const takesText = this.#options.textSubprotocols.has(answer.subprotocol)
      guest.webSocket = new WebSocketWire(wire, { subprotocol: answer.subprotocol, takesText }, this.#services)
      if (this.#isLeaving) guest.webSocket.stream.leave()
      this.#events.accepted(guest.webSocket, answer.subprotocol)
    } else {
      socket.end(answer.response)
      // So that the end of the peer is seen.
      socket.resume()
      this.#events.refused(wire.remote, answer.sentence)
    }
  }

  #schedule(): void {
    const { pingMs } = this.#options
    if (pingMs === 0) return
    this.#probe ??= this.#services.clock.after(pingMs, () => {
      this.#probe = undefined
      for (const { webSocket } of this.#guests.values()) webSocket?.stream.probe(pingMs)
      if (this.#guests.size > 0) this.#schedule()
    })
  }
}

/** A WebSocket as its adapter sees it. */
class WebSocketWire implements Wire {
  readonly stream: WebSocketStream
  readonly remote: string
  readonly isLocal: boolean
  readonly subprotocol: string
  readonly #services: WireServices
  /** Where the frames of the adapter end: each becomes a message of its own. */
  readonly #marks: number[]

  constructor(
    wire: Wire,
    { subprotocol, takesText }: { subprotocol: string; takesText: boolean },
    services: WireServices,
  ) {
    this.#marks = []
    this.stream = new WebSocketStream(wire.stream, services, { marks: this.#marks, takesText })
    this.remote = wire.remote
    this.isLocal = wire.isLocal
    this.subprotocol = subprotocol
    this.#services = services
  }

  open(events: WireEvents): Output {
    const { turn, slabs, limits } = this.#services
    return new Output(this.stream, turn, slabs, limits.outputBytesHigh, events, this.#marks)
  }
}

const nothing = Buffer.alloc(0)
