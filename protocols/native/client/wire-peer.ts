import type { Cursor } from '../cursor.ts'
import { Decoder, type FrameHandler } from '../decoder.ts'
import {
  type Fields,
  headBytesMax,
  type Settlement,
  writeBye,
  writeCloseLink,
  writeCredit,
  writeDestination,
  writeInParts,
  writeMapFrame,
  writeNonce,
  writeOpen,
  writeSettle,
  writeTransactionEnd,
} from '../encoder.ts'
import { FieldMap, readError, readRejections } from '../fields.ts'
import { Flag, FrameType, Malformed, preface, protocolMajor } from '../frame.ts'
import { Incoming } from '../incoming.ts'
import { helloBytesMax } from '../limits.ts'
import { plainHeadBytes, plainHeadOf, putPlainHead, writeHead } from '../section.ts'
import { textBytes, writeText } from '../text.ts'
import { type ByteSink, beginFrame, endFrame, GrowingBytes, putVarint, writeVarint } from '../writer.ts'
import type { Outgoing } from './body.ts'
import type { Environment } from './environment.ts'
import { ConnectionError, fromFields, ManifoldError } from './errors.ts'
import type { Dialled, Peer, PeerEvents, Welcome } from './peer.ts'
import { WireArrival } from './wire-arrival.ts'

/** The way to a broker: what is written into it goes when it is flushed. */
export interface Transport extends ByteSink {
  /** More waits in it than should, until {@link TransportEvents.drained}. */
  readonly isCongested: boolean
  flush(): void
  /** The peer has been told all there is: ends when that is written. */
  end(): void
  /** Ends at once. */
  destroy(): void
}

/** What comes of whatever carries the bytes. */
export interface CarrierEvents {
  /** Bytes, which are not used again. */
  data(chunk: Uint8Array): void
  /** It has ended; told once. */
  closed(error: Error | undefined): void
}

export interface TransportEvents extends CarrierEvents {
  /** It has been written to and wants to be flushed. */
  dirty(): void
  drained(): void
}

export interface HelloOptions {
  readonly clientId: string | undefined
  readonly user: string | undefined
  readonly password: string | undefined
  readonly heartBeatMs: number
  readonly frameBytesMax: number
}

export interface PeerOptions {
  readonly hello: HelloOptions
  readonly environment: Environment
  /** Memory for frames that come in pieces; what is in it does not matter. */
  readonly allocate?: (bytes: number) => Uint8Array
}

const product = 'manifoldmq-client'
const heartBeatsMissed = 3
const messageBytesMax = 2 ** 31 - 1
/** Text up to this many characters is encoded where it goes. */
const textMax = 8 * 1024

/** A broker at the other end of a transport. */
export class WirePeer implements Peer, FrameHandler, TransportEvents {
  readonly #options: PeerOptions
  readonly #events: PeerEvents
  readonly #decoder: Decoder
  readonly #incoming: Incoming<WireArrival>
  readonly #facts: ConstructorParameters<typeof WireArrival>[2]
  readonly #head: GrowingBytes
  readonly #onWelcome: (welcome: Welcome | Error) => void
  /** Undefined until it is open. */
  #transport: Transport | undefined
  #isWelcome: boolean
  #isOver: boolean
  #isEnding: boolean
  #frameBytesMax: number
  #messageBytesMax: number
  /** Bodies shorter than this, whatever their characters, fit into one frame and one message. */
  #plainMax: number
  #lastHeardMs: number
  #timer: { cancel(): void } | undefined
  #error: ManifoldError | undefined

  private constructor(options: PeerOptions, events: PeerEvents, onWelcome: (welcome: Welcome | Error) => void) {
    this.#options = options
    this.#events = events
    this.#decoder = new Decoder(this, helloBytesMax, options.allocate)
    this.#incoming = new Incoming(messageBytesMax)
    this.#facts = new Map()
    this.#head = new GrowingBytes()
    this.#onWelcome = onWelcome
    this.#transport = undefined
    this.#isWelcome = false
    this.#isOver = false
    this.#isEnding = false
    this.#messageBytesMax = messageBytesMax
    this.#plainMax = 0
    this.#frameBytesMax = helloBytesMax
    this.#lastHeardMs = options.environment.now()
    this.#timer = undefined
    this.#error = undefined
  }

  /** Opens a transport and is greeted. Rejects with a ConnectionError or the broker's refusal. */
  static dial(
    open: (events: TransportEvents) => Promise<Transport>,
    options: PeerOptions,
    events: PeerEvents,
    signal: AbortSignal,
  ): Promise<Dialled> {
    return new Promise((resolve, reject) => {
      const onWelcome = (welcome: Welcome | Error): void => {
        signal.removeEventListener('abort', onAbort)
        if (welcome instanceof Error) reject(welcome)
        else resolve({ peer, welcome })
      }
      const peer = new WirePeer(options, events, onWelcome)
      const onAbort = (): void => peer.destroy(new ConnectionError('aborted', 'connecting was aborted'))
      signal.addEventListener('abort', onAbort)
      open(peer).then((transport) => peer.greet(transport), onWelcome)
    })
  }

  /** The transport is open: says who is there. */
  greet(transport: Transport): void {
    if (this.#isOver) {
      transport.destroy()
      return
    }
    this.#transport = transport
    const { clientId, user, password, heartBeatMs, frameBytesMax } = this.#options.hello
    this.#sink.write(preface())
    writeMapFrame(this.#sink, FrameType.hello, {
      product,
      clientId,
      heartBeatMs: { type: 'int', value: heartBeatMs },
      frameBytesMax: { type: 'int', value: frameBytesMax },
      mechanism: user === undefined ? 'ANONYMOUS' : 'PLAIN',
      initialResponse: user === undefined ? undefined : textBytes(`\0${user}\0${password ?? ''}`),
    })
    this.flush()
  }

  get isCongested(): boolean {
    return this.#sink.isCongested
  }

  open(kind: 'producer' | 'consumer', corr: number, link: number, fields: Fields): void {
    writeOpen(this.#sink, kind === 'producer' ? FrameType.producer : FrameType.consumer, corr, link, fields)
  }

  closeLink(corr: number, link: number): void {
    writeCloseLink(this.#sink, corr, link, undefined)
    this.#forget(link)
  }

  send(link: number, seq: number, message: Outgoing, transaction: number): number {
    const { body, head } = message
    if (head === undefined && transaction === 0 && body.length < this.#plainMax) {
      return this.#sendPlain(link, seq, message, body)
    }
    const bytes = typeof body === 'string' ? textBytes(body) : body
    const section = this.#head
    section.clear()
    if (transaction > 0) writeVarint(section, transaction)
    writeVarint(section, link)
    writeVarint(section, seq)
    const start = section.position
    writeHead(section, head ?? plainHeadOf(message.kind, message.persistent))
    const headBytes = section.position - start
    const size = headBytes + bytes.length
    if (size > this.#messageBytesMax) throw tooLarge(size, this.#messageBytesMax)
    const flags = transaction > 0 ? Flag.transaction : 0
    const frame = { type: FrameType.send, flags, link }
    if (section.position + headBytesMax <= this.#frameBytesMax) {
      writeInParts(this.#sink, { ...frame, head: section.bytes }, bytes, this.#frameBytesMax)
    } else {
      // Properties that take more than a frame go in parts like the body.
      const whole = new Uint8Array(size)
      whole.set(section.bytes.subarray(start))
      whole.set(bytes, headBytes)
      writeInParts(this.#sink, { ...frame, head: section.bytes.subarray(0, start) }, whole, this.#frameBytesMax)
    }
    return size
  }

  settle(settlement: Settlement, corr: number, transaction: number): void {
    writeSettle(this.#sink, settlement, corr, transaction)
  }

  credit(link: number, messages: number, bytes: number, drain: boolean): void {
    writeCredit(this.#sink, link, messages, bytes, drain)
  }

  endTransaction(corr: number, transaction: number, how: number): void {
    writeTransactionEnd(this.#sink, corr, transaction, how)
  }

  destination(corr: number, fields: Fields): void {
    writeDestination(this.#sink, corr, fields)
  }

  flush(): void {
    if (!this.#isOver) this.#sink.flush()
  }

  end(): void {
    if (this.#isOver || this.#isEnding) return
    this.#isEnding = true
    writeBye(this.#sink, undefined)
    this.flush()
    this.#sink.end()
  }

  destroy(error: ManifoldError): void {
    this.#error ??= error
    this.#transport?.destroy()
    this.closed(undefined)
  }

  onPreface(major: number): void {
    if (major === protocolMajor) return
    this.#error = new ConnectionError(
      'protocol-error',
      `the broker speaks MNP/${major}, this client MNP/${protocolMajor}`,
    )
  }

  onMalformed(fault: Malformed): void {
    this.destroy(new ConnectionError('protocol-error', `what came is no MNP/1: ${fault.message}`))
  }

  onFrame(type: number, cursor: Cursor, _corr: number, _transaction: number, flags: number): void {
    if (this.#isOver) return
    if (type === FrameType.deliver) this.#deliver(cursor, flags)
    else if (type === FrameType.accepted) {
      const link = cursor.varint()
      const upTo = cursor.varint()
      this.#events.accepted(link, upTo, readRejections(cursor))
    } else if (this.#isWelcome || type === FrameType.error) this.#carryOut(type, cursor, flags)
    else if (type === FrameType.welcome) this.#welcome(FieldMap.read(cursor))
    else throw new Malformed('the first frame must be WELCOME')
  }

  data(chunk: Uint8Array): void {
    this.#lastHeardMs = this.#options.environment.now()
    if (!this.#isOver) this.#decoder.push(chunk)
  }

  dirty(): void {
    this.#options.environment.soon(() => this.flush())
  }

  drained(): void {
    this.#events.drained()
  }

  closed(cause: Error | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#timer?.cancel()
    this.#decoder.close()
    const reason = cause === undefined ? 'the broker has hung up' : cause.message
    const error =
      this.#error ??
      new ConnectionError('connection-lost', `the connection is lost: ${reason}`, { retryable: true, cause })
    if (this.#isWelcome) this.#events.lost(error)
    else this.#onWelcome(error)
  }

  /** The transport, which is there from the greeting on. */
  get #sink(): Transport {
    return this.#transport as Transport
  }

  #welcome(fields: FieldMap): void {
    const { environment, hello } = this.#options
    this.#isWelcome = true
    this.#decoder.frameBytesMax = hello.frameBytesMax
    this.#frameBytesMax = fields.number('frameBytesMax') ?? helloBytesMax
    this.#messageBytesMax = fields.number('messageBytesMax') ?? messageBytesMax
    this.#plainMax = Math.min(textMax, (Math.min(this.#frameBytesMax, this.#messageBytesMax) - headBytesMax) / 3)
    const heartBeatMs = fields.number('heartBeatMs') ?? 0
    if (heartBeatMs > 0) this.#watch(heartBeatMs)
    const time = fields.number('time')
    this.#onWelcome({
      connectionId: fields.text('connectionId') ?? '',
      broker: fields.text('broker') ?? '',
      clockOffsetMs: time === undefined ? 0 : time - environment.now(),
    })
  }

  #carryOut(type: number, cursor: Cursor, flags: number): void {
    const events = this.#events
    switch (type) {
      case FrameType.part:
        this.#part(cursor, flags)
        return
      case FrameType.ok: {
        const corr = cursor.varint()
        events.ok(corr, FieldMap.read(cursor))
        return
      }
      case FrameType.error: {
        const corr = cursor.varint()
        const error = readError(cursor)
        if (error === undefined) throw new Malformed('an ERROR has no code')
        if (corr === 0 || !this.#isWelcome) this.#error = fromFields(error)
        else events.error(corr, error)
        return
      }
      case FrameType.credit: {
        const link = cursor.varint()
        const messages = cursor.varint()
        events.credit(link, messages, cursor.varint())
        return
      }
      case FrameType.drained: {
        const link = cursor.varint()
        events.creditUsed(link, cursor.varint())
        return
      }
      case FrameType.closeLink: {
        const link = cursor.varint()
        this.#forget(link)
        events.linkClosed(link, readError(cursor))
        return
      }
      case FrameType.ping:
        writeNonce(this.#sink, FrameType.pong, cursor.varint())
        return
      case FrameType.pong:
        return
      case FrameType.bye: {
        const error = readError(cursor)
        if (error !== undefined) this.#error = fromFields(error)
        return
      }
      default:
        if ((flags & Flag.skippable) === 0) throw new Malformed(`there is no frame of type ${type}`)
    }
  }

  #deliver(cursor: Cursor, flags: number): void {
    const link = cursor.varint()
    const arrival = new WireArrival(cursor, link, this.#facts)
    if (flags & Flag.more) this.#incoming.begin(link, arrival, cursor)
    else this.#events.deliver(link, arrival.place(cursor))
  }

  #part(cursor: Cursor, flags: number): void {
    const link = cursor.varint()
    // The rest of a message whose link has been closed meanwhile.
    if (!this.#incoming.has(link)) return
    const whole = this.#incoming.add(link, cursor, (flags & Flag.more) !== 0)
    if (whole !== undefined) this.#events.deliver(link, whole.head.place(whole.section))
  }

  #forget(link: number): void {
    this.#facts.delete(link)
    this.#incoming.forget(link)
  }

  #sendPlain(link: number, seq: number, message: Outgoing, body: string | Uint8Array): number {
    const outbox = this.#sink
    outbox.reserve(headBytesMax + plainHeadBytes + (typeof body === 'string' ? body.length * 3 : body.length))
    const start = outbox.position
    beginFrame(outbox, FrameType.send, 0)
    const { buffer } = outbox
    let at = putVarint(buffer, outbox.position, link)
    at = putVarint(buffer, at, seq)
    const sectionStart = at
    at = putPlainHead(buffer, at, message.kind, message.persistent)
    if (typeof body === 'string') at = writeText(buffer, at, body)
    else {
      buffer.set(body, at)
      at += body.length
    }
    outbox.position = at
    endFrame(outbox, start)
    return at - sectionStart
  }

  #watch(heartBeatMs: number): void {
    const { environment } = this.#options
    this.#timer = environment.after(heartBeatMs, () => {
      if (this.#isOver) return
      const silentMs = environment.now() - this.#lastHeardMs
      if (silentMs > heartBeatMs * heartBeatsMissed) {
        this.destroy(new ConnectionError('timed-out', `the broker has said nothing for ${Math.round(silentMs)} ms`))
      } else this.#watch(heartBeatMs)
    })
  }
}

function tooLarge(size: number, max: number): ManifoldError {
  return new ManifoldError('message-too-large', `a message of ${size} bytes is over the broker's limit of ${max}`)
}
