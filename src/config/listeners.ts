import { z } from 'zod'
import { count, flag, size, text, time } from './fields.ts'

/** What every listener has, whatever its protocol. */
export interface ListenerConfig {
  readonly enabled: boolean
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly backlog: number
}

export interface StompListenerConfig extends ListenerConfig {
  readonly defaultPrefetch: number
  readonly prefetchMax: number
  readonly heartBeatMs: number
  readonly connectMsMax: number
  readonly subscriptionsMax: number
  readonly unconfirmedSendsMax: number
  readonly limits: StompFrameLimits
}

export interface StompFrameLimits {
  readonly headerLineBytesMax: number
  readonly headersMax: number
  readonly headerBlockBytesMax: number
  readonly bodyBytesMax: number
}

export interface MqttListenerConfig extends ListenerConfig {
  readonly connectMsMax: number
  readonly keepAliveMsMax: number
  readonly sessionExpiryMsMax: number
  readonly sessionsMax: number
  readonly subscriptionsMax: number
  readonly receiveMax: number
  readonly sendMax: number
  readonly topicAliasMax: number
  readonly refusedFilters: readonly string[]
  readonly explainsRefusedFilters: boolean
  readonly serverReference: string
  readonly systemTopicsMs: number
  readonly limits: MqttPacketLimits
}

export interface MqttPacketLimits {
  readonly packetBytesMax: number
  readonly connectBytesMax: number
  readonly topicLevelsMax: number
  readonly topicBytesMax: number
  readonly clientIdBytesMax: number
}

export interface AmqpListenerConfig extends ListenerConfig {
  readonly linkCredit: number
  readonly idleMsMax: number
  readonly connectMsMax: number
  readonly sessionsMax: number
  readonly linksMax: number
  readonly unconfirmedSendsMax: number
  readonly limits: AmqpFrameLimits
}

export interface AmqpFrameLimits {
  readonly frameBytesMax: number
  readonly messageBytesMax: number
}

/** One port over which every protocol is spoken that has a WebSocket subprotocol and is not disabled. */
export interface WebSocketListenerConfig extends ListenerConfig {
  readonly assumedSubprotocol: string
  readonly origins: readonly string[]
  readonly handshakeMsMax: number
  readonly pingMs: number
}

export interface NativeListenerConfig extends ListenerConfig {
  readonly heartBeatMs: number
  readonly connectMsMax: number
  readonly linksMax: number
  readonly producerCredit: number
  readonly producerCreditBytes: number
  readonly consumerCreditMax: number
  readonly limits: NativeFrameLimits
}

export interface NativeFrameLimits {
  readonly frameBytesMax: number
  readonly bodyBytesMax: number
}

/** Listeners by protocol, and that of WebSockets; an absent one is not opened. */
export interface ListenersConfig {
  readonly stomp?: StompListenerConfig
  readonly mqtt?: MqttListenerConfig
  readonly amqp?: AmqpListenerConfig
  readonly native?: NativeListenerConfig
  readonly ws?: WebSocketListenerConfig
}

export type ListenerName = keyof ListenersConfig
export type ProtocolName = Exclude<ListenerName, 'ws'>

const maximum = 2 ** 31 - 1

function common(protocol: string, port: number) {
  return {
    enabled: flag(`Whether ${protocol} is served at all.`).default(true),
    host: text('Address to listen on. Anything wider than this machine needs security.anonymous.', hostFault).default(
      '127.0.0.1',
    ),
    port: count('Port to listen on; 0 takes any free one.', { min: 0, max: 65_535, default: port }),
    backlog: count('Connections the operating system may hold until they are accepted.', {
      min: 1,
      max: 65_535,
      default: 1024,
    }),
  }
}

const stomp = z.strictObject({
  ...common('STOMP', 61_613),
  defaultPrefetch: count(
    'Messages a subscription has unacknowledged at most when it does not ask for another number.',
    {
      min: 1,
      max: 1_000_000,
      default: 1000,
    },
  ),
  prefetchMax: count('The largest number that a subscription may ask for.', { min: 1, max: maximum, default: 65_535 }),
  heartBeatMs: time('How often heart-beats are offered and asked for; 0: never.', {
    min: 0,
    max: 3_600_000,
    default: 10_000,
  }),
  connectMsMax: time('How long a connection may take until its CONNECT has come in.', {
    min: 100,
    max: 3_600_000,
    default: 30_000,
  }),
  subscriptionsMax: count('Subscriptions of one connection.', { min: 1, max: maximum, default: 1000 }),
  unconfirmedSendsMax: count('Sends of one connection not yet confirmed, above which no more is read from it.', {
    min: 1,
    max: maximum,
    default: 10_000,
  }),
  limits: z
    .strictObject({
      headerLineBytesMax: size('One header line.', { min: 256, max: 2 ** 24, default: 16_384 }),
      headersMax: count('Headers of one frame.', { min: 16, max: 65_536, default: 256 }),
      headerBlockBytesMax: size('All headers of one frame.', { min: 1024, max: 2 ** 26, default: 65_536 }),
      bodyBytesMax: size('Body of one frame; limits.messageBytesMax holds as well.', {
        min: 1024,
        max: 2 ** 30,
        default: 100 * 2 ** 20,
      }),
    })
    .describe('The largest frames that are read.')
    .prefault({}),
})

const week = 7 * 86_400_000

const mqtt = z.strictObject({
  ...common('MQTT', 1883),
  connectMsMax: time('How long a connection may take until its CONNECT has come in.', {
    min: 100,
    max: 3_600_000,
    default: 30_000,
  }),
  keepAliveMsMax: time(
    'The longest keep-alive; MQTT 5 clients that ask for a longer one, or none, are told of it. 0: whatever they ask for.',
    { min: 0, max: 65_535_000, default: 0 },
  ),
  sessionExpiryMsMax: time('The longest a session outlives its connection, whatever its client asks for.', {
    min: 0,
    max: 1000 * week,
    unlimited: true,
    default: Number.POSITIVE_INFINITY,
  }),
  sessionsMax: count('Sessions, of clients that are connected and of those that may come back.', {
    min: 1,
    max: maximum,
    default: 1_000_000,
  }),
  subscriptionsMax: count('Subscriptions of one session.', { min: 1, max: maximum, default: 1000 }),
  receiveMax: count('Messages of QoS 1 and 2 that a client may have sent and that are not yet acknowledged.', {
    min: 1,
    max: 65_535,
    default: 1024,
  }),
  sendMax: count("Messages of QoS 1 and 2 on their way to a client; the client's receive maximum holds as well.", {
    min: 1,
    max: 65_535,
    default: 1024,
  }),
  topicAliasMax: count('Topic aliases that each side may use.', { min: 0, max: 65_535, default: 64 }),
  refusedFilters: z
    .array(text('A topic filter as in SUBSCRIBE.', () => undefined))
    .describe('Topic filters that nobody may subscribe to.')
    .default([]),
  explainsRefusedFilters: flag(
    'False: refused filters are answered as an unspecified error, so that nobody learns which they are.',
  ).default(true),
  serverReference: text(
    'Sends MQTT 5 clients to another server: host:port. Empty: serves them.',
    () => undefined,
  ).default(''),
  systemTopicsMs: time('How often topics under $SYS/broker are published; 0: never.', {
    min: 0,
    max: 3_600_000,
    default: 10_000,
  }),
  limits: z
    .strictObject({
      packetBytesMax: size('One packet; limits.messageBytesMax holds as well.', {
        min: 1024,
        max: 2 ** 28 - 1,
        default: 100 * 2 ** 20,
      }),
      connectBytesMax: size('A CONNECT, with its will.', { min: 1024, max: 2 ** 19, default: 256 * 1024 }),
      topicLevelsMax: count('Levels of a topic name or filter.', { min: 1, max: 128, default: 128 }),
      topicBytesMax: size('A topic name or filter.', { min: 16, max: 4096, default: 4096 }),
      clientIdBytesMax: size('A client id.', { min: 23, max: 1024, default: 512 }),
    })
    .describe('The largest packets that are read.')
    .prefault({}),
})

const amqp = z.strictObject({
  ...common('AMQP 1.0', 5672),
  linkCredit: count('Messages that a sender may have on their way on one link.', {
    min: 1,
    max: 1_000_000,
    default: 1000,
  }),
  idleMsMax: time(
    'How long a connection may be silent before it is closed; clients are told half of it. 0: for ever.',
    { min: 0, max: 3_600_000, default: 120_000 },
  ),
  connectMsMax: time('How long a connection may take until its open has come in.', {
    min: 100,
    max: 3_600_000,
    default: 30_000,
  }),
  sessionsMax: count('Sessions of one connection.', { min: 1, max: 65_536, default: 256 }),
  linksMax: count('Links of one connection, over all its sessions.', { min: 1, max: 65_536, default: 1024 }),
  unconfirmedSendsMax: count('Messages of one connection not yet confirmed, above which its senders get no credit.', {
    min: 1,
    max: maximum,
    default: 10_000,
  }),
  limits: z
    .strictObject({
      frameBytesMax: size('One frame.', { min: 512, max: 2 ** 26, default: 128 * 2 ** 10 }),
      messageBytesMax: size('One message over all its frames; limits.messageBytesMax holds as well.', {
        min: 1024,
        max: 2 ** 30,
        default: 100 * 2 ** 20,
      }),
    })
    .describe('The largest frames and messages that are read.')
    .prefault({}),
})

const native = z.strictObject({
  ...common('MNP', 61_616),
  heartBeatMs: time(
    'How often either side says something at least; silent for three times as long, it is given up. 0: never.',
    {
      min: 0,
      max: 3_600_000,
      default: 10_000,
    },
  ),
  connectMsMax: time('How long a connection may take until its HELLO has come in.', {
    min: 100,
    max: 3_600_000,
    default: 30_000,
  }),
  linksMax: count('Producers and consumers of one connection.', { min: 1, max: maximum, default: 4096 }),
  producerCredit: count('Sends of one producer not yet confirmed; no more is taken from it until some are.', {
    min: 1,
    max: 65_536,
    default: 4096,
  }),
  producerCreditBytes: size('Bytes of those sends.', { min: 65_536, max: 2 ** 30, default: 8 * 2 ** 20 }),
  consumerCreditMax: count('Messages a consumer may ask for in advance.', { min: 1, max: maximum, default: 65_535 }),
  limits: z
    .strictObject({
      frameBytesMax: size('One frame; longer messages come in parts.', {
        min: 4096,
        max: 16 * 2 ** 20,
        default: 2 ** 20,
      }),
      bodyBytesMax: size('One message; limits.messageBytesMax holds as well.', {
        min: 1024,
        max: 2 ** 30,
        default: 100 * 2 ** 20,
      }),
    })
    .describe('The largest frames and messages that are read.')
    .prefault({}),
})

const ws = z.strictObject({
  ...common('WebSocket', 61_614),
  assumedSubprotocol: text(
    'What is spoken with clients that name no subprotocol, as v12.stomp; empty: they are refused.',
    (name) => (/^[\w.-]*$/.test(name) ? undefined : `must be a subprotocol such as v12.stomp, or empty; is "${name}"`),
  ).default(''),
  origins: z
    .array(text('Scheme, host and port, as https://app.example.com; or loopback, or *.', originFault))
    .describe(
      'Origins of the web pages that may connect, as https://app.example.com; loopback: those of this machine; "*": any. Programs that send no Origin always may.',
    )
    .default(['loopback']),
  handshakeMsMax: time('How long a connection may take until its handshake has come.', {
    min: 100,
    max: 3_600_000,
    default: 10_000,
  }),
  pingMs: time(
    'How often a silent client is asked whether it is there; one that has not answered by the next time is cut. 0: never.',
    { min: 0, max: 3_600_000, default: 30_000 },
  ),
})

/** The settings of each listener. A protocol is added here and to {@link ListenersConfig}. */
const table = {
  stomp: stomp.describe('STOMP 1.0, 1.1 and 1.2 over TCP.').optional(),
  mqtt: mqtt.describe('MQTT 3.1, 3.1.1 and 5 over TCP.').optional(),
  amqp: amqp.describe('AMQP 1.0 over TCP.').optional(),
  native: native.describe('The native protocol, MNP/1, over TCP.').optional(),
  ws: ws
    .describe('Every protocol above over WebSocket, chosen by subprotocol, with the settings that it has there.')
    .optional(),
} satisfies Record<ListenerName, z.ZodType>

export const listenerNames = Object.keys(table) as readonly ListenerName[]

export const listeners = z.strictObject(table).describe('What the broker listens on, by protocol.').prefault({})

/** True for the addresses that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return /^127(\.\d{1,3}){3}$/.test(host) || host === '::1' || host.toLowerCase() === 'localhost'
}

/** Pairs of enabled listeners that cannot both have their port. */
export function portClashes(
  all: Readonly<Record<string, ListenerConfig | undefined>>,
): [first: string, second: string][] {
  const open = Object.entries(all).filter(([, listener]) => listener?.enabled === true && listener.port > 0)
  const clashes: [string, string][] = []
  for (const [index, [second, listener]] of open.entries()) {
    const first = open.slice(0, index).find(([, other]) => overlap(other, listener))
    if (first !== undefined) clashes.push([first[0], second])
  }
  return clashes
}

function overlap(left: ListenerConfig | undefined, right: ListenerConfig | undefined): boolean {
  if (left === undefined || right === undefined || left.port !== right.port) return false
  return left.host === right.host || isAny(left.host) || isAny(right.host)
}

function isAny(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

function originFault(origin: string): string | undefined {
  if (/^(\*|loopback|null|[a-z][a-z0-9+.-]*:\/\/[^/\s]+)$/i.test(origin)) return undefined
  return `must be an origin as browsers send it (https://app.example.com, without a path), loopback or *; is "${origin}"`
}

function hostFault(host: string): string | undefined {
  if (host.length === 0 || /[\s/[\]]/.test(host)) return `must be an IP address or a host name; is "${host}"`
  return undefined
}
