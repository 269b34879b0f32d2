import { createInterface } from 'node:readline'
import mqtt from 'mqtt'

/** Drives MQTT.js: see interop/mqtt/driver.ts for the requests that come as JSON lines. */
const connections = new Map()

class Connection {
  #client
  #received = []
  #waiting = []

  constructor(client) {
    this.#client = client
    client.on('error', () => undefined)
    client.on('message', (topic, payload, packet) => {
      const { qos, retain, dup, properties } = packet
      const message = { topic, payload: payload.toString('base64'), qos, retain, dup, ...propertiesOf(properties) }
      const take = this.#waiting.shift()
      if (take === undefined) this.#received.push(message)
      else take(message)
    })
  }

  static async open({ port, version, clientId, clean, will }) {
    const client = mqtt.connect({
      host: '127.0.0.1',
      port,
      protocol: 'mqtt',
      protocolVersion: version === '5' ? 5 : 4,
      clientId,
      clean,
      reconnectPeriod: 0,
      ...(version === '5' && !clean ? { properties: { sessionExpiryInterval: 60 } } : {}),
      ...(will === undefined ? {} : { will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 1 } }),
    })
    const connection = new Connection(client)
    const connack = await new Promise((resolve, reject) => {
      client.once('connect', resolve)
      client.once('error', reject)
    })
    connection.isPresent = connack.sessionPresent
    return connection
  }

  async publish({ topic, payload, qos, retain, properties }) {
    await this.#client.publishAsync(topic, Buffer.from(payload, 'base64'), {
      qos,
      retain,
      ...(properties === undefined ? {} : { properties: given(properties) }),
    })
  }

  async subscribe({ filter, qos }) {
    return (await this.#client.subscribeAsync(filter, { qos })).map((granted) => granted.qos)
  }

  async unsubscribe({ filter }) {
    await this.#client.unsubscribeAsync(filter)
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
    await this.#client.endAsync()
  }

  cut() {
    this.#client.stream.destroy()
  }
}

function given({ user, contentType, responseTopic, correlationData }) {
  const userProperties = {}
  for (const [name, value] of user ?? []) userProperties[name] = [...(userProperties[name] ?? []), value]
  return {
    // mqtt-packet 9.0.2 writes nothing at all if there are none.
    ...(user === undefined ? {} : { userProperties }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData, 'base64') }),
  }
}

function propertiesOf(properties) {
  if (properties === undefined) return {}
  const { userProperties = {}, contentType, responseTopic, correlationData } = properties
  const user = Object.entries(userProperties).flatMap(([name, values]) => [values].flat().map((value) => [name, value]))
  return { user, contentType, responseTopic, correlationData: correlationData?.toString('base64') }
}

async function answer(request) {
  if (request.op === 'open') {
    const connection = await Connection.open(request)
    connections.set(request.connection, connection)
    return { isPresent: connection.isPresent }
  }
  if (request.op === 'reset') {
    for (const connection of connections.values()) connection.cut()
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
process.exit(0)
