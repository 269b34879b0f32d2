import {
  type Broker,
  BrokerError,
  type Deadline,
  type Delivery,
  type Due,
  Message,
  type Output,
  Reading,
  type Wire,
  type WireEvents,
} from '../../src/core.ts'
import { Addresses } from './addresses.ts'
import type { ClientSide } from './client-side.ts'
import { nativeFormat } from './content.ts'
import type { Cursor } from './cursor.ts'
import { Decoder, type FrameHandler } from './decoder.ts'
import { DeliveryWriter } from './delivery-writer.ts'
import {
  type ErrorFields,
  type Fields,
  type Rejection,
  writeAccepted,
  writeBye,
  writeCloseLink,
  writeCredit,
  writeDrained,
  writeError,
  writeMapFrame,
  writeNonce,
  writeOk,
} from './encoder.ts'
import { FieldMap, readRanges } from './fields.ts'
import { Flag, FrameType, Malformed, OutcomeCode, preface, protocolMajor } from './frame.ts'
import { readHello } from './hello.ts'
import { Incoming } from './incoming.ts'
import { frameBytesMax as frameBytesLimit, frameBytesMin, helloBytesMax } from './limits.ts'
import type { NativeOptions } from './options.ts'
import type { ProducerLink } from './producer-link.ts'
import { checkBody, type SectionFacts } from './section.ts'
import { NativeSession } from './session.ts'
import { errorFields } from './wire-errors.ts'
import { putBytes } from './writer.ts'

/** What all connections of one listener share. */
export interface Shared {
  readonly broker: Broker
  readonly options: NativeOptions
  /** Told to clients: `ManifoldMQ/1.0.0`. */
  readonly serverName: string
  readonly facts: SectionFacts
}

/** Messages shorter than this are copied: together they need less memory than each in its own. */
const copiedBytesBelow = 4096
/** What a longer one may keep alive, in times of its size. */
const pinnedMax = 4

/** Silent for this many heart-beats, the peer is given up. */
const heartBeatsMissed = 3

/** One connection over a wire: preface, HELLO, frames, heart-beats, the end. */
export class NativeConnection implements FrameHandler, ClientSide, WireEvents, Due {
  readonly output: Output
  now: number
  readonly #shared: Shared
  readonly #wire: Wire
  readonly #decoder: Decoder
  readonly #deadline: Deadline
  readonly #reading: Reading
  readonly #deliveries: DeliveryWriter
  readonly #incoming: Incoming
  #session: NativeSession | undefined
  #isGreeted: boolean
  #isEnding: boolean
  #heartBeatMs: number
  readonly #addresses: Addresses

  constructor(wire: Wire, shared: Shared) {
    this.now = shared.broker.clock.now()
    this.#shared = shared
    this.#wire = wire
    this.output = wire.open(this)
    this.#decoder = new Decoder(this, helloBytesMax, allocate)
    this.#deadline = shared.broker.deadline(this)
    this.#reading = new Reading(wire.stream, shared.broker.limits.outputBytesHigh)
    this.#deliveries = new DeliveryWriter(shared.options.limits.frameBytesMax)
    this.#incoming = new Incoming(shared.options.limits.bodyBytesMax)
    this.#session = undefined
    this.#isGreeted = false
    this.#isEnding = false
    this.#heartBeatMs = 0
    this.#addresses = new Addresses()
    this.#deadline.set(this.now + shared.options.connectMsMax)
    wire.stream.on('data', (chunk: Buffer) => this.#onData(chunk))
    wire.stream.on('close', () => this.#onClose())
  }

  onPreface(major: number): void {
    this.output.write(preface())
    if (major !== protocolMajor) {
      this.#fail(new BrokerError('protocol-error', `this broker speaks MNP/${protocolMajor}, not MNP/${major}`))
    }
  }

  onFrame(type: number, cursor: Cursor, corr: number, transaction: number, flags: number): void {
    if (this.#isEnding) return
    const session = this.#session
    if (session !== undefined) this.#carryOut(session, type, cursor, corr, transaction, flags)
    else if (type === FrameType.hello && !this.#isGreeted) this.#greet(FieldMap.read(cursor))
    else if (type === FrameType.bye) this.#end('clean')
    else throw new Malformed('the first frame must be HELLO')
  }

  onMalformed(fault: Malformed): void {
    this.#fail(new BrokerError('protocol-error', fault.message))
  }

  ok(corr: number, fields: Fields): void {
    writeOk(this.output, corr, fields)
  }

  error(corr: number, error: ErrorFields): void {
    writeError(this.output, corr, error)
  }

  accepted(link: number, upTo: number, rejections: readonly Rejection[]): void {
    writeAccepted(this.output, link, upTo, rejections)
  }

  deliver(link: number, number: number, delivery: Delivery): void {
    this.#deliveries.write(this.output, link, number, delivery)
  }

  costOf(delivery: Delivery): number {
    return this.#deliveries.sectionOf(delivery.message).length
  }

  credit(link: number, messages: number, bytes: number): void {
    writeCredit(this.output, link, messages, bytes)
  }

  creditUsed(link: number, unused: number): void {
    writeDrained(this.output, link, unused)
  }

  closeLink(link: number, error: ErrorFields | undefined): void {
    this.#deliveries.forget(link)
    writeCloseLink(this.output, 0, link, error)
  }

  end(error: ErrorFields): void {
    if (this.#isEnding) return
    writeBye(this.output, error)
    this.#end('lost')
  }

  congested(): void {
    this.#session?.suspend()
  }

  drained(): void {
    this.#session?.resume()
    this.#reading.release('unread')
  }

  /** Called by the deadlines: no HELLO yet, or time for a heart-beat. */
  due(now: number): void {
    if (this.#session === undefined) {
      this.#fail(new BrokerError('timed-out', `no HELLO came within ${this.#shared.options.connectMsMax} ms`))
      return
    }
    if (now - this.now > this.#heartBeatMs * heartBeatsMissed) {
      this.#fail(new BrokerError('timed-out', `nothing came for ${now - this.now} ms`))
      return
    }
    writeNonce(this.output, FrameType.ping, 0)
    this.#deadline.set(now + this.#heartBeatMs)
  }

  #onData(chunk: Buffer): void {
    this.now = this.#shared.broker.clock.now()
    if (this.#isEnding) return
    this.#decoder.push(chunk)
    this.#session?.endOfInput()
    this.#reading.took(this.output)
  }

  #onClose(): void {
    this.#isEnding = true
    this.#deadline.clear()
    this.#decoder.close()
    this.output.discard()
    const session = this.#session
    this.#session = undefined
    session?.close('lost')
  }

  #greet(fields: FieldMap): void {
    this.#isGreeted = true
    const hello = readHello(fields)
    if (hello instanceof BrokerError) {
      this.#fail(hello)
      return
    }
    // What comes meanwhile waits in the operating system, not here.
    this.#decoder.pause()
    this.#reading.hold('login')
    const { user, password, clientId } = hello
    const { remote, isLocal } = this.#wire
    const { broker, options } = this.#shared
    broker.authenticate({ user, password, clientId, protocol: 'native', remote, isLocal }, (result) => {
      if (this.#isEnding) return
      if (result instanceof BrokerError) {
        this.#fail(result)
        return
      }
      const session = new NativeSession(this, { broker, identity: result, options, now: () => this.now })
      const id = session.open()
      if (id instanceof BrokerError) this.#fail(id)
      else this.#welcome(session, id, hello)
    })
  }

  #welcome(session: NativeSession, id: string, hello: { heartBeatMs: number; frameBytesMax: number }): void {
    const { broker, options, serverName } = this.#shared
    this.#session = session
    const wanted = Math.max(hello.frameBytesMax, frameBytesMin)
    this.#deliveries.frameBytesMax = Math.min(wanted, frameBytesLimit)
    this.#decoder.frameBytesMax = options.limits.frameBytesMax
    this.#heartBeatMs = agreed(hello.heartBeatMs, options.heartBeatMs)
    if (this.#heartBeatMs > 0) this.#deadline.set(this.now + this.#heartBeatMs)
    else this.#deadline.clear()
    writeMapFrame(this.output, FrameType.welcome, {
      connectionId: id,
      product: serverName,
      broker: broker.name,
      heartBeatMs: { type: 'int', value: this.#heartBeatMs },
      frameBytesMax: { type: 'int', value: options.limits.frameBytesMax },
      messageBytesMax: { type: 'ulong', value: BigInt(options.limits.bodyBytesMax) },
      time: { type: 'timestamp', value: broker.clock.now() },
      caps: { type: 'list', value: [] },
    })
    this.#reading.release('login')
    this.#decoder.resume()
    this.#session?.endOfInput()
  }

  #carryOut(
    session: NativeSession,
    type: number,
    cursor: Cursor,
    corr: number,
    transaction: number,
    flags: number,
  ): void {
    switch (type) {
      case FrameType.send:
        this.#send(session, cursor, transaction, flags)
        return
      case FrameType.part:
        this.#part(session, cursor, flags)
        return
      case FrameType.settle:
        this.#settle(session, cursor, corr, transaction)
        return
      case FrameType.credit: {
        const link = cursor.varint()
        const messages = cursor.varint()
        const bytes = cursor.varint()
        const drain = cursor.byte() !== 0
        cursor.close()
        session.credit(link, messages, bytes, drain)
        return
      }
      case FrameType.producer:
      case FrameType.consumer: {
        if (corr === 0) throw new Malformed('it needs the flag REPLY')
        const link = cursor.varint()
        const fields = FieldMap.read(cursor)
        if (type === FrameType.producer) session.openProducer(corr, link, fields)
        else session.openConsumer(corr, link, fields)
        return
      }
      case FrameType.closeLink: {
        const link = cursor.varint()
        this.#incoming.forget(link)
        this.#deliveries.forget(link)
        session.closeLink(corr, link)
        return
      }
      case FrameType.transactionEnd: {
        const number = cursor.varint()
        const how = cursor.byte()
        cursor.close()
        session.endTransaction(corr, number, how)
        return
      }
      case FrameType.destination:
        session.destination(corr, FieldMap.read(cursor))
        return
      case FrameType.ping: {
        const nonce = cursor.varint()
        cursor.close()
        writeNonce(this.output, FrameType.pong, nonce)
        return
      }
      case FrameType.pong:
        return
      case FrameType.bye:
        this.#goodbye(session)
        return
      default:
        if ((flags & Flag.skippable) === 0) throw new Malformed(`there is no frame of type ${type}`)
    }
  }

  #send(session: NativeSession, cursor: Cursor, transaction: number, flags: number): void {
    const number = cursor.varint()
    const seq = cursor.varint()
    const link = session.producer(number)
    if (link === undefined) {
      if (!session.hasEnded(number)) throw new Malformed(`there is no producer link ${number}`)
      return
    }
    const fault = link.fault(seq, cursor.left)
    if (fault !== undefined) throw new Malformed(fault)
    if (flags & Flag.more) this.#incoming.begin(number, { seq, transaction }, cursor)
    else {
      this.#incoming.expectNone(number)
      this.#take(link, seq, transaction, cursor)
    }
  }

  #part(session: NativeSession, cursor: Cursor, flags: number): void {
    const number = cursor.varint()
    const link = session.producer(number)
    if (link === undefined) {
      this.#incoming.forget(number)
      if (!session.hasEnded(number)) throw new Malformed(`there is no producer link ${number}`)
      return
    }
    link.charge(cursor.left)
    const whole = this.#incoming.add(number, cursor, (flags & Flag.more) !== 0)
    if (whole !== undefined) this.#take(link, whole.head.seq, whole.head.transaction, whole.section)
  }

  #take(link: ProducerLink, seq: number, transaction: number, section: Cursor): void {
    if (link.isDuplicate(seq)) {
      link.send(seq, undefined)
      return
    }
    const message = this.#message(link, section)
    if (message instanceof BrokerError) link.refuse(seq, message)
    else if (transaction > 0) link.sendIn(transaction, seq, message)
    else link.send(seq, message)
  }

  #message(link: ProducerLink, section: Cursor): Message | BrokerError {
    const { facts } = this.#shared
    const source = link.session?.source
    const start = section.at
    facts.read(section)
    checkBody(facts.kind, section)
    const address = link.address ?? this.#addresses.of(facts.to)
    if (address instanceof BrokerError) return address
    if (source === undefined) return new BrokerError('deleted', 'the producer is closed')
    const mayStay = this.#decoder.isAlone || isLargeIn(section, start)
    const content = mayStay ? section.bytes.subarray(start, section.end) : copyOf(section, start)
    return new Message({
      address,
      format: nativeFormat,
      content,
      bodyOffset: facts.bodyStart - start,
      durable: facts.persistent,
      priority: facts.priority,
      expiresAt: facts.expiresAt,
      deliverAt: facts.deliverAt > this.now ? facts.deliverAt : 0,
      timestamp: this.now,
      groupId: facts.groupId,
      retain: facts.retain,
      source,
      number: source.next(),
      annotations: undefined,
      waitsForStore: link.state !== undefined,
    })
  }

  #settle(session: NativeSession, cursor: Cursor, corr: number, transaction: number): void {
    const link = cursor.varint()
    const outcome = cursor.byte()
    const ranges = readRanges(cursor)
    const delay = outcome === OutcomeCode.fail ? cursor.varint() : 0
    const reason = outcome === OutcomeCode.reject ? cursor.string() : undefined
    cursor.close()
    const delayMs = delay === 0 ? undefined : delay - 1
    const fault = session.settle(corr, transaction, { link, outcome, ranges, delayMs, reason })
    if (fault !== undefined) throw new Malformed(fault.message)
  }

  /** The client ends: everything it has asked for is answered by the broker's BYE behind it. */
  #goodbye(session: NativeSession): void {
    session.endOfInput()
    writeBye(this.output, undefined)
    this.#end('clean')
  }

  #fail(error: BrokerError): void {
    if (this.#isEnding) return
    writeError(this.output, 0, errorFields(error))
    this.#end('lost')
  }

  #end(how: 'clean' | 'lost'): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#deadline.clear()
    this.#decoder.close()
    const session = this.#session
    this.#session = undefined
    session?.close(how)
    this.output.end()
    this.#reading.finish()
  }
}

function allocate(bytes: number): Uint8Array {
  return Buffer.allocUnsafe(bytes)
}

/** A long message keeps the memory of what it came in, if that is not much more than it would need for itself. */
function isLargeIn({ bytes, end }: Cursor, start: number): boolean {
  return end - start >= copiedBytesBelow && (end - start) * pinnedMax >= bytes.buffer.byteLength
}

/** A copy: the chunk is as large as the socket likes, and the message may stay. */
function copyOf({ bytes, end }: Cursor, start: number): Uint8Array {
  const content = Buffer.allocUnsafe(end - start)
  putBytes(content, 0, bytes, start, end)
  return content
}

/** The shorter of what the two sides want; 0 if one wants none. */
function agreed(left: number, right: number): number {
  return left === 0 || right === 0 ? 0 : Math.min(left, right)
}
