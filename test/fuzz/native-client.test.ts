import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Message, type Origin } from '../../protocols/native/client/message.ts'
import { Malformed } from '../../protocols/native/frame.ts'
import { FakeBroker } from '../support/fake-broker.ts'
import { randomOf, startSeed } from '../support/seed.ts'

const environment: { readonly FUZZ_FRAMES?: string } = process.env
const frames = Number(environment.FUZZ_FRAMES ?? 40_000)
const framesEach = 10

const seeds: readonly Buffer[] = (
  JSON.parse(readFileSync('test/vectors/native/frames.json', 'utf8')) as { readonly hex: string }[]
).map(({ hex }) => Buffer.from(hex, 'hex'))

const nobody: Origin = { settle: () => Promise.resolve(), reply: () => Promise.resolve() }

/** A frame of the vectors with some of its bytes changed. */
function mutated(random: () => number): Buffer {
  const frame = Buffer.from(seeds[Math.floor(random() * seeds.length)] as Buffer)
  for (let changes = Math.floor(random() * 4); changes > 0; changes -= 1) {
    frame[4 + Math.floor(random() * (frame.length - 4))] = Math.floor(random() * 256)
  }
  return frame
}

/** Looks at all a delivery says. */
function look(arrival: ConstructorParameters<typeof Message>[0]): void {
  const message = new Message(arrival, nobody, 0, undefined)
  try {
    for (const name of ['id', 'address', 'properties', 'correlationId', 'bytes', 'body'] as const) void message[name]
  } catch (error) {
    if (!(error instanceof Malformed || error instanceof SyntaxError)) throw error
  }
}

test(`a client that is sent ${frames} broken frames goes on, or loses that connection with a reason`, async () => {
  const seed = startSeed()
  const random = randomOf(seed)
  let lost = 0
  let told = 0
  for (let count = 0; count < frames; count += framesEach) {
    const broker = new FakeBroker()
    await broker.welcome()
    for (let each = 0; each < framesEach; each += 1) {
      const frame = mutated(random)
      try {
        broker.bytes(frame.toString('hex'))
        for (const [name, , arrival] of broker.told.splice(0)) {
          told += 1
          if (name === 'lost') lost += 1
          if (name === 'deliver') look(arrival as Parameters<typeof look>[0])
        }
      } catch (error) {
        throw new Error(`seed ${seed}, frame ${count + each}: ${frame.toString('hex')}`, { cause: error })
      }
    }
    broker.hangUp()
  }
  expect(lost, `seed ${seed}`).toBeGreaterThan(frames / framesEach / 20)
  expect(told, `seed ${seed}`).toBeGreaterThan(frames / 20)
}, 600_000)
