import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** Drives mosquitto_pub and mosquitto_sub: see interop/mqtt/driver.ts for the requests that come as JSON lines. */
const connections = new Map()
/** Time in which a mosquitto_sub that has been refused would have ended. */
const settleMs = 300

/** A mosquitto_sub for each subscription; what is published, a mosquitto_pub each. */
class Connection {
  isPresent = false
  /** What both programs are told. */
  #options
  /** What tells mosquitto_sub to take up a session and to leave it. */
  #kept
  #programs = new Map()
  #received = []
  #waiting = []

  constructor({ port, version, clientId, clean }) {
    this.#options = ['-h', '127.0.0.1', '-p', String(port), '-V', version === '5' ? 'mqttv5' : 'mqttv311']
    this.#kept = clean ? [] : ['-c', '-i', clientId]
  }

  publish({ topic, payload, qos, retain, properties }) {
    const args = [
      ...this.#options,
      '-t',
      topic,
      '-q',
      String(qos),
      payload === '' ? '-n' : '-s',
      ...(retain ? ['-r'] : []),
    ]
    const { user = [], contentType, responseTopic, correlationData } = properties ?? {}
    for (const [name, value] of user) args.push('-D', 'publish', 'user-property', name, value)
    if (contentType !== undefined) args.push('-D', 'publish', 'content-type', contentType)
    if (responseTopic !== undefined) args.push('-D', 'publish', 'response-topic', responseTopic)
    if (correlationData !== undefined) {
      args.push('-D', 'publish', 'correlation-data', Buffer.from(correlationData, 'base64').toString())
    }
    return new Promise((resolve, reject) => {
      const child = spawn('mosquitto_pub', args, { stdio: ['pipe', 'ignore', 'pipe'] })
      let complaints = ''
      child.stderr.on('data', (text) => {
        complaints += text
      })
      child.on('error', reject)
      child.on('close', (code) => (code === 0 ? resolve(null) : reject(new Error(complaints.trim()))))
      child.stdin.end(Buffer.from(payload, 'base64'))
    })
  }

  subscribe({ filter, qos }) {
    const form = ['-F', '%q|%r|%x|%t']
    const args = [...this.#options, '-t', filter, '-q', String(qos), ...this.#kept, ...form]
    return new Promise((resolve, reject) => {
      const child = spawn('mosquitto_sub', args, { stdio: ['ignore', 'pipe', 'pipe'] })
      this.#programs.set(filter, child)
      child.stderr.on('data', (text) => reject(new Error(String(text).trim())))
      child.on('error', reject)
      createInterface({ input: child.stdout }).on('line', (line) => this.#got(line))
      setTimeout(() => resolve([qos]), settleMs)
    })
  }

  unsubscribe({ filter }) {
    return ended(this.#programs.get(filter), 'SIGTERM')
  }

  receive({ ms }) {
    const first = this.#received.shift()
    if (first !== undefined) return first
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1)
        resolve(null)
      }, ms)
      const take = (message) => {
        clearTimeout(timer)
        resolve(message)
      }
      this.#waiting.push(take)
    })
  }

  async close() {
    for (const child of this.#programs.values()) await ended(child, 'SIGTERM')
  }

  async cut() {
    for (const child of this.#programs.values()) await ended(child, 'SIGKILL')
  }

  #got(line) {
    const [qos, retain, hex] = line.split('|', 3)
    const topic = line.slice(qos.length + retain.length + hex.length + 3)
    const payload = Buffer.from(hex, 'hex').toString('base64')
    const message = { topic, payload, qos: Number(qos), retain: retain === '1', dup: false }
    const take = this.#waiting.shift()
    if (take === undefined) this.#received.push(message)
    else take(message)
  }
}

function ended(child, signal) {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve(null)
  return new Promise((resolve) => {
    child.on('close', () => resolve(null))
    child.kill(signal)
  })
}

async function answer(request) {
  if (request.op === 'open') {
    const connection = new Connection(request)
    connections.set(request.connection, connection)
    return { isPresent: false }
  }
  if (request.op === 'reset') {
    for (const connection of connections.values()) await connection.cut()
    connections.clear()
    return null
  }
  return (await connections.get(request.connection)[request.op](request)) ?? null
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line)
  const print = (reply) => process.stdout.write(`${JSON.stringify({ id: request.id, ...reply })}\n`)
  answer(request).then(
    (ok) => print({ ok }),
    (error) => print({ error: String(error) }),
  )
}
await answer({ op: 'reset' })
process.exit(0)
