import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { Running, startWith } from '../support/command-line.ts'
import { randomOf, startSeed } from '../support/seed.ts'

const environment: { readonly KILLS?: string } = process.env
const kills = Number(environment.KILLS ?? 5)
const folder = mkdtempSync(join(tmpdir(), 'manifoldmq-native-kill-'))
const places: Place[] = []

/** A port that stays the same, and the broker behind it, if there is one. */
class Place {
  broker: Running
  readonly #server: Server
  readonly #sockets: Set<Socket>

  private constructor(server: Server) {
    this.#server = server
    this.#sockets = new Set()
    this.broker = this.#start()
    server.on('connection', (socket) => this.#forward(socket))
  }

  static async open(): Promise<Place> {
    const server = createServer()
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const place = new Place(server)
    places.push(place)
    return place
  }

  get url(): string {
    return `tcp://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get isReady(): boolean {
    return this.#port !== undefined
  }

  async kill(): Promise<void> {
    this.broker.signal('SIGKILL')
    await this.broker.ended()
  }

  restart(): void {
    this.broker = this.#start()
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await this.kill()
  }

  get #port(): number | undefined {
    const url = this.broker.url('native')
    return url === undefined || this.broker.child.exitCode !== null ? undefined : Number(new URL(url).port)
  }

  /** A broker on the folder that both places share; the second one waits until the first is gone. */
  #start(): Running {
    return new Running([...startWith('native'), '--standby', '--data', join(folder, 'data')])
  }

  #forward(socket: Socket): void {
    const port = this.#port
    if (port === undefined) {
      socket.destroy()
      return
    }
    const onward = dial(port, '127.0.0.1')
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      this.#sockets.add(one)
      one
        .on('error', () => undefined)
        .on('close', () => {
          this.#sockets.delete(one)
          other.destroy()
        })
      one.pipe(other)
    }
  }
}

afterEach(async () => {
  await Promise.all(places.splice(0).map((place) => place.close()))
  rmSync(folder, { recursive: true, force: true })
})

test(
  `a pair of brokers of which one is killed ${kills} times loses nothing stored, and takes nothing of a named producer twice`,
  async () => {
    const client: typeof import('../../src/client.ts') = await import(pathToFileURL(resolve('dist/src/client.js')).href)
    const seed = startSeed()
    const random = randomOf(seed)
    const first = await Place.open()
    await first.broker.ready('native')
    const second = await Place.open()
    const url = `failover:(${first.url},${second.url})?maxReconnectDelay=100`
    const sender = await client.connect(url)
    const taker = await client.connect(url)
    let resumptions = 0
    sender.on('resumed', () => {
      resumptions += 1
    })
    const confirmed: string[] = []
    const ids = new Map<string, Set<string>>()
    const unflagged: string[] = []
    let isStopping = false
    const producer = sender.queue('q').producer({ name: 'load' })
    const sending = Promise.all(
      Array.from({ length: 16 }, async (_, lane) => {
        for (let number = 0; !isStopping; number += 1) {
          const body = `${lane} ${number}`
          await producer.send(body)
          confirmed.push(body)
        }
      }),
    )
    const messages = taker.queue('q').consume({ credit: 64 })
    const taking = (async () => {
      for await (const message of messages) {
        const known = ids.get(message.text)
        if (known === undefined) ids.set(message.text, new Set([message.id]))
        else {
          known.add(message.id)
          if (!message.redelivered) unflagged.push(message.text)
        }
        await message.accept()
      }
    })()
    for (let kill = 0; kill < kills; kill += 1) {
      const before = confirmed.length
      while (confirmed.length < before + 200) await new Promise((then) => setTimeout(then, 5 + random() * 20))
      const [serving] = [first, second].filter((place) => place.isReady)
      await serving?.kill()
      serving?.restart()
    }
    const before = confirmed.length
    while (confirmed.length < before + 100) await new Promise((then) => setTimeout(then, 10))
    isStopping = true
    await sending
    while ((await sender.queue('q').inspect()).messages !== 0) await new Promise((then) => setTimeout(then, 10))
    await messages.return()
    await taking
    await sender.close()
    await taker.close()
    const lost = confirmed.filter((body) => !ids.has(body))
    const twice = [...ids].filter(([, known]) => known.size > 1).map(([body]) => body)
    if (environment.KILLS !== undefined)
      console.log(JSON.stringify({ seed, kills, confirmed: confirmed.length, resumptions }))
    expect(lost.slice(0, 5), `lost, seed ${seed}`).toEqual([])
    expect(twice.slice(0, 5), `twice, seed ${seed}`).toEqual([])
    expect(unflagged.slice(0, 5), `not flagged, seed ${seed}`).toEqual([])
    expect(resumptions).toBeGreaterThanOrEqual(kills)
  },
  60_000 + kills * 10_000,
)
