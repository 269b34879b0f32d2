/** What one frame may hold; all of it is checked while the frame is read, so that a frame without end stops at its limit. */
export interface FrameLimits {
  /** The longest header line in bytes, without its end-of-line. */
  readonly headerLineBytesMax: number
  /** Header lines of one frame, repeated names included. */
  readonly headersMax: number
  /** Command line and header lines of one frame together, in bytes. */
  readonly headerBlockBytesMax: number
  /** The longest body in bytes. */
  readonly bodyBytesMax: number
}

/** STOMP 1.2 "Size Limits". A selector or a token needs a long line; JMS clients send up to some thirty headers. */
export const defaultFrameLimits: FrameLimits = {
  headerLineBytesMax: 16 * 1024,
  headersMax: 256,
  headerBlockBytesMax: 64 * 1024,
  bodyBytesMax: 100 * 1024 * 1024,
}

/** Bytes of a command line that are read, and named in the error, before an unknown command is refused. */
export const commandBytesMax = 32

/** How a STOMP listener behaves. */
export interface StompOptions {
  /** Unacknowledged messages of a subscription that asks for no other number, and the most one may ask for. */
  readonly defaultPrefetch: number
  readonly prefetchMax: number
  /** How often the server offers to send heart-beats, and wants to get them; 0: never. */
  readonly heartBeatMs: number
  /** Time from the connection to its CONNECT. */
  readonly connectMsMax: number
  readonly subscriptionsMax: number
  /** Receipts that wait for their confirm; above it no more is read. */
  readonly unconfirmedSendsMax: number
  readonly limits: FrameLimits
}

export const defaultStompOptions: StompOptions = {
  defaultPrefetch: 1000,
  prefetchMax: 65_535,
  heartBeatMs: 10_000,
  connectMsMax: 30_000,
  subscriptionsMax: 1000,
  unconfirmedSendsMax: 10_000,
  limits: defaultFrameLimits,
}
