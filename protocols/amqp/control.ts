/**
 * rhea as the control plane: SASL, the state of connection, sessions and links, and the frames of all but transfers, flows and
 * dispositions. Everything here that is not in rhea's documentation is a seam, and test/contract/rhea.test.ts fails if a new rhea
 * changes one. Only single connections, sessions and links are overridden, never what all users of rhea in a process share.
 */
import rhea from 'rhea'
import type { Typed } from './typed.ts'

/** What rhea keeps of a local end: what it has asked for, and what has been answered. */
export interface EndpointState {
  remote_opened(): boolean
  remote_closed(): boolean
  is_closed(): boolean
  local_open: boolean
  remote_open: boolean
}

/** A frame as rhea hands it over; the fields of its performative in order, as they came. */
export interface ControlFrame {
  readonly channel: number
  readonly performative: { readonly value: readonly Typed[] }
}

/** The fields of an `error` (part 2, section 2.8.14). */
export interface ErrorFields {
  readonly condition: string
  readonly description: string
  readonly info?: Readonly<Record<string, unknown>>
}

export interface ControlLink {
  name: string
  readonly state: EndpointState
  readonly local: {
    readonly handle: number
    readonly attach: Record<string, unknown> & { readonly value: unknown[] }
    readonly detach: Record<string, unknown>
  }
  readonly remote: { handle: number | undefined }
  set_source(fields: object): void
  set_target(fields: object): void
  open(): void
  detach(): void
  close(error?: object): void
  remove(): void
}

export interface ControlSession {
  readonly state: EndpointState
  readonly local: { readonly channel: number; readonly begin: Record<string, unknown> }
  readonly remote: { readonly channel?: number; readonly handles: Record<number, ControlLink> }
  readonly links: Record<string, ControlLink>
  incoming: Lane
  outgoing: Lane
  create_sender(name: string, options: object): ControlLink
  create_receiver(name: string, options: object): ControlLink
  on_begin(frame: ControlFrame): void
  on_end(frame: ControlFrame): void
  on_attach(frame: ControlFrame): void
  on_detach(frame: ControlFrame): void
  end(error?: object): void
  remove(): void
}

/** What rhea calls on its own lanes; ours are fed before rhea sees anything. */
export interface Lane {
  readonly deliveries: { available(): number }
  process(): void
  on_begin(): void
}

interface ControlTransport {
  readonly outcome?: number | undefined
  read(bytes: Buffer): number
  write(socket: ControlSocket): void
  has_writes_pending(): boolean
}

interface ControlSocket {
  write(bytes: Uint8Array): void
}

interface RheaConnection {
  readonly state: EndpointState & { has_settled(): boolean; open(): boolean }
  readonly local: { readonly open: Record<string, unknown>; readonly close: Record<string, unknown> }
  readonly remote: { open?: { readonly value: readonly Typed[] }; close?: unknown }
  readonly remote_channel_map: Record<number, ControlSession>
  readonly amqp_transport: ControlTransport
  sasl_transport: ControlTransport | undefined
  transport: ControlTransport
  socket: ControlSocket
  socket_ready: boolean
  is_server: boolean
  output(): void
  open(): void
  close(error?: object): void
  dispatch(name: string): boolean
  sasl_failed(): void
  create_session(): ControlSession
  remove_all_sessions(): void
  on_open(frame: ControlFrame): void
  on_begin(frame: ControlFrame): void
  on_close(frame: ControlFrame): void
  _register(): void
  _process(): void
}

/** One mechanism of SASL at work, as rhea's server drives it. */
export interface Mechanism {
  /** Whether the peer may come in; undefined: another step is needed. */
  outcome: boolean | undefined
  readonly username: string | undefined
  start(response: Buffer | null | undefined): Promise<Buffer | undefined>
  step(response: Buffer | null | undefined): Promise<Buffer | undefined>
}

/** Mechanisms by name; without a prototype, since the peer chooses the name. */
export type Mechanisms = Record<string, () => Mechanism>

/** What our `open` says. */
export interface OpenOptions {
  readonly containerId: string
  readonly maxFrameSize: number
  readonly channelMax: number
  readonly idleTimeOut: number | undefined
  readonly offeredCapabilities: readonly string[]
  readonly properties: Readonly<Record<string, string>>
}

/** What the control plane tells the connection. */
export interface ControlHost {
  /** Bytes for the peer. */
  write(bytes: Uint8Array): void
  /** The peer's `open`; to be answered by {@link Control.open}. */
  onOpen(frame: ControlFrame): void
  /** A session that the peer begins; its lanes and overrides are set before rhea goes on. */
  onBegin(session: ControlSession, frame: ControlFrame): void
  onClose(frame: ControlFrame): void
  /** Our side and the peer's are both closed, and everything is written. */
  onClosed(): void
}

const container = rhea.create_container()
const { types } = rhea

/** The control plane of one connection. */
export class Control {
  readonly #connection: RheaConnection
  readonly #host: ControlHost
  #isProcessing: boolean

  constructor(host: ControlHost, options: OpenOptions) {
    this.#host = host
    this.#isProcessing = false
    this.#connection = container.create_connection({
      id: 'amqp',
      container_id: options.containerId,
      max_frame_size: options.maxFrameSize,
      channel_max: options.channelMax,
      ...(options.idleTimeOut === undefined ? {} : { idle_time_out: options.idleTimeOut }),
      offered_capabilities: [...options.offeredCapabilities],
      properties: { ...options.properties },
      reconnect: false,
    } as never) as unknown as RheaConnection
    this.#override(this.#connection)
  }

  /** Begins with SASL: only these mechanisms are offered. */
  serveSasl(mechanisms: Mechanisms): void {
    const connection = this.#connection
    const Server = (rhea.sasl as unknown as { Server: new (of: RheaConnection, all: Mechanisms) => ControlTransport })
      .Server
    connection.sasl_transport = new Server(connection, mechanisms)
    connection.transport = connection.sasl_transport
  }

  /** What SASL has come to: undefined while it goes on, 0 if the peer may come in. */
  get saslOutcome(): number | undefined {
    return this.#connection.sasl_transport?.outcome
  }

  /** Reads one protocol header or one whole frame that has been found sound. What it throws is the peer's fault. */
  read(bytes: Buffer): void {
    const connection = this.#connection
    connection.transport.read(bytes)
    if (connection.transport.has_writes_pending()) connection.output()
  }

  /** Answers the peer's open. */
  open(): void {
    this.#connection.open()
  }

  /** A property of our open, to be added before {@link open}. */
  addProperty(name: string, value: boolean): void {
    const { open } = this.#connection.local
    open.properties = { ...(open.properties as object), [name]: value }
  }

  /** Sends `close`, after an `open` if there was none. */
  close(error?: ErrorFields): void {
    const connection = this.#connection
    if (!connection.state.local_open) connection.open()
    connection.close(error === undefined ? undefined : errorFields(error))
  }

  get isOpen(): boolean {
    return this.#connection.state.local_open
  }

  /** Forgets everything: the connection is gone. */
  drop(): void {
    this.#connection.remove_all_sessions()
  }

  #override(connection: RheaConnection): void {
    const host = this.#host
    connection.is_server = true
    connection.socket_ready = true
    connection.socket = { write: (bytes) => host.write(bytes) }
    connection.output = () => connection.transport.write(connection.socket)
    // What is asked for goes out at once, and not on the next tick: our own lanes write to the same wire.
    connection._register = () => this.#process()
    // Its events are of no use to us; without a listener rhea would print some of them, and throw others.
    connection.dispatch = () => true
    connection.sasl_failed = () => undefined
    connection.on_open = (frame) => host.onOpen(frame)
    connection.on_close = (frame) => host.onClose(frame)
    const begin = connection.on_begin.bind(connection)
    const create = connection.create_session.bind(connection)
    let opening: ControlFrame | undefined
    connection.on_begin = (frame) => {
      opening = frame
      begin(frame)
      opening = undefined
    }
    connection.create_session = () => {
      const session = create()
      if (opening !== undefined) host.onBegin(session, opening)
      return session
    }
  }

  #process(): void {
    if (this.#isProcessing) return
    this.#isProcessing = true
    const connection = this.#connection
    try {
      connection._process()
    } finally {
      this.#isProcessing = false
    }
    const { state } = connection
    if (state.is_closed() && state.has_settled()) this.#host.onClosed()
  }

  /** Marks the peer's open as come. False: it has come before. */
  remoteOpened(frame: ControlFrame): boolean {
    const { state, remote } = this.#connection
    remote.open = frame.performative
    return state.remote_opened()
  }

  /** Marks the peer's close as come, and sends ours if it has not been sent. */
  remoteClosed(frame: ControlFrame): void {
    const { state, remote } = this.#connection
    remote.close = frame.performative
    state.remote_closed()
    if (state.local_open) this.#connection.close()
    else this.#process()
  }
}

/** Error fields as rhea writes them. Of a map it would write the keys as strings, which have to be symbols. */
export function errorFields(error: ErrorFields): object {
  const { condition, description, info } = error
  if (info === undefined) return { condition, description }
  return { value: [types.wrap_symbol(condition), types.wrap_string(description), types.wrap_symbolic_map(info)] }
}

/** Index of `unsettled` in an attach. */
const unsettledIndex = 7

/** Sets the unsettled map of our attach: states by the bytes of their tags, which rhea by itself cannot have as keys. */
export function setUnsettled(
  link: ControlLink,
  states: ReadonlyMap<Buffer, Typed | null>,
  isIncomplete: boolean,
): void {
  const { attach } = link.local
  attach.value[unsettledIndex] = (types as unknown as { wrap_map_as_map(map: unknown): Typed }).wrap_map_as_map(states)
  if (isIncomplete) attach.incomplete_unsettled = true
}

/** Values for fields that rhea writes as they are. */
export const wrap = {
  uint: (value: number): Typed => types.wrap_uint(value) as unknown as Typed,
  symbol: (value: string): Typed => types.wrap_symbol(value) as unknown as Typed,
  ushort: (value: number): Typed => types.wrap_ushort(value) as unknown as Typed,
  /** The state `rejected` (part 3, section 3.4.2). */
  rejected: (error: ErrorFields): Typed =>
    types.described(
      types.wrap_ulong(0x25),
      types.wrap_list([(types as unknown as { wrap_error(fields: object): never }).wrap_error(errorFields(error))]),
    ) as unknown as Typed,
  /** A described list without fields: an outcome, for one. */
  empty: (descriptor: number): Typed =>
    types.described(types.wrap_ulong(descriptor), types.wrap_list([])) as unknown as Typed,
  /** The coordinator target (part 4, section 4.5.1) with its capabilities. */
  coordinator: (capabilities: readonly string[]): Typed =>
    types.described(
      types.wrap_ulong(0x30),
      types.wrap_list([types.wrap_array([...capabilities], 0xa3, undefined as never)]),
    ) as unknown as Typed,
}
