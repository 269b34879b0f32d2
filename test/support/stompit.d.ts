/** The parts of stompit that tests use; the package has no types. */
declare module 'stompit' {
  import type { Readable, Transform } from 'node:stream'

  namespace stompit {
    interface IncomingFrame extends Readable {
      readonly command: string
      /** content-length is a number, everything else a string. */
      readonly headers: Readonly<Record<string, string | number>>
    }

    class IncomingFrameStream extends Transform {
      constructor(options?: { maxLineLength?: number; maxHeaders?: number })
      setVersion(version: string): boolean
      [Symbol.asyncIterator](): NodeJS.AsyncIterator<IncomingFrame>
    }
  }

  export = stompit
}
