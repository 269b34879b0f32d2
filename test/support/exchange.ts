import { expect } from 'vitest'
import type { Connection } from '../../src/client.ts'

/** A long message and many short ones, there and back. */
export async function exchange(client: Connection, shortOnes: number): Promise<void> {
  const queue = client.queue('q')
  const body = new Uint8Array(3_000_000).fill(7)
  await queue.send(body)
  await Promise.all(Array.from({ length: shortOnes }, (_, index) => queue.send(String(index))))
  let count = 0
  for await (const message of queue.consume()) {
    if (count === 0) expect(Buffer.compare(message.bytes, body)).toBe(0)
    else expect(message.text).toBe(String(count - 1))
    await message.accept()
    count += 1
    if (count === shortOnes + 1) break
  }
}
