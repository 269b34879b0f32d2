import type { Address, BrokerError, Message, SendNumber, Session, SessionEvents } from '../../src/core.ts'
import type { ClientSide } from './client-side.ts'
import type { Rejection } from './encoder.ts'
import { rejectionsMax } from './limits.ts'
import type { ProducerState } from './producer-state.ts'
import { errorFields } from './wire-errors.ts'

/** When a send is answered: once it is as safe as it asked to be, once the broker has it, or only if it is refused. */
export type Confirm = 'stored' | 'accepted' | 'none'

export interface ProducerLinkHost {
  readonly client: ClientSide
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Sends in a transaction; the reason if that cannot be. */
  sendIn(transaction: number, message: Message): BrokerError | undefined
  /** Has {@link ProducerLink.dispatch} called in the next turn. */
  resumeLater(link: ProducerLink): void
  /** The broker has ended the link. */
  producerEnded(link: ProducerLink, error: BrokerError): void
  /** The link has something to say at the end of what is being read. */
  touched(link: ProducerLink): void
}

export interface ProducerLinkOptions {
  readonly link: number
  /** Where it sends to; undefined: each message says where. */
  readonly address: Address | undefined
  readonly confirm: Confirm
  /** Sends not confirmed at most, and their bytes. */
  readonly credit: number
  readonly creditBytes: number
  /** What is known of a named producer. */
  readonly state: ProducerState | undefined
}

/** A send that waits, bounded by the credit. */
interface Held {
  readonly seq: number
  readonly message: Message | undefined
  /** 0: none. */
  readonly transaction: number
  readonly error: BrokerError | undefined
}

/** One producer of one client, with a session of its own: what makes it wait holds up no other link. */
export class ProducerLink implements SessionEvents {
  readonly link: number
  readonly address: Address | undefined
  readonly state: ProducerState | undefined
  isTouched: boolean
  dispatchMarked: boolean
  readonly #host: ProducerLinkHost
  readonly #options: ProducerLinkOptions
  #session: Session | undefined
  /** The seq of a send less its number in the session. */
  #base: number
  /** The last send that was read, and the last that was dealt with. */
  #readSeq: number
  #lastSeq: number
  /** What the client may still send, and what it is to be granted next. */
  #creditLeft: number
  #bytesLeft: number
  #sent: SendNumber
  #confirmed: SendNumber
  #inFlightBytes: number
  #owed: number
  #owedBytes: number
  #rejections: Rejection[]
  #held: Held[]
  #refusal: BrokerError | undefined

  constructor(host: ProducerLinkHost, options: ProducerLinkOptions) {
    this.link = options.link
    this.address = options.address
    this.state = options.state
    this.isTouched = false
    this.dispatchMarked = false
    this.#host = host
    this.#options = options
    this.#session = undefined
    this.#base = 0
    this.#readSeq = 0
    this.#lastSeq = 0
    this.#creditLeft = options.credit
    this.#bytesLeft = options.creditBytes
    this.#sent = 0
    this.#confirmed = 0
    this.#inFlightBytes = 0
    this.#owed = 0
    this.#owedBytes = 0
    this.#rejections = []
    this.#held = []
    this.#refusal = undefined
  }

  open(session: Session): void {
    this.#session = session
  }

  get session(): Session | undefined {
    return this.#session
  }

  get confirm(): Confirm {
    return this.#options.confirm
  }

  /** What is wrong with a send of that number and size, before anything is made of it. */
  fault(seq: number, bytes: number): string | undefined {
    if (this.#readSeq > 0 && seq !== this.#readSeq + 1) {
      return `send ${seq} of link ${this.link} comes after send ${this.#readSeq}`
    }
    if (seq < 1) return `a send of link ${this.link} has the number 0`
    this.#readSeq = seq
    if (this.#creditLeft <= 0 || this.#bytesLeft <= 0) return `send ${seq} of link ${this.link} is beyond its credit`
    this.#creditLeft -= 1
    this.charge(bytes)
    return undefined
  }

  /** More bytes of the last send have come; it may overdraw them. */
  charge(bytes: number): void {
    this.#bytesLeft -= bytes
    this.#inFlightBytes += bytes
  }

  /** True if a named producer has sent that number before, in an earlier life. */
  isDuplicate(seq: number): boolean {
    return this.state !== undefined && seq <= this.state.lastSeq
  }

  /** Hands a message to the core; undefined for one that is a duplicate. Waits while the session is blocked. */
  send(seq: number, message: Message | undefined): void {
    const session = this.#session
    if (session === undefined) return
    if (this.#held.length > 0 || session.isBlocked) this.#hold({ seq, message, transaction: 0, error: undefined })
    else this.#send(session, seq, message)
  }

  /** A send that belongs to a transaction: held until that ends. */
  sendIn(transaction: number, seq: number, message: Message): void {
    if (this.#held.length > 0) this.#hold({ seq, message, transaction, error: undefined })
    else this.#skip(seq, this.#host.sendIn(transaction, message))
  }

  /** A send that cannot become a message. */
  refuse(seq: number, error: BrokerError): void {
    if (this.#held.length > 0) this.#hold({ seq, message: undefined, transaction: 0, error })
    else this.#skip(seq, error)
  }

  /** Called by the turn: sends what has waited for the session to be free again. */
  dispatch(): boolean {
    const session = this.#session
    let count = 0
    for (const { seq, message, transaction, error } of this.#held) {
      if (session === undefined || session.isBlocked) break
      count += 1
      if (transaction > 0 && message !== undefined) this.#skip(seq, this.#host.sendIn(transaction, message))
      else if (error !== undefined) this.#skip(seq, error)
      else this.#send(session, seq, message)
    }
    this.#held.splice(0, count)
    if (this.isTouched) this.endOfInput()
    return false
  }

  /** What has been read is at its end: keeps a named producer's state, and answers those that do not wait for the disk. */
  endOfInput(): void {
    this.isTouched = false
    const session = this.#session
    if (session === undefined) return
    this.state?.keep(session)
    const { confirm } = this.#options
    if (confirm === 'accepted' || (confirm === 'none' && this.#rejections.length > 0)) this.#answer(this.#lastSeq)
  }

  confirmed(upTo: SendNumber): void {
    if (this.#options.confirm === 'stored') this.#answer(upTo + this.#base)
    this.#credit(upTo)
  }

  refused(_send: SendNumber, error: BrokerError): void {
    this.#refusal = error
  }

  blocked(): void {
    // Nothing is confirmed and so nothing granted; what the client still has credit for waits here.
  }

  unblocked(): void {
    if (this.#held.length > 0) this.#host.resumeLater(this)
  }

  closed(error: BrokerError): void {
    this.#session = undefined
    this.#held = []
    this.#host.producerEnded(this, error)
  }

  close(how: 'clean' | 'lost'): void {
    const session = this.#session
    this.#session = undefined
    this.#held = []
    session?.close(how)
  }

  #hold(held: Held): void {
    this.#held.push(held)
  }

  #send(session: Session, seq: number, message: Message | undefined): void {
    if (this.#sent === 0) this.#base = seq - 1
    this.#sent += 1
    this.#lastSeq = seq
    if (message === undefined) session.sync()
    else session.send(message)
    if (this.#refusal !== undefined) this.#reject(seq)
    else if (message !== undefined) this.state?.took(seq)
    if (!this.isTouched && (this.state !== undefined || this.#options.confirm !== 'stored')) this.#host.touched(this)
  }

  /** Counts a send that the core does not get in this session. */
  #skip(seq: number, refusal: BrokerError | undefined): void {
    const session = this.#session
    if (session === undefined) return
    if (this.#sent === 0) this.#base = seq - 1
    this.#sent += 1
    this.#lastSeq = seq
    this.#refusal = refusal
    session.sync()
    if (refusal !== undefined) this.#reject(seq)
    if (!this.isTouched) this.#host.touched(this)
  }

  #reject(seq: number): void {
    const error = this.#refusal
    this.#refusal = undefined
    if (error === undefined) return
    this.#rejections.push({ seq, ...errorFields(error) })
    this.state?.refused(seq, this.#options.credit)
  }

  #answer(upTo: number): void {
    const due = this.#rejections.filter(({ seq }) => seq <= upTo)
    if (due.length > 0) this.#rejections = this.#rejections.filter(({ seq }) => seq > upTo)
    while (due.length > rejectionsMax) {
      const some = due.splice(0, rejectionsMax)
      this.#host.client.accepted(this.link, some.at(-1)?.seq ?? upTo, some)
    }
    this.#host.client.accepted(this.link, upTo, due)
  }

  /** Gives back the credit of what is confirmed, half a window at a time. */
  #credit(upTo: SendNumber): void {
    const inFlight = this.#sent - this.#confirmed
    const done = upTo - this.#confirmed
    if (done <= 0) return
    this.#confirmed = upTo
    const bytes = done >= inFlight ? this.#inFlightBytes : Math.floor((this.#inFlightBytes * done) / inFlight)
    this.#inFlightBytes -= bytes
    this.#owed += done
    this.#owedBytes += bytes
    const { credit, creditBytes } = this.#options
    if (this.#owed < credit / 2 && this.#owedBytes < creditBytes / 2) return
    this.#creditLeft += this.#owed
    this.#bytesLeft += this.#owedBytes
    this.#host.client.credit(this.link, this.#owed, this.#owedBytes)
    this.#owed = 0
    this.#owedBytes = 0
  }
}
