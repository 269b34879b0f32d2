/**
 * The generator's own limit: a server that does as little as the generator can be given. Of a producer it reads the first SEND
 * frame and then only counts bytes, since it knows how long each frame is; receipts are one fixed frame, messages a fixed one
 * with the sequence and the time put in; acknowledgements are dropped unread.
 */
import type { Output } from '../src/transport/output.ts'
import type { Wire } from '../src/transport/wire.ts'
import { monotonicMs } from './monotonic.ts'
import { serve } from './serve.ts'
import { producerOf } from './stamp.ts'

const connected = Buffer.from('CONNECTED\nversion:1.2\n\n\0\n')
const subscribed = Buffer.from('RECEIPT\nreceipt-id:subscribed\n\n\0\n')
const receipt = Buffer.from('RECEIPT\nreceipt-id:1\n\n\0\n')
const messageHead = 'MESSAGE\nsubscription:0\ndestination:/queue/bench\nmessage-id:ID:sink-1-1\nack:1\ncontent-length:'
const blankLine = '\n\n'

class Subscribed {
  readonly output: Output
  readonly isTopic: boolean

  constructor(output: Output, isTopic: boolean) {
    this.output = output
    this.isTopic = isTopic
  }
}

/** What is known of a producer once its first frame is there. */
interface Source {
  readonly producer: number
  /** Bytes of a frame but for the digits of its receipt. */
  readonly frameBytes: number
  readonly message: Buffer
  /** Where the body starts in `message`. */
  readonly bodyStart: number
  sent: number
  /** Bytes of the next frame that are there already. */
  have: number
}

const subscribers: Subscribed[] = []

function accept(wire: Wire): void {
  const output = wire.open({ congested: () => undefined, drained: () => undefined })
  let head: Buffer | undefined = Buffer.alloc(0)
  let source: Source | undefined
  wire.stream.on('data', (chunk: Buffer) => {
    if (source !== undefined) {
      count(source, chunk.length, output)
      return
    }
    if (head === undefined) return
    if (chunk.length > 7 && chunk.toString('latin1', 0, 7) === 'CONNECT') {
      output.write(connected)
      return
    }
    if (head.length === 0 && chunk.toString('latin1', 0, 9) === 'SUBSCRIBE') {
      subscribers.push(new Subscribed(output, chunk.includes('destination:/topic/')))
      output.write(subscribed)
      head = undefined
      return
    }
    head = Buffer.concat([head, chunk])
    source = read(head)
    if (source !== undefined) count(source, head.length, output)
  })
  wire.stream.on('close', () => {
    const index = subscribers.findIndex((subscriber) => subscriber.output === output)
    if (index >= 0) subscribers.splice(index, 1)
  })
}

/** Learns from the first SEND, whose receipt is 1; undefined while it is not whole. */
function read(bytes: Buffer): Source | undefined {
  const end = bytes.indexOf(blankLine)
  if (end < 0) return undefined
  const bodyBytes = Number(/^content-length:(\d+)$/m.exec(bytes.toString('latin1', 0, end))?.[1])
  const bodyAt = end + blankLine.length
  if (bytes.length < bodyAt + bodyBytes) return undefined
  const head = Buffer.from(`${messageHead}${bodyBytes}${blankLine}`)
  const message = Buffer.concat([head, bytes.subarray(bodyAt, bodyAt + bodyBytes), Buffer.from('\0\n')])
  return {
    producer: producerOf(bytes, bodyAt),
    frameBytes: bodyAt + bodyBytes + 1 - 1,
    message,
    bodyStart: head.length,
    sent: 0,
    have: 0,
  }
}

/** So many more bytes of SEND frames. */
function count(source: Source, bytes: number, output: Output): void {
  const sentBefore = source.sent
  source.have += bytes
  for (let size = nextBytes(source); source.have >= size; size = nextBytes(source)) {
    source.have -= size
    source.sent += 1
    append(output, receipt)
  }
  if (source.sent > sentBefore) deliver(source, sentBefore)
}

/** Sends the messages from `first` on: to one subscriber, or one block of them to all. */
function deliver(source: Source, first: number): void {
  const now = monotonicMs()
  if (subscribers[0]?.isTopic !== true) {
    const subscriber = subscribers[source.producer % subscribers.length]
    if (subscriber === undefined) return
    for (let sequence = first; sequence < source.sent; sequence += 1) {
      stamp(source, sequence, now)
      append(subscriber.output, source.message)
    }
    return
  }
  const block = Buffer.allocUnsafeSlow((source.sent - first) * source.message.length)
  for (let sequence = first; sequence < source.sent; sequence += 1) {
    stamp(source, sequence, now)
    block.set(source.message, (sequence - first) * source.message.length)
  }
  for (const subscriber of subscribers) subscriber.output.write(block)
}

function stamp({ message, bodyStart }: Source, sequence: number, now: number): void {
  message.writeDoubleLE(sequence, bodyStart + 8)
  message.writeDoubleLE(now, bodyStart + 16)
}

function append(output: Output, bytes: Buffer): void {
  output.reserve(bytes.length)
  output.buffer.set(bytes, output.position)
  output.position += bytes.length
}

/** Producers number their receipts from 1. */
function nextBytes({ sent, frameBytes }: Source): number {
  let digits = 1
  for (let rest = sent + 1; rest >= 10; rest = Math.floor(rest / 10)) digits += 1
  return frameBytes + digits
}

await serve('sink', accept)
