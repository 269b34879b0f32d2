import type { ErrorFields } from '../encoder.ts'

/** `unknown`: what was asked for may have happened or not. */
export type Outcome = 'none' | 'unknown'

export interface ManifoldErrorOptions {
  /** Whether the same call may succeed later. */
  readonly retryable?: boolean
  readonly outcome?: Outcome
  readonly cause?: unknown
}

/**
 * What a call of the client rejects with. `code` is a word of SPEC.md's table of errors (`not-found`, `resource-exhausted`), or one of the
 * client's own: `aborted`, `closed`, `connection-lost`, `connection-refused`, `no-responders`, `timed-out`.
 */
export class ManifoldError extends Error {
  override readonly name: string = 'ManifoldError'
  readonly code: string
  readonly retryable: boolean
  readonly outcome: Outcome

  constructor(code: string, sentence: string, options: ManifoldErrorOptions = {}) {
    super(sentence, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
    this.outcome = options.outcome ?? 'none'
  }
}

/** Nothing came in the time allowed. */
export class TimeoutError extends ManifoldError {
  override readonly name = 'TimeoutError'

  constructor(what: string, ms: number, outcome: Outcome = 'none') {
    super('timed-out', `${what} took longer than ${ms} ms (option timeout)`, { retryable: true, outcome })
  }
}

/** A request went to a destination that nobody consumes from. */
export class NoRespondersError extends ManifoldError {
  override readonly name = 'NoRespondersError'

  constructor(address: string) {
    super('no-responders', `nobody consumes from ${address}: start the service that answers, or look at the name`, {
      retryable: true,
    })
  }
}

/** The connection could not be had, or is lost and will not come back. */
export class ConnectionError extends ManifoldError {
  override readonly name = 'ConnectionError'
}

/** The error a frame tells of. */
export function fromFields({ name, text, retryable }: ErrorFields): ManifoldError {
  return new ManifoldError(name, text, { retryable })
}

/** A caller's signal has ended the wait. */
export function aborted(what: string, signal: AbortSignal, outcome: Outcome = 'none'): ManifoldError {
  return new ManifoldError('aborted', `${what} was aborted`, { cause: signal.reason, outcome })
}

export function closed(): ManifoldError {
  return new ManifoldError('closed', 'the connection has been closed')
}

export function rolledBack(): ConnectionError {
  const sentence = 'the connection was lost: the transaction is rolled back'
  return new ConnectionError('connection-lost', sentence, { retryable: true })
}
