/** What the client needs of the machine it runs on, so that a test can turn the clock and a browser be one. */
export interface Environment {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls back once, `ms` from now or later. Returns how to prevent it. */
  after(ms: number, callback: () => void): { cancel(): void }
  /** From 0 to 1. */
  random(): number
  /** Calls back soon, once what is ready now has been dealt with: when bytes are written. */
  soon(callback: () => void): void
  /** Calls back when the network may be there again. Returns how to stop it. */
  onWake?(callback: () => void): () => void
}

interface Immediate {
  readonly setImmediate: ((callback: () => void) => unknown) | undefined
}

export const machine: Environment = {
  now: () => performance.timeOrigin + performance.now(),
  after(ms, callback) {
    const handle = setTimeout(callback, Math.min(ms, 2 ** 31 - 1))
    return { cancel: () => clearTimeout(handle) }
  },
  random: () => Math.random(),
  soon: soonOf((globalThis as unknown as Immediate).setImmediate),
}

/** Once per turn of the event loop where that is cheap, otherwise once the code that runs has ended. */
function soonOf(setImmediate: Immediate['setImmediate']): Environment['soon'] {
  if (setImmediate === undefined) return (callback) => queueMicrotask(callback)
  return (callback) => {
    setImmediate(callback)
  }
}
