import type { ErrorFields, Fields, Rejection } from '../encoder.ts'
import type { FieldMap } from '../fields.ts'
import type { Environment } from './environment.ts'
import { ConnectionError, closed, fromFields, ManifoldError } from './errors.ts'
import type { Arrival } from './message.ts'
import type { Dialled, Peer, PeerEvents, Welcome } from './peer.ts'
import { type WaitOptions, within } from './wait.ts'

/** A producer or consumer: opened again on every connection. Of what a peer tells it hears what it has a method for. */
export interface Link {
  readonly link: number
  /** There is a connection: to be opened on it. */
  reopen(peer: Peer): void
  /** The connection has gone. */
  interrupted(): void
  /** What is owed is written, before the bytes go out. */
  beforeFlush?(peer: Peer): void
  /** The broker ended it; no error: it has come to its end. */
  ended(error: ManifoldError | undefined): void
  /** The connection has been closed for good. */
  closed(error: ManifoldError): void
  /** Resolves once every send has been answered. */
  flushed?(): Promise<void>
  accepted?(upTo: number, rejections: readonly Rejection[]): void
  credit?(messages: number, bytes: number): void
  drained?(): void
  deliver?(arrival: Arrival): void
  creditUsed?(): void
}

interface Asked {
  readonly resolve: (fields: FieldMap) => void
  readonly reject: (error: ManifoldError) => void
}

export interface HubEvents {
  connected(welcome: Welcome): void
  interrupted(error: ManifoldError): void
  /** Something went wrong for which nobody waits. */
  failed(error: Error): void
}

/** Links and questions over one connection after the other. */
export class Hub implements PeerEvents {
  readonly environment: Environment
  readonly #events: HubEvents
  readonly #links: Map<number, Link>
  readonly #asked: Map<number, Asked>
  #touched: Link[]
  #isFlushDue: boolean
  #peer: Peer | undefined
  #lostEarly: ManifoldError | undefined
  #lastLink: number
  #epoch: number
  #lastCorr: number
  readonly #timeout: number | undefined
  #clockOffsetMs: number
  #closedBy: ManifoldError | undefined

  /** `timeout`: of what is asked without one of its own. */
  constructor(environment: Environment, events: HubEvents, timeout: number | undefined) {
    this.environment = environment
    this.#timeout = timeout
    this.#events = events
    this.#links = new Map()
    this.#asked = new Map()
    this.#touched = []
    this.#isFlushDue = false
    this.#peer = undefined
    this.#lostEarly = undefined
    this.#lastLink = 0
    this.#epoch = 0
    this.#lastCorr = 0
    this.#clockOffsetMs = 0
    this.#closedBy = undefined
  }

  /** Tells of an error for which nobody waits. */
  reportError(error: Error): void {
    this.#events.failed(error)
  }

  /** The connection there is now. */
  get peer(): Peer | undefined {
    return this.#peer
  }

  /** How many connections have gone. */
  get epoch(): number {
    return this.#epoch
  }

  /** Why no link can be opened any more. */
  get closedBy(): ManifoldError | undefined {
    return this.#closedBy
  }

  /** The broker's clock. */
  now(): number {
    return this.environment.now() + this.#clockOffsetMs
  }

  nextLink(): number {
    this.#lastLink += 1
    return this.#lastLink
  }

  add(link: Link): void {
    if (this.#closedBy !== undefined) {
      link.closed(this.#closedBy)
      return
    }
    this.#links.set(link.link, link)
    if (this.#peer !== undefined) link.reopen(this.#peer)
  }

  /** Forgets a link and closes it at the broker, which is told before anything else is. */
  async drop(link: Link): Promise<void> {
    const isKnown = this.#links.delete(link.link)
    const peer = this.#peer
    if (!isKnown || peer === undefined) return
    link.beforeFlush?.(peer)
    try {
      await this.ask((corr) => peer.closeLink(corr, link.link))
    } catch (error) {
      // A connection that has gone has taken the link with it.
      if (!(error instanceof ManifoldError)) throw error
    }
  }

  /** Has the link asked for what it owes before the next bytes go out. */
  touch(link: Link): void {
    this.#touched.push(link)
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    this.environment.soon(() => this.flush())
  }

  flush(): void {
    this.#isFlushDue = false
    const touched = this.#touched
    this.#touched = []
    const peer = this.#peer
    if (peer === undefined) return
    for (const link of touched) link.beforeFlush?.(peer)
    peer.flush()
  }

  /** Asks the broker something; rejects with its error, or if the connection goes before it has answered. */
  ask(write: (corr: number) => void): Promise<FieldMap> {
    if (this.#closedBy !== undefined) return Promise.reject(this.#closedBy)
    if (this.#peer === undefined) return Promise.reject(notConnected())
    this.#lastCorr += 1
    const corr = this.#lastCorr
    return new Promise((resolve, reject) => {
      this.#asked.set(corr, { resolve, reject })
      write(corr)
    })
  }

  /** Opens a link at the broker. */
  open(kind: 'producer' | 'consumer', link: number, fields: Fields): Promise<FieldMap> {
    return this.ask((corr) => this.#peer?.open(kind, corr, link, fields))
  }

  /** What is to be done with a destination. */
  destination(fields: Fields, wait?: WaitOptions): Promise<FieldMap> {
    return this.within(
      this.ask((corr) => this.#peer?.destination(corr, fields)),
      fields.op as string,
      wait,
    )
  }

  /** The promise, or the error that it was waited for too long; the broker may have done it all the same. */
  within<T>(promise: Promise<T>, what: string, wait?: WaitOptions): Promise<T> {
    return within(promise, what, { timeout: this.#timeout, ...wait }, this.environment, () => 'unknown')
  }

  /** Makes a queue that lives as long as the connection. Returns its address. */
  async temporaryQueue(wait?: WaitOptions): Promise<string> {
    return (await this.destination({ op: 'temporary', kind: 'queue' }, wait)).text('address') ?? ''
  }

  /** Resolves once every send has been answered. */
  async flushed(): Promise<void> {
    await Promise.all(this.#linksNow.map((link) => link.flushed?.()))
  }

  /** There is a connection. */
  attach({ peer, welcome }: Dialled): void {
    this.#peer = peer
    this.#clockOffsetMs = welcome.clockOffsetMs
    for (const link of this.#linksNow) link.reopen(peer)
    this.#events.connected(welcome)
    const lost = this.#lostEarly
    this.#lostEarly = undefined
    if (lost !== undefined) this.lost(lost)
  }

  /** No connection will come any more. */
  close(error: ManifoldError = closed()): void {
    if (this.#closedBy !== undefined) return
    this.#closedBy = error
    for (const link of this.#linksNow) link.closed(error)
    this.#links.clear()
    this.#forgetAsked(error)
  }

  ok(corr: number, fields: FieldMap): void {
    this.#answered(corr)?.resolve(fields)
  }

  error(corr: number, error: ErrorFields): void {
    this.#answered(corr)?.reject(fromFields(error))
  }

  accepted(link: number, upTo: number, rejections: readonly Rejection[]): void {
    this.#links.get(link)?.accepted?.(upTo, rejections)
  }

  deliver(link: number, arrival: Arrival): void {
    this.#links.get(link)?.deliver?.(arrival)
  }

  credit(link: number, messages: number, bytes: number): void {
    this.#links.get(link)?.credit?.(messages, bytes)
  }

  creditUsed(link: number): void {
    this.#links.get(link)?.creditUsed?.()
  }

  linkClosed(link: number, error: ErrorFields | undefined): void {
    const found = this.#links.get(link)
    this.#links.delete(link)
    found?.ended(error === undefined ? undefined : fromFields(error))
  }

  drained(): void {
    for (const link of this.#links.values()) link.drained?.()
  }

  lost(error: ManifoldError): void {
    if (this.#peer === undefined) {
      // It has gone before anybody was told that it is there.
      this.#lostEarly = error
      return
    }
    this.#peer = undefined
    this.#epoch += 1
    this.#touched = []
    for (const link of this.#linksNow) link.interrupted()
    this.#forgetAsked(
      new ConnectionError(error.code, error.message, { retryable: true, outcome: 'unknown', cause: error }),
    )
    this.#events.interrupted(error)
  }

  /** As they are now, whatever is opened or closed meanwhile. */
  get #linksNow(): readonly Link[] {
    return [...this.#links.values()]
  }

  #answered(corr: number): Asked | undefined {
    const asked = this.#asked.get(corr)
    this.#asked.delete(corr)
    return asked
  }

  #forgetAsked(error: ManifoldError): void {
    const asked = [...this.#asked.values()]
    this.#asked.clear()
    for (const { reject } of asked) reject(error)
  }
}

export function notConnected(): ConnectionError {
  return new ConnectionError('connection-lost', 'there is no connection at the moment', { retryable: true })
}
