import { type Broker, BrokerError, type Identity } from '../../src/core.ts'
import type { SessionLink } from './attachment.ts'
import type { ConnectRequest } from './connect.ts'
import { Shares } from './filters.ts'
import { Addresses, PublishPacket } from './incoming.ts'
import { keyPrefix, readKey } from './keys.ts'
import type { MqttOptions } from './limits.ts'
import { type MqttFault, Reason } from './packet.ts'
import { Properties } from './properties.ts'
import { faultOf } from './reasons.ts'
import { Encoded } from './sender.ts'
import { MqttSession, type SessionServices } from './session.ts'
import { publishWill } from './will.ts'

export interface OpenedSession {
  readonly session: MqttSession
  /** True if the client takes up what there was before. */
  readonly isPresent: boolean
}

/** All sessions of one broker by client id, connected or waiting for their client. */
export class Sessions implements SessionServices {
  readonly broker: Broker
  readonly options: MqttOptions
  readonly encoded: Encoded
  readonly addresses: Addresses
  readonly properties: Properties
  readonly packet: PublishPacket
  readonly shares: Shares
  readonly #sessions: Map<string, MqttSession>

  constructor(broker: Broker, options: MqttOptions) {
    this.broker = broker
    this.options = options
    this.encoded = new Encoded()
    this.addresses = new Addresses(options)
    this.properties = new Properties()
    this.packet = new PublishPacket(this.properties)
    this.shares = new Shares(broker)
    this.#sessions = new Map()
    this.#restore()
  }

  get count(): number {
    return this.#sessions.size
  }

  get connectedCount(): number {
    let count = 0
    for (const session of this.#sessions.values()) if (session.link !== undefined) count += 1
    return count
  }

  /** Gives a connection its session [MQTT-3.1.2-4] to -6; one that another connection has is taken over [MQTT-3.1.4-3]. */
  open(link: SessionLink, clientId: string, identity: Identity): OpenedSession | MqttFault {
    const { request } = link
    const before = this.#sessions.get(clientId)
    if (before !== undefined && before.identity.principal !== identity.principal) {
      return { reason: Reason.clientIdNotValid, sentence: 'the session of this client id belongs to another user' }
    }
    if (before?.link !== undefined) {
      before.link.fail({ reason: Reason.sessionTakenOver, sentence: 'another connection has the same client id' })
    }
    // Its connection may have ended it.
    const found = this.#sessions.get(clientId)
    if (found !== undefined && request.cleanStart) this.#end(found)
    const kept = request.cleanStart ? undefined : found
    if (kept === undefined && this.#sessions.size >= this.options.sessionsMax) {
      return { reason: Reason.quotaExceeded, sentence: `more than ${this.options.sessionsMax} sessions (sessionsMax)` }
    }
    const session = kept ?? new MqttSession(this, clientId, identity)
    const core = this.broker.connect(identity, session)
    if (core instanceof BrokerError) return faultOf(core)
    session.identity = identity
    session.expiryMs = this.expiryOf(request)
    session.will = request.will
    this.#sessions.set(clientId, session)
    session.attach(link, core)
    return { session, isPresent: kept !== undefined }
  }

  /** The longest a session of this CONNECT outlives its connection, milliseconds. */
  expiryOf({ expiryMs }: ConnectRequest): number {
    return Math.min(expiryMs, this.options.sessionExpiryMsMax)
  }

  /** The connection of a session has ended. `isClean`: by a DISCONNECT that drops the will [MQTT-3.14.4-3]. */
  left(session: MqttSession, isClean: boolean): void {
    const now = this.broker.clock.now()
    session.detach(now)
    const { will } = session
    if (isClean) session.will = undefined
    else if (will !== undefined) session.willAt = now + Math.min(will.delayMs, session.expiryMs)
    if (session.willAt > 0 && session.willAt <= now) this.#publishWill(session)
    if (session.expiryMs === 0) {
      this.#end(session)
      return
    }
    session.save()
    session.arm()
  }

  /** Called by the deadlines: the will of a client that has gone is due, or its session ends. */
  due(session: MqttSession, now: number): void {
    if (session.willAt > 0 && session.willAt <= now) this.#publishWill(session)
    if (session.expiresAt <= now) {
      this.#end(session)
      return
    }
    session.save()
    session.arm()
  }

  /** The session ends, and its will does not wait any longer (3.1.3.2.2). */
  #end(session: MqttSession): void {
    if (session.willAt > 0) this.#publishWill(session)
    this.#sessions.delete(session.clientId)
    session.discard()
  }

  #publishWill(session: MqttSession): void {
    const { identity, will } = session
    if (will !== undefined && !publishWill(this.broker, identity, will)) return
    session.will = undefined
    session.willAt = 0
  }

  /** Takes in what the store has kept. */
  #restore(): void {
    const now = this.broker.clock.now()
    const orphans: string[] = []
    const states = [...this.broker.statesOf(keyPrefix)].map(([key, value]) => ({ key, value, ...readKey(key) }))
    for (const { kind, clientId, value } of states) {
      if (kind !== 'session') continue
      const session = new MqttSession(this, clientId, { principal: '', clientId })
      session.restore(value, now)
      this.#sessions.set(clientId, session)
    }
    for (const { key, kind, number, clientId, value } of states) {
      const session = this.#sessions.get(clientId)
      if (session === undefined) orphans.push(key)
      else if (kind === 'filter') session.restoreFilter(number, value)
      else if (kind === 'received') session.restoreReceived(number)
      else if (kind === 'sent') session.restoreSent(number, Buffer.from(value).toString())
    }
    for (const key of orphans) this.broker.putState(key, undefined)
    this.shares.sweep()
    for (const session of this.#sessions.values()) session.arm()
  }
}
