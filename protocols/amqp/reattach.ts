import type { Broker, Identity, Outcome } from '../../src/core.ts'
import { attachFields } from './attach.ts'
import { type ControlLink, setUnsettled, wrap } from './control.ts'
import { State } from './frame.ts'
import {
  type Confirmed,
  type DetachedLinks,
  type Expiry,
  type Kept,
  type KeptSent,
  type LinkIdentity,
  matchReceived,
  matchSent,
  noExpiry,
  type Placed,
  type ReceivedState,
  ReceivedTags,
  tagsOf,
} from './resume.ts'
import type { Fields, Typed } from './typed.ts'

/** What attaching again needs to know of the connection. */
export interface ReattachmentHost {
  readonly broker: Broker
  readonly identity: Identity
  /** The peer's container id. */
  readonly container: string
  /** Links that may be attached again. */
  readonly detached: DetachedLinks
  /** The largest frame that the peer reads. */
  readonly frameBytesMax: number
}

/** Of a link on which the broker sends: what its receiver has told, and where what is left unsettled goes. */
export interface SenderResumption {
  readonly answered: Map<Placed, Outcome>
  readonly isMute: boolean
  readonly onDropped: (kept: KeptSent) => void
}

/** Of a link on which the broker receives. */
export interface ReceiverResumption {
  readonly tags: ReceivedTags | undefined
  readonly onlyResumes: boolean
  /** The link is over, not for good. */
  keep(): void
}

/** A link of which nothing is kept. */
export const nothingKept: SenderResumption = { answered: new Map(), isMute: false, onDropped: () => undefined }
export const noTags: ReceiverResumption = { tags: undefined, onlyResumes: false, keep: () => undefined }

/** Links of one session that are attached again: the exchange of unsettled maps (part 2, section 2.6.13). */
export class Reattachment {
  readonly #host: ReattachmentHost
  readonly #session: object
  readonly #confirmed: Confirmed

  constructor(host: ReattachmentHost, session: object, confirmed: Confirmed) {
    this.#host = host
    this.#session = session
    this.#confirmed = confirmed
  }

  ofSender(fields: Fields, address: string, expiry: Expiry): SenderResumption {
    if (expiry === noExpiry) return nothingKept
    const identity = this.#identityOf(fields, address)
    const kept = this.#host.detached.take(identity, 'sender', this.#now)
    const told = fields.hasMap(attachFields.unsettled)
    return {
      answered: told ? matchSent(kept, tagsOf(fields.raw(attachFields.unsettled))) : new Map(),
      isMute: fields.boolean(attachFields.incompleteUnsettled),
      onDropped: (sent) => this.#keep(identity, sent, expiry),
    }
  }

  /** Tells the sender what we know of its deliveries. */
  ofReceiver(control: ControlLink, fields: Fields, address: string, expiry: Expiry): ReceiverResumption {
    if (expiry === noExpiry) return noTags
    const identity = this.#identityOf(fields, address)
    const kept = this.#host.detached.take(identity, 'receiver', this.#now)
    const told = fields.hasMap(attachFields.unsettled)
    const isIncomplete = fields.boolean(attachFields.incompleteUnsettled)
    const states = told ? matchReceived(kept, tagsOf(fields.raw(attachFields.unsettled)), isIncomplete) : new Map()
    const tags = new ReceivedTags(this.#confirmed, states)
    return {
      tags,
      onlyResumes: told && this.#tell(control, states),
      keep: () => this.#keep(identity, { role: 'receiver', tags }, expiry),
    }
  }

  /** The session is over. */
  ended(): void {
    this.#host.detached.ended(this.#session, this.#now)
  }

  #identityOf(fields: Fields, address: string): LinkIdentity {
    const { identity, container } = this.#host
    return { principal: identity.principal, container, link: fields.string(attachFields.name) ?? '', address }
  }

  /** The session or connection with whose end the time of a terminus begins; undefined: with the end of its link. */
  scopeOf({ policy }: Expiry): object | undefined {
    return policy === 'session-end' ? this.#session : policy === 'connection-close' ? this.#host : undefined
  }

  #keep(identity: LinkIdentity, kept: Kept, expiry: Expiry): void {
    this.#host.detached.keep(identity, kept, expiry, this.scopeOf(expiry), this.#now)
  }

  /** True if not all could be told: the peer's frames are too small. */
  #tell(control: ControlLink, states: ReadonlyMap<string, ReceivedState>): boolean {
    // The rest of the attach has its place too.
    let bytesLeft = this.#host.frameBytesMax / 4
    const told = new Map<Buffer, Typed | null>()
    for (const [tag, state] of states) {
      bytesLeft -= tag.length + stateBytes(state)
      if (bytesLeft < 0) break
      told.set(Buffer.from(tag, 'latin1'), typedState(state))
    }
    setUnsettled(control, told, told.size < states.size)
    return told.size < states.size
  }

  get #now(): number {
    return this.#host.broker.clock.now()
  }
}

function stateBytes(state: ReceivedState): number {
  return typeof state === 'string' ? 16 : 64 + state.condition.length + Buffer.byteLength(state.description)
}

function typedState(state: ReceivedState): Typed | null {
  if (state === 'pending') return null
  return state === 'accepted' ? wrap.empty(State.accepted) : wrap.rejected(state)
}
