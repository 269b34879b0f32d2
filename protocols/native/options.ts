/** The largest frame, and the largest message in one frame or in parts. */
export interface NativeFrameLimits {
  readonly frameBytesMax: number
  readonly bodyBytesMax: number
}

/** How a native listener behaves. */
export interface NativeOptions {
  /** How often either side says something at least; silent for three times as long, it is given up. 0: never. */
  readonly heartBeatMs: number
  /** Time from the connection to its HELLO. */
  readonly connectMsMax: number
  /** Links of one connection. */
  readonly linksMax: number
  /** Sends of one producer link that are not confirmed yet, and their bytes. */
  readonly producerCredit: number
  readonly producerCreditBytes: number
  /** The most credit a consumer link may hold. */
  readonly consumerCreditMax: number
  readonly limits: NativeFrameLimits
}

export const defaultNativeOptions: NativeOptions = {
  heartBeatMs: 10_000,
  connectMsMax: 30_000,
  linksMax: 4096,
  producerCredit: 4096,
  producerCreditBytes: 8 * 1024 * 1024,
  consumerCreditMax: 65_535,
  limits: { frameBytesMax: 1024 * 1024, bodyBytesMax: 100 * 1024 * 1024 },
}
