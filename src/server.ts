import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { contentFormats } from '../protocols/formats.ts'
import { protocols } from '../protocols/index.ts'
import { Address } from './address.ts'
import { type Access, type Identity, type Login, openAccess } from './broker/access.ts'
import { Broker } from './broker/broker.ts'
import { type Clock, systemClock, type Timer } from './clock.ts'
import {
  type Config,
  checkOptions,
  defaultConfig,
  type GivenConfig,
  type ListenerName,
  type ProtocolName,
  type WebSocketListenerConfig,
} from './config.ts'
import { type Draft, draftMessage, embeddedFormat } from './embedded-format.ts'
import { BrokerError } from './errors.ts'
import { createLog, type Log, silentLog } from './log.ts'
import type { ContentFormat, Message } from './message.ts'
import type { Protocol } from './protocol.ts'
import { announce } from './running.ts'
import type { Session, SessionEvents } from './session.ts'
import type { Damage } from './store/journal-scan.ts'
import { JournalStore } from './store/journal-store.ts'
import { MemoryStore } from './store/memory-store.ts'
import { interruptedImport, openJournal } from './store/open-journal.ts'
import type { MessageStore } from './store/store.ts'
import { SlabPool } from './transport/slab-pool.ts'
import { listenTcp, type TcpEvents, type TcpListener } from './transport/tcp.ts'
import { listenWebSocket, type WebSocketEvents, type WebSocketListener } from './transport/websocket.ts'
import type { WireServices } from './transport/wire.ts'
import { Turn } from './turn.ts'
import { version } from './version.ts'

/** How long a client may take to hang up once all has been said. */
const hangUpMsMax = 1000
/** How long the core may take to stop beyond the time it gives its clients. */
const stopMsMax = 2000

/** The configuration as in `manifoldmq.yaml`, any part of it; only the listeners that are named are opened. */
export interface ServerOptions extends Omit<GivenConfig, 'log'> {
  /** A log of your own (pino, console), `false` for none, or settings. Default: warnings to standard error. */
  readonly log?: Log | false | GivenConfig['log']
  /** Who may come in and do what. Default: everybody, everything. */
  readonly access?: Access
}

/** An open port. */
export interface Listener {
  /** `ws`: any, by subprotocol. */
  readonly protocol: ListenerName
  /** `tcp://127.0.0.1:61613`, `ws://127.0.0.1:61614`; with the port it really has. */
  readonly url: string
}

interface OpenListener extends Listener {
  readonly port: TcpListener | WebSocketListener
}

/** What a server is made of that a test may want to be something else. */
export interface ServerParts {
  readonly clock: Clock
  readonly turn: Turn
  /** See {@link BrokerOptions.received}. */
  readonly received?: (message: Message) => void
  /** See {@link WireServices.through}. */
  readonly through?: WireServices['through']
}

export interface OpenOptions {
  /** Wait for the data folder if another process has it. */
  readonly waits?: boolean
  readonly parts?: ServerParts | undefined
  /** Default: {@link openAccess}. */
  readonly access?: Access | undefined
}

/** A broker with its listeners: what {@link Server.start} builds from a configuration. Several in one process are apart. */
export class Server {
  readonly name: string
  /** Those that are open. */
  readonly listeners: readonly Listener[]
  /** Resolves when the server is closed; with the error if it had to close because its store has failed. */
  readonly closed: Promise<BrokerError | undefined>
  readonly #broker: Broker
  readonly #open: readonly OpenListener[]
  readonly #log: Log
  readonly #onClosed: (error: BrokerError | undefined) => void
  #closing: Promise<void> | undefined

  private constructor(config: Config, broker: Broker, open: readonly OpenListener[], log: Log) {
    this.name = config.name
    this.listeners = open.map(({ protocol, url }) => ({ protocol, url }))
    this.#broker = broker
    this.#open = open
    this.#log = log
    let onClosed: (error: BrokerError | undefined) => void = () => undefined
    this.closed = new Promise((resolve) => {
      onClosed = resolve
    })
    this.#onClosed = onClosed
    this.#closing = undefined
  }

  /** Starts an embedded broker. Throws a ConfigError for options that are wrong, a BrokerError for a port it cannot have. */
  static async start(options: ServerOptions = {}, parts?: ServerParts): Promise<Server> {
    const { log, access, ...given } = options
    const rest: GivenConfig = { ...given, store: given.store ?? (given.data === undefined ? 'memory' : 'journal') }
    if (log === false) return Server.open(checkOptions(rest), silentLog, { parts, access })
    if (isLog(log)) return Server.open(checkOptions(rest), log, { parts, access })
    const config = checkOptions({ ...rest, log: { level: 'warn', ...log } })
    return Server.open(config, await createLog({ ...config.log, name: config.name }), { parts, access })
  }

  /** Starts a broker from a configuration that has been checked. */
  static async open(config: Config, log: Log, options: OpenOptions = {}): Promise<Server> {
    const parts = options.parts ?? { clock: systemClock, turn: new Turn() }
    const names = servedProtocols(config)
    const adapters = await Promise.all(names.map((name) => load(name, config)))
    let server: Server | undefined
    const store = await storeOf(config, log, parts.clock, options.waits === true)
    let hasFailed = false
    const onFailure = (error: BrokerError): void => {
      if (hasFailed) return
      hasFailed = true
      log.error({ error }, 'the store has failed; the broker stops')
      void server?.close(error)
    }
    const formats = config.store === 'memory' ? [] : await contentFormats()
    const access = logged(options.access ?? openAccess, log)
    const broker = brokerOf({ config, store, formats, access, parts }, onFailure)
    await broker.open()
    if (store instanceof JournalStore) reportOpened(store, log, onFailure)
    for (const adapter of adapters) adapter.opened?.(broker)
    const { clock, turn, through } = parts
    const services = { clock, turn, slabs: new SlabPool(), limits: config.limits, through }
    const open: OpenListener[] = []
    try {
      for (const name of Object.keys(config.listeners) as ListenerName[]) {
        if (config.listeners[name]?.enabled !== true) continue
        const port = await listen(name, { config, adapters, services, broker, log })
        open.push({ protocol: name, url: port.url, port })
        log.info({ protocol: name, url: port.url }, 'listening')
      }
    } catch (error) {
      for (const { port } of open) await port.emptied(0)
      await broker.close()
      throw error
    }
    server = new Server(config, broker, open, log)
    announce(server)
    return server
  }

  /** The broker itself, for clients within this process. */
  get core(): Broker {
    return this.#broker
  }

  /** The address of a protocol's listener; throws if it has none. */
  address(protocol: ListenerName): AddressInfo {
    return this.#listener(protocol).port.address
  }

  /** The URL for clients of a protocol; throws if it has no listener. */
  url(protocol: ListenerName): string {
    return this.#listener(protocol).url
  }

  /** Connections open now. */
  get connectionCount(): number {
    return this.#open.reduce((sum, { port }) => sum + port.connectionCount, 0)
  }

  /** Deliveries that clients have not settled. */
  get unsettledCount(): number {
    return this.#broker.unsettledCount
  }

  /** Messages that are in a queue, delivered ones that are not settled included; 0 if there is no such queue. */
  messageCount(queue: string): number {
    const address = Address.parse(queue)
    const found = address instanceof BrokerError ? undefined : this.#broker.find(address)
    return found !== undefined && 'count' in found ? found.count : 0
  }

  /** Resolves once nothing is left to be stored or confirmed. */
  stored(): Promise<void> {
    return this.#broker.commits.idle()
  }

  /** Begins a session within this process, under no client id unless one is given. */
  connect(events: SessionEvents, identity: Partial<Identity> = {}): Session {
    const session = this.#broker.connect({ principal: 'embedded', clientId: undefined, ...identity }, events)
    if (session instanceof BrokerError) throw session
    return session
  }

  /** A message to be sent in a session of {@link connect}. Throws a BrokerError if its address is wrong. */
  message(session: Session, draft: Draft): Message {
    return draftMessage(draft, session, this.#broker.clock.now())
  }

  /**
   * Accepts no more connections, lets clients settle what they have for `limits.drainMsMax`, confirms what can be, tells
   * every client and hangs up. Nothing of it is left in the process then. Idempotent.
   */
  close(reason?: BrokerError): Promise<void> {
    this.#closing ??= this.#close(reason)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(reason: BrokerError | undefined): Promise<void> {
    this.#log.info({ connections: this.connectionCount }, 'closing')
    for (const { port } of this.#open) port.close()
    await this.#stopped()
    await Promise.all(this.#open.map(({ port }) => port.emptied(hangUpMsMax)))
    this.#log.info({}, 'closed')
    this.#onClosed(reason)
  }

  /** Resolves when the core has stopped, or is late with it: what waits has a limit. */
  async #stopped(): Promise<void> {
    const { clock, limits } = this.#broker
    let lateness: Timer | undefined
    const late = new Promise<boolean>((resolve) => {
      lateness = clock.after(limits.drainMsMax + stopMsMax, () => resolve(true))
    })
    const isLate = await Promise.race([this.#broker.close().then(() => false), late])
    lateness?.cancel()
    if (isLate) this.#log.error({}, 'the broker has not stopped in time; its connections are cut')
  }

  #listener(protocol: ListenerName): OpenListener {
    const found = this.#open.find((listener) => listener.protocol === protocol)
    if (found === undefined) throw new BrokerError('not-found', `this broker has no ${protocol} listener`)
    return found
  }
}

async function storeOf(config: Config, log: Log, clock: Clock, waits: boolean): Promise<MessageStore> {
  if (config.store === 'memory') return new MemoryStore()
  const times = { syncMs: config.sync === 'always' ? 0 : config.syncMs, patienceMs: config.patienceMs }
  const onPooled = (error: Error): void =>
    log.warn({ error }, "the journal has no thread of its own: commits wait for other work in libuv's pool")
  const store = await openJournal({ folder: config.data, name: config.name, clock, waits, times, onPooled })
  const interrupted = interruptedImport(config.data)
  if (interrupted !== undefined) log.warn({ data: config.data }, interrupted)
  return store
}

/** Says what was found in the journal, all damage included. */
function reportOpened(store: JournalStore, log: Log, onFailure: (error: BrokerError) => void): void {
  const { frameCount, wasClean, damages } = store.report
  log.info({ frameCount, wasClean }, 'the journal is open')
  const report = (damage: Damage): void => log.error({ ...damage }, 'the data folder is damaged')
  for (const damage of damages) report(damage)
  store.onDamage = report
  store.onFailure = onFailure
}

/** What a broker is made of. */
interface Ingredients {
  readonly config: Config
  readonly store: MessageStore
  /** In which stored messages may be found. */
  readonly formats: readonly ContentFormat[]
  readonly access: Access
  readonly parts: ServerParts
}

function brokerOf(ingredients: Ingredients, onFailure: (error: BrokerError) => void): Broker {
  const { config, store, access, parts } = ingredients
  const formats = new Map([embeddedFormat, ...ingredients.formats].map((format) => [format.name, format]))
  return new Broker({
    name: config.name,
    clock: parts.clock,
    turn: parts.turn,
    store,
    access,
    limits: config.limits,
    policies: config.destinations,
    runId: randomBytes(6).toString('hex'),
    formats: (name) => formats.get(name),
    received: parts.received,
    onFailure,
  })
}

/** Those with a listener of their own; with one for WebSockets all that are not disabled. */
function servedProtocols({ listeners }: Config): ProtocolName[] {
  const isShared = listeners.ws?.enabled === true
  return (Object.keys(protocols) as ProtocolName[]).filter((name) => listeners[name]?.enabled ?? isShared)
}

function load(name: ProtocolName, { limits, listeners }: Config): Promise<Protocol> {
  const serverName = `ManifoldMQ/${version}`
  const { messageBytesMax } = limits
  const defaults = defaultConfig().listeners
  switch (name) {
    case 'stomp': {
      const settings = present(listeners.stomp ?? defaults.stomp)
      const bodyBytesMax = Math.min(settings.limits.bodyBytesMax, messageBytesMax)
      return protocols.stomp(serverName, { ...settings, limits: { ...settings.limits, bodyBytesMax } })
    }
    case 'mqtt': {
      const settings = present(listeners.mqtt ?? defaults.mqtt)
      const packetBytesMax = Math.min(settings.limits.packetBytesMax, messageBytesMax)
      return protocols.mqtt(serverName, { ...settings, limits: { ...settings.limits, packetBytesMax } })
    }
    case 'amqp': {
      const settings = present(listeners.amqp ?? defaults.amqp)
      const most = Math.min(settings.limits.messageBytesMax, messageBytesMax)
      return protocols.amqp(serverName, { ...settings, limits: { ...settings.limits, messageBytesMax: most } })
    }
    case 'native': {
      const settings = present(listeners.native ?? defaults.native)
      const bodyBytesMax = Math.min(settings.limits.bodyBytesMax, messageBytesMax)
      return protocols.native(serverName, { ...settings, limits: { ...settings.limits, bodyBytesMax } })
    }
    default:
      return name satisfies never
  }
}

function present<Settings>(settings: Settings | undefined): Settings {
  if (settings === undefined) throw new Error('a protocol without settings')
  return settings
}

/** What listeners are opened with. */
interface Setting {
  readonly config: Config
  readonly adapters: readonly Protocol[]
  readonly services: WireServices
  readonly broker: Broker
  readonly log: Log
}

function listen(name: ListenerName, setting: Setting): Promise<TcpListener | WebSocketListener> {
  const { config, adapters, services } = setting
  if (name === 'ws') return listenWs(config.listeners.ws, setting)
  const settings = config.listeners[name]
  const adapter = adapters.find((one) => one.name === name)
  if (settings === undefined || adapter === undefined) throw new Error(`no settings for ${name}`)
  const { host, port, backlog } = settings
  return listenTcp({ host, port, backlog, setting: `listeners.${name}` }, services, tcpEvents(adapter, setting))
}

function tcpEvents(adapter: Protocol, { broker, log }: Setting): TcpEvents {
  const { name: protocol } = adapter
  return {
    accepted: (wire) => adapter.accept(wire, broker),
    closed: ({ remote, stream }) => log.info({ protocol, remote, ...why(stream.errored) }, 'disconnected'),
    troubled: (error) => log.warn({ protocol, code: error.code }, error.message),
  }
}

function listenWs(settings: WebSocketListenerConfig | undefined, setting: Setting): Promise<WebSocketListener> {
  if (settings === undefined) throw new Error('no settings for ws')
  const { adapters, services, broker, log } = setting
  const spoken = new Map(adapters.flatMap((one) => one.webSocketSubprotocols.map((name) => [name, one] as const)))
  const events: WebSocketEvents = {
    accepted: (wire, subprotocol) => spoken.get(subprotocol)?.accept(wire, broker),
    closed: ({ remote, stream }, subprotocol) => {
      const protocol = spoken.get(subprotocol)?.name
      log.info({ protocol, over: 'ws', remote, ...why(stream.errored) }, 'disconnected')
    },
    refused: (remote, reason) => log.info({ protocol: 'ws', remote, reason }, 'turned away'),
    troubled: (error) => log.warn({ protocol: 'ws', code: error.code }, error.message),
  }
  const subprotocols = new Set(spoken.keys())
  const textSubprotocols = new Set([...spoken].flatMap(([name, one]) => (one.takesWebSocketText === true ? name : [])))
  return listenWebSocket({ ...settings, setting: 'listeners.ws', subprotocols, textSubprotocols }, services, events)
}

function why(error: Error | null): object {
  return error === null ? {} : { reason: error.message }
}

/** Writes a line for each client that comes in or is turned away. */
function logged(access: Access, log: Log): Access {
  const { scram } = access
  const write = ({ protocol, remote, clientId }: Login, result: Identity | BrokerError): void => {
    if (result instanceof BrokerError) log.warn({ protocol, remote, clientId, reason: result.message }, 'turned away')
    else log.info({ protocol, remote, clientId, principal: result.principal }, 'connected')
  }
  return {
    authenticate(login, answer) {
      access.authenticate(login, (result) => {
        write(login, result)
        answer(result)
      })
    },
    authorise: (identity, action, address) => access.authorise(identity, action, address),
    scram: scram && {
      decoy: scram.decoy,
      verifier: (login, answer) => scram.verifier(login, answer),
      concluded(login, result) {
        write(login, result)
        scram.concluded?.(login, result)
      },
    },
  }
}

function isLog(log: ServerOptions['log']): log is Log {
  return typeof log === 'object' && 'info' in log && typeof log.info === 'function'
}
