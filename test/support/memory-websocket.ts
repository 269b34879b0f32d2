import type { Duplex } from 'node:stream'

/** WebSockets, as a page has them, at whose other ends are streams. */
export function memoryWebSocket(open: () => Duplex): unknown {
  return class extends EventTarget {
    binaryType = 'blob'
    readonly bufferedAmount = 0
    readonly #stream: Duplex

    constructor() {
      super()
      const stream = open()
      this.#stream = stream
      stream.on('data', (chunk: Buffer) => {
        this.dispatchEvent(new MessageEvent('message', { data: new Uint8Array(chunk).buffer }))
      })
      stream.on('close', () => this.dispatchEvent(Object.assign(new Event('close'), { reason: '' })))
      queueMicrotask(() => this.dispatchEvent(new Event('open')))
    }

    send(bytes: Uint8Array): void {
      if (!this.#stream.writableEnded) this.#stream.write(Buffer.from(bytes))
    }

    close(): void {
      this.#stream.end()
    }
  }
}
