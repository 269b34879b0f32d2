import { connect, type Socket } from 'node:net'
import { Decoder } from '../../../protocols/mqtt/decoder.ts'
import type { ByteSink } from '../../../protocols/mqtt/encoder.ts'
import { defaultPacketLimits } from '../../../protocols/mqtt/limits.ts'
import type { Place } from './place.ts'

export interface LinkEvents {
  /** A whole packet; the bytes are a view for as long as the call lasts. */
  packet(first: number, bytes: Buffer, start: number, end: number): void
  /** The connection has gone, or what comes is no MQTT. Told once. */
  closed(error: { readonly code?: string; readonly message: string }): void
}

const blockBytes = 64 * 1024

/** Packets over a socket. What is written goes out together, soon. */
export class MqttLink implements ByteSink {
  buffer: Buffer
  position: number
  readonly #socket: Socket
  readonly #beforeWrite: () => void
  #start: number
  #isDue: boolean

  /** `beforeWrite` is called before bytes go out, and may add to them. */
  constructor({ host, port }: Place, events: LinkEvents, beforeWrite: () => void) {
    this.buffer = Buffer.allocUnsafe(blockBytes)
    this.position = 0
    this.#start = 0
    this.#isDue = false
    this.#beforeWrite = beforeWrite
    this.#socket = connect({ host, port, noDelay: true })
    const onFault = ({ message }: { message: string }): void => {
      this.#socket.destroy(new Error(message))
    }
    const decoder = new Decoder(
      {
        onPacket: (first, bytes, start, end) => events.packet(first, bytes, start, end),
        onError: ({ sentence }) => onFault({ message: `what comes is no MQTT: ${sentence}` }),
      },
      defaultPacketLimits,
    )
    // Servers may send anything at once, not only what may come before a CONNECT.
    decoder.isConnected = true
    let cause: NodeJS.ErrnoException | undefined
    this.#socket.on('data', (chunk) => decoder.push(chunk))
    this.#socket.on('error', (error) => {
      cause = error
    })
    this.#socket.on('close', () => events.closed(cause ?? new Error('it hung up')))
  }

  reserve(bytes: number): void {
    this.#due()
    if (this.position + bytes <= this.buffer.length) return
    this.#push()
    this.buffer = Buffer.allocUnsafe(Math.max(blockBytes, bytes))
    this.position = 0
    this.#start = 0
  }

  write(bytes: Uint8Array): void {
    this.#due()
    this.#push()
    this.#socket.write(bytes)
  }

  end(): void {
    this.flush()
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  flush(): void {
    this.#beforeWrite()
    this.#isDue = false
    this.#push()
  }

  #due(): void {
    if (this.#isDue) return
    this.#isDue = true
    setImmediate(() => {
      if (this.#isDue) this.flush()
    })
  }

  #push(): void {
    if (this.position > this.#start) this.#socket.write(this.buffer.subarray(this.#start, this.position))
    this.#start = this.position
  }
}
