/** What to add to `performance.now()`, which counts from the start of the process: of several tries the least disturbed. */
function offsetOf(tries: number): number {
  let offsetMs = 0
  let uncertaintyMs = Number.POSITIVE_INFINITY
  for (let tried = 0; tried < tries; tried += 1) {
    const before = performance.now()
    const [seconds, nanoseconds] = process.hrtime()
    const after = performance.now()
    if (after - before >= uncertaintyMs) continue
    uncertaintyMs = after - before
    offsetMs = seconds * 1e3 + nanoseconds / 1e6 - (before + after) / 2
  }
  return offsetMs
}

const offsetMs = offsetOf(10)

/** Milliseconds of the machine's monotonic clock: the same in every process, so that one may stamp and another compare. */
export function monotonicMs(): number {
  return performance.now() + offsetMs
}
