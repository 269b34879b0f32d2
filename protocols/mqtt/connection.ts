import {
  type Broker,
  BrokerError,
  type Deadline,
  type Due,
  type Identity,
  type Output,
  Reading,
  type Wire,
  type WireEvents,
} from '../../src/core.ts'
import type { SessionLink } from './attachment.ts'
import { Authentication, type AuthHost, type AuthMethods } from './auth.ts'
import { type ConnectRequest, keepAliveOf, readConnect, secondsMs } from './connect.ts'
import { Decoder, type PacketHandler } from './decoder.ts'
import { writeConnack, writePingResponse, writeReason } from './encoder.ts'
import type { MqttOptions } from './limits.ts'
import {
  type Level,
  type MqttFault,
  malformed,
  PacketType,
  packetName,
  protocolError,
  Reason,
  varintMax,
} from './packet.ts'
import { Property, PropertyWriter } from './properties.ts'
import { faultOf, returnCode } from './reasons.ts'
import { scramMethod } from './scram.ts'
import type { MqttSession } from './session.ts'
import type { Sessions } from './sessions.ts'

/** A client is given up when nothing has come for this many times its keep-alive [MQTT-3.1.2-22]. */
const keepAliveTolerance = 1.5
/** Longest reason string: a peer may take small packets only. */
const reasonCharactersMax = 256

/** One connection from its first byte to its last: CONNECT, keep-alive, errors, the end. */
export class MqttConnection implements PacketHandler, SessionLink, AuthHost, WireEvents, Due {
  readonly output: Output
  now: number
  readonly #broker: Broker
  readonly #sessions: Sessions
  readonly #options: MqttOptions
  readonly #methods: AuthMethods
  readonly #wire: Wire
  readonly #decoder: Decoder
  readonly #deadline: Deadline
  readonly #reading: Reading
  #request: ConnectRequest | undefined
  #session: MqttSession | undefined
  #authentication: Authentication | undefined
  #clientId: string
  #keepAliveMs: number
  #isEnding: boolean

  constructor(wire: Wire, broker: Broker, sessions: Sessions, methods: AuthMethods) {
    const { options } = sessions
    this.now = broker.clock.now()
    this.#broker = broker
    this.#sessions = sessions
    this.#options = options
    this.#methods = methods
    this.#wire = wire
    this.output = wire.open(this)
    this.#decoder = new Decoder(this, options.limits)
    this.#deadline = broker.deadline(this)
    this.#reading = new Reading(wire.stream, broker.limits.outputBytesHigh)
    this.#request = undefined
    this.#session = undefined
    this.#authentication = undefined
    this.#clientId = ''
    this.#keepAliveMs = 0
    this.#isEnding = false
    this.#deadline.set(this.now + options.connectMsMax)
    wire.stream.on('data', (chunk: Buffer) => this.#onData(chunk))
    wire.stream.on('close', () => this.#onClose())
  }

  get request(): ConnectRequest {
    if (this.#request === undefined) throw new Error('no CONNECT has come')
    return this.#request
  }

  onPacket(first: number, bytes: Buffer, start: number, end: number): void {
    const session = this.#session
    const type = first >> 4
    if (session === undefined) {
      this.#early(type, bytes, start, end)
      return
    }
    let fault: MqttFault | undefined
    if (type === PacketType.pingreq) fault = this.#ping(start, end)
    else if (type === PacketType.disconnect) fault = this.#disconnect(session, bytes, start, end)
    else if (type === PacketType.auth) fault = this.#auth(bytes, start, end)
    else fault = session.handle(first, bytes, start, end)
    if (fault !== undefined) this.fail(fault)
  }

  onError(fault: MqttFault): void {
    this.fail(fault)
  }

  readable(isReadable: boolean): void {
    if (this.#isEnding) return
    if (isReadable) this.#reading.release('full')
    else this.#reading.hold('full')
  }

  /** Says why, if the client can be told, and ends the connection (4.13). */
  fail(fault: MqttFault): void {
    if (this.#isEnding) return
    const request = this.#request
    if (request !== undefined && this.#session === undefined) this.#refuse(request.level, fault)
    else if (request?.level === 5) {
      const writer = new PropertyWriter()
      this.#explain(writer, fault)
      writeReason(this.output, PacketType.disconnect, fault.reason, writer.bytes)
    }
    this.#end(false)
  }

  congested(): void {
    this.#session?.suspend()
  }

  drained(): void {
    this.#session?.resume()
    this.#reading.release('unread')
  }

  /** Called by the deadlines: no CONNECT yet, or nothing for too long. */
  due(now: number): void {
    if (this.#session === undefined) {
      this.#end(false)
      return
    }
    const silentMs = now - this.now
    const limitMs = this.#keepAliveMs * keepAliveTolerance
    // What has come while nothing is read cannot be seen.
    if (silentMs < limitMs || this.#wire.stream.isPaused())
      this.#deadline.set(Math.max(this.now, now - limitMs / 2) + limitMs)
    else this.fail({ reason: Reason.keepAliveTimeout, sentence: `nothing came for ${silentMs} ms` })
  }

  #onData(chunk: Buffer): void {
    this.now = this.#broker.clock.now()
    if (this.#isEnding) return
    this.#decoder.push(chunk)
    this.#reading.took(this.output)
  }

  #onClose(): void {
    this.#leave(false)
    this.output.discard()
  }

  /** A packet before the CONNACK: CONNECT, and nothing but AUTH and DISCONNECT after it [MQTT-3.1.2-30]. */
  #early(type: number, bytes: Buffer, start: number, end: number): void {
    if (this.#request === undefined && type === PacketType.connect) {
      this.#connect(bytes, start, end)
      return
    }
    const fault =
      this.#request !== undefined && type === PacketType.auth
        ? this.#auth(bytes, start, end)
        : protocolError(`${packetName(type)} before the CONNACK`)
    if (fault !== undefined) this.fail(fault)
  }

  #auth(bytes: Buffer, start: number, end: number): MqttFault | undefined {
    if (this.#authentication === undefined) return protocolError('AUTH without a method [MQTT-4.12.0-7]')
    return this.#authentication.received(this.#sessions.properties, bytes, start, end, this.#session !== undefined)
  }

  /** Enhanced authentication has ended well: at the CONNECT, or of a client that is there. */
  admitted(identity: Identity, properties: Uint8Array): void {
    if (this.#isEnding) return
    if (this.#session === undefined) this.#open(this.request, this.#clientId, identity, properties)
    else this.#authentication?.confirm(properties)
  }

  #connect(bytes: Buffer, start: number, end: number): void {
    const { limits, serverReference } = this.#options
    const request = readConnect(bytes, start, end, { limits, properties: this.#sessions.properties })
    if ('reason' in request) {
      if (request.level !== undefined) this.#refuse(request.level, request)
      this.#end(false)
      return
    }
    this.#request = request
    if (serverReference !== '' && request.level === 5) {
      this.fail({ reason: Reason.useAnotherServer, sentence: `this server sends its clients to ${serverReference}` })
      return
    }
    if (request.clientId === '' && request.level < 5 && !request.cleanStart) {
      // [MQTT-3.1.3-8] of 3.1.1
      this.fail({ reason: Reason.clientIdNotValid, sentence: 'a session that is to be kept needs a client id' })
      return
    }
    this.#clientId = request.clientId === '' ? `auto-${crypto.randomUUID()}` : request.clientId
    if (request.authMethod === undefined) this.#authenticate(request, this.#clientId)
    else this.#authenticateBy(request, request.authMethod)
  }

  #authenticateBy(request: ConnectRequest, name: string): void {
    const method = this.#methods.get(name) ?? scramMethod(name, this.#broker.access)
    if (method === undefined) {
      const sentence = `the authentication method "${name.slice(0, 64)}" is not known`
      this.fail({ reason: Reason.badAuthenticationMethod, sentence })
      return
    }
    const { remote, isLocal } = this.#wire
    const login = { clientId: this.#clientId, user: request.user, remote, isLocal }
    this.#authentication = new Authentication(this, name, method, login)
    this.#authentication.begin(request.authData)
  }

  #authenticate(request: ConnectRequest, clientId: string): void {
    // What comes meanwhile waits in the operating system, not here.
    this.#decoder.pause()
    this.#reading.hold('login')
    const { user, password } = request
    const { remote, isLocal } = this.#wire
    this.#broker.authenticate({ user, password, clientId, protocol: 'mqtt', remote, isLocal }, (result) => {
      if (this.#isEnding) return
      if (result instanceof BrokerError) this.fail(faultOf(result))
      else this.#open(request, clientId, result, noBytes)
    })
  }

  /** `properties`: what an authentication has to tell the client. */
  #open(request: ConnectRequest, clientId: string, identity: Identity, properties: Uint8Array): void {
    const opened = this.#sessions.open(this, clientId, { ...identity, clientId })
    if ('reason' in opened) {
      this.fail(opened)
      return
    }
    const { session, isPresent } = opened
    this.#session = session
    this.#keepAliveMs = keepAliveOf(request, this.#options)
    if (this.#keepAliveMs > 0) this.#deadline.set(this.now + this.#keepAliveMs * keepAliveTolerance)
    else this.#deadline.clear()
    writeConnack(this.output, request.level, {
      // Bit 0 was reserved before 3.1.1.
      isPresent: isPresent && request.level > 3,
      reason: Reason.success,
      properties: request.level === 5 ? this.#welcome(request, clientId, session, properties) : noBytes,
    })
    this.#decoder.isConnected = true
    session.open()
    this.#reading.release('login')
    this.#decoder.resume()
  }

  /** The properties of a CONNACK (3.2.2.3): what differs from what the client asked for, and from the defaults. */
  #welcome(request: ConnectRequest, clientId: string, session: MqttSession, properties: Uint8Array): Uint8Array {
    const { limits, receiveMax, topicAliasMax } = this.#options
    const writer = new PropertyWriter()
    if (session.expiryMs !== request.expiryMs) {
      writer.long(Property.sessionExpiry, Math.min(Math.floor(session.expiryMs / 1000), 0xffff_ffff))
    }
    if (receiveMax < 65_535) writer.short(Property.receiveMaximum, receiveMax)
    if (limits.packetBytesMax < varintMax + 5) writer.long(Property.maximumPacketSize, limits.packetBytesMax)
    if (request.clientId === '') writer.text(Property.assignedClientId, clientId)
    if (topicAliasMax > 0) writer.short(Property.topicAliasMaximum, topicAliasMax)
    if (this.#keepAliveMs !== request.keepAliveMs) {
      writer.short(Property.serverKeepAlive, Math.floor(this.#keepAliveMs / 1000))
    }
    writer.raw(properties)
    if (request.wantsResponseInformation) writer.text(Property.responseInformation, `response/${clientId}`)
    return writer.bytes
  }

  /** A CONNACK that says no; before MQTT 5 some faults have no code, and the connection is just closed. */
  #refuse(level: Level, fault: MqttFault): void {
    const reason = level === 5 ? fault.reason : returnCode(fault.reason)
    if (reason === undefined) return
    const writer = new PropertyWriter()
    if (fault.reason === Reason.useAnotherServer) writer.text(Property.serverReference, this.#options.serverReference)
    this.#explain(writer, fault)
    writeConnack(this.output, level, { isPresent: false, reason, properties: writer.bytes })
  }

  /** A reason string, unless the client does not want it or it would make the packet too large. */
  #explain(writer: PropertyWriter, { sentence }: MqttFault): void {
    const packetBytesMax = this.#request?.packetBytesMax ?? varintMax
    if (packetBytesMax < 4 * reasonCharactersMax) return
    writer.text(Property.reasonString, sentence.slice(0, reasonCharactersMax))
  }

  #ping(start: number, end: number): MqttFault | undefined {
    if (start !== end) return malformed('PINGREQ with a payload')
    writePingResponse(this.output)
    return undefined
  }

  /** DISCONNECT (3.14): the end, with the will or without it, perhaps with another session expiry. */
  #disconnect(session: MqttSession, bytes: Buffer, start: number, end: number): MqttFault | undefined {
    let reason: number = Reason.success
    if (end > start && this.request.level < 5) return malformed('DISCONNECT with a payload')
    if (end > start) reason = bytes[start] as number
    if (end > start + 1) {
      const { properties } = this.#sessions
      const fault = properties.read(bytes, start + 1, end, PacketType.disconnect)
      if (fault !== undefined) return fault
      if (properties.has(Property.sessionExpiry)) {
        const expiryMs = secondsMs(properties.number(Property.sessionExpiry, 0))
        if (this.request.expiryMs === 0 && expiryMs > 0) {
          return protocolError('a session that ends with its connection cannot be kept by DISCONNECT [3.14.2.2.2]')
        }
        session.expiryMs = Math.min(expiryMs, this.#options.sessionExpiryMsMax)
      }
    }
    this.#end(reason === Reason.success)
    return undefined
  }

  /** Ends the connection after what has been written. `isClean`: without the will. */
  #end(isClean: boolean): void {
    if (this.#isEnding) return
    this.#leave(isClean)
    this.output.end()
    this.#reading.finish()
  }

  #leave(isClean: boolean): void {
    this.#isEnding = true
    this.#deadline.clear()
    this.#decoder.close()
    const session = this.#session
    this.#session = undefined
    if (session !== undefined && session.link === this) this.#sessions.left(session, isClean)
  }
}

const noBytes = Buffer.alloc(0)
