import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import stompit from 'stompit'
import { expect, it } from 'vitest'
import type { Version } from '../../protocols/stomp/headers.ts'
import { headerNames } from '../../protocols/stomp/headers.ts'
import type { FrameLimits } from '../../protocols/stomp/limits.ts'
import { type Draws, drawsOf, startSeed } from '../support/seed.ts'
import type { Outcome, PlainFrame } from '../vectors/stomp/vector.ts'
import { decode } from '../vectors/stomp/vector.ts'

const environment: { readonly FUZZ_FRAMES?: string } = process.env
const seed = startSeed()
const frameCount = Number(environment.FUZZ_FRAMES ?? 20_000)
/** stompit is slow: one stream of this many is given to it, up to a number. */
const differentialEvery = 10
const differentialMax = 20_000

const limits: FrameLimits = {
  headerLineBytesMax: 300,
  headersMax: 40,
  headerBlockBytesMax: 2000,
  bodyBytesMax: 3000,
}

/** Frames as bytes, and what a decoder should make of them. */
interface Stream {
  readonly version: Version
  readonly bytes: Buffer
  readonly frames: readonly PlainFrame[]
  readonly heartBeats: number
  /** Whether stompit can be expected to read it in the same way. */
  readonly forStompit: boolean
}

const withBody = ['SEND', 'SEND', 'MESSAGE', 'ERROR']
const withoutBody = ['SUBSCRIBE', 'UNSUBSCRIBE', 'ACK', 'NACK', 'BEGIN', 'COMMIT', 'ABORT', 'DISCONNECT', 'RECEIPT']
const oddNames = ['hasOwnProperty', 'constructor', 'toString', '__proto__', 'foo', 'Destination', 'x', 'né', 'a b', '€']
const characters = ['a', 'b', '1', '/', ' ', '.', '-', 'é', '€', '😀', ':', '\\', '\n', '\r', '\t', 'n', 'c', 'r']

function makeStream(random: Draws): Stream {
  const version = random.pick(['1.0', '1.1', '1.2'] as const)
  const parts: Buffer[] = []
  const frames: PlainFrame[] = []
  let heartBeats = 0
  let forStompit = true
  for (let count = 1 + random.below(3); count > 0; count--) {
    for (; random.chance(20); heartBeats++) parts.push(Buffer.from(random.chance(80) ? '\n' : '\r\n'))
    const eol = version !== '1.1' && random.chance(20) ? '\r\n' : '\n'
    const hasBody = random.chance(70)
    const command = random.pick(hasBody ? withBody : withoutBody)
    const headers = Array.from({ length: random.below(8) }, () => makeHeader(random, version))
    if (headers.some(([name, value]) => name === 'hasOwnProperty' || name === '__proto__' || value.endsWith('\r'))) {
      forStompit = false
    }
    const body = hasBody ? makeBody(random) : Buffer.alloc(0)
    if (body.includes(0) || random.chance(50)) {
      headers.splice(random.below(headers.length + 1), 0, ['content-length', `${body.length}`])
    }
    const lines = headers.map(([name, value]) => `${encode(name, version)}:${encode(value, version)}${eol}`)
    parts.push(Buffer.from(`${command}${eol}${lines.join('')}${eol}`), body, Buffer.from('\0'))
    frames.push({ command, headers, body: body.toString('latin1') })
  }
  return { version, bytes: Buffer.concat(parts), frames, heartBeats, forStompit }
}

function makeHeader(random: Draws, version: Version): [name: string, value: string] {
  const name = random.chance(70)
    ? random.pick(headerNames.names.slice(1).filter((name) => name !== 'content-length'))
    : random.chance(60)
      ? random.pick(oddNames)
      : `n${makeText(random, 6)}`
  const value = makeText(random, random.chance(5) ? 60 : 12)
  if (version !== '1.0') return [name, value]
  return [name.replaceAll(/[:\n\r]/g, '.'), value.replaceAll(/[\n\r]/g, '.').replaceAll(/^ +| +$/g, '')]
}

function makeText(random: Draws, lengthMax: number): string {
  let text = ''
  for (let length = random.below(lengthMax); length > 0; length--) text += random.pick(characters)
  return text
}

function makeBody(random: Draws): Buffer {
  const body = Buffer.alloc(random.below(random.chance(10) ? 1000 : 40))
  for (let at = 0; at < body.length; at++) body[at] = random.chance(90) ? 32 + random.below(90) : random.below(256)
  return body
}

/** The encoding of the specification, written down once more so that the codec's own is not checked by itself. */
function encode(text: string, version: Version): string {
  if (version === '1.0') return text
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll(':', '\\c')
  return version === '1.2' ? escaped.replaceAll('\r', '\\r') : escaped
}

const snippets = ['\0', '\n', '\r', '\r\n', '\n\n', ':', '\\', '\\r', '\xff', 'SEND']
const lines = [
  'content-length:-1\n',
  'content-length:0x1\n',
  'content-length:3001\n',
  'content-length:4\n',
  'né\n',
  ':\n',
  'x:\\q\n',
]

/** The same bytes with some of them changed, cut out, doubled or put in. */
function mutate(random: Draws, bytes: Buffer): Buffer {
  let mutated = bytes
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(mutated.length + 1)
    const to = Math.min(mutated.length, at + random.below(20))
    const head = mutated.subarray(0, at)
    const tail = mutated.subarray(at)
    switch (random.below(7)) {
      case 0:
        mutated = Buffer.concat([head, Buffer.from([random.below(256)]), tail.subarray(1)])
        break
      case 1:
        mutated = Buffer.concat([head, Buffer.from(random.pick(snippets), 'latin1'), tail])
        break
      case 2:
        mutated = Buffer.concat([head, mutated.subarray(to)])
        break
      case 3:
        mutated = Buffer.concat([mutated.subarray(0, to), mutated.subarray(at)])
        break
      case 4:
        mutated = Buffer.from(head)
        break
      case 5: {
        // A whole line where one may start.
        const line = mutated.indexOf(10, at) + 1
        mutated = Buffer.concat([mutated.subarray(0, line), Buffer.from(random.pick(lines)), mutated.subarray(line)])
        break
      }
      default:
        mutated = Buffer.concat([
          head,
          Buffer.alloc(random.below(400), random.pick(['a', ':', '\n', '\0', '\\'])),
          tail,
        ])
    }
  }
  return mutated
}

function makeCuts(random: Draws, length: number): number[] {
  if (random.chance(10)) return Array.from({ length }, (_, index) => index)
  return Array.from({ length: random.below(8) }, () => random.below(length + 1)).sort((a, b) => a - b)
}

type Decode = (bytes: Buffer, version: Version, cuts: readonly number[], limits: FrameLimits) => Outcome

/** Throws if the decoder does not read a stream as it was made, or a mutated one differently when it is cut. */
function check(stream: Stream, mutated: Buffer, random: Draws, decoded: Decode): void {
  const { version, bytes, frames, heartBeats } = stream
  const wanted = JSON.stringify({ frames, heartBeats, errors: [] })
  for (const cuts of [[], makeCuts(random, bytes.length)]) {
    const outcome = JSON.stringify(decoded(bytes, version, cuts, limits))
    if (outcome !== wanted) fail('a stream is not read as it was made', bytes, version, cuts, wanted, outcome)
  }
  const whole = JSON.stringify(decoded(mutated, version, [], limits))
  const cuts = makeCuts(random, mutated.length)
  const cut = JSON.stringify(decoded(mutated, version, cuts, limits))
  if (cut !== whole) fail('what is read depends on the cuts', mutated, version, cuts, whole, cut)
}

function fail(
  what: string,
  bytes: Buffer,
  version: Version,
  cuts: readonly number[],
  wanted: string,
  got: string,
): never {
  const input = JSON.stringify(bytes.toString('latin1'))
  throw new Error(
    `${what}\nFUZZ_SEED=${seed} version ${version}\nbytes ${input}\ncuts ${cuts}\nwanted ${wanted}\ngot    ${got}`,
  )
}

/** What stompit makes of a stream, in one chunk, since it corrupts characters and ends of line that are cut. */
async function readByStompit(stream: Stream): Promise<unknown[]> {
  const parser = new stompit.IncomingFrameStream({ maxLineLength: 100_000, maxHeaders: 1000 })
  parser.setVersion(stream.version)
  // It skips ends of line after a frame, but not before the first one.
  const start = stream.bytes.findIndex((byte) => byte !== 10 && byte !== 13)
  parser.end(stream.bytes.subarray(start))
  const frames: unknown[] = []
  for await (const frame of parser) {
    const chunks: Buffer[] = []
    for await (const chunk of frame) chunks.push(chunk)
    const headers = Object.entries(frame.headers).map(([name, value]) => [name, `${value}`])
    frames.push({
      command: frame.command,
      headers: headers.sort(byName),
      body: Buffer.concat(chunks).toString('latin1'),
    })
  }
  return frames
}

function byName(a: readonly string[], b: readonly string[]): number {
  return (a[0] as string) < (b[0] as string) ? -1 : 1
}

/** The frames with only the first of each header name, as stompit gives them. */
function firstsOf(frames: readonly PlainFrame[]): unknown[] {
  return frames.map(({ command, headers, body }) => {
    const firsts = new Map<string, string>()
    for (const [name, value] of headers) if (!firsts.has(name)) firsts.set(name, value)
    return { command, headers: [...firsts].sort(byName), body }
  })
}

/** Bytes of the heap and of buffers in use, garbage apart. */
function usedBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

it(`reads ${frameCount} frames, and as many mutated ones, in the same way however they are cut`, {
  timeout: 3_600_000,
}, () => {
  console.log(`FUZZ_SEED=${seed} FUZZ_FRAMES=${frameCount}`)
  const random = drawsOf(seed)
  let frames = 0
  let refused = 0
  let before = 0
  const codes = { 'protocol-error': 0, 'limit-exceeded': 0, 'message-too-large': 0 }
  while (frames < frameCount) {
    const stream = makeStream(random)
    const mutated = mutate(random, stream.bytes)
    check(stream, mutated, random, decode)
    const error = decode(mutated, stream.version, [], limits).errors[0]
    if (error !== undefined) {
      refused += 1
      codes[error.code] += 1
    }
    frames += stream.frames.length
    if (before === 0 && frames >= frameCount / 10) before = usedBytes()
  }
  const grown = usedBytes() - before
  console.log(
    `${frames} frames, ${refused} mutated streams refused ${JSON.stringify(codes)}, heap grown by ${Math.round(grown / 1024)} KiB`,
  )
  expect(grown).toBeLessThan(8 * 1024 * 1024)
  expect(refused).toBeGreaterThan(frames / 20)
  // Every kind of refusal is met, the rarest about once in two hundred frames.
  expect(Math.min(...Object.values(codes)), JSON.stringify(codes)).toBeGreaterThan(frames / 2000)
})

it('reads well-formed frames as stompit does', { timeout: 3_600_000 }, async () => {
  const random = drawsOf(seed ^ 0x5ca1ab1e)
  const wanted = Math.min(differentialMax, Math.ceil(frameCount / differentialEvery))
  let frames = 0
  while (frames < wanted) {
    const stream = makeStream(random)
    if (!stream.forStompit) continue
    const ours = firstsOf(decode(stream.bytes, stream.version, [], limits).frames)
    const theirs = await readByStompit(stream)
    expect(ours, `FUZZ_SEED=${seed} ${stream.version} ${JSON.stringify(stream.bytes.toString('latin1'))}`).toEqual(
      theirs,
    )
    frames += stream.frames.length
  }
})

it('the checks notice a decoder that is wrong', () => {
  /** Each is wrong in one way, now and then. */
  const wrong: Record<string, Decode> = {
    'moves an octet of a body': (bytes, version, cuts, limits) => {
      const outcome = decode(bytes, version, cuts, limits)
      const frames = outcome.frames.map((frame) =>
        frame.body.startsWith('a') ? { ...frame, body: `${frame.body.slice(1)}a` } : frame,
      )
      return { ...outcome, frames }
    },
    'loses a heart-beat that is cut off': (bytes, version, cuts, limits) => {
      const outcome = decode(bytes, version, cuts, limits)
      const lost = cuts.some((cut) => bytes[cut] === 10 && bytes[cut - 1] === 0) ? 1 : 0
      return { ...outcome, heartBeats: outcome.heartBeats - lost }
    },
    'swallows errors': (bytes, version, cuts, limits) => {
      const outcome = decode(bytes, version, cuts, limits)
      return cuts.length > 0 ? { ...outcome, errors: [] } : outcome
    },
    'takes the last of repeated headers': (bytes, version, cuts, limits) => {
      const outcome = decode(bytes, version, cuts, limits)
      const frames = outcome.frames.map((frame) => ({
        ...frame,
        headers: frame.headers.map(([name]) => frame.headers.findLast(([other]) => other === name) ?? ['', '']),
      }))
      return { ...outcome, frames: frames as PlainFrame[] }
    },
  }
  for (const [how, decoded] of Object.entries(wrong)) {
    const random = drawsOf(1)
    const run = () => {
      for (let times = 0; times < 3000; times++) {
        const stream = makeStream(random)
        check(stream, mutate(random, stream.bytes), random, decoded)
      }
    }
    expect(run, how).toThrow('FUZZ_SEED=')
  }
})
