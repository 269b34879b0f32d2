import type { Delivery, Outcome, SendNumber } from '../../src/core.ts'
import type { ErrorFields } from './control.ts'
import { State, serialGap } from './frame.ts'
import { reasonOf } from './outcomes.ts'
import { composite, isBinary, isDescribedAs, type Typed } from './typed.ts'

/** What we know of a delivery that a sender has not settled: safe, handed over but perhaps not safe yet, or refused. */
export type ReceivedState = 'accepted' | 'pending' | ErrorFields

/** What outlives a link on which the broker receives. */
export interface KeptReceived {
  readonly role: 'receiver'
  readonly tags: ReceivedTags
}

/** What outlives a link on which the broker sends. The deliveries themselves go back to their queue. */
export interface KeptSent {
  readonly role: 'sender'
  /** Messages in their places, by tag. */
  readonly unsettled: ReadonlyMap<string, Placed>
  /** What the receiver has said of those that it has not been sent again. */
  readonly answered: ReadonlyMap<Placed, Outcome>
}

/** A message in its place in a queue: the place alone would be another one's if the queue were made again. */
export type Placed = string

export function placed({ sequence, message }: Delivery): Placed {
  return `${sequence} ${message.source.idPrefix}${message.number}`
}

export type Kept = KeptReceived | KeptSent

/** The name of a link that can be found again. */
export interface LinkIdentity {
  readonly principal: string
  readonly container: string
  readonly link: string
  /** As it was asked for: another one is another terminus. */
  readonly address: string
}

/** How long a terminus stays when its link is detached (part 3, section 3.5.6). */
export interface Expiry {
  readonly policy: string
  /** Seconds from when the policy says that it begins. */
  readonly timeout: number
}

export const noExpiry: Expiry = { policy: 'link-detach', timeout: 0 }

/** Seconds that are granted at most. */
const timeoutMax = 24 * 60 * 60
/** Deliveries remembered of one link, and of all links of a listener that are detached. */
export const tagsMax = 10_000
const keptTagsMax = 200_000
const keptLinksMax = 10_000
const policies = new Set(['link-detach', 'session-end', 'connection-close', 'never'])

/** What is granted: what would be over with the session at the latest is over with the link, and answered so. */
export function grantedExpiry(asked: Expiry): Expiry {
  const { policy, timeout } = asked
  if (!policies.has(policy)) return noExpiry
  const outlives = timeout > 0 || policy === 'connection-close' || policy === 'never'
  return outlives ? { policy, timeout: policy === 'never' ? 0 : Math.min(timeout, timeoutMax) } : noExpiry
}

interface Entry {
  readonly kept: Kept
  /** The session or connection with whose end the time begins. */
  scope: object | undefined
  readonly timeoutMs: number
  /** Milliseconds since the epoch. */
  until: number
}

/**
 * The unsettled state of links that are detached, until they are attached again. Bounded: the oldest goes first, which costs
 * a delivery sent twice and never one lost. Gone when the broker stops.
 */
export class DetachedLinks {
  readonly #entries: Map<string, Entry>
  #tags: number

  constructor() {
    this.#entries = new Map()
    this.#tags = 0
  }

  get count(): number {
    return this.#entries.size
  }

  /** `scope`: the session or connection that the policy names. */
  keep(identity: LinkIdentity, kept: Kept, expiry: Expiry, scope: object | undefined, now: number): void {
    const key = keyOf(identity, kept.role)
    this.#remove(key)
    if (sizeOf(kept) === 0) return
    const timeoutMs = expiry.timeout * 1000
    const waits = scope !== undefined || expiry.policy === 'never'
    this.#entries.set(key, { kept, scope, timeoutMs, until: waits ? Number.POSITIVE_INFINITY : now + timeoutMs })
    this.#tags += sizeOf(kept)
    for (const oldest of this.#entries.keys()) {
      if (this.#tags <= keptTagsMax && this.#entries.size <= keptLinksMax) break
      this.#remove(oldest)
    }
  }

  /** What was kept of a link that is attached again; it is kept no longer. */
  take(identity: LinkIdentity, role: 'receiver', now: number): KeptReceived | undefined
  take(identity: LinkIdentity, role: 'sender', now: number): KeptSent | undefined
  take(identity: LinkIdentity, role: Kept['role'], now: number): Kept | undefined {
    const key = keyOf(identity, role)
    const entry = this.#entries.get(key)
    this.#remove(key)
    return entry === undefined || entry.until <= now ? undefined : entry.kept
  }

  /** A session or connection is over. */
  ended(scope: object, now: number): void {
    for (const [key, entry] of this.#entries) {
      if (entry.scope === scope) {
        entry.scope = undefined
        entry.until = now + entry.timeoutMs
      }
      if (entry.until <= now) this.#remove(key)
    }
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#tags -= sizeOf(entry.kept)
  }
}

/** The last send of a session that is safe, and was said to be. */
export interface Confirmed {
  upTo: SendNumber
}

interface Noted {
  readonly id: number
  /** Its sender settles after us. */
  readonly isSecond: boolean
  /** Handed over under a number, or refused. */
  readonly state: SendNumber | ErrorFields
}

/**
 * The deliveries of one link that we or their sender have not settled, by tag: what is asked about when the link is attached again.
 * What both may have forgotten must not be in it, for its tag may name another delivery by then (part 2, section 2.7.5).
 */
export class ReceivedTags {
  readonly #confirmed: Confirmed
  /** What was told in our attach and not resumed yet. */
  readonly #resumable: Map<string, ReceivedState>
  readonly #noted: Map<string, Noted>
  readonly #byId: Map<number, string>

  constructor(confirmed: Confirmed, resumable: ReadonlyMap<string, ReceivedState> = new Map()) {
    this.#confirmed = confirmed
    this.#resumable = new Map(resumable)
    this.#noted = new Map()
    this.#byId = new Map()
  }

  get size(): number {
    return this.#resumable.size + this.#noted.size
  }

  /** Undefined: not to be resumed. */
  resumable(tag: string): ReceivedState | undefined {
    return this.#resumable.get(tag)
  }

  note(tag: string, noted: Noted): void {
    // We have settled it by refusing it.
    if (typeof noted.state !== 'number' && !noted.isSecond) return
    this.forget(tag)
    this.#noted.set(tag, noted)
    this.#byId.set(noted.id, tag)
    if (this.#noted.size <= tagsMax) return
    for (const oldest of this.#noted.keys()) {
      this.forget(oldest)
      return
    }
  }

  forget(tag: string): void {
    this.#resumable.delete(tag)
    const noted = this.#noted.get(tag)
    if (noted === undefined) return
    this.#noted.delete(tag)
    this.#byId.delete(noted.id)
  }

  /** The sender has settled what has ids from `first` to `last`. */
  settled(first: number, last: number): void {
    for (const [id, tag] of this.#byId) {
      if (serialGap(first, id) >= 0 && serialGap(id, last) >= 0) this.forget(tag)
      // Ids grow: what follows is newer still.
      else if (serialGap(last, id) > 0) return
    }
  }

  /** What is unsettled now. */
  states(): ReadonlyMap<string, ReceivedState> {
    const states = new Map(this.#resumable)
    for (const [tag, { isSecond, state }] of this.#noted) {
      if (typeof state !== 'number') states.set(tag, state)
      else if (state > this.#confirmed.upTo) states.set(tag, 'pending')
      else if (isSecond) states.set(tag, 'accepted')
    }
    return states
  }
}

/**
 * Part 2, section 2.6.13, at the receiving end: what we know of the deliveries that the sender names. What it does not name it has
 * settled, unless its map is incomplete.
 */
export function matchReceived(
  kept: KeptReceived | undefined,
  unsettled: ReadonlyMap<string, Typed>,
  isIncomplete: boolean,
): ReadonlyMap<string, ReceivedState> {
  const states = kept?.tags.states() ?? new Map<string, ReceivedState>()
  if (isIncomplete) return states
  return new Map([...states].filter(([tag]) => unsettled.has(tag)))
}

/**
 * The same at the sending end: the outcomes that the receiver names of deliveries that we know, by their place in the queue. All
 * else is sent again as new deliveries.
 */
export function matchSent(kept: KeptSent | undefined, unsettled: ReadonlyMap<string, Typed>): Map<Placed, Outcome> {
  const answered = new Map(kept?.answered)
  for (const [tag, state] of unsettled) {
    const place = kept?.unsettled.get(tag)
    const outcome = outcomeOf(state)
    if (place !== undefined && outcome !== undefined) answered.set(place, outcome)
  }
  return answered
}

/** The entries of an attach's unsettled map by tag, whose bytes are the characters of the key. */
export function tagsOf(map: Typed | undefined): ReadonlyMap<string, Typed> {
  const tags = new Map<string, Typed>()
  const items = (map?.value ?? []) as readonly Typed[]
  for (let index = 0; index + 1 < items.length; index += 2) {
    const key = items[index] as Typed
    if (isBinary(key)) tags.set(Buffer.from(key.value as Uint8Array).toString('latin1'), items[index + 1] as Typed)
  }
  return tags
}

function outcomeOf(state: Typed): Outcome | undefined {
  if (isDescribedAs(state, State.accepted, 'amqp:accepted:list')) return { kind: 'accepted' }
  const rejected = composite(state, State.rejected, 'amqp:rejected:list')
  if (rejected !== undefined) {
    const error = composite(rejected.raw(0), 0x1d, 'amqp:error:list')
    return { kind: 'rejected', reason: reasonOf(error?.symbol(0), error?.string(1)) }
  }
  const modified = composite(state, State.modified, 'amqp:modified:list')
  if (modified === undefined) return undefined
  return { kind: 'modified', hasFailed: modified.boolean(0), isUndeliverableHere: modified.boolean(1) }
}

function sizeOf(kept: Kept): number {
  return kept.role === 'receiver' ? kept.tags.size : kept.unsettled.size + kept.answered.size
}

function keyOf({ principal, container, link, address }: LinkIdentity, role: Kept['role']): string {
  return JSON.stringify([principal, container, role, link, address])
}
