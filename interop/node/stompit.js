import stompit from 'stompit'
import { answering, Line } from './answers.js'
import { serve } from './serve.js'

/** A `Client` of stompit: one connection that ends when it is lost. */
class Connection {
  line = new Line()
  #client
  #subscriptions = new Map()
  #transactions = new Map()

  constructor(client) {
    this.#client = client
    this.connected = { version: client.headers.version, server: client.headers.server }
    const { line } = this
    line.timesConnected = 1
    client.on('error', (error) => {
      if (error.isApplicationError()) line.error = error.message
      line.isLost = true
      line.changed()
    })
    client.on('end', () => {
      line.isLost = true
      line.changed()
    })
  }

  static open(request) {
    return new Promise((resolve, reject) => {
      stompit.connect(serverOf(request), (error, client) => {
        if (error) reject(error)
        else resolve(new Connection(client))
      })
    })
  }

  send(request) {
    const [headers, body] = frameOf(request)
    const sender = this.#transactions.get(request.transaction) ?? this.#client
    return this.line.confirmed((onReceipt) => sender.send(headers, { onReceipt }).end(body))
  }

  subscribe({ subscription, destination, ack, headers }) {
    const all = { ...headers, destination, ack, id: subscription }
    this.#subscriptions.set(subscription, this.#client.subscribe(all, onMessage(this.line, subscription)))
    return this.#barrier()
  }

  unsubscribe({ subscription, headers }) {
    this.#subscriptions.get(subscription).unsubscribe(headers)
    return this.#barrier()
  }

  ack(request) {
    const message = this.line.message(request)
    return this.line.confirmed((onReceipt) => this.#client.ack(message, ackHeaders(request), { onReceipt }))
  }

  nack(request) {
    const message = this.line.message(request)
    return this.line.confirmed((onReceipt) => this.#client.nack(message, ackHeaders(request), { onReceipt }))
  }

  begin({ transaction }) {
    this.#transactions.set(transaction, this.#client.begin({ transaction }))
  }

  commit({ transaction }) {
    return this.line.confirmed((onReceipt) => this.#transactions.get(transaction).commit({ onReceipt }))
  }

  abort({ transaction }) {
    return this.line.confirmed((onReceipt) => this.#transactions.get(transaction).abort({ onReceipt }))
  }

  close() {
    return new Promise((resolve, reject) => {
      this.#client.disconnect((error) => (error ? reject(error) : resolve()))
    })
  }

  cut() {
    this.#client.destroy()
  }

  /** SUBSCRIBE and UNSUBSCRIBE of stompit have no receipt of their own; that of an ABORT behind them tells that they are done. */
  #barrier() {
    return this.line.confirmed((onReceipt) => this.#client.begin().abort({ onReceipt }))
  }
}

/** A `Channel` of stompit: connects anew over a `ConnectFailover`, and repeats what was not confirmed. */
class FailoverConnection {
  line = new Line()
  #channel

  constructor(request) {
    const { line } = this
    const failover = new stompit.ConnectFailover([serverOf(request)], { initialReconnectDelay: 100 })
    failover.on('connect', () => {
      line.timesConnected += 1
      line.changed()
    })
    this.#channel = new stompit.Channel(failover, { alwaysConnected: true, recoverAfterApplicationError: true })
    this.connected = { version: request.version, server: '' }
  }

  async open() {
    const { line } = this
    if (!(await line.until(() => line.timesConnected > 0, 10_000))) throw new Error('not connected')
    return this
  }

  send(request) {
    const [headers, body] = frameOf(request)
    return new Promise((resolve, reject) => {
      this.#channel.send(headers, body, (error) => (error ? reject(error) : resolve()))
    })
  }

  subscribe({ subscription, destination, ack, headers }) {
    this.#channel.subscribe({ ...headers, destination, ack }, onMessage(this.line, subscription))
    return this.send({ destination: '/topic/interop.barrier', text: '', headers: {} })
  }

  cut() {
    this.#channel.close()
  }

  close() {
    this.#channel.close()
  }
}

function serverOf({ port, version, clientId, beats = [0, 0] }) {
  const connectHeaders = { host: 'localhost', 'accept-version': version, 'heart-beat': beats.join(',') }
  if (clientId !== undefined) connectHeaders['client-id'] = clientId
  return { host: '127.0.0.1', port, connectHeaders }
}

function frameOf({ destination, text, bytes, headers }) {
  if (text !== undefined) return [{ ...headers, destination }, text]
  const body = Buffer.from(bytes, 'base64')
  return [{ ...headers, destination, 'content-length': body.length }, body]
}

function ackHeaders({ transaction }) {
  return transaction === undefined ? {} : { transaction }
}

function onMessage(line, subscription) {
  return async (error, message) => {
    if (error) return
    const chunks = []
    message.on('data', (chunk) => chunks.push(chunk))
    message.on('end', () => line.arrived(subscription, message, textual(message.headers), Buffer.concat(chunks)))
  }
}

function textual(headers) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
}

serve(answering((request) => (request.reconnects ? new FailoverConnection(request).open() : Connection.open(request))))
