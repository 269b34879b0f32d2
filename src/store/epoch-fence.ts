/**
 * The epoch file: which opening of the store its folder belongs to, as one line of JSON,
 *
 *     {"epoch":7,"id":"5f0c..."}
 *
 * written and flushed before anything is appended. Whoever opened the folder before, and does not know that it has lost it, as over
 * a network file system whose lock has gone, finds another line there.
 */
import { randomUUID } from 'node:crypto'
import type { Clock, Timer } from '../clock.ts'
import { BrokerError } from '../errors.ts'
import { epochCheckMs, epochStallMsMax } from './journal-limits.ts'
import type { Disk } from './log/disk.ts'

const name = 'epoch'

export class EpochFence {
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #failed: (error: BrokerError) => void
  #line: string
  #checkedAt: number
  #checking: Promise<void> | undefined
  #timer: Timer | undefined
  #isStopped: boolean

  /** `failed` is called once the folder is another's, or that cannot be told any more. */
  constructor(disk: Disk, clock: Clock, failed: (error: BrokerError) => void) {
    this.#disk = disk
    this.#clock = clock
    this.#failed = failed
    this.#line = ''
    this.#checkedAt = 0
    this.#checking = undefined
    this.#timer = undefined
    this.#isStopped = false
  }

  /** The epoch that the file tells of; 0 if there is none. */
  async last(): Promise<number> {
    if (!(await this.#disk.list()).includes(name)) return 0
    try {
      const { epoch } = JSON.parse((await this.#disk.readFile(name)).toString()) as { epoch?: unknown }
      return typeof epoch === 'number' && epoch > 0 && epoch < 2 ** 32 - 1 ? Math.floor(epoch) : 0
    } catch {
      return 0
    }
  }

  /** Takes the folder for this epoch; on disk when it resolves. Looks after it from then on. */
  async take(epoch: number): Promise<void> {
    this.#line = `${JSON.stringify({ epoch, id: randomUUID() })}\n`
    await this.#disk.writeFile(name, Buffer.from(this.#line))
    await this.#disk.flushFolder()
    this.#checkedAt = this.#clock.now()
    this.#schedule()
  }

  /**
   * Undefined if the folder was this broker's a short while ago; after a longer stall a promise, which resolves when it has been
   * looked at again. Whoever waits for it finds the store failed if it was not.
   */
  check(): Promise<void> | undefined {
    return this.#clock.now() - this.#checkedAt > epochStallMsMax ? this.#look() : undefined
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #schedule(): void {
    if (this.#isStopped) return
    this.#timer = this.#clock.after(epochCheckMs, () => void this.#look().then(() => this.#schedule()))
  }

  #look(): Promise<void> {
    this.#checking ??= this.#compare().finally(() => {
      this.#checking = undefined
    })
    return this.#checking
  }

  async #compare(): Promise<void> {
    const found = await this.#disk.readFile(name).then(String, (error: Error) => error)
    if (this.#isStopped) return
    if (found === this.#line) {
      this.#checkedAt = this.#clock.now()
      return
    }
    this.stop()
    const reason =
      found instanceof Error ? `the epoch file cannot be read: ${found.message}` : `it says ${found.trim()}`
    this.#failed(new BrokerError('store-failed', `the data folder is not this broker's any more: ${reason}`))
  }
}
