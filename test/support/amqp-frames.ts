import {
  type AmqpPeer,
  composite,
  descriptorOf,
  encode,
  fieldsOf,
  type ReceivedFrame,
  type Seen,
  sectionsOf,
  t,
  type Wired,
} from './amqp-peer.ts'

export const accepted = composite(0x24)

/** A message with a string for its body. */
export function text(body: string): Buffer {
  return encode(t.described(0x77, t.string(body)))
}

/** What the value section of a transfer holds. */
export function bodyOf(frame: ReceivedFrame): Seen | undefined {
  return sectionsOf(frame.payload).get(0x77)
}

/** The condition of the error that a frame carries. */
export function conditionOf(frame: ReceivedFrame): Seen | undefined {
  return fieldsOf(frame.fields.find((field) => descriptorOf(field) === 0x1d))[0]
}

export interface TerminusOptions {
  readonly durable?: number
  readonly policy?: string
  /** Seconds. */
  readonly timeout?: number
  readonly capabilities?: readonly string[]
}

function terminus(code: number, address: string, options: TerminusOptions): Wired {
  const { durable = 0, policy, timeout = 0, capabilities } = options
  const symbol = policy === undefined ? undefined : t.symbol(policy)
  const between = new Array<undefined>(code === 0x28 ? 6 : 2).fill(undefined)
  const symbols = capabilities === undefined ? undefined : t.symbols(...capabilities)
  return composite(code, t.string(address), t.uint(durable), symbol, t.uint(timeout), ...between, symbols)
}

export function source(address: string, options: TerminusOptions = {}): Wired {
  return terminus(0x28, address, options)
}

export function target(address: string, options: TerminusOptions = {}): Wired {
  return terminus(0x29, address, options)
}

/** Detaches a link and waits for the answer. */
export async function detach(peer: AmqpPeer, handle: number, closed = false): Promise<ReceivedFrame> {
  peer.send(composite(0x16, t.uint(handle), t.boolean(closed)))
  return peer.next(0x16)
}

/** Cuts the wire of a peer. */
export async function lost(peer: AmqpPeer): Promise<void> {
  peer.cut()
  await peer.closed
}
