/** How many times the high watermark may wait for a peer that does not read before what it sends is not read either. */
const unreadFactor = 8

/** Why a connection is not read: its peer does not read; it has too much that is not done; its login is being checked. */
const holds = { unread: 1, full: 2, login: 4 } as const
export type Hold = keyof typeof holds

/** The stream that is read. */
export interface Pausable {
  pause(): unknown
  resume(): unknown
}

/** What is written to the same peer. */
export interface Writing {
  readonly isCongested: boolean
  readonly waitingBytes: number
  /** Input of the peer has been read and dealt with. */
  inputRead(): void
}

/** Whether a connection is read: not as long as anything holds it. */
export class Reading {
  readonly #stream: Pausable
  readonly #unreadBytesMax: number
  #holds: number
  #isFinished: boolean

  /** `highBytes`: the high watermark of what waits to be written. */
  constructor(stream: Pausable, highBytes: number) {
    this.#stream = stream
    this.#unreadBytesMax = highBytes * unreadFactor
    this.#holds = 0
    this.#isFinished = false
  }

  hold(why: Hold): void {
    if (this.#isFinished) return
    this.#holds |= holds[why]
    this.#stream.pause()
  }

  release(why: Hold): void {
    if (this.#isFinished || (this.#holds & holds[why]) === 0) return
    this.#holds &= ~holds[why]
    if (this.#holds === 0) this.#stream.resume()
  }

  /** Input has been read and dealt with: holds it if the peer leaves too much unread, until that is released as `unread`. */
  took(writing: Writing): void {
    if (writing.isCongested && writing.waitingBytes > this.#unreadBytesMax) this.hold('unread')
    writing.inputRead()
  }

  /** Nothing holds it any more: whatever comes is read, so that its end is seen. */
  finish(): void {
    this.#isFinished = true
    this.#stream.resume()
  }
}
