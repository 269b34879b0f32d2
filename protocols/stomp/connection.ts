import {
  type Broker,
  BrokerError,
  type Deadline,
  type Due,
  type Output,
  Reading,
  type Wire,
  type WireEvents,
} from '../../src/core.ts'
import { type Agreement, heartBeats, readConnect, supportedVersions } from './connect.ts'
import type { StompFormat } from './content.ts'
import { Decoder } from './decoder.ts'
import { type OutgoingMessage, writeConnected, writeError, writeHeartBeat } from './encoder.ts'
import { Command, type Frame, type FrameHandler, type FrameScratch, type StompFault } from './frame.ts'
import { Header, type Version } from './headers.ts'
import type { StompOptions } from './limits.ts'
import { type ConnectionHost, StompSession } from './session.ts'

/** What all connections of one listener share. */
export interface Shared {
  readonly broker: Broker
  readonly options: StompOptions
  /** The server header of CONNECTED. */
  readonly serverName: string
  readonly scratch: FrameScratch
  readonly outgoing: OutgoingMessage
  readonly formats: Readonly<Record<Version, StompFormat>>
}

/** A client that sends heart-beats is given up after this many times the agreed period without a byte. */
const heartBeatTolerance = 2.5

/** One connection from its first byte to its last: CONNECT, heart-beats, errors, the end. */
export class StompConnection implements FrameHandler, ConnectionHost, WireEvents, Due {
  readonly output: Output
  now: number
  readonly #shared: Shared
  readonly #wire: Wire
  readonly #decoder: Decoder
  readonly #deadline: Deadline
  readonly #reading: Reading
  #session: StompSession | undefined
  #version: Version
  #isEnding: boolean
  #sendMs: number
  #receiveMs: number
  #beatAt: number

  constructor(wire: Wire, shared: Shared) {
    this.now = shared.broker.clock.now()
    this.#shared = shared
    this.#wire = wire
    this.output = wire.open(this)
    this.#decoder = new Decoder(this, shared.options.limits, shared.scratch)
    this.#deadline = shared.broker.deadline(this)
    this.#reading = new Reading(wire.stream, shared.broker.limits.outputBytesHigh)
    this.#session = undefined
    this.#version = '1.0'
    this.#isEnding = false
    this.#sendMs = 0
    this.#receiveMs = 0
    this.#beatAt = 0
    this.#deadline.set(this.now + shared.options.connectMsMax)
    wire.stream.on('data', (chunk: Buffer) => this.#onData(chunk))
    wire.stream.on('close', () => this.#onClose())
  }

  onFrame(frame: Frame): void {
    if (this.#session === undefined) this.#connect(frame)
    else this.#carryOut(this.#session, frame)
  }

  onHeartBeat(): void {
    // Any byte counts; see #onData.
  }

  onError(fault: StompFault): void {
    const receipt = fault.receipt === undefined ? undefined : Buffer.from(fault.receipt).toString()
    this.#fail(new BrokerError(fault.code, fault.sentence), receipt, undefined)
  }

  readable(isReadable: boolean): void {
    if (isReadable) this.#reading.release('full')
    else this.#reading.hold('full')
  }

  fail(error: BrokerError): void {
    this.#fail(error, undefined, undefined)
  }

  finished(): void {
    this.#end('clean')
  }

  congested(): void {
    this.#session?.suspend()
  }

  drained(): void {
    this.#session?.resume()
    this.#reading.release('unread')
  }

  /** Called by the deadlines: no CONNECT yet, or time for a heart-beat. */
  due(now: number): void {
    if (this.#session === undefined) {
      const { connectMsMax } = this.#shared.options
      this.fail(new BrokerError('timed-out', `no CONNECT came within ${connectMsMax} ms`))
      return
    }
    if (this.#receiveMs > 0 && now - this.now > this.#receiveMs * heartBeatTolerance) {
      this.fail(
        new BrokerError('timed-out', `nothing came for ${now - this.now} ms; agreed were ${this.#receiveMs} ms`),
      )
      return
    }
    if (this.#sendMs > 0 && now >= this.#beatAt) {
      writeHeartBeat(this.output)
      this.output.endFrame()
      this.#beatAt = now + this.#sendMs
    }
    this.#armHeartBeat(now)
  }

  #onData(chunk: Buffer): void {
    this.now = this.#shared.broker.clock.now()
    if (this.#isEnding) return
    this.#decoder.push(chunk)
    this.#reading.took(this.output)
  }

  #onClose(): void {
    this.#isEnding = true
    this.#deadline.clear()
    this.#decoder.close()
    this.output.discard()
    this.#session?.close('lost')
    this.#session = undefined
  }

  /** STOMP 1.2 "CONNECT or STOMP Frame": the first frame, and no other. */
  #connect(frame: Frame): void {
    if (frame.command !== Command.connect && frame.command !== Command.stomp) {
      this.fail(new BrokerError('protocol-error', `the first frame must be CONNECT or STOMP, not ${frame.commandName}`))
      return
    }
    const agreement = readConnect(frame)
    if (agreement instanceof BrokerError) {
      this.fail(agreement)
      return
    }
    this.#decoder.version = agreement.version
    this.#version = agreement.version
    // What comes meanwhile waits in the operating system, not here.
    this.#decoder.pause()
    this.#reading.hold('login')
    const { user, password, clientId } = agreement
    const { remote, isLocal } = this.#wire
    const login = { user, password, clientId, protocol: 'stomp', remote, isLocal }
    this.#shared.broker.authenticate(login, (result) => {
      if (this.#isEnding) return
      if (result instanceof BrokerError) this.fail(result)
      else this.#open(agreement, result)
    })
  }

  #open(agreement: Agreement, identity: Parameters<Broker['connect']>[0]): void {
    const { broker, formats, outgoing, options, serverName } = this.#shared
    const { version } = agreement
    const session = new StompSession(this, version, formats[version], outgoing, options)
    const held = broker.connect(identity, session)
    if (held instanceof BrokerError) {
      this.fail(held)
      return
    }
    session.open(held)
    this.#session = session
    this.#deadline.clear()
    const { sendMs, receiveMs } = heartBeats(agreement, options.heartBeatMs)
    this.#sendMs = sendMs
    this.#receiveMs = receiveMs
    this.#beatAt = this.now + sendMs
    this.#armHeartBeat(this.now)
    writeConnected(this.output, [
      ['version', version],
      ['heart-beat', `${options.heartBeatMs},${options.heartBeatMs}`],
      ['session', held.id],
      ['server', serverName],
    ])
    this.output.endFrame()
    this.#reading.release('login')
    this.#decoder.resume()
  }

  #carryOut(session: StompSession, frame: Frame): void {
    const error = session.handle(frame)
    if (error !== undefined) this.#fail(error, frame.text(Header.receipt), frame.text(Header.id))
    else if (frame.command === Command.disconnect) this.#decoder.close()
  }

  /** STOMP 1.2 "ERROR": says what is wrong, names the frame, and closes the connection. */
  #fail(error: BrokerError, receipt: string | undefined, id: string | undefined): void {
    if (this.#isEnding) return
    const headers: [string, string][] = [['message', error.message.split('\n')[0] ?? '']]
    if (receipt !== undefined) headers.unshift(['receipt-id', receipt])
    if (id !== undefined) headers.push(['id', id])
    if (this.#session === undefined) headers.push(['version', supportedVersions])
    headers.push(['code', error.code])
    writeError(this.output, headers, this.#version, error.message)
    this.output.endFrame()
    this.#end('lost')
  }

  #end(how: 'clean' | 'lost'): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#deadline.clear()
    this.#decoder.close()
    this.#session?.close(how)
    this.#session = undefined
    this.output.end()
    this.#reading.finish()
  }

  /** The next time at which a heart-beat is to be sent, or to have come. */
  #armHeartBeat(now: number): void {
    const receiveAt =
      this.#receiveMs > 0 ? this.now + this.#receiveMs * heartBeatTolerance + 1 : Number.POSITIVE_INFINITY
    const sendAt = this.#sendMs > 0 ? this.#beatAt : Number.POSITIVE_INFINITY
    const at = Math.min(receiveAt, sendAt)
    if (at !== Number.POSITIVE_INFINITY) this.#deadline.set(Math.max(at, now + 1))
  }
}
