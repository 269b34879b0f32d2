import { clientOf } from './clients.ts'
import { type ClientEvents, ClientServices, type FlowClient } from './flow-client.ts'
import { Histogram } from './histogram.ts'
import { monotonicMs } from './monotonic.ts'
import { Pace } from './pace.ts'
import type { FlowPlan, Load, Produced } from './plan.ts'
import { Progress } from './progress.ts'
import { StampedBody } from './stamp.ts'

/** Longer bodies are sent from where they are, as the client sends all of them, so that each message not yet confirmed needs its own. */
const copiedBytesMax = 4096
/** How long a producer that waits for the consumers sleeps before it looks again whether they have got on. */
const pollMs = 0.1
/** How long a producer waits for receipts that do not come. */
const stallMsMax = 10_000
/** The longest sleep of a paced producer, in which it reads no receipts. */
const sleepMsMax = 0.5

/** One producing connection. */
class Line {
  readonly client: FlowClient
  readonly #bodies: readonly StampedBody[]
  sent: number
  confirmed: number

  constructor(client: FlowClient, bodies: readonly StampedBody[], firstSequence: number) {
    this.client = client
    this.#bodies = bodies
    this.sent = firstSequence
    this.confirmed = firstSequence
  }

  /** The next message's body, stamped. */
  next(timeMs: number): Buffer {
    const body = this.#bodies[this.sent % this.#bodies.length] as StampedBody
    body.stamp(this.sent, timeMs)
    this.sent += 1
    return body.bytes
  }
}

/** The producers of one run: every message asks for a receipt and carries its producer, its number and its time. */
export class Producer implements ClientEvents {
  readonly #plan: FlowPlan
  readonly #services: ClientServices
  readonly #lines: Line[]
  readonly #progress: Progress
  readonly #receipts: Pace
  readonly #lateness: Histogram
  readonly #errors: string[]
  #sent: number
  #confirmed: number
  #newlyConfirmed: number
  /** What the consumers have got, as far as is known. */
  #received: number
  #messagesMax: number
  #stopAtMs: number
  #isRunning: boolean
  #poll: NodeJS.Immediate | undefined
  #onDone: () => void

  constructor(plan: FlowPlan) {
    this.#plan = plan
    this.#services = new ClientServices()
    this.#progress = new Progress(plan.progressFile)
    this.#receipts = new Pace()
    this.#lateness = new Histogram()
    this.#errors = []
    this.#sent = plan.firstSequence * plan.producers
    this.#confirmed = this.#sent
    this.#newlyConfirmed = 0
    this.#received = 0
    this.#messagesMax = this.#sent + messagesOf(plan.load)
    this.#stopAtMs = Number.POSITIVE_INFINITY
    this.#isRunning = false
    this.#poll = undefined
    this.#onDone = () => undefined
    this.#lines = Array.from({ length: plan.producers }, (_, number) => this.#line(number))
  }

  async open(): Promise<void> {
    await Promise.all(this.#lines.map(({ client }) => client.connect()))
    await Promise.all(this.#lines.map(({ client }) => client.publish(this.#plan)))
  }

  /** Sends all that the plan says, waits for the receipts and hangs up. */
  async run(): Promise<Produced> {
    const { load } = this.#plan
    const done = new Promise<void>((resolve) => {
      this.#onDone = resolve
    })
    const watch = this.#watch()
    const startMs = monotonicMs()
    this.#isRunning = true
    if (load.kind === 'timed') this.#stopAtMs = startMs + load.seconds * 1000
    if (load.kind === 'paced') this.#step(startMs - (this.#sent * 1000) / load.perSecond, 1000 / load.perSecond)
    else this.#pumpAll()
    await done
    clearInterval(watch)
    clearImmediate(this.#poll)
    await Promise.all(this.#lines.map(({ client }) => client.leave()))
    this.#progress.close()
    return {
      kind: 'produced',
      sent: this.#lines.map(({ sent }) => sent),
      confirmed: this.#confirmed,
      receipts: this.#receipts.figures(),
      lateness: this.#lateness.times(),
      errors: this.#errors,
    }
  }

  onMessage(): void {
    this.#errors.push('a producer got a message')
  }

  onReceipts(client: FlowClient, count: number): void {
    const line = this.#lines[client.number]
    if (line === undefined) return
    line.confirmed += count
    this.#confirmed += count
    this.#newlyConfirmed += count
  }

  onRead(client: FlowClient): void {
    this.#receipts.note(client.readAtMs, this.#newlyConfirmed)
    this.#newlyConfirmed = 0
    this.#pump(client.number)
    this.#finishIfDone()
  }

  onRoom(client: FlowClient): void {
    this.#pump(client.number)
  }

  onFailure(_client: FlowClient, reason: string): void {
    this.#errors.push(reason)
    this.#onDone()
  }

  #line(number: number): Line {
    const { run, bodyBytes, window, firstSequence, protocol } = this.#plan
    const length = bodyBytes > copiedBytesMax || protocol === 'client' ? window + 1 : 1
    const bodies = Array.from({ length }, () => new StampedBody(run, number, bodyBytes))
    return new Line(clientOf(this.#plan, number, this.#services, this), bodies, firstSequence)
  }

  #pumpAll(): void {
    for (const { client } of this.#lines) this.#pump(client.number)
  }

  /** Sends on one connection until a window is full. */
  #pump(number: number): void {
    const line = this.#lines[number]
    if (line === undefined || !this.#isRunning || this.#plan.load.kind === 'paced') return
    const { window } = this.#plan
    for (let now = monotonicMs(); line.sent - line.confirmed < window; now = monotonicMs()) {
      if (line.client.isHeld || !this.#mayGo(now)) return
      this.#send(line, now)
    }
  }

  /** Whether the run goes on; if only the consumers are behind, it looks again a little later. */
  #mayGo(now: number): boolean {
    if (this.#sent >= this.#messagesMax || now >= this.#stopAtMs) {
      this.#isRunning = false
      return false
    }
    const { unreceivedMax, isTopic, consumers } = this.#plan
    if (unreceivedMax === 0 || this.#sent - this.#received < unreceivedMax) return true
    this.#received = this.#progress.read() / (isTopic ? consumers : 1)
    if (this.#sent - this.#received < unreceivedMax) return true
    this.#poll ??= setImmediate(() => {
      this.#poll = undefined
      sleep(pollMs)
      this.#pumpAll()
    })
    return false
  }

  #send(line: Line, timeMs: number): void {
    const body = line.next(timeMs)
    this.#sent += 1
    line.client.send(line.sent, body)
  }

  /** `startMs`: when the message before number 0 was due. Sends what is due by now, sleeps until the next is, and lets receipts be read in between. */
  #step(startMs: number, intervalMs: number): void {
    let now = monotonicMs()
    let dueMs = startMs + (this.#sent + 1) * intervalMs
    for (; dueMs <= now && this.#sent < this.#messagesMax; dueMs += intervalMs) {
      const line = this.#lines[this.#sent % this.#lines.length] as Line
      this.#send(line, dueMs)
      this.#lateness.record((now - dueMs) * 1000)
    }
    this.#services.turn.run()
    if (this.#sent >= this.#messagesMax) {
      this.#isRunning = false
      this.#finishIfDone()
      return
    }
    now = monotonicMs()
    if (dueMs > now) sleep(Math.min(dueMs - now, sleepMsMax))
    setImmediate(() => this.#step(startMs, intervalMs))
  }

  #finishIfDone(): void {
    if (!this.#isRunning && this.#confirmed >= this.#sent) this.#onDone()
  }

  /** Ends a run that no longer moves, and one whose time is over while nothing comes in. */
  #watch(): NodeJS.Timeout {
    let confirmed = -1
    let sinceMs = monotonicMs()
    return setInterval(() => {
      const now = monotonicMs()
      if (now >= this.#stopAtMs) this.#isRunning = false
      this.#finishIfDone()
      if (confirmed !== this.#confirmed) {
        confirmed = this.#confirmed
        sinceMs = now
      } else if (now - sinceMs > stallMsMax) {
        this.#errors.push(`${this.#sent - this.#confirmed} receipts do not come`)
        this.#onDone()
      }
    }, 20)
  }
}

function messagesOf(load: Load): number {
  switch (load.kind) {
    case 'counted':
      return load.messages
    case 'paced':
      return Math.round(load.perSecond * load.seconds)
    case 'timed':
      return Number.POSITIVE_INFINITY
    default:
      return load satisfies never
  }
}

const nothing = new Int32Array(new SharedArrayBuffer(4))

/** Blocks the process for so many milliseconds, parts of one included, which no timer of Node can. */
function sleep(ms: number): void {
  Atomics.wait(nothing, 0, 0, ms)
}
