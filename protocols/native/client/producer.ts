import type { Rejection } from '../encoder.ts'
import type { FieldMap } from '../fields.ts'
import { type Outgoing, outgoing, type Payload, type SendOptions, type Times } from './body.ts'
import type { Codec } from './codecs.ts'
import { fromFields, ManifoldError, type Outcome, rolledBack } from './errors.ts'
import { Fifo } from './fifo.ts'
import type { Hub, Link } from './hub.ts'
import type { Peer } from './peer.ts'
import { type WaitOptions, watch } from './wait.ts'

/** When a send resolves: stored as safely as it asked to be, with the broker, or written. */
export type Confirm = 'stored' | 'accepted' | 'none'

export interface ProducerOptions {
  /** Default: `stored`. */
  readonly confirm?: Confirm | undefined
  /**
   * Names a producer for the broker: what it sends is taken once, however often it has to be sent again. One program at a time may
   * use a name; a later one ends the earlier.
   */
  readonly name?: string | undefined
  /** Whether messages are persistent that do not say. Default: true for queues unless `confirm` is `none`, false for topics. */
  readonly persistent?: boolean | undefined
  /** Bytes of sends that may wait for the broker; what goes past them is refused. Default 64 MiB. */
  readonly bufferBytesMax?: number | undefined
  /** Milliseconds that each send may take. Default: that of the connection. */
  readonly timeout?: number | undefined
}

const bufferBytesDefault = 64 * 1024 * 1024

/** A send without its answer. */
interface Pending {
  readonly message: Outgoing
  /** Undefined once it is answered or given up by its caller. */
  resolve: (() => void) | undefined
  reject: ((error: ManifoldError) => void) | undefined
  readonly transaction: number
  readonly roughBytes: number
  /** Written to this connection or an earlier one: it may have happened. */
  wasWritten: boolean
  release: (() => void) | undefined
}

/** Sends messages to one destination, in order, as many at a time as the broker takes. */
export class Producer<T = Payload> implements Link, AsyncDisposable {
  /** @internal */
  readonly link: number
  /** `queue://orders`; undefined: each message says where to. */
  readonly address: string | undefined
  readonly #hub: Hub
  readonly #codec: Codec<T> | undefined
  readonly #options: ProducerOptions
  readonly #confirm: Confirm
  readonly #persistent: boolean
  /** Sends by seq: the first one is number `#firstSeq`; `#written` of them are on the wire. */
  readonly #queue: Fifo<Pending>
  #firstSeq: number
  #written: number
  #bufferedBytes: number
  #credit: number
  #creditBytes: number
  #peer: Peer | undefined
  #isOpen: boolean
  /** It has never been open. */
  #isNew: boolean
  /** Tells this producer from another of the same name. */
  readonly #instance: string
  #endedBy: ManifoldError | undefined
  #onIdle: (() => void)[]
  /** What sends without a place of their own have in common. */
  readonly #place: { readonly persistent: boolean; readonly to: undefined; readonly times: Times }
  /** Takes the ends of a promise as it is made, so that a send needs no function of its own. */
  readonly #take: (resolve: () => void, reject: (error: ManifoldError) => void) => void
  #resolve: () => void
  #reject: (error: ManifoldError) => void

  /** Made by the connection. @internal */
  constructor(hub: Hub, address: string | undefined, options: ProducerOptions, codec: Codec<T> | undefined) {
    this.link = hub.nextLink()
    this.address = address
    this.#hub = hub
    this.#codec = codec
    this.#options = options
    this.#confirm = options.confirm ?? 'stored'
    this.#persistent = options.persistent ?? (this.#confirm !== 'none' && address?.startsWith('topic:') !== true)
    this.#queue = new Fifo()
    this.#firstSeq = 1
    this.#written = 0
    this.#bufferedBytes = 0
    this.#credit = 0
    this.#creditBytes = 0
    this.#peer = undefined
    this.#isOpen = false
    this.#isNew = true
    this.#instance = instanceId(hub)
    this.#endedBy = undefined
    this.#onIdle = []
    this.#place = { persistent: this.#persistent, to: undefined, times: hub }
    this.#take = (resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    }
    this.#resolve = nothing
    this.#reject = nothing
    hub.add(this)
  }

  /** Whether it has been closed, by whomever: nothing can be sent any more. */
  get isClosed(): boolean {
    return this.#endedBy !== undefined
  }

  /** Sends without an answer yet. */
  get pendingCount(): number {
    return this.#queue.length
  }

  /**
   * Sends one message and resolves when it is as safe as the producer's `confirm` says. Waits while the broker takes no more, or
   * is away. Rejects with the broker's refusal; with `outcome: 'unknown'` if it was given up while on its way.
   */
  send(value: T, options?: SendOptions & WaitOptions): Promise<void> {
    return this.sendTo(undefined, value, options, 0)
  }

  /** As {@link send}, to another destination if the producer has none, and in a transaction if the number is not 0. @internal */
  sendTo(
    to: string | undefined,
    value: T,
    options: (SendOptions & WaitOptions) | undefined,
    transaction: number,
  ): Promise<void> {
    if (this.#endedBy !== undefined) return Promise.reject(this.#endedBy)
    let message: Outgoing
    try {
      const payload = this.#codec === undefined ? (value as Payload) : this.#codec.encode(value)
      message = outgoing(payload, options, to === undefined ? this.#place : { ...this.#place, to })
    } catch (error) {
      return Promise.reject(unsendable(error))
    }
    const sent = new Promise<void>(this.#take)
    const pending: Pending = {
      message,
      resolve: this.#resolve,
      reject: this.#reject,
      transaction,
      roughBytes: message.roughBytes,
      wasWritten: false,
      release: undefined,
    }
    if (!this.#add(pending)) return sent
    const timeout = options?.timeout ?? this.#options.timeout
    const signal = options?.signal
    if (signal !== undefined || timeout !== undefined) this.#watch(pending, { signal, timeout })
    return sent
  }

  /** Resolves once every send has been answered. */
  flushed(): Promise<void> {
    if (this.pendingCount === 0) return Promise.resolve()
    return new Promise((resolve) => this.#onIdle.push(resolve))
  }

  /** Waits for the answers and closes. */
  async close(): Promise<void> {
    await this.flushed()
    this.#endedBy ??= new ManifoldError('closed', 'the producer has been closed')
    await this.#hub.drop(this)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal */
  reopen(peer: Peer): void {
    const { name } = this.#options
    this.#peer = peer
    const instance = name === undefined ? undefined : this.#instance
    this.#hub.open('producer', this.link, { destination: this.address, confirm: this.#confirm, name, instance }).then(
      (fields) => {
        if (this.#peer === peer) this.#opened(fields)
      },
      (error: ManifoldError) => {
        if (this.#peer === peer && error.outcome !== 'unknown') this.ended(error)
      },
    )
  }

  /** @internal */
  interrupted(): void {
    this.#peer = undefined
    this.#isOpen = false
    this.#credit = 0
    this.#written = 0
    this.#keep((pending) => {
      // A transaction ends with its connection.
      if (pending.transaction > 0) settle(pending, rolledBack())
      // A send that was given up nobody waits for; one with a name keeps its number.
      return pending.transaction === 0 && (pending.reject !== undefined || this.#options.name !== undefined)
    })
  }

  /** @internal */
  ended(error: ManifoldError | undefined): void {
    this.closed(error ?? new ManifoldError('closed', 'the broker has closed the producer'))
  }

  /** @internal */
  closed(error: ManifoldError): void {
    this.#endedBy ??= error
    this.#isOpen = false
    this.#written = 0
    for (const pending of this.#queue.clear()) {
      const { code, message, retryable } = error
      if (pending.wasWritten)
        settle(pending, new ManifoldError(code, message, { retryable, outcome: 'unknown', cause: error }))
      else settle(pending, error)
    }
    this.#idle()
  }

  /** @internal */
  accepted(upTo: number, rejections: readonly Rejection[]): void {
    if (this.#confirm === 'none') {
      for (const rejection of rejections) this.#hub.reportError(fromFields(rejection))
      return
    }
    let next = 0
    while (this.#firstSeq <= upTo && this.#written > 0) {
      const pending = this.#shift()
      const rejection = rejections[next]
      if (rejection !== undefined && rejection.seq === this.#firstSeq - 1) {
        next += 1
        settle(pending, fromFields(rejection))
      } else settle(pending, undefined)
    }
    if (this.pendingCount === 0) this.#idle()
  }

  /** @internal */
  credit(messages: number, bytes: number): void {
    this.#credit += messages
    this.#creditBytes += bytes
    this.#pump()
  }

  /** @internal */
  drained(): void {
    this.#pump()
  }

  #add(pending: Pending): boolean {
    const { bufferBytesMax = bufferBytesDefault } = this.#options
    if (this.#bufferedBytes + pending.roughBytes > bufferBytesMax && this.#bufferedBytes > 0) {
      const sentence = `more than ${bufferBytesMax} bytes wait for the broker (bufferBytesMax): await some sends first`
      settle(pending, new ManifoldError('limit-exceeded', sentence, { retryable: true }))
      return false
    }
    this.#bufferedBytes += pending.roughBytes
    this.#queue.push(pending)
    this.#pump()
    return true
  }

  /** Writes what there is credit for. */
  #pump(): void {
    const peer = this.#peer
    if (peer === undefined || !this.#isOpen) return
    while (this.#credit > 0 && this.#creditBytes > 0) {
      const pending = this.#queue.at(this.#written)
      if (pending === undefined) break
      if (peer.isCongested) return
      const cost = this.#write(peer, pending)
      if (cost === undefined) continue
      this.#credit -= 1
      this.#creditBytes -= cost
      this.#written += 1
      pending.wasWritten = true
      if (this.#confirm === 'none') settle(this.#shift(), undefined)
    }
    if (this.pendingCount === 0) this.#idle()
  }

  /** Returns the bytes it costs; undefined for what cannot be sent, which is taken out. */
  #write(peer: Peer, pending: Pending): number | undefined {
    try {
      return peer.send(this.link, this.#firstSeq + this.#written, pending.message, pending.transaction)
    } catch (error) {
      this.#queue.remove(this.#written)
      this.#bufferedBytes -= pending.roughBytes
      settle(pending, unsendable(error))
      return undefined
    }
  }

  #shift(): Pending {
    const pending = this.#queue.shift() as Pending
    this.#firstSeq += 1
    this.#written -= 1
    this.#bufferedBytes -= pending.roughBytes
    return pending
  }

  #opened(fields: FieldMap): void {
    this.#isOpen = true
    this.#credit = fields.number('credit') ?? 0
    this.#creditBytes = fields.number('creditBytes') ?? 0
    const { name } = this.#options
    if (name !== undefined) {
      const isOurs = fields.text('instance') === this.#instance
      const lastSeq = fields.number('lastSeq') ?? 0
      // What somebody else has sent under the name meanwhile must not be taken for ours.
      if (!this.#isNew && !isOurs && lastSeq >= this.#firstSeq) {
        this.#endTakenOver(name)
        return
      }
      this.#resume(lastSeq, fields.numbers('rejected'))
    }
    this.#pump()
  }

  /** Goes on behind the last send that the broker has of the producer of that name. */
  #resume(lastSeq: number, rejected: readonly number[]): void {
    if (this.#isNew) this.#firstSeq = lastSeq + 1
    this.#isNew = false
    const refused = new Set(rejected)
    while (this.#firstSeq <= lastSeq && this.pendingCount > 0) {
      this.#written = 1
      const seq = this.#firstSeq
      const pending = this.#shift()
      if (!refused.has(seq)) settle(pending, undefined)
      else {
        const sentence = 'the broker refused the message; the reason was lost with the connection'
        settle(pending, new ManifoldError('resource-exhausted', sentence, { retryable: true }))
      }
    }
    if (this.#firstSeq <= lastSeq) this.#firstSeq = lastSeq + 1
    this.#written = 0
  }

  #endTakenOver(name: string): void {
    const sentence = `another program has sent under the name "${name}" meanwhile: give each producer a name of its own`
    void this.#hub.drop(this)
    this.closed(new ManifoldError('taken-over', sentence))
  }

  #watch(pending: Pending, waits: WaitOptions): void {
    const outcome = (): Outcome => (pending.wasWritten ? 'unknown' : 'none')
    const onOver = (error: ManifoldError): void => {
      const index = this.#queue.indexOf(pending)
      if (index < 0) return
      // What has a number that the broker may know stays in its place, so that the others keep theirs.
      const isNumbered = index < this.#written || this.#options.name !== undefined
      if (!isNumbered || !pending.wasWritten) {
        this.#queue.remove(index)
        this.#bufferedBytes -= pending.roughBytes
      }
      settle(pending, error)
    }
    pending.release = watch('the send', waits, this.#hub.environment, onOver, outcome)
  }

  /** Drops the others of what has not been answered. */
  #keep(isKept: (pending: Pending) => boolean): void {
    for (const pending of this.#queue.clear()) {
      if (isKept(pending)) this.#queue.push(pending)
      else {
        this.#firstSeq += 1
        this.#bufferedBytes -= pending.roughBytes
      }
    }
  }

  #idle(): void {
    for (const resolve of this.#onIdle.splice(0)) resolve()
  }
}

function unsendable(cause: unknown): ManifoldError {
  if (cause instanceof ManifoldError) return cause
  const why = cause instanceof Error ? cause.message : String(cause)
  return new ManifoldError('invalid-request', `the message cannot be sent: ${why}`, { cause })
}

function nothing(): void {
  // No promise has been made yet.
}

function settle(pending: Pending, error: ManifoldError | undefined): void {
  const { resolve, reject, release } = pending
  pending.resolve = undefined
  pending.reject = undefined
  release?.()
  if (error === undefined) resolve?.()
  else reject?.(error)
}

function instanceId(hub: Hub): string {
  const part = (): string => Math.floor(hub.environment.random() * 2 ** 40).toString(36)
  return `${part()}${part()}`
}
