import type { Message } from '../message.ts'
import type { QueuedDelivery } from './delivery.ts'
import type { Ready } from './ready.ts'
import { Walker } from './walker.ts'

/** A queue is swept for expired messages at most this often, and this many messages at a time. */
const sweepMs = 1000
const sweepBatch = 50_000

/** Knows when it is time to look through a queue for expired messages, and looks, a batch at a time. */
export class Expiry {
  readonly #ready: Ready
  /** No waiting message expires before this time. */
  #from: number
  #sweptAt: number
  /** The sweep under way, and the earliest expiry it has met. */
  #walker: Walker | undefined
  #metFrom: number

  constructor(ready: Ready) {
    this.#ready = ready
    this.#from = Number.POSITIVE_INFINITY
    this.#sweptAt = 0
    this.#walker = undefined
    this.#metFrom = Number.POSITIVE_INFINITY
  }

  /** A message has begun to wait. True if the next sweep may be earlier now. */
  note(message: Message): boolean {
    if (message.expiresAt === 0 || message.expiresAt >= this.#from) return false
    this.#from = message.expiresAt
    return true
  }

  /** Nothing of what is swept elsewhere expires before this time. */
  noteAt(time: number): void {
    this.#from = Math.min(this.#from, time)
  }

  /** When to sweep next; Infinity: nothing waits that expires. */
  dueAt(now: number): number {
    return this.#walker === undefined ? Math.max(this.#from, this.#sweptAt + sweepMs) : now + 1
  }

  /** Looks at the next batch, if it is time, and gives what has expired to `expire`, which takes it out. */
  sweep(now: number, expire: (delivery: QueuedDelivery) => void): void {
    if (this.#walker === undefined) {
      if (this.#from > now) return
      this.#walker = new Walker()
      this.#ready.watch(this.#walker)
      this.#metFrom = Number.POSITIVE_INFINITY
      this.#from = Number.POSITIVE_INFINITY
    }
    this.#ready.merge()
    if (!this.#look(this.#walker, now, expire)) return
    this.#ready.unwatch(this.#walker)
    this.#walker = undefined
    this.#sweptAt = now
    this.#from = Math.min(this.#from, this.#metFrom)
  }

  /** True if the end has been reached. */
  #look(walker: Walker, now: number, expire: (delivery: QueuedDelivery) => void): boolean {
    let left = sweepBatch
    for (const [priority, list] of this.#ready.lists.entries()) {
      if (list === undefined) continue
      for (let delivery = walker.step(priority, list); delivery !== undefined; delivery = walker.step(priority, list)) {
        const { expiresAt } = delivery.message
        if (isExpired(delivery, now)) expire(delivery)
        else if (expiresAt > now) this.#metFrom = Math.min(this.#metFrom, expiresAt)
        left -= 1
        if (left === 0) return false
      }
    }
    return true
  }
}

export function isExpired({ message, queue, sequence }: QueuedDelivery, now: number): boolean {
  const { expiresAt } = message
  return expiresAt > 0 && expiresAt <= now && queue.begun?.has(sequence) !== true
}
