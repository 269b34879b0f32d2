/** How long a run must take before it shows how far it is, and how often it does then. */
const patienceMs = 1000
const intervalMs = 200

const barCells = 24

/** A line on the terminal that says how far a long run is. Shows nothing if standard error is no terminal. */
export class Progress {
  readonly #verb: string
  readonly #total: number | undefined
  readonly #text: (count: number) => string
  readonly #startedAt: number
  readonly #timer: NodeJS.Timeout | undefined
  #isShown: boolean
  count: number

  /** `text`: how a count is written, if it is not one of things. */
  constructor(verb: string, total: number | undefined, text: (count: number) => string = String) {
    this.#verb = verb
    this.#total = total
    this.#text = text
    this.#startedAt = performance.now()
    this.#isShown = false
    this.count = 0
    this.#timer = process.stderr.isTTY ? setInterval(() => this.#show(), intervalMs) : undefined
    this.#timer?.unref()
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt
  }

  get perSecond(): number {
    return this.count / (this.elapsedMs / 1000)
  }

  /** Takes the line away. */
  end(): void {
    clearInterval(this.#timer)
    if (this.#isShown) process.stderr.write('\r\u001b[K')
  }

  #show(): void {
    if (this.elapsedMs < patienceMs) return
    this.#isShown = true
    const of = this.#total === undefined ? '' : ` of ${this.#text(this.#total)}`
    const rate = this.#text(Math.round(this.perSecond))
    process.stderr.write(`\r\u001b[K${this.#bar()}${this.#verb} ${this.#text(this.count)}${of}, ${rate} a second`)
  }

  #bar(): string {
    if (this.#total === undefined || this.#total === 0) return ''
    const share = Math.min(1, this.count / this.#total)
    const filled = Math.floor(share * barCells)
    return `[${'#'.repeat(filled)}${'.'.repeat(barCells - filled)}] ${Math.floor(share * 100)} % `
  }
}
