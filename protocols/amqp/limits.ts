/** The largest frames and values that are read. */
export interface AmqpFrameLimits {
  /** The largest frame that a peer may send, as its `open` is told; AMQP 1.0 part 2, section 2.7.1. */
  readonly frameBytesMax: number
  /** The largest message, over all its frames; told in every attach. */
  readonly messageBytesMax: number
}

/** What every peer must be able to read (part 2, section 2.3.3). */
export const frameBytesMin = 512

/** What is read before anybody has come in: more than the 512 that the standard allows, for tokens that serve as passwords. */
export const saslFrameBytesMax = 8 * 1024

/** The largest frame sent, whatever the peer reads: others want their turn on the wire. */
export const sentFrameBytesMax = 1024 * 1024

/** How deep lists, maps, arrays and descriptors may lie in each other. */
export const nestingMax = 32

/** Items of an array whose items take no bytes: nothing else would bound their number. */
export const emptyItemsMax = 1024

/** Frames a peer may send on one session before it is granted more (part 2, section 2.5.6). */
export const incomingWindow = 8192

/** The largest link credit that is kept count of. */
export const creditMax = 2 ** 30

export const defaultFrameLimits: AmqpFrameLimits = {
  frameBytesMax: 128 * 1024,
  messageBytesMax: 100 * 1024 * 1024,
}

/** How an AMQP listener behaves. */
export interface AmqpOptions {
  /** Messages that a sending client may have on their way; given again when half is used. */
  readonly linkCredit: number
  /** How long a connection may be silent, as its `open` is told half of: 0: for ever. */
  readonly idleMsMax: number
  /** Time from the connection to its `open`. */
  readonly connectMsMax: number
  readonly sessionsMax: number
  /** Links of one connection; of one session the same, as its `begin` tells. */
  readonly linksMax: number
  /** Messages of one connection not yet confirmed, above which its senders get no more credit. */
  readonly unconfirmedSendsMax: number
  readonly limits: AmqpFrameLimits
}

export const defaultAmqpOptions: AmqpOptions = {
  linkCredit: 1000,
  idleMsMax: 120_000,
  connectMsMax: 30_000,
  sessionsMax: 256,
  linksMax: 1024,
  unconfirmedSendsMax: 10_000,
  limits: defaultFrameLimits,
}
