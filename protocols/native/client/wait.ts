import type { Environment } from './environment.ts'
import { aborted, type ManifoldError, type Outcome, TimeoutError } from './errors.ts'

/** How long a call may wait. */
export interface WaitOptions {
  /** Ends the wait; the call rejects with the code `aborted`. */
  readonly signal?: AbortSignal | undefined
  /** Milliseconds; the call rejects with a {@link TimeoutError}. */
  readonly timeout?: number | undefined
}

/** Calls back once if the wait is over before it is released. Returns the release. `outcome`: of what is given up then. */
export function watch(
  what: string,
  { signal, timeout }: WaitOptions,
  environment: Environment,
  onOver: (error: ManifoldError) => void,
  outcome: () => Outcome = () => 'none',
): (() => void) | undefined {
  if (signal === undefined && timeout === undefined) return undefined
  const release = (): void => {
    timer?.cancel()
    signal?.removeEventListener('abort', onAbort)
  }
  const onAbort = (): void => {
    release()
    if (signal !== undefined) onOver(aborted(what, signal, outcome()))
  }
  const timer =
    timeout === undefined
      ? undefined
      : environment.after(timeout, () => {
          release()
          onOver(new TimeoutError(what, timeout, outcome()))
        })
  signal?.addEventListener('abort', onAbort)
  if (signal?.aborted === true) queueMicrotask(onAbort)
  return release
}

/** The promise, or the error that the wait was over before. `outcome`: of what is given up then. */
export function within<T>(
  promise: Promise<T>,
  what: string,
  options: WaitOptions,
  environment: Environment,
  outcome?: () => Outcome,
): Promise<T> {
  if (options.signal === undefined && options.timeout === undefined) return promise
  return new Promise((resolve, reject) => {
    const release = watch(what, options, environment, reject, outcome)
    promise.then(resolve, reject).finally(release)
  })
}
