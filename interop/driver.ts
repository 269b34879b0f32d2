import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export type Version = '1.0' | '1.1' | '1.2'

export interface OpenOptions {
  readonly version?: Version
  /** Another port than the broker's: of a {@link Tap}, or of another broker. */
  readonly port?: number
  readonly clientId?: string
  /** Milliseconds: how often the client sends, how often it wants to hear. */
  readonly beats?: readonly [number, number]
  /** The client connects again, and subscribes again, when it loses the connection. */
  readonly reconnects?: boolean
}

export interface Outgoing {
  /** Sent the way the library sends text. */
  readonly text?: string
  /** Sent the way the library sends bytes. */
  readonly bytes?: Buffer
  readonly headers?: Readonly<Record<string, string>>
  readonly transaction?: string
}

/** A message as the library handed it over. */
export interface Incoming {
  readonly connection: Connection
  /** The driver's own number, to acknowledge it by. */
  readonly number: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

interface Answer {
  readonly id: number
  readonly ok?: unknown
  readonly error?: string
}

/** The longest that any one request may take, beyond the time that it waits for by itself. */
const answerMsMax = 20_000
const stderrCharactersMax = 4_000

/**
 * One client library behind a small program of its language, which takes requests as JSON lines on standard input and answers
 * each on standard output: `{"id":1,"op":"begin","connection":"a","transaction":"t"}`, `{"id":1,"ok":null}` or
 * `{"id":1,"error":"..."}`. What the requests are: {@link Connection}.
 */
export class Driver {
  readonly #child: ChildProcess
  readonly #waiting: Map<number, (answer: Answer) => void>
  #id: number
  #connections: number
  #complaints: string
  #end: string | undefined

  constructor(command: string, args: readonly string[], cwd: string) {
    this.#waiting = new Map()
    this.#id = 0
    this.#connections = 0
    this.#complaints = ''
    this.#end = undefined
    this.#child = spawn(command, args, { cwd, stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child.on('error', (error) => this.#ended(error.message))
    this.#child.on('exit', (code, signal) => this.#ended(`the client program has ended (${code ?? signal})`))
    this.#child.stdin?.on('error', () => undefined)
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints = (this.#complaints + text).slice(-stderrCharactersMax)
    })
    if (this.#child.stdout !== null) {
      createInterface({ input: this.#child.stdout }).on('line', (line) => this.#answered(line))
    }
  }

  /** Whether the program is no more; every request is refused then. */
  get hasEnded(): boolean {
    return this.#end !== undefined
  }

  /** What the program has written to standard error since the last call. */
  complaints(): string {
    const complaints = this.#complaints.trim()
    this.#complaints = ''
    return complaints
  }

  /** Asks the program for one thing; rejects with what it says is wrong, or if no answer comes in time. */
  request(op: string, parameters: object = {}, waitMs = 0): Promise<unknown> {
    const id = ++this.#id
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) {
        reject(new Error(this.#end))
        return
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(new Error(`${op}: no answer within ${answerMsMax + waitMs} ms`))
      }, answerMsMax + waitMs)
      this.#waiting.set(id, ({ ok, error }) => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        if (error === undefined) resolve(ok)
        else reject(new Error(`${op}: ${error}`))
      })
      this.#child.stdin?.write(`${JSON.stringify({ id, op, ...parameters })}\n`)
    })
  }

  /** Opens a connection and waits for CONNECTED. */
  async open(port: number, { version = '1.2', ...options }: OpenOptions = {}): Promise<Connection> {
    const connection = `c${++this.#connections}`
    const answer = await this.request('open', { connection, port, version, ...options })
    return new Connection(this, connection, answer as Connected)
  }

  /** Cuts every connection. */
  async reset(): Promise<void> {
    await this.request('reset')
  }

  /** Ends the program. */
  stop(): void {
    this.#child.stdin?.end()
    setTimeout(() => this.#child.kill('SIGKILL'), 2_000).unref()
  }

  #answered(line: string): void {
    const answer = parsed(line)
    if (answer === undefined) this.#complaints += `${line}\n`
    else this.#waiting.get(answer.id)?.(answer)
  }

  #ended(reason: string): void {
    this.#end = `${reason}\n${this.#complaints.trim()}`.trim()
    for (const answer of [...this.#waiting.values()]) answer({ id: 0, error: this.#end })
  }
}

interface Connected {
  readonly version: string
  readonly server: string
}

/** One connection of a client library. Whatever can have a receipt has been confirmed by the broker when its promise resolves. */
export class Connection {
  readonly version: string
  readonly server: string
  readonly #driver: Driver
  readonly #name: string

  constructor(driver: Driver, name: string, { version, server }: Connected) {
    this.version = version
    this.server = server
    this.#driver = driver
    this.#name = name
  }

  async send(destination: string, { text, bytes, headers = {}, transaction }: Outgoing): Promise<void> {
    await this.#request('send', { destination, text, bytes: bytes?.toString('base64'), headers, transaction })
  }

  async subscribe(
    subscription: string,
    destination: string,
    ack: 'auto' | 'client' | 'client-individual' = 'auto',
    headers: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    await this.#request('subscribe', { subscription, destination, ack, headers })
  }

  async unsubscribe(subscription: string, headers: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#request('unsubscribe', { subscription, headers })
  }

  /** The next message of a subscription; undefined if none comes in time. */
  async receive(subscription: string, ms: number): Promise<Incoming | undefined> {
    const answer = (await this.#request('receive', { subscription, ms }, ms)) as RawIncoming | null
    if (answer === null) return undefined
    return {
      connection: this,
      number: answer.number,
      headers: answer.headers,
      body: Buffer.from(answer.body, 'base64'),
    }
  }

  async ack(message: Incoming, transaction?: string): Promise<void> {
    await this.#request('ack', { number: message.number, transaction })
  }

  async nack(message: Incoming, transaction?: string): Promise<void> {
    await this.#request('nack', { number: message.number, transaction })
  }

  async begin(transaction: string): Promise<void> {
    await this.#request('begin', { transaction })
  }

  async commit(transaction: string): Promise<void> {
    await this.#request('commit', { transaction })
  }

  async abort(transaction: string): Promise<void> {
    await this.#request('abort', { transaction })
  }

  /** The message header of the ERROR frame that has come, or comes in time. */
  async error(ms: number): Promise<string | undefined> {
    return ((await this.#request('error', { ms }, ms)) as string | null) ?? undefined
  }

  /** Whether the library has noticed, or notices in time, that the connection is lost. */
  async lost(ms: number): Promise<boolean> {
    return (await this.#request('lost', { ms }, ms)) === true
  }

  /** Whether a connection that `reconnects` is connected again in time. */
  async reconnected(ms: number): Promise<boolean> {
    return (await this.#request('reconnected', { ms }, ms)) === true
  }

  /** DISCONNECT with a receipt, as the library does it. */
  async close(): Promise<void> {
    await this.#request('close')
  }

  /** Cuts the connection without a word. */
  async cut(): Promise<void> {
    await this.#request('cut')
  }

  #request(op: string, parameters: object = {}, waitMs = 0): Promise<unknown> {
    return this.#driver.request(op, { connection: this.#name, ...parameters }, waitMs)
  }
}

interface RawIncoming {
  readonly number: number
  readonly headers: Readonly<Record<string, string>>
  /** Base64. */
  readonly body: string
}

function parsed(line: string): Answer | undefined {
  try {
    return JSON.parse(line) as Answer
  } catch {
    return undefined
  }
}
