import { connect } from 'node:net'

const [connecting, open, closing, closed] = [0, 1, 2, 3]

/** As much of a WebSocket as stompjs uses, over plain TCP. */
export class TcpSocket {
  binaryType = 'arraybuffer'
  readyState = connecting
  onopen = null
  onmessage = null
  onerror = null
  onclose = null
  #socket

  constructor(host, port) {
    this.url = `tcp://${host}:${port}`
    this.#socket = connect({ host, port, noDelay: true })
    this.#socket.on('connect', () => {
      this.readyState = open
      this.onopen?.()
    })
    this.#socket.on('data', (chunk) => this.onmessage?.({ data: new Uint8Array(chunk).buffer }))
    this.#socket.on('error', (error) => this.onerror?.(error))
    this.#socket.on('close', () => {
      this.readyState = closed
      this.onclose?.({ code: 1000, reason: '', wasClean: true })
    })
  }

  send(data) {
    this.#socket.write(typeof data === 'string' ? data : new Uint8Array(data))
  }

  close() {
    this.readyState = closing
    this.#socket.end()
  }

  terminate() {
    this.#socket.destroy()
  }
}
