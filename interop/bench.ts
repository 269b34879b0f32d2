import assert from 'node:assert/strict'
import type { StandaloneBroker } from './broker.ts'
import { type Carrier, portOf, type Traits } from './clients.ts'
import type { Connection, Driver, Incoming, OpenOptions, Version } from './driver.ts'
import type { Party } from './matrix.ts'
import { RawConnection } from './raw.ts'
import { Tap } from './tap.ts'

export const versions: readonly Version[] = ['1.0', '1.1', '1.2']

/** How long what is due may take: longer than the broker waits for a peer to close a WebSocket with it, which is 5 s. */
export const dueMsMax = 15_000
/** How long a message that must not come is waited for. */
const absentMs = 300

/** What one step has at hand: the client under test, a broker, names of its own. Closes what it opened. */
export class Bench {
  readonly traits: Traits
  readonly broker: StandaloneBroker
  readonly #carrier: Carrier
  readonly #driver: Driver
  readonly #prefix: string
  readonly #opened: (() => unknown)[]

  constructor({ driver, traits, carrier }: Party, broker: StandaloneBroker, prefix: string) {
    this.traits = traits
    this.broker = broker
    this.#carrier = carrier
    this.#driver = driver
    this.#prefix = prefix
    this.#opened = []
  }

  /** The name of a destination or client that no other step uses. */
  name(suffix: string): string {
    return `interop.${this.#prefix}.${suffix}`
  }

  queue(suffix: string): string {
    return `/queue/${this.name(suffix)}`
  }

  topic(suffix: string): string {
    return `/topic/${this.name(suffix)}`
  }

  /** The port of a broker for the client under test. */
  portOf(broker: StandaloneBroker): number {
    return portOf(broker, this.#carrier)
  }

  open(options: OpenOptions = {}): Promise<Connection> {
    return this.#driver.open(options.port ?? this.portOf(this.broker), options)
  }

  async raw(): Promise<RawConnection> {
    const raw = await RawConnection.open(this.broker.port)
    this.#opened.push(() => raw.close())
    return raw
  }

  async tap(): Promise<Tap> {
    const tap = await Tap.open(this.portOf(this.broker))
    this.#opened.push(() => tap.close())
    return tap
  }

  /** Something else to be ended with the step. */
  later(end: () => unknown): void {
    this.#opened.push(end)
  }

  async close(): Promise<void> {
    try {
      await this.#driver.reset()
    } finally {
      for (const end of this.#opened.splice(0).reverse()) await end()
    }
  }
}

/** The next message of the subscription, which must come. */
export async function next(connection: Connection, subscription: string): Promise<Incoming> {
  const message = await connection.receive(subscription, dueMsMax)
  assert.ok(message !== undefined, `no message for "${subscription}" within ${dueMsMax} ms`)
  return message
}

/** Asserts that no message comes. */
export async function none(connection: Connection, subscription: string, ms = absentMs): Promise<void> {
  const message = await connection.receive(subscription, ms)
  assert.equal(message?.body.toString(), undefined, `a message for "${subscription}" that should not have come`)
}

/** The bodies of the next messages, as text. */
export async function bodies(connection: Connection, subscription: string, count: number): Promise<string[]> {
  const all: string[] = []
  while (all.length < count) all.push((await next(connection, subscription)).body.toString())
  return all
}

/** Asserts that a request is answered by an ERROR frame. */
export async function refused(request: Promise<unknown>): Promise<void> {
  await assert.rejects(request)
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
