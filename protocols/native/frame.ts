/**
 * MNP/1 in numbers: frames, flags, outcomes, codes. SPEC.md says what they mean.
 *
 *     preface    'M' 'N' 'F' 'D'   u8 major   u8 minor   u16 0
 *     frame      u32 length of what follows   u8 type   u8 flags   [varint corr]   [varint tx]   payload
 */

export const FrameType = {
  hello: 0x01,
  welcome: 0x02,
  ping: 0x04,
  pong: 0x05,
  bye: 0x07,
  ok: 0x08,
  error: 0x09,
  producer: 0x10,
  consumer: 0x11,
  closeLink: 0x12,
  send: 0x20,
  accepted: 0x22,
  deliver: 0x30,
  part: 0x31,
  settle: 0x32,
  credit: 0x33,
  drained: 0x34,
  transactionEnd: 0x40,
  destination: 0x50,
} as const

export type FrameType = (typeof FrameType)[keyof typeof FrameType]

export const Flag = {
  /** An OK or ERROR is wanted; a correlation number comes first. */
  reply: 1,
  /** Belongs to a transaction, whose number comes next. */
  transaction: 2,
  /** The section goes on in PART frames. */
  more: 4,
  /** Whoever does not know the type leaves the frame out. */
  skippable: 8,
} as const

const flagsKnown = 15

/** What the first byte of a delivery's facts says. */
export const Info = {
  redelivered: 1,
  retained: 2,
  /** The number of failed deliveries follows. */
  count: 4,
  /** The prefix of message ids follows and holds for the deliveries of the link from here on. */
  origin: 8,
  /** The address of the message follows and holds for the deliveries of the link from here on. */
  address: 16,
  /** A map follows: what the broker says of the message. */
  annotations: 32,
} as const

export const OutcomeCode = { accept: 0, release: 1, fail: 2, reject: 3 } as const
export type OutcomeCode = (typeof OutcomeCode)[keyof typeof OutcomeCode]

export const TransactionEnd = { commit: 0, rollback: 1 } as const

export const protocolMajor = 1
export const protocolMinor = 0
export const prefaceBytes = 8
/** length, type, flags */
export const frameHeadBytes = 6

const magic = [0x4d, 0x4e, 0x46, 0x44] as const

/** The eight bytes that either side begins with. */
export function preface(): Uint8Array {
  return Uint8Array.of(...magic, protocolMajor, protocolMinor, 0, 0)
}

/** True if the bytes may be the beginning of a preface of any version. */
export function startsPreface(bytes: Uint8Array): boolean {
  return magic.every((byte, index) => index >= bytes.length || bytes[index] === byte)
}

export function hasUnknownFlags(flags: number): boolean {
  return (flags & ~flagsKnown) !== 0
}

/** The peer has sent something that is no MNP/1. The connection ends with it. */
export class Malformed extends Error {
  override readonly name = 'Malformed'
}

/** Codes by name: the hundreds say what kind, 6xx is worth another try. */
export const errorCodes = {
  'protocol-error': 100,
  'timed-out': 101,
  'not-authenticated': 200,
  'not-authorised': 201,
  'taken-over': 202,
  'not-found': 300,
  'invalid-destination': 301,
  'invalid-selector': 302,
  'invalid-request': 303,
  'already-exists': 304,
  'in-use': 305,
  deleted: 306,
  'limit-exceeded': 400,
  'message-too-large': 401,
  'resource-exhausted': 402,
  'slow-consumer': 403,
  'invalid-transaction': 500,
  'shutting-down': 600,
  'store-failed': 601,
  'store-locked': 602,
} as const

export type WireErrorName = keyof typeof errorCodes

/** The code of an error that has a name the protocol may not know yet: those of its kind count as bad requests. */
export function codeOf(name: string): number {
  return Object.hasOwn(errorCodes, name) ? errorCodes[name as WireErrorName] : errorCodes['invalid-request']
}
