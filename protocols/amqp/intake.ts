import { PeerFault } from './conditions.ts'
import { Disposition, Flow, type Frame, isSound, Transfer } from './decoder.ts'
import { type AmqpFault, Code, Cursor, decodeFault, Performative } from './frame.ts'
import type { AmqpSession } from './session.ts'
import { FieldFault } from './typed.ts'

/** Where frames go once they are read. */
export interface IntakeHost {
  /** The peer's open has been answered. */
  readonly isOpen: boolean
  sessionOn(channel: number): AmqpSession | undefined
  /** Gives rhea a whole frame or a protocol header. May throw what the peer did wrong. */
  control(bytes: Buffer): void
  onFault(fault: AmqpFault): void
}

/**
 * Reads frames: transfers, flows and dispositions for our own lanes; what is left goes to rhea once all of it has been found
 * sound, so that its reader meets nothing that it could stumble over.
 */
export class Intake {
  readonly #host: IntakeHost
  readonly #cursor: Cursor
  readonly #transfer: Transfer
  readonly #flow: Flow
  readonly #disposition: Disposition
  #isSaslBegun: boolean

  constructor(host: IntakeHost) {
    this.#host = host
    this.#cursor = new Cursor(Buffer.alloc(0))
    this.#transfer = new Transfer()
    this.#flow = new Flow()
    this.#disposition = new Disposition()
    this.#isSaslBegun = false
  }

  /** A frame of the SASL layer: one init, then responses. False: not one that a client may send now. */
  readSasl(frame: Frame): boolean {
    const cursor = this.#at(frame)
    const code = cursor.performative()
    if (code !== (this.#isSaslBegun ? Performative.saslResponse : Performative.saslInit)) return false
    this.#isSaslBegun = true
    this.#control(frame, cursor)
    return true
  }

  /** A frame of the AMQP layer. */
  read(frame: Frame): void {
    const cursor = this.#at(frame)
    const code = cursor.performative()
    switch (code) {
      case Performative.transfer:
        this.#onTransfer(frame, cursor)
        return
      case Performative.disposition:
        this.#onDisposition(frame, cursor)
        return
      case Performative.flow:
        this.#onFlow(frame, cursor)
        return
      default:
        if (code < Performative.open || code > Performative.close) {
          this.#host.onFault(decodeFault('a frame that begins with no performative'))
        } else if (code !== Performative.open && !this.#host.isOpen) {
          this.#host.onFault({ condition: 'amqp:illegal-state', sentence: 'the first frame must be open' })
        } else this.#control(frame, cursor)
    }
  }

  /** Has rhea read a protocol header or a frame. Whatever it or we throw over it is the peer's fault. */
  guarded(bytes: Buffer): void {
    try {
      this.#host.control(bytes)
    } catch (error) {
      if (error instanceof PeerFault) this.#host.onFault(error.fault)
      else if (error instanceof FieldFault) this.#host.onFault(decodeFault(error.message))
      else if (error instanceof Error) this.#host.onFault({ condition: 'amqp:not-allowed', sentence: error.message })
      else throw error
    }
  }

  #at(frame: Frame): Cursor {
    this.#cursor.set(frame.bytes, frame.bodyStart, frame.end)
    return this.#cursor
  }

  #control(frame: Frame, cursor: Cursor): void {
    if (isListAt(cursor)) this.guarded(frame.bytes.subarray(frame.start, frame.end))
    else this.#host.onFault(decodeFault('a performative that is no list, or cannot be read'))
  }

  #onTransfer(frame: Frame, cursor: Cursor): void {
    const session = this.#sessionOf(frame)
    if (session === undefined) return
    const fault = this.#transfer.read(cursor)
    if (fault === undefined) session.onTransfer(this.#transfer, frame)
    else this.#host.onFault(fault)
  }

  #onDisposition(frame: Frame, cursor: Cursor): void {
    const session = this.#sessionOf(frame)
    if (session === undefined) return
    const fault = this.#disposition.read(cursor)
    if (fault === undefined) session.onDisposition(this.#disposition, frame.bytes)
    else this.#host.onFault(fault)
  }

  #onFlow(frame: Frame, cursor: Cursor): void {
    const session = this.#sessionOf(frame)
    if (session === undefined) return
    const fault = this.#flow.read(cursor)
    if (fault === undefined) session.onFlow(this.#flow)
    else this.#host.onFault(fault)
  }

  #sessionOf({ channel }: Frame): AmqpSession | undefined {
    const session = this.#host.sessionOn(channel)
    if (session === undefined) {
      this.#host.onFault({ condition: 'amqp:not-allowed', sentence: `channel ${channel} has no session` })
    }
    return session
  }
}

function isListAt(cursor: Cursor): boolean {
  const code = cursor.bytes[cursor.at]
  return (code === Code.list0 || code === Code.list8 || code === Code.list32) && isSound(cursor)
}
