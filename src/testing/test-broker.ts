import type { AddressInfo } from 'node:net'
import type { Identity } from '../broker/access.ts'
import { systemClock } from '../clock.ts'
import { parseTime } from '../config/units.ts'
import type { ListenerName } from '../config.ts'
import type { Draft } from '../embedded-format.ts'
import type { Message } from '../message.ts'
import { type Listener, Server, type ServerOptions, type ServerParts } from '../server.ts'
import type { Session, SessionEvents } from '../session.ts'
import { Turn } from '../turn.ts'
import { type FaultPoint, Faults } from './faults.ts'
import { Expectation, Recorder } from './received.ts'
import { TestSender } from './test-sender.ts'
import { VirtualClock } from './virtual-clock.ts'

/** As {@link ServerOptions}; listeners that are named get a free port, and nothing is logged unless it is asked for. */
export interface TestBrokerOptions extends ServerOptions {
  /** `virtual`, the default: time stands still until {@link TestBroker.advance}; `system`: it passes. */
  readonly clock?: 'virtual' | 'system'
  /** How long connections must be silent, in milliseconds of real time, to be taken as idle. Default 50. */
  readonly quietMs?: number
  /** How long an expectation waits for what it expects, in milliseconds of real time. Default 2000. */
  readonly waitMs?: number
}

export interface IdleOptions {
  /** Leave deliveries alone that a client holds without settling them; by default they are waited for. */
  readonly ignoreUnsettled?: boolean
  /** Milliseconds of real time after which it fails. Default 5000. */
  readonly timeoutMs?: number
}

/** Rounds of the event loop without anything happening after which a broker that has no connections is at rest. */
const quietRounds = 10
/**
 * How long nothing must come from connections. Longer than the 40 ms for which an operating system may hold back the rest
 * of a frame: clients that write frames in pieces, with Nagle's algorithm on, wait for an acknowledgement that is delayed.
 */
const quietMsDefault = 50
const year = '365d'

/** What looks on. */
interface Watch {
  readonly faults: Faults
  readonly recorder: Recorder
  readonly pulse: Pulse
}

/** A broker in memory for the tests of your own program, whose time and connections are in your hands. */
export class TestBroker {
  readonly #server: Server
  readonly #clock: VirtualClock | undefined
  readonly #faults: Faults
  readonly #recorder: Recorder
  readonly #pulse: Pulse
  readonly #waitMs: number
  readonly #sender: TestSender

  private constructor(server: Server, watch: Watch, clock: VirtualClock | undefined, waitMs: number) {
    this.#server = server
    this.#clock = clock
    this.#faults = watch.faults
    this.#recorder = watch.recorder
    this.#pulse = watch.pulse
    this.#waitMs = waitMs
    this.#sender = new TestSender(server)
  }

  static async start(options: TestBrokerOptions = {}): Promise<TestBroker> {
    const { clock: kind = 'virtual', waitMs = 2000, quietMs = quietMsDefault, ...given } = options
    const clock = kind === 'virtual' ? new VirtualClock(systemClock.now()) : undefined
    const faults = new Faults()
    const watch = { faults, recorder: new Recorder(), pulse: new Pulse(faults, quietMs) }
    const parts: ServerParts = {
      clock: clock ?? systemClock,
      turn: watch.pulse.turn,
      received: (message) => watch.recorder.add(message),
      through: (wire, services) => faults.through(wire, services),
    }
    const server = await Server.start({ log: false, ...given, ...gentle(options, clock !== undefined) }, parts)
    return new TestBroker(server, watch, clock, waitMs)
  }

  /** Those that are open. */
  get listeners(): readonly Listener[] {
    return this.#server.listeners
  }

  get connectionCount(): number {
    return this.#server.connectionCount
  }

  /** The URL of a listener; throws if there is none. */
  url(listener: ListenerName): string {
    return this.#server.url(listener)
  }

  address(listener: ListenerName): AddressInfo {
    return this.#server.address(listener)
  }

  /** As {@link Server.connect}. */
  connect(events: SessionEvents, identity: Partial<Identity> = {}): Session {
    return this.#server.connect(events, identity)
  }

  /** As {@link Server.message}. */
  message(session: Session, draft: Draft): Message {
    return this.#server.message(session, draft)
  }

  /** Sends a message; resolves when it is confirmed. */
  send(draft: Draft): Promise<void> {
    return this.#sender.send(draft)
  }

  /** Messages that are in a queue, delivered ones that are not settled included. */
  messageCount(queue: string): number {
    return this.#server.messageCount(queueUrl(queue))
  }

  /** The broker's time, milliseconds since the epoch. */
  now(): number {
    return (this.#clock ?? systemClock).now()
  }

  /**
   * Lets time pass for the broker: `5m`, `30s` or milliseconds. Everything that comes due meanwhile happens at its own time,
   * one thing after the other, with all that clients in this process do about it: expiry, delays, redeliveries, heart-beats.
   */
  async advance(time: string | number): Promise<void> {
    const clock = this.#clock
    if (clock === undefined) throw new Error('time passes by itself: the broker was started with clock: "system"')
    const ms = typeof time === 'number' ? time : parseTime(time)
    if (ms === undefined || !(ms >= 0)) throw new Error(`"${time}" is no time such as 30s, 5m or 250`)
    await this.#pulse.quiet()
    const end = clock.now() + ms
    for (let next = clock.nextAt; next !== undefined && next <= end; next = clock.nextAt) {
      const before = this.#pulse.count
      clock.advance(Math.max(0, next - clock.now()))
      if (this.#pulse.count !== before) await this.#pulse.quiet()
    }
    clock.advance(Math.max(0, end - clock.now()))
    await this.#pulse.quiet()
  }

  /**
   * Resolves when everything has been done that clients of this process have asked for: all is stored, confirmed,
   * delivered, and settled by those who got it. Fails after a while, and says what is not settled.
   */
  async waitForIdle({ ignoreUnsettled = false, timeoutMs = 5000 }: IdleOptions = {}): Promise<void> {
    const end = performance.now() + timeoutMs
    for (;;) {
      await this.#server.stored()
      await this.#pulse.quiet()
      const unsettled = this.#server.unsettledCount
      if (ignoreUnsettled || unsettled === 0) return
      if (performance.now() > end) {
        const sentence = `clients have not settled ${unsettled} deliveries`
        throw new Error(
          `the broker is not idle after ${timeoutMs} ms: ${sentence} (ignoreUnsettled: true if they never will)`,
        )
      }
    }
  }

  /** What is expected of a queue, dead letters included: `orders`, `DLQ.orders`. */
  expectQueue(name: string): Expectation {
    return this.#expect(queueUrl(name))
  }

  expectTopic(name: string): Expectation {
    return this.#expect(name.startsWith('topic://') ? name : `topic://${name}`)
  }

  /** Cuts every connection now, or the first one that gets to a point. */
  cut(after?: FaultPoint): void {
    this.#faults.strike('cut', after)
  }

  /** Lets nothing through any more, in either direction: on every connection now, or on the first that gets to a point. */
  stall(after?: FaultPoint): void {
    this.#faults.strike('stall', after)
  }

  /** Cuts connections to come as soon as they are made: so many, or all until {@link heal}. */
  refuse(times = Number.POSITIVE_INFINITY): void {
    this.#faults.refuse(times)
  }

  /** Ends stalls and refusals; faults that wait for their point are forgotten. */
  heal(): void {
    this.#faults.heal()
  }

  /** Tells every client, hangs up and forgets everything. Takes no time, whatever clients do. Idempotent. */
  async close(): Promise<void> {
    this.#faults.heal()
    let isClosed = false
    const closed = this.#server.close().finally(() => {
      isClosed = true
    })
    while (!isClosed && this.#clock !== undefined) {
      await this.#pulse.quiet()
      const next = this.#clock.nextAt
      if (!isClosed && next !== undefined) this.#clock.advance(Math.max(0, next - this.#clock.now()))
    }
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #expect(destination: string): Expectation {
    return new Expectation(destination, this.#recorder, () => this.waitForIdle({ ignoreUnsettled: true }), this.#waitMs)
  }
}

/** Tells whether the broker does anything. */
class Pulse {
  readonly turn: Turn
  readonly #faults: Faults
  readonly #quietMs: number
  #turns: number

  constructor(faults: Faults, quietMs: number) {
    this.#faults = faults
    this.#quietMs = quietMs
    this.#turns = 0
    this.turn = new Turn((run) => {
      this.#turns += 1
      setImmediate(run)
    })
  }

  /** Grows with all that the broker reads, writes and does. */
  get count(): number {
    return this.#turns + this.#faults.passed
  }

  /** Resolves when nothing has happened for a while. */
  async quiet(): Promise<void> {
    let count = -1
    while (count !== this.count) {
      count = this.count
      await rounds()
      if (count !== this.count || this.#faults.connectionCount === 0) continue
      await new Promise((resolve) => setTimeout(resolve, this.#quietMs))
      // What came while the whole process had to wait is read only now.
      await rounds()
    }
  }
}

async function rounds(): Promise<void> {
  for (let round = 0; round < quietRounds; round += 1) await new Promise((resolve) => setImmediate(resolve))
}

/** Settings while time jumps: nobody is cut for his silence, and nothing is said at intervals, unless the test says so. */
const patience = {
  stomp: { heartBeatMs: 0 },
  amqp: { idleMsMax: 0 },
  mqtt: { systemTopicsMs: 0 },
  native: { heartBeatMs: 0 },
  ws: { pingMs: 0 },
} as const

/** Settings for tests, under those that the test gives: free ports, and {@link patience}. */
function gentle({ limits, listeners = {} }: TestBrokerOptions, isVirtual: boolean): ServerOptions {
  const patient: Readonly<Record<string, object>> = isVirtual ? patience : {}
  const named = Object.entries(listeners).filter(([, settings]) => settings !== undefined)
  return {
    limits: { ...(isVirtual ? { stalledMsMax: year } : {}), ...limits },
    listeners: Object.fromEntries(named.map(([name, given]) => [name, { port: 0, ...patient[name], ...given }])),
  }
}

function queueUrl(name: string): string {
  return name.startsWith('queue://') ? name : `queue://${name}`
}
