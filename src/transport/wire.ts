import type { Duplex } from 'node:stream'
import type { Output } from './output.ts'

/** One connection as a protocol adapter sees it, whatever carries it: tcp, tls, WebSocket or memory. */
export interface Wire {
  /** The adapter owns it from `accept` on: it reads from it, and destroys it. Writing goes through `output`. */
  readonly stream: Duplex
  /** Names the peer in logs: `127.0.0.1:50312`. */
  readonly remote: string
  /** True if the peer is on this machine. */
  readonly isLocal: boolean
  /** Makes the wire's output; called once, by adapters that encode for themselves. */
  open(events: WireEvents): Output
}

export interface WireEvents {
  /** The peer does not read fast enough: stop delivering. */
  congested(): void
  drained(): void
}
