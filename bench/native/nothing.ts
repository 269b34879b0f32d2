import type { Place } from './flow.ts'

const done = Promise.resolve()

/** Hands what is sent to who takes it, and nothing else: what is measured is the generator. */
export const nothing: Place = {
  open() {
    let take: (body: Uint8Array) => void = () => undefined
    return Promise.resolve({
      send: (body) => take(body),
      take: (onMessage) => {
        take = onMessage
        return done
      },
      request: () => done,
      answer: () => done,
      close: () => done,
    })
  },
  cpuMs: () => undefined,
}
