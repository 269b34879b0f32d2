import type { Broker } from './broker/broker.ts'
import type { Wire } from './transport/wire.ts'

/** An adapter between the bytes of one protocol and the broker's sessions. */
export interface Protocol {
  /** As in the configuration: `stomp`. */
  readonly name: string
  /** Bytes needed to recognise the protocol; 0: it cannot be recognised from its first bytes. */
  readonly sniffBytes: number
  /** The WebSocket subprotocols it is spoken under, the preferred one first. */
  readonly webSocketSubprotocols: readonly string[]
  /** Whether its WebSocket messages may be text; without it only binary ones are taken. */
  readonly takesWebSocketText?: boolean
  /** Whether a connection that begins with these bytes, `sniffBytes` of them or fewer, may be this protocol. */
  recognises(head: Uint8Array): boolean
  /** The broker has read what it keeps, and nobody has connected yet: time to read states and to set deadlines. */
  opened?(broker: Broker): void
  /** Serves one connection; owns `wire.stream` from now on. */
  accept(wire: Wire, broker: Broker): void
}
