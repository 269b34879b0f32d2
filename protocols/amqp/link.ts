import { type ControlLink, type ErrorFields, errorFields } from './control.ts'
import type { Flow, Frame, Transfer } from './decoder.ts'
import type { AmqpFault } from './frame.ts'

/** Our end of one link; the peer's role is the other one. */
export interface Link {
  readonly control: ControlLink
  /** We have closed it, or the peer has: frames for it are on their way still, and are not looked at. */
  isClosed: boolean
  onFlow(flow: Flow): void
  /** A frame of a delivery. Returns what ends the session, if anything. */
  onTransfer(transfer: Transfer, frame: Frame): AmqpFault | undefined
  /** The peer detaches; `closed`: for good. */
  onDetach(closed: boolean): void
  /** Session or connection are over: gives back what it holds. */
  drop(): void
}

/** Ends a link from our side and says why. */
export function closeLink(link: Link, error: ErrorFields): void {
  if (link.isClosed) return
  link.isClosed = true
  link.drop()
  link.control.close(errorFields(error))
}

/** A link that was refused and whose peer has yet to detach. */
export class RefusedLink implements Link {
  readonly control: ControlLink
  isClosed: boolean

  constructor(control: ControlLink) {
    this.control = control
    this.isClosed = true
  }

  onFlow(): void {
    // On its way before the peer saw the detach.
  }

  onTransfer(): undefined {
    return undefined
  }

  onDetach(): void {
    // Nothing belongs to it.
  }

  drop(): void {
    // Nothing belongs to it.
  }
}
