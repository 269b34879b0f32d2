import type { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import type { Readable, Writable } from 'node:stream'

/** The part of stompit 1.0.0 that the command line uses; the package has no types of its own. */
export interface Stompit {
  connect(options: ConnectOptions, done: (error: ClientError | null, client: StompitClient) => void): StompitClient
}

/** Loads the package: it costs time that only a command that connects should pay. */
export function loadStompit(): Stompit {
  return createRequire(import.meta.url)('stompit') as Stompit
}

export type Headers = Record<string, string | number>

export interface ConnectOptions {
  readonly host: string
  readonly port: number
  /** Milliseconds for the connection, not for CONNECTED. */
  readonly timeout: number
  readonly connectHeaders: Headers
  readonly heartbeatDelayMargin: number
  readonly heartbeatOutputMargin: number
  readonly maxLineLength: number
  readonly maxHeaders: number
}

/** A frame as it comes in; the body is read from it. */
export interface IncomingFrame extends Readable {
  readonly command: string
  readonly headers: Readonly<Record<string, string>>
}

export interface ClientError extends Error {
  readonly code?: string
  /** The body of the ERROR frame. */
  longMessage?: string
  /** True if the broker has sent an ERROR. */
  isApplicationError(): boolean
}

export interface SendOptions {
  onReceipt(): void
}

export interface StompitClient extends EventEmitter {
  send(headers: Headers, options?: SendOptions): Writable
  subscribe(headers: Headers, onMessage: (error: Error | null, frame: IncomingFrame) => void): void
  ack(frame: IncomingFrame): void
  disconnect(done: (error: ClientError | null) => void): void
  destroy(error?: Error): void
  createApplicationError(message: string): ClientError
  setCommandHandlers(handlers: CommandHandlers): void
}

type CommandHandlers = Readonly<Record<string, (frame: IncomingFrame, done: () => void) => void>>

/**
 * Has the client report ERROR frames. Its own handler destroys the frame in place of the client, which ends the process
 * with an error that nobody can catch. To be called before the client is connected.
 */
export function mendErrors(client: StompitClient): void {
  const onError = (frame: IncomingFrame) => {
    const chunks: Buffer[] = []
    frame.on('data', (chunk: Buffer) => chunks.push(chunk))
    frame.on('end', () => {
      const error = client.createApplicationError(frame.headers.message ?? 'the broker sent an ERROR without a message')
      error.longMessage = Buffer.concat(chunks).toString().trim()
      client.destroy(error)
    })
  }
  const set = client.setCommandHandlers.bind(client)
  client.setCommandHandlers = (handlers) => set({ ...handlers, ERROR: onError })
}
