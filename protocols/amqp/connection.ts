import {
  type Broker,
  BrokerError,
  type Deadline,
  type Due,
  type Identity,
  type Output,
  Reading,
  ScramServer,
  type SendNumber,
  type Session,
  type SessionEvents,
  type Wire,
  type WireEvents,
} from '../../src/core.ts'
import { addressPrefixes } from './addresses.ts'
import { errorOf, PeerFault } from './conditions.ts'
import type { Containers, LinkNames } from './containers.ts'
import { Control, type ControlFrame, type ControlHost, type ControlSession, type ErrorFields, wrap } from './control.ts'
import { Decoder, type Frame, type FrameHandler } from './decoder.ts'
import { writeEmptyFrame } from './encoder.ts'
import type { ExpiringSubscriptions } from './expiring.ts'
import { type AmqpFault, framingFault, Layer } from './frame.ts'
import { IdleTimes } from './idle.ts'
import { type IncomingDelivery, newDelivery } from './incoming-link.ts'
import { Intake, type IntakeHost } from './intake.ts'
import { type AmqpOptions, frameBytesMin, saslFrameBytesMax, sentFrameBytesMax } from './limits.ts'
import { MessageReader } from './mapping.ts'
import type { DetachedLinks } from './resume.ts'
import { mechanismsFor } from './sasl.ts'
import { AmqpSession, type ConnectionHost } from './session.ts'
import { Transactions } from './transactions.ts'
import { FieldFault, Fields } from './typed.ts'

/** What all connections of one listener share. */
export interface Shared {
  readonly broker: Broker
  readonly options: AmqpOptions
  /** Told to clients in our `open`. */
  readonly product: string
  readonly version: string
  readonly containers: Containers
  readonly linkNames: LinkNames
  readonly detached: DetachedLinks
  readonly expiring: ExpiringSubscriptions
}

const protocolHeader = Buffer.from([0x41, 0x4d, 0x51, 0x50, Layer.amqp, 1, 0, 0])
const saslHeader = Buffer.from([0x41, 0x4d, 0x51, 0x50, Layer.sasl, 1, 0, 0])
const soleConnection = 'sole-connection-for-container'
const offeredCapabilities = ['ANONYMOUS-RELAY', 'DELAYED_DELIVERY', 'SHARED-SUBS', soleConnection]

/** One connection from its first byte to its last: layers, SASL, open, idle time-outs, errors, the end. */
export class AmqpConnection
  implements FrameHandler, IntakeHost, ControlHost, ConnectionHost, SessionEvents, WireEvents, Due
{
  readonly output: Output
  readonly options: AmqpOptions
  readonly reader: MessageReader
  readonly delivery: IncomingDelivery
  readonly transactions: Transactions
  now: number
  linkCount: number
  /** The largest frame that the peer reads. */
  frameBytesMax: number
  readonly #shared: Shared
  readonly #wire: Wire
  readonly #decoder: Decoder
  readonly #control: Control
  readonly #deadline: Deadline
  readonly #reading: Reading
  readonly #idle: IdleTimes
  readonly #intake: Intake
  /** By the peer's channel. */
  readonly #sessions: (AmqpSession | undefined)[]
  #identity: Identity | undefined
  #session: Session | undefined
  #container: string | undefined
  /** SASL is at work: what was read after its last frame has to wait for the outcome. */
  #isAwaitingSasl: boolean
  #isEnding: boolean
  #refusal: BrokerError | undefined
  #waiting: { readonly number: SendNumber; readonly done: () => void }[]
  #unconfirmed: number
  #isHolding: boolean
  #partialBytes: number

  constructor(wire: Wire, shared: Shared) {
    const { broker, options, product, version } = shared
    this.now = broker.clock.now()
    this.options = options
    this.output = wire.open(this)
    this.reader = new MessageReader()
    this.delivery = newDelivery()
    this.transactions = new Transactions()
    this.linkCount = 0
    this.frameBytesMax = frameBytesMin
    this.#shared = shared
    this.#wire = wire
    this.#decoder = new Decoder(this, saslFrameBytesMax)
    this.#control = new Control(this, {
      containerId: broker.name,
      maxFrameSize: options.limits.frameBytesMax,
      channelMax: options.sessionsMax - 1,
      idleTimeOut: options.idleMsMax === 0 ? undefined : Math.floor(options.idleMsMax / 2),
      offeredCapabilities,
      properties: { product, version, ...addressPrefixes },
    })
    this.#deadline = broker.deadline(this)
    this.#reading = new Reading(wire.stream, broker.limits.outputBytesHigh)
    this.#idle = new IdleTimes(options.idleMsMax)
    this.#intake = new Intake(this)
    this.#sessions = []
    this.#identity = undefined
    this.#session = undefined
    this.#container = undefined
    this.#isAwaitingSasl = false
    this.#isEnding = false
    this.#refusal = undefined
    this.#waiting = []
    this.#unconfirmed = 0
    this.#isHolding = false
    this.#partialBytes = 0
    this.#deadline.set(this.now + options.connectMsMax)
    wire.stream.on('data', (chunk: Buffer) => this.#onData(chunk))
    wire.stream.on('end', () => this.#onEnd())
    wire.stream.on('close', () => this.#onClose())
  }

  get broker(): Broker {
    return this.#shared.broker
  }

  get identity(): Identity {
    if (this.#identity === undefined) throw new Error('nobody has come in')
    return this.#identity
  }

  get session(): Session {
    if (this.#session === undefined) throw new Error('the connection is not open')
    return this.#session
  }

  get container(): string {
    return this.#container ?? ''
  }

  get linkNames(): LinkNames {
    return this.#shared.linkNames
  }

  get detached(): DetachedLinks {
    return this.#shared.detached
  }

  get expiring(): ExpiringSubscriptions {
    return this.#shared.expiring
  }

  get isOpen(): boolean {
    return this.#session !== undefined
  }

  get grantsCredit(): boolean {
    return !this.#isHolding
  }

  onHeader(bytes: Buffer): void {
    const layer = layerOf(bytes)
    const isFirst = this.#identity === undefined && this.#decoder.expects === 'header'
    if (layer === undefined || (layer === Layer.sasl && !isFirst)) {
      // Part 2, section 2.2: what would have been right, and the end.
      this.output.write(isFirst ? saslHeader : protocolHeader)
      this.#end('lost')
      return
    }
    if (layer === Layer.sasl) this.#control.serveSasl(this.#mechanisms())
    this.#decoder.expects = layer
    this.#decoder.frameBytesMax = layer === Layer.sasl ? saslFrameBytesMax : this.options.limits.frameBytesMax
    this.#intake.guarded(bytes)
  }

  onFrame(frame: Frame): void {
    if (this.#decoder.expects === Layer.sasl) this.#onSasl(frame)
    else this.#intake.read(frame)
  }

  onFault(fault: AmqpFault): void {
    this.fail({ condition: fault.condition, description: fault.sentence })
  }

  sessionOn(channel: number): AmqpSession | undefined {
    return this.#sessions[channel]
  }

  control(bytes: Buffer): void {
    this.#control.read(bytes)
  }

  write(bytes: Uint8Array): void {
    this.output.write(bytes)
    if (this.#isAwaitingSasl) queueMicrotask(() => this.#onSaslStep())
  }

  onOpen(frame: ControlFrame): void {
    const fields = new Fields(frame.performative.value, 'open')
    if (!this.#control.remoteOpened(frame))
      throw new PeerFault({ condition: 'amqp:illegal-state', sentence: 'a second open' })
    const containerId = fields.string(0)
    if (containerId === undefined) throw new FieldFault('an open without container-id')
    const frameBytesMax = fields.uint(2) ?? 2 ** 32 - 1
    if (frameBytesMax < frameBytesMin)
      throw new PeerFault(framingFault(`max-frame-size ${frameBytesMax}; the least is 512`))
    this.frameBytesMax = Math.min(frameBytesMax, sentFrameBytesMax)
    this.#idle.promise(fields.uint(4) ?? 0)
    const isSole = fields.symbols(8).includes(soleConnection)
    if (this.#identity !== undefined) {
      this.#open(this.#identity, containerId, isSole)
      return
    }
    // Without SASL the peer is nobody in particular.
    this.#decoder.pause()
    this.#authenticate(undefined, undefined, (result) => {
      if (this.#isEnding) return
      if (result instanceof BrokerError) this.#refuseOpen(errorOf(result, 'connection'))
      else this.#open(result, containerId, isSole)
      this.#decoder.resume()
    })
  }

  onBegin(control: ControlSession, frame: ControlFrame): void {
    const { sessionsMax } = this.options
    if (frame.channel >= sessionsMax) {
      throw new PeerFault(framingFault(`channel ${frame.channel}; the largest is ${sessionsMax - 1} (channel-max)`))
    }
    if (this.#sessions[frame.channel] !== undefined) {
      throw new PeerFault({ condition: 'amqp:not-allowed', sentence: `channel ${frame.channel} has a session already` })
    }
    this.#sessions[frame.channel] = new AmqpSession(this, control, new Fields(frame.performative.value, 'begin'))
  }

  onClose(frame: ControlFrame): void {
    this.#closeSession('clean')
    this.#control.remoteClosed(frame)
  }

  onClosed(): void {
    this.#end('clean')
  }

  confirmed(upTo: SendNumber): void {
    for (const session of this.#sessions) if (session !== undefined && !session.isEnded) session.confirmed(upTo)
    const waiting = this.#waiting
    let done = 0
    while (done < waiting.length && (waiting[done]?.number ?? 0) <= upTo) done += 1
    if (done > 0) for (const { done: call } of waiting.splice(0, done)) call()
    if (this.#isHolding) this.#pace()
  }

  refused(_send: SendNumber, error: BrokerError): void {
    this.#refusal = error
  }

  blocked(): void {
    this.#pace()
  }

  unblocked(): void {
    this.#pace()
  }

  closed(error: BrokerError): void {
    this.#session = undefined
    this.fail(errorOf(error, 'connection'))
  }

  takeRefusal(): BrokerError | undefined {
    const refusal = this.#refusal
    this.#refusal = undefined
    return refusal
  }

  whenConfirmed(number: SendNumber, done: () => void): void {
    this.#waiting.push({ number, done })
  }

  awaiting(): void {
    this.#unconfirmed += 1
    if (!this.#isHolding && this.#unconfirmed > this.options.unconfirmedSendsMax) this.#pace()
  }

  holdPartial(bytes: number): boolean {
    this.#partialBytes += bytes
    if (bytes <= 0 || this.#partialBytes <= this.options.limits.messageBytesMax) return true
    this.#partialBytes -= bytes
    return false
  }

  sessionEnded(session: AmqpSession): void {
    const channel = this.#sessions.indexOf(session)
    if (channel >= 0) this.#sessions[channel] = undefined
  }

  isPosting(transaction: string): boolean {
    return this.#sessions.some((session) => session?.holdsPartOf(transaction))
  }

  congested(): void {
    this.#session?.suspend()
  }

  drained(): void {
    this.#session?.resume()
    this.#reading.release('unread')
  }

  /** Called by the deadlines: no open yet, nothing heard for too long, or time for an empty frame. */
  due(now: number): void {
    const { connectMsMax } = this.options
    if (this.#session === undefined) {
      this.fail({ condition: 'amqp:resource-limit-exceeded', description: `no open came within ${connectMsMax} ms` })
      return
    }
    if (this.#idle.isTooSilent(now - this.now)) {
      const sentence = `nothing came for ${now - this.now} ms; idle-time-out is ${Math.floor(this.#idle.silentMsMax / 2)}`
      this.fail({ condition: 'amqp:resource-limit-exceeded', description: sentence })
      return
    }
    if (this.#idle.beats(now)) writeEmptyFrame(this.output)
    this.#arm(now)
  }

  /** Says what is wrong and ends the connection (part 2, section 2.4.3). */
  fail(error: ErrorFields): void {
    if (this.#isEnding) return
    this.#closeSession('lost')
    if (this.#decoder.expects === Layer.amqp) {
      try {
        this.#control.close(error)
      } catch {
        // rhea cannot write what the peer made it keep: the connection ends without a word.
      }
    }
    this.#end('lost')
  }

  #onData(chunk: Buffer): void {
    this.now = this.#shared.broker.clock.now()
    if (this.#isEnding) return
    this.#decoder.push(chunk)
    this.#reading.took(this.output)
  }

  #onEnd(): void {
    if (!this.#isEnding) this.#end('lost')
  }

  #onClose(): void {
    this.#isEnding = true
    this.#deadline.clear()
    this.#decoder.close()
    this.output.discard()
    this.#closeSession('lost')
  }

  /** Part 5, section 5.3: only what the client says, and one thing at a time. */
  #onSasl(frame: Frame): void {
    this.#decoder.pause()
    this.#isAwaitingSasl = true
    if (!this.#intake.readSasl(frame)) this.#end('lost')
  }

  /** rhea has said something: a challenge, or the outcome. */
  #onSaslStep(): void {
    if (!this.#isAwaitingSasl || this.#isEnding) return
    this.#isAwaitingSasl = false
    const outcome = this.#control.saslOutcome
    if (outcome !== undefined && outcome !== 0) {
      // One attempt for each connection.
      this.#end('lost')
      return
    }
    if (outcome === 0) this.#decoder.expects = 'header'
    this.#decoder.resume()
  }

  #mechanisms(): ReturnType<typeof mechanismsFor> {
    const { scram } = this.broker.access
    const { remote, isLocal } = this.#wire
    return mechanismsFor(
      (user, password, answer) => this.#authenticate(user, password, answer),
      (identity) => {
        this.#identity = identity
      },
      scram && new ScramServer(scram, { clientId: undefined, protocol: 'amqp', remote, isLocal }),
    )
  }

  #authenticate(
    user: string | undefined,
    password: string | undefined,
    answer: (result: Identity | BrokerError) => void,
  ): void {
    const { remote, isLocal } = this.#wire
    const login = { user, password, clientId: undefined, protocol: 'amqp', remote, isLocal }
    this.#shared.broker.authenticate(login, answer)
  }

  #open(found: Identity, containerId: string, isSole: boolean): void {
    const { broker, containers } = this.#shared
    if (!containers.enter(containerId, isSole)) {
      this.#refuseOpen({
        condition: 'amqp:invalid-field',
        description: `the container id "${containerId}" is in use by another connection`,
        info: { 'invalid-field': wrap.symbol('container-id') },
      })
      return
    }
    this.#container = containerId
    const identity = { ...found, clientId: containerId }
    const session = broker.connect(identity, this)
    if (session instanceof BrokerError) {
      this.#refuseOpen(errorOf(session, 'connection'))
      return
    }
    this.#identity = identity
    this.#session = session
    this.#control.open()
    this.#idle.begin(this.now)
    this.#deadline.clear()
    this.#arm(this.now)
  }

  /** Tells the peer that the close which follows at once is the answer to its open (AMQP "connection-establishment-failed"). */
  #refuseOpen(error: ErrorFields): void {
    this.#control.addProperty('amqp:connection-establishment-failed', true)
    this.fail(error)
  }

  /** Senders wait while the broker is full or too much is unconfirmed; then they all go on. */
  #pace(): void {
    const { unconfirmedSendsMax } = this.options
    this.#unconfirmed = 0
    for (const session of this.#sessions) this.#unconfirmed += session?.confirms.count ?? 0
    const mustHold = this.#session?.isBlocked === true || this.#unconfirmed > unconfirmedSendsMax
    if (this.#isHolding === mustHold) return
    this.#isHolding = mustHold
    if (!mustHold) for (const session of this.#sessions) session?.replenish()
  }

  /** The core gives back what is unsettled, as failed if the connection is `lost`; then the links have nothing left to give. */
  #closeSession(how: 'clean' | 'lost'): void {
    const session = this.#session
    this.#session = undefined
    this.transactions.close()
    session?.close(how)
    for (const one of this.#sessions) if (one !== undefined && !one.isEnded) one.drop()
    this.#shared.detached.ended(this, this.#shared.broker.clock.now())
    this.#shared.expiring.ended(this)
    this.#leaveContainer()
  }

  #leaveContainer(): void {
    if (this.#container !== undefined) this.#shared.containers.leave(this.#container)
    this.#container = undefined
  }

  #end(how: 'clean' | 'lost'): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#deadline.clear()
    this.#decoder.close()
    this.#closeSession(how)
    this.output.end()
    this.#reading.finish()
  }

  /** The next time at which an empty frame is to be sent, or one should have come. */
  #arm(now: number): void {
    const at = this.#idle.next(this.now, now)
    if (at !== undefined) this.#deadline.set(at)
  }
}

/** The layer that a protocol header asks for; undefined: none that is spoken here. */
function layerOf(bytes: Buffer): Layer | undefined {
  if (bytes.equals(protocolHeader)) return Layer.amqp
  if (bytes.equals(saslHeader)) return Layer.sasl
  return undefined
}
