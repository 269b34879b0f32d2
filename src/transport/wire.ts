import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { Limits } from '../limits.ts'
import type { Turn } from '../turn.ts'
import type { Output, WireEvents } from './output.ts'
import type { SlabPool } from './slab-pool.ts'

export type { WireEvents } from './output.ts'

/** One connection as a protocol adapter sees it, whatever carries it: tcp, tls, WebSocket or memory. */
export interface Wire {
  /**
   * The adapter owns it from `accept` on: it reads from it, and destroys it. Writing goes through `output`. It has a
   * listener for 'error' already: an adapter needs only 'close', which always comes; `stream.errored` then says why.
   */
  readonly stream: Duplex
  /** Names the peer in logs: `127.0.0.1:50312`. */
  readonly remote: string
  /** True if the peer is on this machine. */
  readonly isLocal: boolean
  /** Makes the wire's output; called once, by adapters that encode for themselves. */
  open(events: WireEvents): Output
}

/** What all wires of one broker share. */
export interface WireServices {
  readonly clock: Clock
  readonly turn: Turn
  readonly slabs: SlabPool
  readonly limits: Limits
  /** What a listener hands on instead of each wire that it has accepted; for tests that want to do something to it. */
  readonly through?: ((wire: Wire, services: WireServices) => Wire) | undefined
}
