/**
 * The generator process: producers or consumers, whatever the control orders over IPC. Separate from the broker and from each
 * other, so that each has an event loop of its own.
 */
import { Consumer } from './consumer.ts'
import { ClientServices, type FlowClient } from './flow-client.ts'
import type { Answer, Order } from './plan.ts'
import { Producer } from './producer.ts'
import { StompClient } from './stomp-client.ts'

/** Handshakes under way at a time. */
const connectingMax = 64

class Generator {
  #producer: Producer | undefined
  #consumer: Consumer | undefined
  #idlers: readonly FlowClient[]

  constructor() {
    this.#producer = undefined
    this.#consumer = undefined
    this.#idlers = []
  }

  async obey(order: Order): Promise<Answer> {
    switch (order.kind) {
      case 'consume':
        this.#consumer = new Consumer(order.plan)
        await this.#consumer.open()
        return { kind: 'ready' }
      case 'expect':
        return must(this.#consumer).finish(order.sent)
      case 'produce':
        this.#producer = new Producer(order.plan)
        await this.#producer.open()
        return { kind: 'ready' }
      case 'go':
        return must(this.#producer).run()
      case 'idle':
        this.#idlers = await openIdlers(order.port, order.connections)
        return { kind: 'ready' }
      case 'leave':
        await Promise.all(this.#idlers.map((client) => client.leave()))
        this.#idlers = []
        return { kind: 'ready' }
      default:
        return order satisfies never
    }
  }
}

/** Connections that have said CONNECT and nothing else; one that breaks ends the process. */
async function openIdlers(port: number, connections: number): Promise<readonly FlowClient[]> {
  const services = new ClientServices()
  const events = {
    onMessage: () => undefined,
    onReceipts: () => undefined,
    onRead: () => undefined,
    onRoom: () => undefined,
    onFailure: (_client: FlowClient, reason: string) => {
      throw new Error(`an idle connection failed: ${reason}`)
    },
  }
  const clients: FlowClient[] = []
  const connectSome = async (): Promise<void> => {
    while (clients.length < connections) {
      const client = new StompClient(port, clients.length, services, events)
      clients.push(client)
      await client.connect()
    }
  }
  await Promise.all(Array.from({ length: connectingMax }, connectSome))
  return clients
}

function must<T>(thing: T | undefined): T {
  if (thing === undefined) throw new Error('an order out of turn')
  return thing
}

function answer(message: Answer): void {
  process.send?.(message)
}

const generator = new Generator()
process.on('message', (order: Order) => {
  generator.obey(order).then(answer, (error: unknown) => {
    answer({ kind: 'failed', message: error instanceof Error ? error.message : String(error) })
  })
})
process.on('disconnect', () => process.exit(0))
