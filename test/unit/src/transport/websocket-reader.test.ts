import type { Writable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as ws from 'ws'
import { type Ending, WebSocketReader } from '../../../../src/transport/websocket-reader.ts'
import { closing, type FrameParts, clientFrame as frame } from '../../../support/websocket-frames.ts'

interface Reading {
  readonly data: string
  readonly ending: Ending | undefined
  readonly isText: boolean
}

/** Reads the frames in pieces of `size`, each a view of a larger memory as sockets give them. */
function read(frames: readonly Buffer[], size: number, offset = 0): Reading {
  const reader = new WebSocketReader()
  const all = Buffer.concat(frames)
  const parts: Buffer[] = []
  for (let at = 0; at < all.length; at += size) {
    const memory = Buffer.alloc(offset + size)
    const length = all.copy(memory, offset, at, at + size)
    parts.push(reader.push(memory.subarray(offset, offset + length)))
  }
  return { data: Buffer.concat(parts).toString('latin1'), ending: reader.ending, isText: reader.isText }
}

/** Whole, cut into pieces of every size and at every alignment: always the same. */
function readings(frames: readonly Buffer[]): Reading {
  const all = Buffer.concat(frames).length
  const whole = read(frames, all)
  // How much is handed on before a fault in a text depends on where it was cut.
  const expected = whole.ending?.code === 1007 ? { ending: whole.ending } : whole
  const sizes = all > 1000 ? [7, 1000] : Array.from({ length: Math.min(all, 40) }, (_, index) => index + 1)
  for (const size of sizes) expect(read(frames, size, size % 4), `size ${size}`).toMatchObject(expected)
  for (let offset = 1; offset < 8; offset += 1) expect(read(frames, all, offset), `offset ${offset}`).toEqual(whole)
  return whole
}

const euro = Buffer.from('€')

describe('hands on', () => {
  test.each([
    ['a text', [frame({ opcode: 1, payload: 'Hello' })], 'Hello'],
    ['an empty message', [frame({ opcode: 2 })], ''],
    [
      'several messages as one piece',
      [1, 2, 3].map((n) => frame({ opcode: 2, payload: `message ${n}`.repeat(n) })),
      'message 1message 2message 2message 3message 3message 3',
    ],
    ['125 bytes', [frame({ opcode: 2, payload: 'x'.repeat(125) })], 'x'.repeat(125)],
    ['126 bytes', [frame({ opcode: 2, payload: 'x'.repeat(126) })], 'x'.repeat(126)],
    ['65,535 bytes', [frame({ opcode: 2, payload: 'x'.repeat(65_535) })], 'x'.repeat(65_535)],
    ['65,536 bytes', [frame({ opcode: 2, payload: 'x'.repeat(65_536) })], 'x'.repeat(65_536)],
    [
      'fragments (§5.4)',
      [
        frame({ opcode: 1, payload: 'Hel', fin: false }),
        frame({ opcode: 0, payload: 'l', fin: false }),
        frame({ opcode: 0, payload: 'o' }),
      ],
      'Hello',
    ],
    [
      'fragments around control frames',
      [
        frame({ opcode: 1, payload: 'Hel', fin: false }),
        frame({ opcode: 9, payload: 'x' }),
        frame({ opcode: 10 }),
        frame({ opcode: 0, payload: 'lo' }),
      ],
      'Hello',
    ],
    ['empty fragments', [frame({ opcode: 1, fin: false }), frame({ opcode: 0, fin: false }), frame({ opcode: 0 })], ''],
    [
      'a character cut by fragments',
      [
        frame({ opcode: 1, payload: euro.subarray(0, 1), fin: false }),
        frame({ opcode: 0, payload: euro.subarray(1, 2), fin: false }),
        frame({ opcode: 0, payload: euro.subarray(2) }),
      ],
      euro.toString('latin1'),
    ],
    ['bytes that are no UTF-8', [frame({ opcode: 2, payload: Buffer.from([0xff, 0xc3]) })], '\xff\xc3'],
    [
      'text after binary',
      [frame({ opcode: 2, payload: Buffer.from([0xc3]) }), frame({ opcode: 1, payload: 'a' })],
      '\xc3a',
    ],
  ])('%s', (_name, frames, data) => {
    expect(readings(frames)).toMatchObject({ data, ending: undefined })
  })

  test('the kind of the latest message', () => {
    const [text, binary] = [frame({ opcode: 1, payload: 'a' }), frame({ opcode: 2, payload: 'b' })]
    expect(readings([text, binary]).isText).toBe(false)
    expect(readings([binary, text]).isText).toBe(true)
  })

  test('the payload of the latest ping', () => {
    const reader = new WebSocketReader()
    reader.push(Buffer.concat([frame({ opcode: 9, payload: '1' }), frame({ opcode: 9, payload: '2' })]))
    expect(String(reader.ping)).toBe('2')
  })
})

describe('ends with', () => {
  test.each([
    ['a reserved bit (§5.2)', [frame({ opcode: 1, rsv: 4 })], 1002],
    ['an opcode that is not assigned (§5.2)', [frame({ opcode: 3 })], 1002],
    ['a control opcode that is not assigned', [frame({ opcode: 11 })], 1002],
    ['a frame that is not masked (§5.1)', [frame({ opcode: 1, payload: 'a', isMasked: false })], 1002],
    ['a control frame in fragments (§5.5)', [frame({ opcode: 9, fin: false })], 1002],
    ['a control frame of 126 bytes (§5.5)', [frame({ opcode: 9, payload: 'x'.repeat(126) })], 1002],
    ['a continuation of nothing (§5.4)', [frame({ opcode: 0, payload: 'a' })], 1002],
    ['a continuation of what is complete', [frame({ opcode: 1 }), frame({ opcode: 0 })], 1002],
    ['a message within a message (§5.4)', [frame({ opcode: 1, fin: false }), frame({ opcode: 1 })], 1002],
    ['a length in more bytes than it needs (§5.2)', [frame({ opcode: 2, payload: 'a', lengthBytes: 2 })], 1002],
    ['a short length in eight bytes', [frame({ opcode: 2, payload: 'x'.repeat(300), lengthBytes: 8 })], 1002],
    ['a length past what can be counted', [frame({ opcode: 2, length: 2n ** 60n })], 1009],
    ['text that is no UTF-8 (§8.1)', [frame({ opcode: 1, payload: Buffer.from([0x61, 0xff]) })], 1007],
    ['text that ends within a character', [frame({ opcode: 1, payload: euro.subarray(0, 2) })], 1007],
    [
      'a character cut by the end of a message',
      [frame({ opcode: 1, payload: euro.subarray(0, 2) }), frame({ opcode: 1, payload: euro.subarray(2) })],
      1007,
    ],
    [
      'a character cut by a binary message',
      [
        frame({ opcode: 1, payload: euro.subarray(0, 2) }),
        frame({ opcode: 2 }),
        frame({ opcode: 1, payload: euro.subarray(2) }),
      ],
      1007,
    ],
    [
      'a fragment that never completes its character',
      [frame({ opcode: 1, payload: euro.subarray(0, 2), fin: false }), frame({ opcode: 0 })],
      1007,
    ],
    ['a surrogate in text', [frame({ opcode: 1, payload: Buffer.from([0xed, 0xa0, 0x80]) })], 1007],
    ['a close code of one byte (§5.5.1)', [frame({ opcode: 8, payload: 'a' })], 1002],
    ['a close code that may not be sent (§7.4.1)', [frame({ opcode: 8, payload: closing(1005) })], 1002],
    ['a close code that nobody has', [frame({ opcode: 8, payload: closing(2999) })], 1002],
    ['a close reason that is no UTF-8', [frame({ opcode: 8, payload: closing(1000, Buffer.from([0xff])) })], 1007],
  ])('%s', (_name, frames, code) => {
    const { ending } = readings(frames)
    expect(ending?.code).toBe(code)
    expect(ending?.fault).toBeTypeOf('string')
  })

  test.each([
    ['without a code', '', 1000],
    ['with a code', closing(1001), 1001],
    ['with a reason', closing(1000, 'bye'), 1000],
    ['with a code of an application', closing(4999, 'x'.repeat(123)), 4999],
  ])('a close frame %s, and reads nothing after it', (_name, payload, code) => {
    const frames = [
      frame({ opcode: 1, payload: 'a' }),
      frame({ opcode: 8, payload }),
      frame({ opcode: 1, payload: 'b' }),
    ]
    expect(readings(frames)).toMatchObject({ data: 'a', ending: { code, fault: undefined } })
  })

  test('the data that came before a fault', () => {
    expect(readings([frame({ opcode: 2, payload: 'good' }), frame({ opcode: 7 })]).data).toBe('good')
  })
})

test('reads what the receiver of ws reads, and refuses what it refuses', () => {
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.string({ unit: 'binary', maxLength: 90 }).map((text) => Buffer.from(text)),
  )
  const one: fc.Arbitrary<FrameParts> = fc.record({
    opcode: fc.constantFrom(0, 0, 1, 1, 2, 2, 8, 9, 10, 3),
    payload,
    fin: fc.boolean(),
    key: fc.array(fc.nat(255), { minLength: 4, maxLength: 4 }),
  })
  const property = fc.asyncProperty(
    fc.array(one, { maxLength: 12 }),
    fc.integer({ min: 1, max: 500 }),
    async (all, size) => {
      const frames = all.map((parts) => frame(parts))
      const expected = await byWs(frames)
      const { data, ending } = read(frames, size, size % 5)
      // ws looks at the text of a message when it is complete, the reader at that of a chunk: they may tell different faults.
      if (ending?.code === 1007) expect(expected.code !== undefined || !expected.isComplete).toBe(true)
      else if (expected.code === 1007) expect(ending).toBeDefined()
      else expect(ending?.code).toBe(expected.code)
      // ws hands on whole messages only; the reader none of a chunk in which text is wrong.
      expect(data.startsWith(expected.data) || expected.data.startsWith(data)).toBe(true)
      if (ending === undefined && expected.isComplete) expect(data).toBe(expected.data)
    },
  )
  return fc.assert(property, { numRuns: 3000 })
})

interface WsReceiver extends Writable {
  readonly _fragmented: number
}

const { Receiver } = ws as unknown as { readonly Receiver: new (options: { isServer: boolean }) => WsReceiver }

/** What ws makes of the frames: the data of whole messages, and the code that it closes with. */
async function byWs(
  frames: readonly Buffer[],
): Promise<{ data: string; code: number | undefined; isComplete: boolean }> {
  const receiver = new Receiver({ isServer: true })
  let data = ''
  let code: number | undefined
  receiver.on('message', (message: Buffer) => {
    data += message.toString('latin1')
  })
  receiver.on('conclude', (given: number) => {
    code = given === 1005 ? 1000 : given
  })
  receiver.on('error', (error: object) => {
    const status = Object.getOwnPropertySymbols(error).find((symbol) => symbol.description === 'status-code')
    if (status !== undefined) code = (error as Readonly<Record<symbol, number>>)[status]
  })
  receiver.write(Buffer.concat(frames))
  await new Promise((resolve) => setImmediate(resolve))
  return { data, code, isComplete: receiver._fragmented === 0 }
}
