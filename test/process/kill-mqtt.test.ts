import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { IPublishPacket } from 'mqtt-packet'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Running, startBroker } from '../support/command-line.ts'
import { MqttTestClient, type Version } from '../support/mqtt-client.ts'
import { randomOf, startSeed } from '../support/seed.ts'

const environment: { readonly KILLS?: string } = process.env
const kills = Number(environment.KILLS ?? 6)
const inFlightMax = 20

let folder: string
let broker: Running | undefined
let clients: MqttTestClient[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-kill-mqtt-'))
  clients = []
})

afterEach(async () => {
  for (const client of clients) client.close()
  broker?.signal('SIGKILL')
  await broker?.ended()
  broker = undefined
  rmSync(folder, { recursive: true, force: true })
})

/** Starts a broker on the folder. Returns the port of MQTT. */
async function start(): Promise<number> {
  const started = await startBroker(['--data', join(folder, 'data')], { listener: 'mqtt' })
  broker = started.broker
  return started.port
}

async function end(signal: NodeJS.Signals): Promise<void> {
  broker?.signal(signal)
  await broker?.ended()
  for (const client of clients.splice(0)) client.close()
}

async function connected(port: number, clientId: string, version: Version, window?: number): Promise<MqttTestClient> {
  const client = new MqttTestClient(connect(port, '127.0.0.1'), version)
  clients.push(client)
  const receiveMaximum = window === undefined ? {} : { receiveMaximum: window }
  const properties = version === 5 ? { properties: { sessionExpiryInterval: 3600, ...receiveMaximum } } : {}
  await client.connect({ clientId, clean: false, ...properties })
  return client
}

/** Waits until something is so; for a limited time, if one is given. */
async function until(isSo: () => boolean, ms = Number.POSITIVE_INFINITY): Promise<void> {
  const end = Date.now() + ms
  while (!isSo() && Date.now() < end) await sleep(10)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** What a publisher has to remember over its connections (4.1), and what it has been promised. */
class Publisher {
  readonly confirmed = new Set<string>()
  /** Sent again: with QoS 1 each may be a message of its own to the broker [MQTT-3.3.1-3]. */
  readonly resent = new Set<string>()
  readonly #name: string
  readonly #version: Version
  readonly #qos: 1 | 2
  /** By packet id: the body, and whether its PUBREC has come. */
  readonly #unconfirmed = new Map<number, { readonly body: string; isReceived: boolean }>()
  #sent = 0

  constructor(name: string, version: Version, qos: 1 | 2) {
    this.#name = name
    this.#version = version
    this.#qos = qos
  }

  /** Sends numbered messages, some of them on their way at a time, until the connection breaks. */
  async run(port: number): Promise<void> {
    const client = await connected(port, this.#name, this.#version)
    for (const [messageId, { body, isReceived }] of this.#unconfirmed) {
      if (isReceived) client.send({ cmd: 'pubrel', messageId })
      else {
        this.resent.add(body)
        this.#publish(client, messageId, body, true)
      }
    }
    for (;;) {
      while (this.#unconfirmed.size < inFlightMax) {
        this.#sent += 1
        const messageId = (this.#sent % 60_000) + 1
        const body = `${this.#name} ${this.#sent}`
        this.#unconfirmed.set(messageId, { body, isReceived: false })
        this.#publish(client, messageId, body, false)
      }
      await this.#answer(client)
    }
  }

  #publish(client: MqttTestClient, messageId: number, body: string, dup: boolean): void {
    client.publish(`kill/${this.#qos}/${this.#name}`, body, { qos: this.#qos, messageId, dup })
  }

  async #answer(client: MqttTestClient): Promise<void> {
    if (this.#qos === 1) {
      const { messageId } = await client.next('puback')
      this.#confirm(messageId as number)
      this.#unconfirmed.delete(messageId as number)
      return
    }
    const packet = await client.nextOf('pubrec', 'pubcomp')
    const messageId = packet.messageId as number
    if (packet.cmd === 'pubcomp') {
      this.#unconfirmed.delete(messageId)
      return
    }
    this.#confirm(messageId)
    const unconfirmed = this.#unconfirmed.get(messageId)
    if (unconfirmed !== undefined) unconfirmed.isReceived = true
    client.send({ cmd: 'pubrel', messageId })
  }

  #confirm(messageId: number): void {
    const body = this.#unconfirmed.get(messageId)?.body
    if (body !== undefined) this.confirmed.add(body)
  }
}

/** What a subscriber has to remember over its connections, and what it has seen. */
class Subscriber {
  readonly delivered = new Map<string, number>()
  readonly violations: string[] = []
  repeats = 0
  /** How many times it has subscribed. */
  subscribedCount = 0
  readonly #version: Version
  readonly #qos: 1 | 2
  /** Packet ids of QoS 2 received and not released. */
  readonly #received = new Set<number>()
  readonly #last = new Map<string, number>()
  readonly #resent: ReadonlySet<string>

  constructor(version: Version, qos: 1 | 2, resent: ReadonlySet<string>) {
    this.#version = version
    this.#qos = qos
    this.#resent = resent
  }

  /** Takes messages and answers, with `share` of the acknowledgements left out, until the connection breaks. */
  async run(port: number, answers: () => boolean): Promise<void> {
    const client = await connected(port, `subscriber-${this.#qos}`, this.#version)
    await client.subscribe(`kill/${this.#qos}/+`, this.#qos)
    this.subscribedCount += 1
    for (;;) {
      const packet = await client.nextOf('publish', 'pubrel')
      const messageId = packet.messageId as number
      if (packet.cmd === 'pubrel') {
        this.#received.delete(messageId)
        if (answers()) client.send({ cmd: 'pubcomp', messageId })
      } else if (this.#qos === 1) {
        this.#took(packet)
        if (answers()) client.send({ cmd: 'puback', messageId })
      } else {
        if (!this.#received.has(messageId)) this.#took(packet)
        else if (!packet.dup) this.violations.push(`packet ${messageId} comes again without DUP`)
        else this.repeats += 1
        this.#received.add(messageId)
        if (answers()) client.send({ cmd: 'pubrec', messageId })
      }
    }
  }

  #took({ payload, dup }: IPublishPacket): void {
    const body = String(payload)
    const count = (this.delivered.get(body) ?? 0) + 1
    this.delivered.set(body, count)
    if (count > 1) {
      this.repeats += 1
      if (this.#qos === 2) this.violations.push(`${body} comes twice`)
      else if (!dup && !this.#resent.has(body)) this.violations.push(`${body} comes again without DUP`)
      return
    }
    const [name = '', number] = body.split(' ')
    const last = this.#last.get(name) ?? 0
    if (Number(number) < last) this.violations.push(`${body} comes after ${last}`)
    this.#last.set(name, Number(number))
  }
}

function untilClosed(work: Promise<void>): Promise<void> {
  return work.catch((error: Error) => {
    if (!/closed while waiting|ECONNRE/.test(error.message)) throw error
  })
}

test.each([4, 5] as const)(
  `a broker killed ${kills} times under MQTT load, level %d: nothing confirmed is lost, QoS 1 repeats carry DUP, QoS 2 comes once`,
  async (version) => {
    const seed = startSeed()
    const random = randomOf(seed)
    const surely = new Publisher('p1', version, 1)
    const publishers = [surely, new Publisher('p2', version, 2), new Publisher('p3', version, 2)]
    const subscribers = [new Subscriber(version, 1, surely.resent), new Subscriber(version, 2, new Set())] as const
    const setUp = await start()
    // From the first message on there is somebody to whom it is promised.
    const first = subscribers.map((subscriber) => untilClosed(subscriber.run(setUp, () => true)))
    await until(() => subscribers.every(({ subscribedCount }) => subscribedCount > 0))
    await end('SIGKILL')
    await Promise.all(first)
    for (let run = 1; run <= kills; run += 1) {
      const port = await start()
      const share = random() < 0.3 ? 0.5 : 0.95
      const work = [
        ...subscribers.map((subscriber) => subscriber.run(port, () => random() < share)),
        ...publishers.map((publisher) => publisher.run(port)),
      ].map(untilClosed)
      const counts = (): readonly number[] => [
        ...publishers.map(({ confirmed }) => confirmed.size),
        ...subscribers.map(({ delivered }) => delivered.size),
      ]
      const before = counts()
      await until(() => counts().every((count, index) => count > (before[index] as number) + 20))
      await sleep(random() * 400)
      await end('SIGKILL')
      await Promise.all(work)
    }
    const port = await start()
    const work = subscribers.map((subscriber) => untilClosed(subscriber.run(port, () => true)))
    const confirmed = publishers.flatMap((publisher) => [...publisher.confirmed])
    const lost = (): string[] =>
      confirmed.filter((body) => !subscribers.some(({ delivered }) => delivered.has(body))).slice(0, 5)
    await until(() => lost().length === 0, 20_000)
    for (let last = -1, idle = 0; idle < 5; ) {
      await sleep(100)
      const seen = subscribers[0].delivered.size + subscribers[1].delivered.size
      idle = seen === last ? idle + 1 : 0
      last = seen
    }
    await end('SIGTERM')
    await Promise.all(work)
    const repeats = subscribers.map((subscriber) => subscriber.repeats)
    if (environment.KILLS !== undefined)
      console.log(JSON.stringify({ seed, kills, confirmed: confirmed.length, repeats }))
    expect(subscribers.flatMap(({ violations }) => violations).slice(0, 5), `seed ${seed}`).toEqual([])
    expect(lost(), `seed ${seed}`).toEqual([])
    expect(repeats[0]).toBeGreaterThan(0)
  },
  30_000 + kills * 5_000,
)

test.each([1, 2] as const)(
  'a broker killed while a message of QoS %d is on its way sends it again, though it expires meanwhile, and none that was not sent [MQTT-4.3.3-7]',
  async (qos) => {
    const expiryMs = 3000
    const port = await start()
    const subscriber = await connected(port, 's', 5, 1)
    await subscriber.subscribe('t', qos)
    const producer = await connected(port, 'p', 5)
    const properties = { messageExpiryInterval: expiryMs / 1000 }
    producer.publish('t', 'sent', { qos, messageId: 1, properties })
    const { messageId } = await subscriber.next('publish')
    // Their answers say that all before them is on disk, packet ids too.
    producer.publish('t', 'never sent', { qos, messageId: 2, properties })
    producer.publish('t', 'lasting', { qos, messageId: 3 })
    for (let count = 0; count < 3; count += 1) await producer.nextOf('puback', 'pubrec')
    const expiresAt = Date.now() + expiryMs
    await end('SIGKILL')
    await until(() => Date.now() > expiresAt)
    const again = await connected(await start(), 's', 5, 1)
    expect(await again.next('publish')).toMatchObject({ payload: Buffer.from('sent'), messageId, dup: true, qos })
    again.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: messageId as number })
    if (qos === 2) again.send({ cmd: 'pubcomp', messageId: messageId as number })
    expect(await again.next('publish')).toMatchObject({ payload: Buffer.from('lasting'), qos })
  },
  30_000,
)
