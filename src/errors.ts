/**
 * Every error the broker reports to a peer or a user, in one table. A protocol adapter translates the code into its own
 * words (STOMP ERROR, AMQP condition, MQTT reason code) and keeps the sentence.
 *
 * `survives` says whether the connection may go on after it; `retryable` whether the same request may succeed later.
 */
const table = {
  'not-authenticated': { survives: false, retryable: false },
  'not-authorised': { survives: true, retryable: false },
  'not-found': { survives: true, retryable: false },
  'invalid-destination': { survives: true, retryable: false },
  'invalid-selector': { survives: true, retryable: false },
  'invalid-request': { survives: true, retryable: false },
  'invalid-transaction': { survives: true, retryable: false },
  'already-exists': { survives: true, retryable: false },
  'in-use': { survives: true, retryable: true },
  'limit-exceeded': { survives: true, retryable: false },
  'message-too-large': { survives: true, retryable: false },
  'resource-exhausted': { survives: true, retryable: true },
  'store-locked': { survives: false, retryable: true },
  'store-failed': { survives: false, retryable: true },
  'slow-consumer': { survives: false, retryable: true },
  'shutting-down': { survives: false, retryable: true },
  'taken-over': { survives: false, retryable: false },
  deleted: { survives: true, retryable: false },
  'protocol-error': { survives: false, retryable: false },
  'timed-out': { survives: false, retryable: true },
} as const

export type ErrorCode = keyof typeof table

/** Where a client should go instead: another broker that has what it asks for. */
export interface Redirect {
  /** The DNS name or IP address to connect to. */
  readonly host: string
  readonly port: number
  /** The name that the other broker is to be asked for, as in TLS, if it is another one. */
  readonly hostname?: string | undefined
  /** The address to be used there, if it is another one. */
  readonly address?: string | undefined
}

/** An error with a code of the table and a sentence for a person. Expected refusals return one; only set-up throws it. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  readonly code: ErrorCode
  /** For protocols that can say so; to the others it is the error of its code. */
  readonly redirect: Redirect | undefined

  constructor(code: ErrorCode, sentence: string, options?: { cause?: unknown; redirect?: Redirect }) {
    super(sentence, options)
    this.code = code
    this.redirect = options?.redirect
  }

  get survives(): boolean {
    return table[this.code].survives
  }

  get retryable(): boolean {
    return table[this.code].retryable
  }
}
