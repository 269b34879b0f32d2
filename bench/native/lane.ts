/** One connection, as a measurement uses it: to our broker or to another. */
export interface Lane {
  /** Sends a message that the broker may keep; an error goes to `failed`. */
  send(body: Uint8Array): void
  /** Takes messages until it is closed; resolves once the broker knows. */
  take(onMessage: (body: Uint8Array) => void): Promise<void>
  /** Asks for an answer; somebody must have said {@link answer}. */
  request(): Promise<void>
  answer(): Promise<void>
  close(): Promise<void>
}

/** Where a measurement sends to, and in which way. */
export interface Way {
  readonly name: string
  readonly isTopic: boolean
  readonly isPersistent: boolean
  /** The number of this connection in the measurement. */
  readonly number: number
  readonly failed: (error: unknown) => void
}
