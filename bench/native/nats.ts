/** A NATS server of the machine, with its own client. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { usageOf } from '../usage.ts'
import type { Place } from './flow.ts'
import type { Lane, Way } from './lane.ts'
import { paced } from './paced.ts'

export class NatsServer implements Place {
  readonly #port: number
  readonly #child: ChildProcess
  readonly #folder: string

  private constructor(port: number, child: ChildProcess, folder: string) {
    this.#port = port
    this.#child = child
    this.#folder = folder
  }

  /** Rejects if there is no `nats-server`. */
  static async start(): Promise<NatsServer> {
    const folder = await mkdtemp(join(tmpdir(), 'manifoldmq-nats-'))
    const port = await freePort()
    const child = spawn('nats-server', ['-js', '-sd', folder, '-a', '127.0.0.1', '-p', String(port)], {
      stdio: 'ignore',
    })
    const missing = new Promise<never>((_resolve, reject) => child.once('error', reject))
    await (await Promise.race([missing, connected(port)])).close()
    return new NatsServer(port, child, folder)
  }

  async open(way: Way): Promise<Lane> {
    return new NatsLane(await connected(this.#port), way)
  }

  cpuMs(): number {
    return usageOf(this.#child.pid ?? 0).cpuSeconds * 1000
  }

  /** Messages a second that a stream on disk has answered for. */
  async stored(ms: number, atOnce: number, bodyBytes: number): Promise<number> {
    const nats = await connected(this.#port)
    const manager = await jetstreamManager(nats)
    await manager.streams.add({ name: 'bench', subjects: ['stored'] })
    const stream = jetstream(nats)
    const body = new Uint8Array(bodyBytes).fill(120)
    const perSecond = await paced(ms, atOnce, async () => {
      await stream.publish('stored', body)
    })
    await manager.streams.delete('bench')
    await nats.close()
    return perSecond
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL')
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** Topics are subjects, queues are subjects with one queue group. */
class NatsLane implements Lane {
  readonly #nats: NatsConnection
  readonly #way: Way

  constructor(nats: NatsConnection, way: Way) {
    this.#nats = nats
    this.#way = way
  }

  send(body: Uint8Array): void {
    this.#nats.publish(this.#way.name, body)
  }

  async take(onMessage: (body: Uint8Array) => void): Promise<void> {
    const { name, isTopic, failed } = this.#way
    this.#nats.subscribe(name, {
      ...(isTopic ? {} : { queue: 'bench' }),
      callback: (error, message) => {
        if (error === null) onMessage(message.data)
        else failed(error)
      },
    })
    await this.#nats.flush()
  }

  async request(): Promise<void> {
    await this.#nats.request(this.#way.name, 'x')
  }

  async answer(): Promise<void> {
    this.#nats.subscribe(this.#way.name, { callback: (_error, message) => void message.respond(message.data) })
    await this.#nats.flush()
  }

  async close(): Promise<void> {
    await this.#nats.close()
  }
}

async function connected(port: number): Promise<NatsConnection> {
  for (;;) {
    const made = await connect({ port, timeout: 1000 }).catch(() => undefined)
    if (made !== undefined) return made
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}
