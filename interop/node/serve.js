import { createInterface } from 'node:readline'

/** Answers the requests that come as JSON lines on standard input (see interop/driver.ts) with what `answer(request)` resolves to. */
export function serve(answer) {
  createInterface({ input: process.stdin })
    .on('line', async (text) => {
      const request = JSON.parse(text)
      const reply = await answer(request).then(
        (ok) => ({ ok }),
        (error) => ({ error: error.stack ?? String(error) }),
      )
      process.stdout.write(`${JSON.stringify({ id: request.id, ...reply })}\n`)
    })
    .on('close', () => process.exit())
}
