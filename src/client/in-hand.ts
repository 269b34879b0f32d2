import type { Peer, PeerEvents } from '../../protocols/native/client/index.ts'

type Given<Name extends keyof PeerEvents> = Parameters<PeerEvents[Name]>
type Asked<Name extends Exclude<keyof Peer, 'isCongested'>> = Parameters<Peer[Name]>

/** What of a connection is in hand: sends without an answer, deliveries that are not settled, questions, transactions, requests. */
export class InHand {
  /** The last send of each link that has no answer. */
  readonly #unanswered: Map<number, number>
  /** How many deliveries of each link are not settled. */
  readonly #unsettled: Map<number, number>
  readonly #asked: Set<number>
  readonly #transactions: Set<number>
  /** Requests without an answer by where it is to come, and the links on which they come. */
  readonly #requests: Map<string, number>
  readonly #answers: Map<number, string>
  /** Producers that want no answers, and consumers that settle nothing. */
  readonly #silent: Set<number>

  constructor() {
    this.#unanswered = new Map()
    this.#unsettled = new Map()
    this.#asked = new Set()
    this.#transactions = new Set()
    this.#requests = new Map()
    this.#answers = new Map()
    this.#silent = new Set()
  }

  /** Whether something would have to be sent again if the connection went now. */
  get hasSends(): boolean {
    return this.#unanswered.size > 0 || this.#transactions.size > 0
  }

  get isNothing(): boolean {
    return !this.hasSends && this.#asked.size === 0 && this.#unsettled.size === 0 && this.#requests.size === 0
  }

  /** Whether deliveries of the link are the client's as soon as they are on their way. */
  isSilent(link: number): boolean {
    return this.#silent.has(link)
  }

  opened(...[kind, , link, fields]: Asked<'open'>): void {
    const { confirm, ack, browse, source } = fields
    const isSilent = kind === 'producer' ? confirm === 'none' : ack === 'none' || browse === true
    if (!isSilent) return
    this.#silent.add(link)
    if (typeof source === 'string') this.#answers.set(link, source)
  }

  forget(link: number): void {
    for (const links of [this.#unanswered, this.#unsettled, this.#silent]) links.delete(link)
    this.#requests.delete(this.#answers.get(link) ?? '')
    this.#answers.delete(link)
  }

  asked(corr: number): void {
    if (corr > 0) this.#asked.add(corr)
  }

  answered(corr: number): void {
    this.#asked.delete(corr)
  }

  /** A send is to be written; the answer may come at once. Returns what {@link unsent} wants if it cannot be written. */
  sending(...[link, seq, , transaction]: Asked<'send'>): number | undefined {
    const before = this.#unanswered.get(link)
    if (transaction > 0) this.#transactions.add(transaction)
    else if (!this.#silent.has(link)) this.#unanswered.set(link, seq)
    return before
  }

  unsent(link: number, before: number | undefined): void {
    if (before === undefined) this.#unanswered.delete(link)
    else this.#unanswered.set(link, before)
  }

  /** It has been written. */
  sent(...[, , { head }]: Asked<'send'>): void {
    const replyTo = head?.replyTo
    if (replyTo === undefined) return
    for (const address of this.#answers.values()) if (address === replyTo) add(this.#requests, replyTo, 1)
  }

  accepted(...[link, upTo]: Given<'accepted'>): void {
    if ((this.#unanswered.get(link) ?? 0) <= upTo) this.#unanswered.delete(link)
  }

  delivered(link: number): void {
    if (!this.#silent.has(link)) add(this.#unsettled, link, 1)
    const address = this.#answers.get(link)
    if (address !== undefined && this.#requests.has(address)) add(this.#requests, address, -1)
  }

  settled(...[{ link, ranges }, , transaction]: Asked<'settle'>): void {
    if (transaction > 0) this.#transactions.add(transaction)
    if (!this.#unsettled.has(link)) return
    for (const [from, to] of ranges) add(this.#unsettled, link, from - to - 1)
  }

  transactionEnded(transaction: number): void {
    this.#transactions.delete(transaction)
  }
}

/** What has come to nothing is no longer there. */
function add<Key>(counts: Map<Key, number>, key: Key, change: number): void {
  const count = (counts.get(key) ?? 0) + change
  if (count > 0) counts.set(key, count)
  else counts.delete(key)
}
