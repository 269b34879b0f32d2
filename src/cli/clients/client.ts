/** One message to be sent. */
export interface Outgoing {
  /** `queue://name` or `topic://name`. */
  readonly destination: string
  readonly body: Uint8Array
  /** The body is UTF-8, and is to arrive as text where a protocol tells the two apart. */
  readonly isText: boolean
  readonly persistent: boolean
  readonly properties: Readonly<Record<string, string>>
  /** 0 to 9. */
  readonly priority?: number | undefined
  readonly ttlMs?: number | undefined
  /** To be kept as the topic's last message. */
  readonly retain?: boolean | undefined
}

/** What messages are asked for. */
export interface Wanted {
  readonly destination: string
  readonly selector?: string | undefined
  /** Shows the messages of a queue, leaves them there and comes to an end. */
  readonly browses?: boolean
  /** False: messages count as taken when they are sent. */
  readonly settles: boolean
}

/** A message that has come in. */
export interface Received {
  /** `queue://name` or `topic://name`; undefined if the protocol does not say. */
  readonly address: string | undefined
  readonly body: Buffer
  /** Everything else it carries, under the names that STOMP gives it. */
  headers(): Record<string, string>
  /** Has been dealt with: to be called once for every message. */
  accept(): void
}

/** Called for each message with its whole body, and after the last one that a browser shows. */
export interface Intake {
  message(message: Received): void
  end(): void
}

/** A connection of a command to a broker, over whatever protocol. What a protocol cannot do is thrown as a CommandError. */
export interface CommandClient {
  /** Never resolves; rejects with a CommandError when the connection is lost or the broker refuses something. */
  readonly failed: Promise<never>
  /** Sends a message and calls back when the broker has confirmed it. */
  send(message: Outgoing, onConfirmed: () => void): void
  subscribe(wanted: Wanted, intake: Intake): void
  /** Ends the connection once the broker has carried out everything asked of it. */
  close(): Promise<void>
  /** Ends it at once. */
  destroy(): void
}

/** How to come to a broker. */
export interface Approach {
  /** A URL as the protocol knows it. */
  readonly url: string
  /** Messages that the broker may have sent ahead. */
  readonly prefetch: number
  readonly clientId?: string | undefined
  readonly user?: string | undefined
  readonly password?: string | undefined
}

/** Fields as headers: those that are there, as text. */
export function headersOf(fields: Readonly<Record<string, unknown>>): Record<string, string> {
  const there = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)
  return Object.fromEntries(there.map(([name, value]) => [name, String(value)]))
}
