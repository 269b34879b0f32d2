import { Address, type Broker, BrokerError, type Deadline, type Due, type Session } from '../../src/core.ts'
import { toMessage } from './content.ts'
import { Properties } from './properties.ts'
import type { Sessions } from './sessions.ts'
import { unheard } from './will.ts'

const noProperties = new Properties()

/** Publishes what the broker says of itself under `$SYS/broker/`, retained. */
export class SystemTopics implements Due {
  readonly #broker: Broker
  readonly #sessions: Sessions
  readonly #everyMs: number
  readonly #version: string
  readonly #startedAt: number
  readonly #deadline: Deadline
  #session: Session | undefined

  /** `everyMs`: how often, at least 1; `version` as in `ManifoldMQ/1.0.0`. */
  constructor(broker: Broker, sessions: Sessions, how: { readonly everyMs: number; readonly version: string }) {
    this.#broker = broker
    this.#sessions = sessions
    this.#everyMs = how.everyMs
    this.#version = how.version
    this.#startedAt = broker.clock.now()
    this.#deadline = broker.deadline(this)
    this.#session = undefined
    this.#deadline.set(this.#startedAt + 1)
  }

  due(now: number): void {
    const { connectedCount, count } = this.#sessions
    this.#publish('version', this.#version, now)
    this.#publish('uptime', `${Math.floor((now - this.#startedAt) / 1000)} seconds`, now)
    this.#publish('clients/connected', String(connectedCount), now)
    this.#publish('clients/disconnected', String(count - connectedCount), now)
    this.#publish('clients/total', String(count), now)
    this.#publish('retained messages/count', String(this.#broker.retained.count), now)
    this.#publish('sessions', String(this.#broker.sessionCount), now)
    this.#deadline.set(now + this.#everyMs)
  }

  #publish(name: string, value: string, now: number): void {
    const session = this.#ownSession()
    if (session === undefined) return
    const address = Address.must('topic', `$SYS.broker.${name.replace('/', '.')}`)
    const bytes = Buffer.from(value)
    const envelope = { address, qos: 0, retain: true, now, source: session.source }
    session.send(toMessage(envelope, { properties: noProperties, bytes, start: 0, end: bytes.length }))
  }

  #ownSession(): Session | undefined {
    if (this.#session !== undefined) return this.#session
    const session = this.#broker.connect(
      { principal: 'broker', clientId: undefined },
      {
        ...unheard,
        closed: () => this.#deadline.clear(),
      },
    )
    if (session instanceof BrokerError) return undefined
    this.#session = session
    return session
  }
}
