/**
 * The bare relay: what the codec and the transport can do with no broker behind them, on the same frames. A RECEIPT for each
 * SEND at once, a MESSAGE to a subscriber with credit, an ACK gives one credit back. Messages without a subscriber that may
 * have them wait in one ring per destination. No sessions, limits, settlement, redelivery, store or policy.
 */
import { Decoder } from '../protocols/stomp/decoder.ts'
import {
  messagePrefix,
  OutgoingMessage,
  writeConnected,
  writeMessage,
  writeReceipt,
} from '../protocols/stomp/encoder.ts'
import { Command, type Frame, type FrameHandler, FrameScratch, type StompFault } from '../protocols/stomp/frame.ts'
import { Header } from '../protocols/stomp/headers.ts'
import { defaultFrameLimits } from '../protocols/stomp/limits.ts'
import { Ring } from '../src/broker/ring.ts'
import type { Output, WireEvents } from '../src/transport/output.ts'
import type { Wire } from '../src/transport/wire.ts'

const prefetch = 1000
const topicPrefix = '/topic/'

/** What a destination name leads to. */
class Destination {
  readonly isTopic: boolean
  readonly subscribers: Subscriber[]
  /** A blank line and a body each. */
  readonly #waiting: Ring<Buffer>
  #turn: number

  constructor(name: string) {
    this.isTopic = name.startsWith(topicPrefix)
    this.subscribers = []
    this.#waiting = new Ring()
    this.#turn = 0
  }

  /** `content` is lent: it is copied if it has to wait. */
  put(content: Buffer): void {
    if (this.isTopic) {
      for (const subscriber of this.subscribers) subscriber.deliver(content)
      return
    }
    const subscriber = this.#waiting.length > 0 ? undefined : this.#next()
    if (subscriber !== undefined) subscriber.deliver(content)
    else this.#waiting.push(Buffer.from(content))
  }

  /** A subscriber has credit. */
  serve(): void {
    if (this.#waiting.length === 0) return
    for (let subscriber = this.#next(); subscriber !== undefined; subscriber = this.#next()) {
      const content = this.#waiting.shift()
      if (content === undefined) return
      subscriber.deliver(content)
    }
  }

  #next(): Subscriber | undefined {
    const { length } = this.subscribers
    for (let tried = 0; tried < length; tried += 1) {
      this.#turn = this.#turn + 1 < length ? this.#turn + 1 : 0
      const subscriber = this.subscribers[this.#turn]
      if (subscriber !== undefined && subscriber.credit > 0) return subscriber
    }
    return undefined
  }
}

/** One SUBSCRIBE. */
class Subscriber {
  credit: number
  readonly #output: Output
  readonly #outgoing: OutgoingMessage
  readonly #prefix: Buffer
  readonly #acknowledges: boolean
  #count: number

  constructor(output: Output, outgoing: OutgoingMessage, frame: Frame) {
    this.#acknowledges = !frame.equals(Header.ack, 'auto')
    this.credit = this.#acknowledges ? prefetch : Number.POSITIVE_INFINITY
    this.#output = output
    this.#outgoing = outgoing
    this.#prefix = messagePrefix('1.2', frame.text(Header.id), frame.text(Header.destination))
    this.#count = 0
  }

  deliver(content: Buffer): void {
    const outgoing = this.#outgoing
    this.credit -= 1
    this.#count += 1
    outgoing.number = this.#count
    outgoing.ack = this.#acknowledges ? this.#count : 0
    outgoing.content = content
    writeMessage(this.#output, this.#prefix, outgoing)
  }
}

/** What all connections share. */
class Relay {
  readonly scratch: FrameScratch
  readonly outgoing: OutgoingMessage
  readonly #destinations: Map<string, Destination>

  constructor() {
    this.scratch = new FrameScratch()
    this.outgoing = new OutgoingMessage()
    this.outgoing.idPrefix = Buffer.from('ID:relay-1-')
    this.outgoing.bodyOffset = 1
    this.#destinations = new Map()
  }

  destination(name: string): Destination {
    const found = this.#destinations.get(name)
    if (found !== undefined) return found
    const made = new Destination(name)
    this.#destinations.set(name, made)
    return made
  }
}

class RelayConnection implements FrameHandler, WireEvents {
  readonly #relay: Relay
  readonly #wire: Wire
  readonly #output: Output
  readonly #decoder: Decoder
  #subscriber: Subscriber | undefined
  #subscribed: Destination | undefined
  #lastRaw: Uint8Array
  #lastDestination: Destination | undefined

  constructor(wire: Wire, relay: Relay) {
    this.#relay = relay
    this.#wire = wire
    this.#output = wire.open(this)
    this.#decoder = new Decoder(this, defaultFrameLimits, relay.scratch)
    this.#subscriber = undefined
    this.#subscribed = undefined
    this.#lastRaw = Buffer.alloc(0)
    this.#lastDestination = undefined
    wire.stream.on('data', (chunk: Buffer) => this.#decoder.push(chunk))
    wire.stream.on('close', () => this.#leave())
  }

  onFrame(frame: Frame): void {
    switch (frame.command) {
      case Command.send:
        this.#send(frame)
        return
      case Command.ack:
        this.#acknowledge()
        return
      case Command.connect:
        this.#decoder.version = '1.2'
        writeConnected(this.#output, [['version', '1.2']])
        return
      case Command.subscribe:
        this.#subscribe(frame)
        return
      default:
        this.#wire.stream.destroy()
    }
  }

  onHeartBeat(): void {
    // Asked for by nobody.
  }

  onError(_fault: StompFault): void {
    this.#wire.stream.destroy()
  }

  congested(): void {
    // The generator bounds what is on its way.
  }

  drained(): void {
    // See above.
  }

  #send(frame: Frame): void {
    // The line feed before the body is the blank line that content begins with.
    this.#destinationOf(frame).put(frame.bytes.subarray(frame.bodyStart - 1, frame.bodyEnd))
    this.#receipt(frame)
  }

  #acknowledge(): void {
    if (this.#subscriber !== undefined) this.#subscriber.credit += 1
    this.#subscribed?.serve()
  }

  #subscribe(frame: Frame): void {
    this.#subscriber = new Subscriber(this.#output, this.#relay.outgoing, frame)
    this.#subscribed = this.#relay.destination(frame.text(Header.destination) ?? '')
    this.#subscribed.subscribers.push(this.#subscriber)
    this.#receipt(frame)
    this.#subscribed.serve()
  }

  #receipt(frame: Frame): void {
    if (!frame.has(Header.receipt)) return
    writeReceipt(this.#output, frame.bytes, frame.valueStart(Header.receipt), frame.valueEnd(Header.receipt))
  }

  #destinationOf(frame: Frame): Destination {
    const last = this.#lastDestination
    if (last !== undefined && frame.equalsBytes(Header.destination, this.#lastRaw)) return last
    this.#lastRaw = frame.rawValue(Header.destination) ?? Buffer.alloc(0)
    this.#lastDestination = this.#relay.destination(frame.text(Header.destination) ?? '')
    return this.#lastDestination
  }

  #leave(): void {
    this.#decoder.close()
    this.#output.discard()
    const subscribers = this.#subscribed?.subscribers ?? []
    const index = this.#subscriber === undefined ? -1 : subscribers.indexOf(this.#subscriber)
    if (index >= 0) subscribers.splice(index, 1)
  }
}

/** A relay of its own: what it returns takes the connections. */
export function createRelay(): (wire: Wire) => void {
  const relay = new Relay()
  return (wire) => {
    new RelayConnection(wire, relay)
  }
}
