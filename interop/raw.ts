import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const answerMsMax = 10_000

/** A frame as its bytes say it: nothing unescaped. */
export interface RawFrame {
  readonly command: string
  /** The header lines in order. */
  readonly lines: readonly string[]
  readonly body: string
}

/** STOMP 1.2 by hand, for what libraries cannot write or do not show: repeated headers, escapes in names. Bodies without NUL. */
export class RawConnection {
  isClosed: boolean
  readonly #socket: Socket
  readonly #frames: RawFrame[]
  #unread: string
  #wake: () => void

  private constructor(socket: Socket) {
    this.isClosed = false
    this.#socket = socket
    this.#frames = []
    this.#unread = ''
    this.#wake = () => undefined
    socket.setEncoding('utf8')
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.isClosed = true
    })
    socket.on('data', (text: string) => this.#read(text))
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    const connection = new RawConnection(socket)
    connection.write('CONNECT', ['accept-version:1.2', 'host:localhost'])
    await connection.next('CONNECTED')
    return connection
  }

  write(command: string, lines: readonly string[], body = ''): void {
    this.#socket.write(`${[command, ...lines].join('\n')}\n\n${body}\0`)
  }

  /** Writes a frame with a receipt and waits for it. */
  async sure(command: string, lines: readonly string[], body = ''): Promise<void> {
    this.write(command, [...lines, 'receipt:raw'], body)
    await this.next('RECEIPT')
  }

  /** The next frame of that command, which is taken off the record; rejects if an ERROR comes instead. */
  async next(command: string): Promise<RawFrame> {
    const end = performance.now() + answerMsMax
    for (;;) {
      const index = this.#frames.findIndex((frame) => frame.command === command || frame.command === 'ERROR')
      const [frame] = index < 0 ? [] : this.#frames.splice(index, 1)
      if (frame?.command === command) return frame
      if (frame !== undefined) throw new Error(`ERROR instead of ${command}: ${frame.lines.join(' | ')}`)
      const left = end - performance.now()
      if (left <= 0) throw new Error(`no ${command} within ${answerMsMax} ms`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(text: string): void {
    const parts = (this.#unread + text).split('\0')
    this.#unread = parts.pop() ?? ''
    for (const part of parts) {
      const frame = part.replace(/^\n+/, '')
      const split = frame.indexOf('\n\n')
      const [command = '', ...lines] = frame.slice(0, split).split('\n')
      this.#frames.push({ command, lines, body: frame.slice(split + 2) })
    }
    this.#wake()
  }
}
