import type { Committable } from '../src/turn.ts'
import { clientOf } from './clients.ts'
import { type ClientEvents, ClientServices, type FlowClient } from './flow-client.ts'
import { Histogram } from './histogram.ts'
import { Ledger } from './ledger.ts'
import { monotonicMs } from './monotonic.ts'
import { Pace } from './pace.ts'
import type { Consumed, FlowPlan } from './plan.ts'
import { Progress } from './progress.ts'
import { producerOf, runOf, sequenceOf, stampBytes, timeOf } from './stamp.ts'

/** How long the consumers wait for messages that do not come. */
const stallMsMax = 8_000
/** How long they wait for messages that should not come. */
const graceMs = 100

/** The consumers of one run: each message is entered in the ledger and acknowledged on its own. */
export class Consumer implements ClientEvents, Committable {
  readonly isFull = false
  readonly #plan: FlowPlan
  readonly #services: ClientServices
  readonly #clients: readonly FlowClient[]
  readonly #ledger: Ledger
  readonly #latency: Histogram
  readonly #deliveries: Pace
  readonly #progress: Progress
  readonly #errors: string[]
  readonly #acknowledges: boolean
  readonly #warmUpMs: number
  /** Latencies count for messages stamped from here on. */
  #countFromMs: number
  #reported: number
  #expected: number
  #onDone: () => void

  constructor(plan: FlowPlan) {
    this.#plan = plan
    this.#services = new ClientServices()
    this.#services.turn.attach(this)
    this.#ledger = new Ledger(plan)
    this.#latency = new Histogram()
    this.#deliveries = new Pace()
    this.#progress = new Progress(plan.progressFile)
    this.#errors = []
    this.#acknowledges = plan.ack !== 'auto'
    this.#warmUpMs = plan.load.kind === 'paced' ? plan.load.warmUpSeconds * 1000 : 0
    this.#countFromMs = Number.NEGATIVE_INFINITY
    this.#reported = 0
    this.#expected = Number.POSITIVE_INFINITY
    this.#onDone = () => undefined
    this.#clients = Array.from({ length: plan.consumers }, (_, number) => clientOf(plan, number, this.#services, this))
  }

  /** Connects and subscribes; messages may come from now on. */
  async open(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.connect()))
    await Promise.all(this.#clients.map((client) => client.subscribe(this.#plan)))
  }

  /** Waits until everything of what each producer has sent is there, or nothing comes any more, and hangs up. */
  async finish(sent: readonly number[]): Promise<Consumed> {
    this.#expected = this.#ledger.expected(sent)
    await this.#all()
    await new Promise((resolve) => setTimeout(resolve, graceMs))
    await Promise.all(this.#clients.map((client) => client.leave()))
    this.#progress.close()
    return {
      kind: 'consumed',
      received: this.#ledger.received,
      deliveries: this.#deliveries.figures(),
      latency: this.#latency.times(),
      findings: this.#ledger.findings(sent),
      errors: this.#errors,
    }
  }

  onMessage(client: FlowClient, bytes: Buffer, bodyStart: number, length: number): void {
    const { run, bodyBytes, forgottenEvery } = this.#plan
    let isForgotten = false
    if (length < stampBytes || runOf(bytes, bodyStart) !== run) this.#ledger.takeForeign()
    else {
      if (length !== bodyBytes) this.#ledger.takeAltered()
      const sequence = sequenceOf(bytes, bodyStart)
      this.#ledger.take(client.number, producerOf(bytes, bodyStart), sequence)
      isForgotten = forgottenEvery > 0 && sequence % forgottenEvery === 0
      this.#time(client.readAtMs, timeOf(bytes, bodyStart))
    }
    if (this.#acknowledges && !isForgotten) client.acknowledge()
  }

  onReceipts(): void {
    this.#errors.push('a consumer got a receipt that it has not asked for')
  }

  onRead(client: FlowClient): void {
    this.#deliveries.note(client.readAtMs, this.#ledger.received - this.#deliveries.count)
    this.#services.turn.mark()
    if (this.#ledger.received >= this.#expected) this.#onDone()
  }

  onRoom(): void {
    // Acknowledgements wait for nothing.
  }

  onFailure(_client: FlowClient, reason: string): void {
    this.#errors.push(reason)
    this.#onDone()
  }

  poll(): void {}

  /** Called once a turn: tells the producers how far the consumers are. */
  commit(): void {
    if (this.#reported === this.#ledger.received) return
    this.#reported = this.#ledger.received
    this.#progress.write(this.#reported)
  }

  #time(readAtMs: number, sentAtMs: number): void {
    if (this.#countFromMs === Number.NEGATIVE_INFINITY) this.#countFromMs = sentAtMs + this.#warmUpMs
    if (sentAtMs >= this.#countFromMs) this.#latency.record((readAtMs - sentAtMs) * 1000)
  }

  async #all(): Promise<void> {
    if (this.#ledger.received >= this.#expected || this.#errors.length > 0) return
    let received = -1
    let sinceMs = monotonicMs()
    await new Promise<void>((resolve) => {
      const watch = setInterval(() => {
        const now = monotonicMs()
        if (received !== this.#ledger.received) {
          received = this.#ledger.received
          sinceMs = now
        } else if (now - sinceMs > stallMsMax) this.#onDone()
      }, 250)
      this.#onDone = () => {
        clearInterval(watch)
        resolve()
      }
    })
  }
}
