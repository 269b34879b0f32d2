import type { Message } from '../message.ts'

/** A sender that a gate can hold up. */
export interface Sender {
  /** One more gate holds it. */
  hold(): void
  /** One gate less. */
  free(): void
}

/** Holds up senders while something is full. */
export class Gate {
  #held: Set<Sender> | undefined

  constructor() {
    this.#held = undefined
  }

  get isShut(): boolean {
    return this.#held !== undefined
  }

  /** Holds the sender until the gate opens. */
  hold(sender: Sender): void {
    this.#held ??= new Set()
    if (this.#held.has(sender)) return
    this.#held.add(sender)
    sender.hold()
  }

  /** The sender ends; nobody needs to free it any more. */
  forget(sender: Sender): void {
    this.#held?.delete(sender)
  }

  open(): void {
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) for (const sender of held) sender.free()
  }
}

/** A gate opens again when use has fallen to this share of the limit, so that it does not flutter. */
export const lowWater = 0.9

/** The memory that messages take, each counted once however many queues hold it. */
export class Memory {
  readonly gate: Gate
  readonly bytesMax: number
  #bytes: number

  constructor(bytesMax: number) {
    this.gate = new Gate()
    this.bytesMax = bytesMax
    this.#bytes = 0
  }

  get bytes(): number {
    return this.#bytes
  }

  /** One more queue holds the message. */
  hold(message: Message): void {
    message.holders += 1
    if (message.holders === 1) this.#bytes += message.size
  }

  /** One queue less holds it. */
  release(message: Message): void {
    message.holders -= 1
    if (message.holders === 0) this.subtract(message.size)
  }

  /** Bytes that are held in another way than by a message object. */
  add(bytes: number): void {
    this.#bytes += bytes
  }

  subtract(bytes: number): void {
    this.#bytes -= bytes
    if (this.gate.isShut && this.#bytes <= this.bytesMax * lowWater) this.gate.open()
  }
}
