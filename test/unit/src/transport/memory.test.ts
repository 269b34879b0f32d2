import { once } from 'node:events'
import { beforeEach, describe, expect, test } from 'vitest'
import { defaultLimits } from '../../../../src/limits.ts'
import { memoryPair, memoryWire } from '../../../../src/transport/memory.ts'
import { SlabPool } from '../../../../src/transport/slab-pool.ts'
import type { WireServices } from '../../../../src/transport/wire.ts'
import { Turn } from '../../../../src/turn.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

let services: WireServices

beforeEach(() => {
  services = { clock: new VirtualClock(), turn: new Turn(), slabs: new SlabPool(), limits: defaultLimits }
})

test('carries bytes both ways', async () => {
  const { wire, client } = memoryWire(services, 'somebody')
  expect(wire.remote).toBe('somebody')
  expect(wire.isLocal).toBe(true)
  client.write('ping')
  expect(String((await once(wire.stream, 'data'))[0])).toBe('ping')
  wire.open({ congested: () => undefined, drained: () => undefined }).write(Buffer.from('pong'))
  expect(String((await once(client, 'data'))[0])).toBe('pong')
})

test('leaves the reader its bytes when the writer uses its buffer again', async () => {
  const [left, right] = memoryPair()
  const buffer = Buffer.from('first')
  const [received] = await Promise.all([
    once(right, 'data'),
    new Promise<void>((resolve) => {
      left.write(buffer, () => {
        buffer.write('later')
        resolve()
      })
    }),
  ])
  expect(String(received[0])).toBe('first')
})

test('makes the writer wait for a reader that does not read', async () => {
  const events: string[] = []
  const { wire, client } = memoryWire({ ...services, limits: { ...defaultLimits, outputBytesHigh: 100_000 } })
  const output = wire.open({ congested: () => events.push('congested'), drained: () => events.push('drained') })
  for (let index = 0; index < 20; index += 1) output.write(Buffer.alloc(10_000))
  output.flush()
  await new Promise((resolve) => setImmediate(resolve))
  expect(events).toEqual(['congested'])
  let bytes = 0
  client.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  while (bytes < 200_000) await once(client, 'data')
  await new Promise((resolve) => setImmediate(resolve))
  expect(events).toEqual(['congested', 'drained'])
})

describe('ending', () => {
  test('one side ends the other after the last byte', async () => {
    const [left, right] = memoryPair()
    left.end('bye')
    left.resume()
    let text = ''
    right.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    await Promise.all([once(left, 'close'), once(right, 'close')])
    expect(text).toBe('bye')
  })

  test.each(['without an error', 'with an error'])('one side abruptly %s closes the other', async (how) => {
    const [left, right] = memoryPair()
    right.resume()
    left.destroy(how === 'with an error' ? new Error('gone') : undefined)
    if (!right.destroyed) await once(right, 'close')
    expect(right.destroyed).toBe(true)
  })

  test('a write to a closed side fails and escapes nowhere', async () => {
    const [left, right] = memoryPair()
    left.destroy(new Error('gone'))
    right.write('x')
    if (!right.destroyed) await once(right, 'close')
    expect(right.destroyed).toBe(true)
  })
})
