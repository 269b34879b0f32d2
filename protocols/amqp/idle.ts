/** Empty frames are sent no more often than this. */
const beatMsMin = 20

/** When a peer has been silent for too long, and when it is to hear of us (part 2, section 2.4.5). */
export class IdleTimes {
  /** How long the peer may be silent, milliseconds; 0: for ever. */
  readonly silentMsMax: number
  /** How often an empty frame goes out, and when the next one does; 0: never. */
  #beatMs: number
  #beatAt: number

  constructor(silentMsMax: number) {
    this.silentMsMax = silentMsMax
    this.#beatMs = 0
    this.#beatAt = 0
  }

  /** The `idle-time-out` of the peer's open; 0: none. */
  promise(idleMs: number): void {
    this.#beatMs = idleMs === 0 ? 0 : Math.max(Math.floor(idleMs / 2), beatMsMin)
  }

  begin(now: number): void {
    this.#beatAt = now + this.#beatMs
  }

  isTooSilent(silentMs: number): boolean {
    return this.silentMsMax > 0 && silentMs >= this.silentMsMax
  }

  /** Whether an empty frame is to be sent now; the next one is due later then. */
  beats(now: number): boolean {
    if (this.#beatMs === 0 || now < this.#beatAt) return false
    this.#beatAt = now + this.#beatMs
    return true
  }

  /** The next time to look, if there is one. */
  next(heardAt: number, now: number): number | undefined {
    const silentAt = this.silentMsMax > 0 ? heardAt + this.silentMsMax : Number.POSITIVE_INFINITY
    const at = Math.min(silentAt, this.#beatMs > 0 ? this.#beatAt : Number.POSITIVE_INFINITY)
    return at === Number.POSITIVE_INFINITY ? undefined : Math.max(at, now + 1)
  }
}
