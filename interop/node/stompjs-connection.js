import { Client, Versions } from '@stomp/stompjs'
import { Line } from './answers.js'

/** A `Client` of stompjs, in Node or in a page; `carrier(request)` says what it talks over. */
export class StompjsConnection {
  line = new Line()
  #client
  #subscriptions = new Map()

  constructor(request, carrier) {
    const { version, clientId, beats = [0, 0], reconnects = false } = request
    const { line } = this
    this.#client = new Client({
      ...carrier(request),
      stompVersions: new Versions([version]),
      connectHeaders: { host: 'localhost', ...(clientId === undefined ? {} : { 'client-id': clientId }) },
      heartbeatOutgoing: beats[0],
      heartbeatIncoming: beats[1],
      reconnectDelay: reconnects ? 200 : 0,
      onConnect: ({ headers }) => {
        this.connected = { version: headers.version, server: headers.server }
        line.error = undefined
        line.isLost = false
        for (const key of this.#subscriptions.keys()) this.#subscribe(key)
        line.timesConnected += 1
        line.changed()
      },
      onStompError: ({ headers }) => {
        line.error = headers.message
        line.changed()
      },
      onWebSocketClose: () => {
        line.isLost = true
        line.changed()
      },
    })
  }

  async open() {
    const { line } = this
    this.#client.activate()
    await line.until(() => line.timesConnected > 0 || line.isLost, 10_000)
    if (line.timesConnected === 0) throw new Error(line.error ?? 'not connected')
    return this
  }

  send({ destination, text, bytes, headers, transaction }) {
    const body =
      text === undefined
        ? { binaryBody: Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0)) }
        : { body: text }
    const all = transaction === undefined ? headers : { ...headers, transaction }
    return this.#confirmed((receipt) => this.#client.publish({ destination, headers: { ...all, receipt }, ...body }))
  }

  subscribe({ subscription, destination, ack, headers }) {
    this.#subscriptions.set(subscription, { destination, ack, headers })
    return this.#confirmed((receipt) => this.#subscribe(subscription, { receipt }))
  }

  unsubscribe({ subscription, headers }) {
    this.#subscriptions.delete(subscription)
    return this.#confirmed((receipt) => this.#client.unsubscribe(subscription, { ...headers, receipt }))
  }

  ack(request) {
    return this.#confirmed((receipt) => this.line.message(request).ack(ackHeaders(request, receipt)))
  }

  nack(request) {
    return this.#confirmed((receipt) => this.line.message(request).nack(ackHeaders(request, receipt)))
  }

  begin({ transaction }) {
    this.#client.begin(transaction)
  }

  commit({ transaction }) {
    this.#client.commit(transaction)
    return this.#barrier()
  }

  abort({ transaction }) {
    this.#client.abort(transaction)
    return this.#barrier()
  }

  async close() {
    await this.#client.deactivate()
  }

  cut() {
    void this.#client.deactivate({ force: true })
  }

  #subscribe(key, more = {}) {
    const { destination, ack, headers } = this.#subscriptions.get(key)
    const onMessage = (message) => this.line.arrived(key, message, message.headers, message.binaryBody)
    this.#client.subscribe(destination, onMessage, { ...headers, id: key, ack, ...more })
  }

  #confirmed(ask) {
    return this.line.confirmed((confirmed) => {
      const receipt = crypto.randomUUID()
      this.#client.watchForReceipt(receipt, confirmed)
      ask(receipt)
    })
  }

  /** COMMIT and ABORT of stompjs take no headers; an empty SEND behind them, with a receipt, tells that they are done. */
  #barrier() {
    return this.#confirmed((receipt) =>
      this.#client.publish({ destination: '/topic/interop.barrier', headers: { receipt } }),
    )
  }
}

function ackHeaders({ transaction }, receipt) {
  return transaction === undefined ? { receipt } : { receipt, transaction }
}

/** What a client of stompjs talks over to the broker's port for WebSockets. */
export function webSocket({ port }) {
  return { brokerURL: `ws://127.0.0.1:${port}` }
}
