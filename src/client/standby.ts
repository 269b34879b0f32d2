import {
  closed,
  type Dialled,
  type Endpoint,
  type ManifoldError,
  type PeerEvents,
} from '../../protocols/native/client/index.ts'

type Arguments<Name extends keyof PeerEvents> = Parameters<PeerEvents[Name]>

/** A connection to a broker that has been greeted and waits until it is needed. */
export class Standby implements PeerEvents {
  readonly endpoint: Endpoint
  readonly #onLost: (standby: Standby) => void
  #dialled: Dialled | undefined
  /** Who is told of everything once it is needed. */
  #events: PeerEvents | undefined

  /** `onLost`: it has gone before it was needed. */
  constructor(endpoint: Endpoint, onLost: (standby: Standby) => void) {
    this.endpoint = endpoint
    this.#onLost = onLost
    this.#dialled = undefined
    this.#events = undefined
  }

  async open(dial: (events: PeerEvents) => Promise<Dialled>): Promise<void> {
    this.#dialled = await dial(this)
  }

  get isOpen(): boolean {
    return this.#dialled !== undefined
  }

  /** It is needed: gives the connection to somebody else. */
  promote(events: PeerEvents): Dialled {
    const dialled = this.#dialled
    if (dialled === undefined) throw new Error('the connection is not open')
    this.#events = events
    return dialled
  }

  close(): void {
    this.#dialled?.peer.destroy(closed())
    this.#dialled = undefined
  }

  lost(error: ManifoldError): void {
    if (this.#events !== undefined) {
      this.#events.lost(error)
      return
    }
    this.#dialled = undefined
    this.#onLost(this)
  }

  ok(...all: Arguments<'ok'>): void {
    this.#events?.ok(...all)
  }

  error(...all: Arguments<'error'>): void {
    this.#events?.error(...all)
  }

  accepted(...all: Arguments<'accepted'>): void {
    this.#events?.accepted(...all)
  }

  deliver(...all: Arguments<'deliver'>): void {
    this.#events?.deliver(...all)
  }

  credit(...all: Arguments<'credit'>): void {
    this.#events?.credit(...all)
  }

  creditUsed(...all: Arguments<'creditUsed'>): void {
    this.#events?.creditUsed(...all)
  }

  linkClosed(...all: Arguments<'linkClosed'>): void {
    this.#events?.linkClosed(...all)
  }

  drained(): void {
    this.#events?.drained()
  }
}
