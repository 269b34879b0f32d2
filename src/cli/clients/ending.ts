/** The end of a connection that nobody asked for, told to whoever awaits it. */
export class Ending {
  readonly failed: Promise<never>
  /** We end it ourselves: what comes now is no failure. */
  isExpected: boolean
  #reject: (error: Error) => void

  constructor() {
    this.isExpected = false
    this.#reject = () => undefined
    this.failed = new Promise((_resolve, reject) => {
      this.#reject = reject
    })
    // Whoever awaits it is told; nobody need.
    this.failed.catch(() => undefined)
  }

  fail(error: Error): void {
    if (!this.isExpected) this.#reject(error)
  }
}
