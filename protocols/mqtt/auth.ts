import { BrokerError, type Identity } from '../../src/core.ts'
import { type ByteSink, writeReason } from './encoder.ts'
import { type MqttFault, malformed, PacketType, protocolError, Reason } from './packet.ts'
import { type Properties, Property, PropertyWriter } from './properties.ts'
import { faultOf } from './reasons.ts'

/** Who wants to come in, before anybody checked it. */
export interface AuthLogin {
  readonly clientId: string
  readonly user: string | undefined
  readonly remote: string
  readonly isLocal: boolean
}

/** A method of enhanced authentication (4.12), such as SCRAM-SHA-256. */
export interface AuthMethod {
  begin(login: AuthLogin): AuthExchange
}

/** One exchange of a method with one client. */
export interface AuthExchange {
  /** Takes what the client has sent, and answers once, perhaps later. An error ends the exchange. */
  step(data: Buffer | undefined, answer: (result: AuthStep | BrokerError) => void): void
}

export interface AuthStep {
  /** For the client. */
  readonly data: Buffer | undefined
  /** Who it is; undefined: the exchange goes on. */
  readonly identity: Identity | undefined
}

/** Methods by the name that a CONNECT gives. */
export type AuthMethods = ReadonlyMap<string, AuthMethod>

/** What an exchange comes to. */
export interface AuthHost {
  readonly output: ByteSink
  /** The client is who it says it is. */
  admitted(identity: Identity, properties: Uint8Array): void
  fail(fault: MqttFault): void
}

/** Enhanced authentication of one connection: at its CONNECT, and again whenever the client wants [MQTT-4.12.1-1]. */
export class Authentication {
  readonly #host: AuthHost
  readonly #name: string
  readonly #method: AuthMethod
  readonly #login: AuthLogin
  #exchange: AuthExchange | undefined
  #principal: string | undefined

  constructor(host: AuthHost, name: string, method: AuthMethod, login: AuthLogin) {
    this.#host = host
    this.#name = name
    this.#method = method
    this.#login = login
    this.#exchange = undefined
    this.#principal = undefined
  }

  begin(data: Buffer | undefined): void {
    const exchange = this.#method.begin(this.#login)
    this.#exchange = exchange
    exchange.step(data, (result) => this.#took(exchange, result))
  }

  /** An AUTH of the client's (3.15); its variable header is bytes `start` to `end`. `isOpen`: it has had its CONNACK. */
  received(properties: Properties, bytes: Buffer, start: number, end: number, isOpen: boolean): MqttFault | undefined {
    const reason = start < end ? (bytes[start] as number) : Reason.success
    if (start + 1 < end) {
      const fault = properties.read(bytes, start + 1, end, PacketType.auth)
      if (fault !== undefined) return fault
      if (properties.end !== end) return malformed('bytes after the properties of AUTH')
    } else properties.clear()
    // [MQTT-4.12.0-5]
    if (properties.text(Property.authMethod) !== this.#name) return protocolError('AUTH of another method')
    const data = properties.binary(Property.authData)
    const exchange = this.#exchange
    if (reason === Reason.reAuthenticate && isOpen && exchange === undefined) {
      this.begin(data)
      return undefined
    }
    if (reason !== Reason.continueAuthentication || exchange === undefined) {
      return protocolError(`AUTH with reason 0x${reason.toString(16)} [MQTT-3.15.2-1]`)
    }
    exchange.step(data, (result) => this.#took(exchange, result))
    return undefined
  }

  /** Tells the client that it is still who it was. */
  confirm(properties: Uint8Array): void {
    writeReason(this.#host.output, PacketType.auth, Reason.success, properties)
  }

  #took(exchange: AuthExchange, result: AuthStep | BrokerError): void {
    if (this.#exchange !== exchange) return
    if (result instanceof BrokerError) {
      this.#exchange = undefined
      this.#host.fail({ ...faultOf(result), reason: Reason.notAuthorized })
      return
    }
    const writer = new PropertyWriter()
    writer.text(Property.authMethod, this.#name)
    if (result.data !== undefined) writer.binary(Property.authData, result.data)
    if (result.identity === undefined) {
      writeReason(this.#host.output, PacketType.auth, Reason.continueAuthentication, writer.bytes)
      return
    }
    this.#exchange = undefined
    const { principal } = result.identity
    if (this.#principal !== undefined && this.#principal !== principal) {
      this.#host.fail({ reason: Reason.notAuthorized, sentence: 'authenticated again, and as somebody else' })
      return
    }
    this.#principal = principal
    this.#host.admitted(result.identity, writer.bytes)
  }
}
