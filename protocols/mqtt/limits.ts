/** What one packet may hold; all of it is checked while the packet is read. */
export interface PacketLimits {
  /** The longest packet, fixed header included; a CONNECT may have `connectBytesMax`. */
  readonly packetBytesMax: number
  readonly connectBytesMax: number
  /** Levels and bytes of a topic name or filter. */
  readonly topicLevelsMax: number
  readonly topicBytesMax: number
  readonly clientIdBytesMax: number
}

export const defaultPacketLimits: PacketLimits = {
  packetBytesMax: 100 * 1024 * 1024,
  connectBytesMax: 256 * 1024,
  topicLevelsMax: 128,
  topicBytesMax: 4096,
  clientIdBytesMax: 512,
}

/** How an MQTT listener behaves. */
export interface MqttOptions {
  /** Time from the connection to its CONNECT. */
  readonly connectMsMax: number
  /** The longest keep-alive; MQTT 5 clients that ask for a longer one, or none, are told. 0: whatever they ask for. */
  readonly keepAliveMsMax: number
  /** The longest a session outlives its connection; more is cut down to it. */
  readonly sessionExpiryMsMax: number
  /** Sessions, connected and not. */
  readonly sessionsMax: number
  readonly subscriptionsMax: number
  /** Messages of QoS 1 and 2 that a client may have sent unacknowledged: the receive maximum we announce. */
  readonly receiveMax: number
  /** Messages of QoS 1 and 2 on their way to a client at a time; its own receive maximum holds as well. */
  readonly sendMax: number
  /** Topic aliases of each direction. */
  readonly topicAliasMax: number
  /** Topic filters that nobody may subscribe to. */
  readonly refusedFilters: readonly string[]
  /** False: those are refused as an unspecified error, so that nobody learns which they are. */
  readonly explainsRefusedFilters: boolean
  /** Sends MQTT 5 clients that connect to another server: `host:port`. Empty: serves them. */
  readonly serverReference: string
  /** How often `$SYS` topics are published; 0: never. */
  readonly systemTopicsMs: number
  readonly limits: PacketLimits
}

export const defaultMqttOptions: MqttOptions = {
  connectMsMax: 30_000,
  keepAliveMsMax: 0,
  sessionExpiryMsMax: Number.POSITIVE_INFINITY,
  sessionsMax: 1_000_000,
  subscriptionsMax: 1000,
  receiveMax: 1024,
  sendMax: 1024,
  topicAliasMax: 64,
  refusedFilters: [],
  explainsRefusedFilters: true,
  serverReference: '',
  systemTopicsMs: 10_000,
  limits: defaultPacketLimits,
}
