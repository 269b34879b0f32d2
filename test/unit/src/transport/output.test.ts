import { Writable } from 'node:stream'
import { beforeEach, describe, expect, test } from 'vitest'
import { Output } from '../../../../src/transport/output.ts'
import { SlabPool } from '../../../../src/transport/slab-pool.ts'
import { Turn } from '../../../../src/turn.ts'

/** A pool that knows which slabs are out. */
class CountingPool extends SlabPool {
  readonly out = new Set<Buffer>()
  takenCount = 0

  override take(bytes: number, busy: boolean): Buffer {
    const slab = super.take(bytes, busy)
    expect(this.out.has(slab), 'a slab is handed out twice').toBe(false)
    this.out.add(slab)
    this.takenCount += 1
    return slab
  }

  override give(slab: Buffer): void {
    expect(this.out.delete(slab), 'a slab comes back that is not out').toBe(true)
    super.give(slab)
  }
}

/** A stream that takes a write only when the test says so. */
class Sink extends Writable {
  readonly writes: Uint8Array[][] = []
  readonly #held: (() => void)[] = []
  isHeld = false

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.#take([chunk], done)
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: () => void): void {
    this.#take(
      chunks.map(({ chunk }) => chunk),
      done,
    )
  }

  /** Everything written, copied when it was written. */
  get text(): string {
    return Buffer.concat(this.writes.flat()).toString()
  }

  release(): void {
    this.isHeld = false
    for (const done of this.#held.splice(0)) done()
  }

  #take(chunks: Uint8Array[], done: () => void): void {
    this.writes.push(chunks.map((chunk) => (chunk.length < 8192 ? Buffer.from(chunk) : chunk)))
    if (this.isHeld) this.#held.push(done)
    else done()
  }
}

let sink: Sink
let slabs: CountingPool
let runs: (() => void)[]
let turn: Turn
let events: string[]

beforeEach(() => {
  sink = new Sink()
  sink.on('error', () => undefined)
  slabs = new CountingPool()
  runs = []
  turn = new Turn((run) => runs.push(run))
  events = []
})

function outputOf(highBytes = 1024 * 1024): Output {
  return new Output(sink, turn, slabs, highBytes, {
    congested: () => events.push('congested'),
    drained: () => events.push('drained'),
  })
}

/** Runs the turns that are due and lets the stream answer. */
async function runTurn(): Promise<void> {
  for (const run of runs.splice(0)) run()
  await new Promise((resolve) => setImmediate(resolve))
}

function encode(output: Output, text: string): void {
  output.reserve(text.length)
  output.position += output.buffer.write(text, output.position, 'latin1')
}

describe('bytes', () => {
  test('of one turn leave in one write', async () => {
    const output = outputOf()
    encode(output, 'one ')
    output.write(Buffer.from('two '))
    encode(output, 'three')
    expect(sink.writes).toHaveLength(0)
    await runTurn()
    expect(sink.writes).toHaveLength(1)
    expect(sink.text).toBe('one two three')
  })

  test('stay in order across slabs and long bodies, in one vectored write', async () => {
    const output = outputOf()
    const body = Buffer.alloc(10_000, 'b')
    encode(output, 'head ')
    output.write(body)
    encode(output, ' tail')
    for (let index = 0; index < 30; index += 1) output.write(Buffer.alloc(4000, String(index % 10)))
    await runTurn()
    expect(sink.writes).toHaveLength(1)
    const expected = ['head ', body.toString(), ' tail']
    for (let index = 0; index < 30; index += 1) expected.push(String(index % 10).repeat(4000))
    expect(sink.text).toBe(expected.join(''))
  })

  test('of a long body are sent from where they are', async () => {
    const output = outputOf()
    const body = Buffer.alloc(8192)
    output.write(body)
    await runTurn()
    expect(sink.writes[0]?.[0]).toBe(body)
    expect(slabs.takenCount).toBe(0)
  })

  test('longer than any slab find room', async () => {
    const output = outputOf()
    encode(output, 'x'.repeat(100_000))
    encode(output, 'y')
    await runTurn()
    expect(sink.text).toBe(`${'x'.repeat(100_000)}y`)
  })

  test('of several turns follow each other while the stream is busy', async () => {
    const output = outputOf()
    sink.isHeld = true
    for (const text of ['a', 'b', 'c']) {
      encode(output, text)
      await runTurn()
    }
    expect(sink.text).toBe('a')
    sink.release()
    await runTurn()
    expect(sink.text).toBe('abc')
  })

  test('written before the end are sent before it', async () => {
    const output = outputOf()
    encode(output, 'last words')
    output.end()
    await runTurn()
    expect(sink.text).toBe('last words')
    expect(sink.writableFinished).toBe(true)
    expect(slabs.out.size).toBe(0)
  })
})

describe('slabs', () => {
  test('go back once the stream has taken the bytes, not before', async () => {
    const output = outputOf()
    sink.isHeld = true
    encode(output, 'a')
    await runTurn()
    expect(slabs.out.size).toBe(1)
    sink.release()
    await runTurn()
    expect(slabs.out.size).toBe(0)
    expect(output.buffer.length).toBe(0)
  })

  test('go on behind long bodies, and go back with the last of what stands between those', async () => {
    const output = outputOf()
    sink.isHeld = true
    const bodies = ['b', 'd', 'f'].map((letter) => Buffer.alloc(9000, letter))
    for (const [index, body] of bodies.entries()) {
      encode(output, String(index))
      output.write(body)
      expect(output.waitingBytes).toBe((index + 1) * 9001)
    }
    expect(slabs.takenCount).toBe(1)
    await runTurn()
    expect(slabs.out.size).toBe(1)
    sink.release()
    await runTurn()
    expect(slabs.out.size).toBe(0)
    expect(sink.text).toBe(bodies.map((body, index) => `${index}${body}`).join(''))
    expect(output.takenBytes).toBe(3 * 9001)
  })

  test('go back when nothing was written into them', async () => {
    const output = outputOf()
    output.reserve(10)
    await runTurn()
    expect(slabs.out.size).toBe(0)
    output.reserve(10)
    output.write(Buffer.alloc(9000))
    await runTurn()
    expect(slabs.out.size).toBe(0)
  })

  test('go back when the stream is destroyed before, during and after the flush', async () => {
    const output = outputOf()
    sink.isHeld = true
    encode(output, 'in the stream')
    await runTurn()
    encode(output, 'waiting in the stream')
    await runTurn()
    for (let index = 0; index < 3; index += 1) output.write(Buffer.alloc(5000, 'waiting for the turn'))
    sink.destroy()
    await runTurn()
    encode(output, 'too late')
    await runTurn()
    sink.release()
    await runTurn()
    expect(slabs.out.size).toBe(0)
    expect(sink.text).toBe('in the stream')
  })

  test('go back when the output is discarded', () => {
    const output = outputOf()
    for (let index = 0; index < 40; index += 1) output.write(Buffer.alloc(4000))
    output.discard()
    expect(slabs.out.size).toBe(0)
    expect(output.waitingBytes).toBe(0)
  })

  test('are used again', async () => {
    const output = outputOf()
    const seen = new Set<ArrayBufferLike>()
    for (let index = 0; index < 10; index += 1) {
      encode(output, 'x')
      seen.add(output.buffer.buffer)
      await runTurn()
    }
    expect(seen.size).toBe(1)
  })
})

describe('congestion', () => {
  test('is told once above the high watermark, and over below half of it', async () => {
    const output = outputOf(10_000)
    sink.isHeld = true
    output.write(Buffer.alloc(9000))
    await runTurn()
    expect(events).toEqual([])
    output.write(Buffer.alloc(4000))
    output.write(Buffer.alloc(9000))
    expect(events).toEqual(['congested'])
    expect(output.isCongested).toBe(true)
    expect(output.waitingBytes).toBe(22_000)
    await runTurn()
    sink.isHeld = true
    sink.release()
    await runTurn()
    expect(events).toEqual(['congested', 'drained'])
    expect(output.isCongested).toBe(false)
    expect(output.waitingBytes).toBe(0)
    expect(output.takenBytes).toBe(22_000)
  })

  test('is told of bytes encoded in place when they are flushed', async () => {
    const output = outputOf(3000)
    sink.isHeld = true
    encode(output, 'x'.repeat(3001))
    await runTurn()
    expect(events).toEqual(['congested'])
  })

  test('may be answered with more bytes', async () => {
    const output = new Output(sink, turn, slabs, 100, {
      congested: () => encode(output, '!'.repeat(60_000)),
      drained: () => events.push('drained'),
    })
    encode(output, 'a'.repeat(4000))
    encode(output, 'b'.repeat(4000))
    await runTurn()
    await runTurn()
    expect(sink.text).toBe(`${'a'.repeat(4000)}${'!'.repeat(60_000)}${'b'.repeat(4000)}`)
    expect(slabs.out.size).toBe(0)
  })

  test('is not over because the stream was destroyed', async () => {
    const output = outputOf(100)
    sink.isHeld = true
    encode(output, 'x'.repeat(200))
    await runTurn()
    sink.destroy()
    sink.release()
    await runTurn()
    expect(events).toEqual(['congested'])
  })
})

test('keeps at most a bounded number of free slabs', () => {
  const pool = new SlabPool()
  const taken = Array.from({ length: 3000 }, () => pool.take(1, false))
  for (const slab of taken) pool.give(slab)
  const known = new Set(taken)
  const again = Array.from({ length: 3000 }, () => pool.take(1, false))
  expect(again.filter((slab) => known.has(slab))).toHaveLength(1024)
})
