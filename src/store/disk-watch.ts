import type { Clock, Timer } from '../clock.ts'
import { BrokerError } from '../errors.ts'
import { freeBytesMin, freeCheckBytes, freeCheckMs } from './journal-limits.ts'
import type { Disk } from './log/disk.ts'

/**
 * Looks how much room the device has, so that messages are refused with a reason before a write fails: after every so much
 * journal, and every second, since others take room as well.
 */
export class DiskWatch {
  readonly #disk: Disk
  readonly #clock: Clock
  #refusal: BrokerError | undefined
  #bytesSince: number
  #isLooking: boolean
  #timer: Timer | undefined
  #isStopped: boolean

  constructor(disk: Disk, clock: Clock) {
    this.#disk = disk
    this.#clock = clock
    this.#refusal = undefined
    this.#bytesSince = 0
    this.#isLooking = false
    this.#timer = undefined
    this.#isStopped = false
  }

  get refusal(): BrokerError | undefined {
    return this.#refusal
  }

  /** So much more has been written. */
  wrote(bytes: number): void {
    this.#bytesSince += bytes
    if (this.#bytesSince >= freeCheckBytes) void this.look()
  }

  async look(): Promise<void> {
    if (this.#isLooking || this.#isStopped) return
    this.#isLooking = true
    this.#bytesSince = 0
    this.#timer?.cancel()
    // If the device cannot tell, what it has told last holds; writing will show.
    const free = await this.#disk.freeBytes().catch(() => undefined)
    this.#isLooking = false
    if (this.#isStopped) return
    if (free !== undefined) this.#refusal = free < freeBytesMin ? full(free) : undefined
    this.#timer = this.#clock.after(freeCheckMs, () => void this.look())
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }
}

function full(free: number): BrokerError {
  const left = Math.floor(free / 2 ** 20)
  const sentence = `the disk of the data folder is nearly full: ${left} MiB are free, durable messages need ${freeBytesMin / 2 ** 20} MiB`
  return new BrokerError('resource-exhausted', sentence)
}
