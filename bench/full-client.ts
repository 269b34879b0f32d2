import { type Connection, connect, type Message, type Producer } from '../src/client.ts'
import type { ClientEvents, ClientServices, FlowClient } from './flow-client.ts'
import { monotonicMs } from './monotonic.ts'
import type { FlowPlan } from './plan.ts'

const credit = 1000
const creditBytes = 8 * 1024 * 1024

/** One connection of the client that users have, as they use it: a promise for each send, messages in a loop. */
export class FullClient implements FlowClient {
  readonly number: number
  readonly isHeld = false
  readAtMs: number
  readonly #port: number
  readonly #events: ClientEvents
  readonly #onConfirmed: () => void
  readonly #onFailed: (error: unknown) => void
  readonly #onBatch: () => void
  #client: Connection | undefined
  #producer: Producer | undefined
  #message: Message | undefined
  #isInBatch: boolean
  #isLeaving: boolean

  constructor(port: number, number: number, _services: ClientServices, events: ClientEvents) {
    this.number = number
    this.readAtMs = 0
    this.#port = port
    this.#events = events
    this.#onConfirmed = () => {
      this.#begin()
      events.onReceipts(this, 1)
    }
    this.#onFailed = (error) => {
      if (!this.#isLeaving) events.onFailure(this, error instanceof Error ? error.message : String(error))
    }
    this.#onBatch = () => {
      this.#isInBatch = false
      events.onRead(this)
    }
    this.#client = undefined
    this.#producer = undefined
    this.#message = undefined
    this.#isInBatch = false
    this.#isLeaving = false
  }

  async connect(): Promise<void> {
    const clientId = `bench-${process.pid}-${this.number}`
    this.#client = await connect(`tcp://127.0.0.1:${this.#port}`, { clientId, reconnect: false })
    this.#client.on('error', ({ error }) => this.#onFailed(error))
  }

  publish(plan: FlowPlan): Promise<void> {
    const confirm = plan.isSettled ? 'none' : 'stored'
    this.#producer = this.#destination(plan).producer({ persistent: plan.isPersistent, confirm }) as Producer
    return Promise.resolve()
  }

  async subscribe(plan: FlowPlan): Promise<void> {
    const destination = this.#destination(plan)
    const ack = plan.ack === 'auto' || plan.isSettled ? 'none' : 'explicit'
    const messages = destination.consume({ credit, creditBytes, ack }) as AsyncIterable<Message>
    this.#take(messages).catch(this.#onFailed)
    // Whatever is asked for afterwards is answered after it.
    await destination.inspect()
  }

  send(_sequence: number, body: Buffer): void {
    this.#producer?.send(body).then(this.#onConfirmed, this.#onFailed)
  }

  acknowledge(): void {
    void this.#message?.accept()
  }

  async leave(): Promise<void> {
    this.#isLeaving = true
    await this.#client?.close()
  }

  async #take(messages: AsyncIterable<Message>): Promise<void> {
    for await (const message of messages) {
      this.#begin()
      this.#message = message
      const bytes = message.bytes as Buffer
      this.#events.onMessage(this, bytes, 0, bytes.length)
    }
  }

  /** What comes before the next look at the sockets counts as read together. */
  #begin(): void {
    if (this.#isInBatch) return
    this.#isInBatch = true
    this.readAtMs = monotonicMs()
    setImmediate(this.#onBatch)
  }

  #destination({ isTopic, destination }: FlowPlan) {
    const name = destination.replace(/^\/\w+\//, '')
    if (this.#client === undefined) throw new Error('it is not connected')
    return isTopic ? this.#client.topic(name) : this.#client.queue(name)
  }
}
