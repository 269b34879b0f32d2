import type { Fields } from '../encoder.ts'
import { OutcomeCode } from '../frame.ts'
import type { Payload, SendOptions } from './body.ts'
import type { Codec } from './codecs.ts'
import { ConnectionError, ManifoldError } from './errors.ts'
import { Fifo } from './fifo.ts'
import type { Hub, Link } from './hub.ts'
import { type Arrival, Message, type Origin, type SettleOptions } from './message.ts'
import type { Peer } from './peer.ts'

export interface ConsumerOptions {
  /** An SQL-like condition over properties: `color = 'blue' AND price > 5`. */
  readonly selector?: string | undefined
  /** Messages that may be at this consumer without being settled. Default 256; for handlers the number of free workers. */
  readonly credit?: number | undefined
  /** Bytes of those messages. Default 1 MiB. */
  readonly creditBytes?: number | undefined
  /** `none`: settled as soon as they are sent. Default: `explicit`. */
  readonly ack?: 'explicit' | 'none' | undefined
  /** The only consumer to be served while it is there. */
  readonly exclusive?: boolean | undefined
  /** Consumers of higher priority are served first; 0 is normal. */
  readonly priority?: number | undefined
  /** Leaves out what the same client id has sent; topics only. */
  readonly noLocal?: boolean | undefined
  /** Name of a durable or shared subscription to a topic. */
  readonly name?: string | undefined
  /** Keeps collecting while nobody is connected; needs a name and a client id, or `shared`. */
  readonly durable?: boolean | undefined
  /** Several consumers share the messages of one subscription; needs a name. */
  readonly shared?: boolean | undefined
  /** Whether the topic's retained messages come first. */
  readonly retained?: 'send' | 'if-new' | 'none' | undefined
}

const creditDefault = 256
const creditBytesDefault = 1024 * 1024
/** With no more credit than this, each settlement is answered by new credit. */
const promptMax = 16
const resolved = Promise.resolve()

/** Whom a consumer hands its messages to. */
export interface Sink {
  /** Messages wait in the consumer: take them. */
  ready(): void
  /** No more come; no error: the end of what there is to see. */
  over(error: ManifoldError | undefined): void
  /** Messages that have been taken and not settled are with the broker again. */
  interrupted?(): void
}

interface Settled {
  readonly outcome: OutcomeCode
  readonly delayMs: number | undefined
  readonly reason: string | undefined
  /** From, to, from, to… */
  readonly ranges: [number, number][]
}

/** A consumer at the broker: keeps what has come until it is taken, and grants credit for what is settled. */
export class Consumer<T = unknown> implements Link, Origin {
  readonly link: number
  readonly address: string
  readonly #hub: Hub
  readonly #fields: Fields
  readonly #codec: Codec<T> | undefined
  readonly #isExplicit: boolean
  readonly #target: number
  readonly #targetBytes: number
  readonly #replyWith: (to: string, payload: Payload, options: SendOptions) => Promise<void>
  #sink: Sink | undefined
  readonly #buffer: Fifo<Message<T>>
  #peer: Peer | undefined
  #isOpen: boolean
  #isTouched: boolean
  /** Credit that the broker has left. */
  #left: number
  #leftBytes: number
  /** Credit for what has been settled, which is granted once the broker has no more than that left. */
  #owed: number
  #owedBytes: number
  /** What was asked for by hand, in {@link pull}. */
  #wanted: number
  /** Messages of this connection that were handed out and are not settled. */
  #takenCount: number
  #epoch: number
  #settled: Settled[]
  #isOver: boolean
  #onOpen: { readonly resolve: () => void; readonly reject: (error: ManifoldError) => void } | undefined
  #onUsed: (() => void) | undefined

  constructor(
    hub: Hub,
    given: {
      readonly address: string
      readonly options: ConsumerOptions
      readonly isBrowser?: boolean
      /** Only what is asked for is granted. */
      readonly isPulling?: boolean
      readonly codec?: Codec<T> | undefined
      readonly replyWith: (to: string, payload: Payload, options: SendOptions) => Promise<void>
    },
  ) {
    const { address, options, isBrowser = false, isPulling = false } = given
    const { ack = 'explicit' } = options
    this.link = hub.nextLink()
    this.address = address
    this.#hub = hub
    this.#codec = given.codec
    this.#isExplicit = ack === 'explicit' && !isBrowser
    this.#target = isPulling ? 0 : Math.max(1, options.credit ?? creditDefault)
    this.#targetBytes = Math.max(1, options.creditBytes ?? creditBytesDefault)
    this.#fields = fieldsOf(address, options, isBrowser)
    this.#replyWith = given.replyWith
    this.#sink = undefined
    this.#buffer = new Fifo()
    this.#peer = undefined
    this.#isOpen = false
    this.#isTouched = false
    this.#left = 0
    this.#leftBytes = 0
    this.#owed = 0
    this.#owedBytes = 0
    this.#wanted = 0
    this.#takenCount = 0
    this.#epoch = 0
    this.#settled = []
    this.#isOver = false
    this.#onOpen = undefined
    this.#onUsed = undefined
  }

  /** Opens it; resolves once the broker has it. Rejects if the broker refuses. */
  start(sink: Sink): Promise<void> {
    this.#sink = sink
    return new Promise((resolve, reject) => {
      this.#onOpen = { resolve, reject }
      this.#hub.add(this)
    })
  }

  /** The next message, if one waits. */
  take(): Message<T> | undefined {
    const message = this.#buffer.shift()
    if (message === undefined) return undefined
    if (this.#isExplicit) this.#takenCount += 1
    else this.#owe(1, message.size)
    return message
  }

  /** Asks for one message more. */
  pull(): void {
    this.#wanted += 1
    if (this.#isOpen) this.#peer?.credit(this.link, 1, 0, false)
  }

  /** Takes back what was asked for and has not come; resolves once nothing more can come. */
  stopPulling(): Promise<void> {
    const peer = this.#peer
    if (peer === undefined || !this.#isOpen || this.#wanted === 0) {
      this.#wanted = 0
      return resolved
    }
    return new Promise((resolve) => {
      this.#onUsed = resolve
      peer.credit(this.link, 0, 0, true)
    })
  }

  /** Takes no more; what waits goes back. What has been taken can still be settled until {@link close}. */
  stop(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#buffer.clear()
  }

  /** Closes it at the broker. What is not settled goes back. */
  async close(): Promise<void> {
    this.stop()
    await this.#hub.drop(this)
  }

  settle(message: Message<unknown>, outcome: OutcomeCode, how: SettleOptions): Promise<void> {
    // Of a lost connection: the broker delivers it again, or has settled it itself.
    if (message.epoch !== this.#epoch || !this.#isExplicit) return this.#settledAway(how)
    this.#takenCount -= 1
    if (how.confirm === true) return this.#settleSurely(message, outcome, how)
    const { delay: delayMs, reason } = how
    const last = this.#settled.at(-1)
    if (last !== undefined && last.outcome === outcome && last.delayMs === delayMs && last.reason === reason) {
      add(last.ranges, message.number)
    } else this.#settled.push({ outcome, delayMs, reason, ranges: [[message.number, message.number]] })
    this.#owe(1, message.size)
    return resolved
  }

  /** Settles in a transaction; counts as settled from now on. */
  settleIn(message: Message<T>, transaction: number): void {
    this.#peer?.settle(
      settlement(this.link, OutcomeCode.accept, [[message.number, message.number]], {}),
      0,
      transaction,
    )
  }

  /** What was taken is with the broker again, or settled there: it is no longer ours to settle. */
  forget(message: Message<T>): void {
    if (message.epoch !== this.#epoch) return
    message.isSettled = true
    this.#takenCount -= 1
    this.#owe(1, message.size)
  }

  reply(message: Message<unknown>, payload: Payload, options: SendOptions | undefined): Promise<void> {
    const { replyTo, section } = message
    if (replyTo === undefined) {
      return Promise.reject(
        new ManifoldError('invalid-request', 'the message has no replyTo: nobody waits for an answer'),
      )
    }
    const { correlationId } = section.head
    return this.#replyWith(replyTo, payload, { correlationId: correlationId ?? message.id, ...options })
  }

  reopen(peer: Peer): void {
    this.#peer = peer
    this.#left = 0
    this.#leftBytes = 0
    this.#owed = 0
    this.#owedBytes = 0
    this.#hub.open('consumer', this.link, this.#fields).then(
      () => {
        if (this.#peer !== peer) return
        this.#isOpen = true
        this.#grant(peer, this.#target || this.#wanted, this.#targetBytes)
        this.#onOpen?.resolve()
        this.#onOpen = undefined
      },
      (error: ManifoldError) => {
        if (this.#peer === peer && error.outcome !== 'unknown') this.ended(error)
      },
    )
  }

  interrupted(): void {
    this.#peer = undefined
    this.#isOpen = false
    this.#buffer.clear()
    this.#settled = []
    this.#takenCount = 0
    this.#isTouched = false
    this.#epoch += 1
    this.#used()
    this.#sink?.interrupted?.()
  }

  beforeFlush(peer: Peer): void {
    this.#isTouched = false
    if (peer !== this.#peer || !this.#isOpen) return
    const settled = this.#settled
    if (settled.length > 0) {
      this.#settled = []
      for (const { outcome, delayMs, reason, ranges } of settled) {
        for (let at = 0; at < ranges.length; at += 4096) {
          const some = ranges.slice(at, at + 4096)
          peer.settle({ link: this.link, outcome, ranges: some, delayMs, reason }, 0, 0)
        }
      }
    }
    if (this.#isDue && !this.#isOver) this.#grant(peer, this.#owed, this.#owedBytes)
  }

  deliver(arrival: Arrival): void {
    if (this.#isOver) return
    if (this.#target === 0) {
      this.#wanted = Math.max(0, this.#wanted - 1)
      this.#peer?.credit(this.link, 0, arrival.size, false)
    } else {
      this.#left -= 1
      this.#leftBytes -= arrival.size
      if (this.#isDue) this.#touch()
    }
    this.#buffer.push(new Message<T>(arrival, this, this.#epoch, this.#codec))
    this.#sink?.ready()
  }

  creditUsed(): void {
    this.#used()
  }

  ended(error: ManifoldError | undefined): void {
    const onOpen = this.#onOpen
    this.#onOpen = undefined
    this.#isOver = true
    this.#peer = undefined
    this.#isOpen = false
    this.#used()
    void this.#hub.drop(this)
    if (onOpen !== undefined && error !== undefined) onOpen.reject(error)
    else this.#sink?.over(error)
  }

  closed(error: ManifoldError): void {
    this.#buffer.clear()
    this.ended(error)
  }

  #grant(peer: Peer, messages: number, bytes: number): void {
    peer.credit(this.link, messages, bytes, false)
    this.#left += messages
    this.#leftBytes += bytes
    this.#owed = 0
    this.#owedBytes = 0
  }

  /** Whether what is owed is worth a frame: with little credit at once, with more when as much of it is used up as is left. */
  get #isDue(): boolean {
    if (this.#owed === 0) return false
    return this.#target <= promptMax || this.#owed >= this.#left || this.#owedBytes >= this.#leftBytes
  }

  #owe(messages: number, bytes: number): void {
    if (this.#target > 0) {
      this.#owed += messages
      this.#owedBytes += bytes
    }
    this.#touch()
  }

  #touch(): void {
    if (this.#isTouched) return
    this.#isTouched = true
    this.#hub.touch(this)
  }

  #used(): void {
    this.#wanted = 0
    const onUsed = this.#onUsed
    this.#onUsed = undefined
    onUsed?.()
  }

  async #settleSurely(message: Message<unknown>, outcome: OutcomeCode, how: SettleOptions): Promise<void> {
    const peer = this.#peer
    const settling = settlement(this.link, outcome, [[message.number, message.number]], how)
    const asked = this.#hub.ask((corr) => peer?.settle(settling, corr, 0))
    await this.#hub.within(asked, 'settling', how)
    this.#owe(1, message.size)
  }

  #settledAway(how: SettleOptions): Promise<void> {
    if (how.confirm !== true || !this.#isExplicit) return resolved
    const sentence = 'the connection the message came over is lost: it will be delivered again'
    return Promise.reject(new ConnectionError('connection-lost', sentence))
  }
}

function add(ranges: [number, number][], number: number): void {
  const last = ranges[ranges.length - 1]
  if (last !== undefined && number === last[1] + 1) last[1] = number
  else ranges.push([number, number])
}

function settlement(link: number, outcome: OutcomeCode, ranges: [number, number][], how: SettleOptions) {
  return { link, outcome, ranges, delayMs: how.delay, reason: how.reason }
}

function fieldsOf(address: string, options: ConsumerOptions, isBrowser: boolean): Fields {
  const { selector, ack, exclusive, priority, noLocal, name, durable, shared, retained } = options
  return {
    source: address,
    selector,
    ack,
    exclusive,
    priority: priority === undefined ? undefined : { type: 'int', value: priority },
    noLocal,
    name,
    durable,
    shared,
    retained,
    browse: isBrowser ? true : undefined,
  }
}
