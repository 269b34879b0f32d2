import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Malformed } from '../../protocols/native/frame.ts'
import { NativeBroker } from '../support/native-broker.ts'
import { FrameLog, prefaceHex } from '../support/native-frames.ts'
import { randomOf, startSeed } from '../support/seed.ts'

const environment: { readonly FUZZ_FRAMES?: string } = process.env
const frames = Number(environment.FUZZ_FRAMES ?? 40_000)

const seeds: readonly Buffer[] = (
  JSON.parse(readFileSync('test/vectors/native/frames.json', 'utf8')) as { readonly hex: string }[]
).map(({ hex }) => Buffer.from(hex, 'hex'))

const preface = Buffer.from(prefaceHex, 'hex')

/** A frame of the vectors with some bytes changed, its length mended as often as not. */
function mutated(random: () => number): Buffer {
  const frame = Buffer.from(seeds[Math.floor(random() * seeds.length)] as Buffer)
  const isCut = random() < 0.2
  const bytes = isCut ? frame.subarray(0, 6 + Math.floor(random() * (frame.length - 6))) : frame
  for (let changes = Math.floor(random() * 4); changes > 0; changes -= 1) {
    const at = 4 + Math.floor(random() * (bytes.length - 4))
    bytes[at] =
      random() < 0.3 ? ([0, 0x7f, 0x80, 0xff][Math.floor(random() * 4)] as number) : Math.floor(random() * 256)
  }
  if (random() < 0.95) bytes.writeUInt32BE(bytes.length - 4)
  return bytes
}

test(`${frames} broken frames are read, or refused with a sentence, wherever they are cut`, () => {
  const seed = startSeed()
  const random = randomOf(seed)
  let refused = 0
  let read = 0
  for (let count = 0; count < frames; count += 1) {
    const log = new FrameLog(64 * 1024)
    const stream = Buffer.concat([preface, mutated(random)])
    const cut = Math.floor(random() * stream.length)
    try {
      log.decoder.push(stream.subarray(0, cut))
      log.decoder.push(stream.subarray(cut))
    } catch (error) {
      throw new Error(`seed ${seed}, frame ${count}: ${stream.toString('hex')}`, { cause: error })
    }
    if (log.fault instanceof Malformed) refused += 1
    read += log.frames.length
  }
  expect(refused, `seed ${seed}`).toBeGreaterThan(frames / 20)
  expect(read, `seed ${seed}`).toBeGreaterThan(frames / 20)
}, 600_000)

test('a broker that is sent broken frames ends their connection with an ERROR, and serves the others', async () => {
  const seed = startSeed()
  const random = randomOf(seed)
  const broker = await NativeBroker.open()
  const client = await broker.connect()
  const hello = seeds[0] as Buffer
  // No vector names it, so that no broken frame can send to it or take from it.
  const ours = client.queue('of the others')
  for (let count = 0; count < 300; count += 1) {
    const stream = broker.wire()
    stream.on('data', () => undefined)
    stream.write(Buffer.concat([preface, hello]))
    for (let each = 0; each < 5; each += 1) if (!stream.destroyed) stream.write(mutated(random))
    await broker.idle(1)
    stream.destroy()
    if (count % 50 === 0) await ours.send(`still there (seed ${seed})`)
  }
  await broker.idle()
  expect((await ours.inspect()).messages).toBe(6)
  await broker[Symbol.asyncDispose]()
  expect(broker.broker.sessionCount).toBe(0)
})
