import type { ErrorFields, Fields, Rejection, Settlement } from '../encoder.ts'
import type { FieldMap } from '../fields.ts'
import type { Outgoing } from './body.ts'
import type { ManifoldError } from './errors.ts'
import type { Arrival } from './message.ts'

/** The broker's end of one connection, as the client sees it: frames over a transport, or calls within the process. */
export interface Peer {
  /** More waits to be written than should: sends wait for {@link PeerEvents.drained}. */
  readonly isCongested: boolean
  open(kind: 'producer' | 'consumer', corr: number, link: number, fields: Fields): void
  closeLink(corr: number, link: number): void
  /** Returns the bytes it costs of the link's credit. */
  send(link: number, seq: number, message: Outgoing, transaction: number): number
  settle(settlement: Settlement, corr: number, transaction: number): void
  credit(link: number, messages: number, bytes: number, drain: boolean): void
  endTransaction(corr: number, transaction: number, how: number): void
  destination(corr: number, fields: Fields): void
  /** Writes what has been asked for. */
  flush(): void
  /** Says goodbye and ends once all is written; {@link PeerEvents.lost} follows. */
  end(): void
  /** Ends at once. */
  destroy(error: ManifoldError): void
}

/** What a peer tells. */
export interface PeerEvents {
  ok(corr: number, fields: FieldMap): void
  /** An answer, or with number 0 the end of the connection. */
  error(corr: number, error: ErrorFields): void
  accepted(link: number, upTo: number, rejections: readonly Rejection[]): void
  deliver(link: number, arrival: Arrival): void
  credit(link: number, messages: number, bytes: number): void
  creditUsed(link: number, unused: number): void
  linkClosed(link: number, error: ErrorFields | undefined): void
  drained(): void
  /** The connection has gone. Told once; nothing follows. */
  lost(error: ManifoldError): void
}

/** What the broker said of itself. */
export interface Welcome {
  readonly connectionId: string
  readonly broker: string
  /** The broker's clock less ours, in milliseconds. */
  readonly clockOffsetMs: number
}

export interface Dialled {
  readonly peer: Peer
  readonly welcome: Welcome
}
