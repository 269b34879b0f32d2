import type { Output, Session } from '../../src/core.ts'
import type { ConnectRequest } from './connect.ts'
import type { MqttFault } from './packet.ts'
import type { Replies } from './replies.ts'
import type { Sender } from './sender.ts'

/** What a session needs of its connection. */
export interface SessionLink {
  readonly output: Output
  readonly request: ConnectRequest
  /** Milliseconds since the epoch, when the bytes being read came in. */
  readonly now: number
  /** The session is full or full no more: stop or go on reading. */
  readable(isReadable: boolean): void
  /** Something is so wrong that the connection ends. */
  fail(fault: MqttFault): void
}

/** What a session has while its client is there; one for all its parts. */
export interface Attachment {
  readonly link: SessionLink
  readonly session: Session
  readonly sender: Sender
  /** Answers to PUBLISH. */
  readonly replies: Replies
  /** Answers to all else: they do not wait while publishing is held up. */
  readonly syncReplies: Replies
  /** Messages that may be on their way to the client at a time. */
  readonly window: number
}
