/** A pending call of {@link Clock.after}. */
export interface Timer {
  cancel(): void
}

/** Time as the broker sees it: injected, so that a test can turn it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls back once, `ms` from now or later. A pending timer keeps no process alive, unless `isAwaited`. */
  after(ms: number, callback: () => void, isAwaited?: boolean): Timer
}

const timerMsMax = 2 ** 31 - 1

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, callback, isAwaited = false) {
    const handle = setTimeout(callback, Math.min(Math.max(ms, 0), timerMsMax))
    if (!isAwaited) handle.unref()
    return { cancel: () => clearTimeout(handle) }
  },
}
