import { crc32 } from 'node:zlib'
import type { StandaloneBroker } from '../broker.ts'
import { type Client, clients, portOf } from '../clients.ts'
import type { Connection, Driver } from '../driver.ts'
import { type MqttClient, mqttClients } from '../mqtt/clients.ts'
import { MqttConnection } from '../mqtt/driver.ts'
import { RawConnection } from '../raw.ts'

const dueMs = 10_000
const silenceMs = 300

/** What the client of another protocol does for an AMQP client. Queues and topics are named as in the core, with dots. */
interface Hand {
  send(kind: string, name: string, body: Buffer, colour: string | undefined): Promise<void>
  /** Takes and acknowledges so many messages of a queue; fewer if no more come in time. */
  take(name: string, count: number, ms: number): Promise<readonly Buffer[]>
  /** Refuses the one message of a queue as often as it comes, so many times at most; returns how often it came. */
  refuse?(name: string, timesMax: number): Promise<number>
  /** Sends within a transaction. */
  transact?(name: string, bodies: readonly string[], isCommitted: boolean): Promise<void>
  close(): Promise<void>
}

/** A client of another protocol, to be crossed with. */
export interface OtherClient {
  readonly name: string
  readonly interpreter: string
  /** What it can do, told to AMQP clients: `c` colours messages, `n` refuses, `t` has transactions. */
  readonly talents: string
  readonly install: (root: string) => Promise<string>
  readonly start: (root: string) => Driver
  readonly open: (driver: Driver, broker: StandaloneBroker) => Promise<Hand>
}

/** Over WebSockets they are the same programs as over TCP. */
export const otherClients: readonly OtherClient[] = [
  ...clients.filter(({ carrier }) => carrier === 'tcp').map(stompOther),
  ...mqttClients.map(mqttOther),
]

function stompOther(client: Client): OtherClient {
  return {
    ...client,
    talents: 'cnt',
    open: async (driver, broker) => new StompHand(await driver.open(portOf(broker, client.carrier))),
  }
}

function mqttOther(client: MqttClient): OtherClient {
  const { version, tellsAll } = client
  return {
    ...client,
    talents: version === '5' && tellsAll ? 'c' : '',
    open: async (driver, broker) => {
      const id = `cross-${wordOf(client.name)}`
      const options = { port: broker.mqttPort, version, clientId: id, clean: true }
      return new MqttHand(await MqttConnection.open(driver, id, options))
    },
  }
}

class StompHand implements Hand {
  readonly #connection: Connection
  #count: number

  constructor(connection: Connection) {
    this.#connection = connection
    this.#count = 0
  }

  async send(kind: string, name: string, body: Buffer, colour: string | undefined): Promise<void> {
    const headers = colour === undefined ? {} : { colour }
    const isText = body.length < 1000
    const content = isText ? { text: String(body) } : { bytes: body }
    const type = { 'content-type': isText ? 'text/plain' : 'application/octet-stream' }
    await this.#connection.send(`/${kind}/${name}`, { ...content, headers: { ...headers, ...type } })
  }

  async take(name: string, count: number, ms: number): Promise<readonly Buffer[]> {
    const subscription = this.#next()
    const bodies: Buffer[] = []
    await this.#connection.subscribe(subscription, `/queue/${name}`, 'client-individual')
    while (bodies.length < count) {
      const message = await this.#connection.receive(subscription, ms)
      if (message === undefined) break
      bodies.push(message.body)
      await this.#connection.ack(message)
    }
    await this.#connection.unsubscribe(subscription)
    return bodies
  }

  async refuse(name: string, timesMax: number): Promise<number> {
    const subscription = this.#next()
    await this.#connection.subscribe(subscription, `/queue/${name}`, 'client-individual')
    let times = 0
    while (times < timesMax) {
      const message = await this.#connection.receive(subscription, dueMs)
      if (message === undefined) break
      times += 1
      await this.#connection.nack(message)
    }
    await this.#connection.unsubscribe(subscription)
    return times
  }

  async transact(name: string, bodies: readonly string[], isCommitted: boolean): Promise<void> {
    const transaction = this.#next()
    await this.#connection.begin(transaction)
    for (const text of bodies) await this.#connection.send(`/queue/${name}`, { text, transaction })
    await (isCommitted ? this.#connection.commit(transaction) : this.#connection.abort(transaction))
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  #next(): string {
    this.#count += 1
    return `x${this.#count}`
  }
}

class MqttHand implements Hand {
  readonly #connection: MqttConnection

  constructor(connection: MqttConnection) {
    this.#connection = connection
  }

  async send(kind: string, name: string, payload: Buffer, colour: string | undefined): Promise<void> {
    const properties = colour === undefined ? {} : { properties: { user: [['colour', colour]] as const } }
    await this.#connection.publish(topicOf(kind, name), { payload, ...properties })
  }

  async take(name: string, count: number, ms: number): Promise<readonly Buffer[]> {
    const topic = topicOf('queue', name)
    const bodies: Buffer[] = []
    await this.#connection.subscribe(topic)
    while (bodies.length < count) {
      const message = await this.#connection.receive(ms)
      if (message === undefined) break
      bodies.push(message.payload)
    }
    await this.#connection.unsubscribe(topic)
    return bodies
  }

  close(): Promise<void> {
    return this.#connection.close()
  }
}

function wordOf(name: string): string {
  return name.replaceAll(/\W/g, '')
}

function topicOf(kind: string, name: string): string {
  const levels = name.replaceAll('.', '/')
  return kind === 'queue' ? `$queue/${levels}` : levels
}

/** The bytes that both sides know of a long message. */
function patternOf(size: number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; at += 1) bytes[at] = ((at % 8192) * 7919) >> 5
  return bytes
}

/**
 * Does what an AMQP client asks for in messages to the queue `cross.WORD`, one line of text each, answered to their reply-to:
 * `send KIND NAME a,b [red,blue]`, `take NAME COUNT`, `nothing NAME`, `refuse NAME TIMES`, `transact commit|abort NAME a,b`,
 * `large NAME BYTES` and `sum NAME`, which answers with length and CRC-32.
 */
export class OtherSide {
  readonly name: string
  /** The name as a level of addresses. */
  readonly word: string
  readonly talents: string
  readonly #control: RawConnection
  readonly #hand: Hand

  private constructor({ name, talents }: OtherClient, control: RawConnection, hand: Hand) {
    this.name = name
    this.word = wordOf(name)
    this.talents = talents
    this.#control = control
    this.#hand = hand
  }

  static async start(client: OtherClient, driver: Driver, broker: StandaloneBroker): Promise<OtherSide> {
    const control = await RawConnection.open(broker.port)
    await control.sure('SUBSCRIBE', [`destination:/queue/cross.${wordOf(client.name)}`, 'id:1'])
    const side = new OtherSide(client, control, await client.open(driver, broker))
    void side.#serve()
    return side
  }

  async stop(): Promise<void> {
    this.#control.close()
    await this.#hand.close().catch(() => undefined)
  }

  async #serve(): Promise<void> {
    for (;;) {
      const request = await this.#control.next('MESSAGE').catch(() => undefined)
      if (request === undefined) {
        if (this.#control.isClosed) return
        continue
      }
      const replyTo = request.lines.find((line) => line.startsWith('reply-to:'))?.slice('reply-to:'.length)
      const correlation = request.lines.filter((line) => line.startsWith('correlation-id:'))
      const answer = await this.#do(request.body.split(' ')).catch((error: Error) => `failed: ${error.message}`)
      this.#control.write('SEND', [`destination:${replyTo}`, 'content-type:text/plain', ...correlation], answer)
    }
  }

  async #do([verb = '', ...words]: readonly string[]): Promise<string> {
    const hand = this.#hand
    const [first = '', second = '', third = '', fourth] = words
    switch (verb) {
      case 'send': {
        const colours = fourth?.split(',')
        for (const [index, body] of third.split(',').entries())
          await hand.send(first, second, Buffer.from(body), colours?.[index])
        return 'sent'
      }
      case 'take':
        return (await hand.take(first, Number(second), dueMs)).join()
      case 'nothing':
        return (await hand.take(first, 1, silenceMs)).join() || 'nothing'
      case 'refuse':
        return String(await hand.refuse?.(first, Number(second)))
      case 'transact':
        await hand.transact?.(second, third.split(','), first === 'commit')
        return 'done'
      case 'large':
        await hand.send('queue', first, patternOf(Number(second)), undefined)
        return 'sent'
      case 'sum': {
        const [body = Buffer.alloc(0)] = await hand.take(first, 1, 2 * dueMs)
        return `${body.length} ${crc32(body)}`
      }
      default:
        return `failed: "${verb}" is none of the verbs`
    }
  }
}
