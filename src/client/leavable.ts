import type { Dialled, ManifoldError, Peer, PeerEvents } from '../../protocols/native/client/index.ts'
import { InHand } from './in-hand.ts'

/**
 * Stands between a client and its connection to one broker, so that this can be left when nothing is in hand: nothing is lost then, and
 * nothing done twice. While that is waited for, sends wait for the next broker, and nothing more is taken from this one.
 */
export class Leavable {
  /** For whoever makes the connection. */
  readonly events: PeerEvents
  readonly #inHand: InHand
  readonly #soon: (callback: () => void) => void
  /** What is put off while it is being left. */
  #held: (() => void)[]
  #onIdle: (() => void) | undefined
  #isDue: boolean
  #isOver: boolean

  /** `client` is told all that happens; `soon` calls back once what is being done is done. */
  constructor(client: PeerEvents, soon: (callback: () => void) => void) {
    this.events = this.#listening(client)
    this.#inHand = new InHand()
    this.#soon = soon
    this.#held = []
    this.#onIdle = undefined
    this.#isDue = false
    this.#isOver = false
  }

  /** Whether something would have to be sent again if the connection went now. */
  get hasSends(): boolean {
    return this.#inHand.hasSends
  }

  /** The connection as the client is to have it. */
  over({ peer, welcome }: Dialled): Dialled {
    return { peer: this.#speaking(peer), welcome }
  }

  /** Begins nothing more, and calls back once nothing is in hand. */
  leave(onIdle: () => void): void {
    this.#onIdle = onIdle
    this.#check()
  }

  /** Goes on as before. */
  stay(): void {
    if (this.#onIdle === undefined) return
    this.#onIdle = undefined
    for (const act of this.#held.splice(0)) act()
    this.events.drained()
  }

  get #isLeaving(): boolean {
    return this.#onIdle !== undefined
  }

  #check(): void {
    if (!this.#isLeaving || this.#isDue || !this.#inHand.isNothing) return
    this.#isDue = true
    this.#soon(() => {
      this.#isDue = false
      // Something may have been asked meanwhile; its answer comes by here.
      if (!this.#isOver && this.#inHand.isNothing) this.#onIdle?.()
    })
  }

  /** What the client says. */
  #speaking(peer: Peer): Peer {
    const inHand = this.#inHand
    const isCongested = (): boolean => this.#isLeaving || this.#isOver || peer.isCongested
    const ended = (): void => {
      this.#isOver = true
    }
    /** After the end nobody answers any more: the loss that follows does. */
    const unlessOver = (write: () => void): void => {
      if (!this.#isOver) write()
    }
    const ask = (corr: number, write: () => void): void =>
      unlessOver(() => {
        inHand.asked(corr)
        write()
      })
    const credit = (...all: Parameters<Peer['credit']>): void => {
      if (this.#isLeaving && !all[3]) this.#held.push(() => credit(...all))
      else unlessOver(() => peer.credit(...all))
    }
    return {
      get isCongested() {
        return isCongested()
      },
      open: (...all) => {
        inHand.opened(...all)
        ask(all[1], () => peer.open(...all))
      },
      closeLink: (corr, link) => {
        inHand.forget(link)
        ask(corr, () => peer.closeLink(corr, link))
      },
      send: (...all) => {
        const before = inHand.sending(...all)
        let bytes: number
        try {
          bytes = peer.send(...all)
        } catch (error) {
          inHand.unsent(all[0], before)
          throw error
        }
        inHand.sent(...all)
        return bytes
      },
      settle: (...all) => {
        ask(all[1], () => peer.settle(...all))
        inHand.settled(...all)
        this.#check()
      },
      credit,
      endTransaction: (...all) => {
        ask(all[0], () => peer.endTransaction(...all))
        inHand.transactionEnded(all[1])
      },
      destination: (...all) => ask(all[0], () => peer.destination(...all)),
      flush: () => unlessOver(() => peer.flush()),
      end: () => {
        ended()
        peer.end()
      },
      destroy: (error: ManifoldError) => {
        ended()
        peer.destroy(error)
      },
    }
  }

  /** What the broker says. */
  #listening(client: PeerEvents): PeerEvents {
    const deliver = (...all: Parameters<PeerEvents['deliver']>): void => {
      const [link] = all
      if (this.#isLeaving && !this.#inHand.isSilent(link)) {
        // It goes back with the end of the connection.
        this.#held.push(() => deliver(...all))
        return
      }
      this.#inHand.delivered(link)
      client.deliver(...all)
      this.#check()
    }
    return {
      ok: (corr, fields) => {
        this.#inHand.answered(corr)
        client.ok(corr, fields)
        this.#check()
      },
      error: (corr, error) => {
        this.#inHand.answered(corr)
        client.error(corr, error)
        this.#check()
      },
      accepted: (...all) => {
        this.#inHand.accepted(...all)
        client.accepted(...all)
        this.#check()
      },
      deliver,
      credit: (...all) => client.credit(...all),
      creditUsed: (...all) => client.creditUsed(...all),
      linkClosed: (link, error) => {
        this.#inHand.forget(link)
        client.linkClosed(link, error)
        this.#check()
      },
      drained: () => client.drained(),
      lost: (error) => {
        this.#isOver = true
        this.#onIdle = undefined
        client.lost(error)
      },
    }
  }
}
