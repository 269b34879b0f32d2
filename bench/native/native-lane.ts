import { type Connection, connect, type Producer } from '../../src/client.ts'
import type { Lane, Way } from './lane.ts'

const credit = 1000
const creditBytes = 8_000_000

/** A connection of the client, over whatever its URL says. */
export class NativeLane implements Lane {
  readonly #client: Connection
  readonly #way: Way
  #producer: Producer | undefined
  #taking: Promise<void> | undefined
  #stop: (() => Promise<unknown>) | undefined

  private constructor(client: Connection, way: Way) {
    this.#client = client
    this.#way = way
    this.#producer = undefined
    this.#taking = undefined
    this.#stop = undefined
  }

  static async open(url: string, way: Way): Promise<NativeLane> {
    const client = await connect(url, { clientId: `bench-${way.number}`, reconnect: false })
    client.on('error', ({ error }) => way.failed(error))
    return new NativeLane(client, way)
  }

  send(body: Uint8Array): void {
    this.#producer ??= this.#destination.producer({ persistent: this.#way.isPersistent }) as Producer
    // A refusal ends the process: nobody waits for each answer, which would cost more than the answer.
    void this.#producer.send(body)
  }

  async take(onMessage: (body: Uint8Array) => void): Promise<void> {
    const { isTopic, isPersistent, failed } = this.#way
    const kept = isTopic && isPersistent ? { name: 'bench', durable: true } : {}
    const messages = this.#destination.consume({ credit, creditBytes, ...kept })
    this.#stop = () => messages.return()
    this.#taking = (async () => {
      for await (const message of messages) {
        onMessage(message.bytes)
        void message.accept()
      }
    })()
    this.#taking.catch(failed)
    // Whatever is asked for afterwards is answered after it.
    await this.#client
      .queue(this.#way.name)
      .inspect()
      .catch(() => undefined)
  }

  async request(): Promise<void> {
    await this.#destination.request('x')
  }

  async answer(): Promise<void> {
    const workers = this.#destination.process((message) => message.text)
    await workers.started
  }

  async close(): Promise<void> {
    const { isTopic, isPersistent } = this.#way
    await this.#producer?.flushed()
    await this.#stop?.()
    await this.#taking
    if (isTopic && isPersistent) await this.#destination.unsubscribe('bench').catch(() => undefined)
    await this.#client.close()
  }

  get #destination() {
    const { isTopic, name } = this.#way
    return isTopic ? this.#client.topic(name) : this.#client.queue(name)
  }
}
