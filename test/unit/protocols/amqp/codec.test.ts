import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Decoder, Disposition, Flow, type Frame, Transfer } from '../../../../protocols/amqp/decoder.ts'
import {
  acceptedState,
  type ByteSink,
  OutgoingTransfer,
  type Payload,
  payloadOf,
  writeDisposition,
  writeEmptyFrame,
  writeFlow,
  writePart,
  writeTransfer,
} from '../../../../protocols/amqp/encoder.ts'
import { type AmqpFault, Cursor, serialGap } from '../../../../protocols/amqp/frame.ts'
import { MessageReader } from '../../../../protocols/amqp/mapping.ts'
import { Sections } from '../../../../protocols/amqp/sections.ts'
import { ValueReader, ValueWriter } from '../../../../protocols/amqp/values.ts'
import { Address } from '../../../../src/address.ts'
import { MessageSource } from '../../../../src/message.ts'
import type { Value } from '../../../../src/value.ts'
import {
  composite,
  decodeAll,
  encode,
  fieldsOf,
  frameBytes,
  headers,
  type Seen,
  sectionsOf,
  t,
} from '../../../support/amqp-peer.ts'

/** Collects what is written. */
class Sink implements ByteSink {
  buffer = Buffer.alloc(64)
  position = 0

  reserve(bytes: number): void {
    if (this.buffer.length - this.position >= bytes) return
    const grown = Buffer.alloc((this.position + bytes) * 2)
    this.buffer.copy(grown)
    this.buffer = grown
  }

  write(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.buffer.set(bytes, this.position)
    this.position += bytes.length
  }

  get bytes(): Buffer {
    return this.buffer.subarray(0, this.position)
  }
}

interface Split {
  readonly frames: string[]
  readonly faults: AmqpFault[]
}

/** What a decoder makes of chunks: header and frames as hex. */
function split(chunks: readonly Buffer[], frameBytesMax = 1000): Split {
  const frames: string[] = []
  const faults: AmqpFault[] = []
  const decoder: Decoder = new Decoder(
    {
      onHeader(bytes) {
        frames.push(bytes.toString('hex'))
        decoder.expects = 0
      },
      onFrame: ({ bytes, bodyStart, end, channel }: Frame) =>
        frames.push(`${channel} ${bytes.toString('hex', bodyStart, end)}`),
      onFault: (fault) => faults.push(fault),
    },
    frameBytesMax,
  )
  for (const chunk of chunks) decoder.push(chunk)
  return { frames, faults }
}

describe('frames (part 2, section 2.3)', () => {
  const stream = Buffer.concat([
    headers.amqp,
    frameBytes(Buffer.from('005310', 'hex'), Buffer.from('abc'), 5),
    Buffer.from('0000000802000000', 'hex'),
    // An extended header, which is ignored: a data offset of 4.
    Buffer.from('00000013 04000007 ffffffff ffffffff 010203'.replaceAll(' ', ''), 'hex'),
    frameBytes(Buffer.alloc(300, 1), undefined, 65_535),
  ])
  const whole = split([stream])

  test('are found whatever the chunks are', () => {
    expect(whole.faults).toEqual([])
    expect(whole.frames.map((frame) => frame.slice(0, 14))).toEqual([
      '414d5150000100',
      '5 005310616263',
      '7 010203',
      '65535 01010101',
    ])
    for (let at = 0; at <= stream.length; at += 1) {
      expect(split([stream.subarray(0, at), stream.subarray(at)])).toEqual(whole)
    }
    expect(split([...stream].map((byte) => Buffer.from([byte])))).toEqual(whole)
  })

  test('that are too large are refused by their first eight bytes', () => {
    const large = frameBytes(Buffer.alloc(300))
    const { faults } = split([headers.amqp, large.subarray(0, 8)], 200)
    expect(faults).toMatchObject([{ condition: 'amqp:connection:framing-error' }])
  })

  test('wait while the decoder is paused', () => {
    const frames: number[] = []
    const decoder: Decoder = new Decoder(
      {
        onHeader: () => {
          decoder.expects = 0
        },
        onFrame: ({ channel }) => {
          frames.push(channel)
          decoder.pause()
        },
        onFault: () => undefined,
      },
      1000,
    )
    const body = Buffer.from('005310', 'hex')
    decoder.push(Buffer.concat([headers.amqp, frameBytes(body, undefined, 1), frameBytes(body, undefined, 2)]))
    decoder.push(frameBytes(body, undefined, 3))
    expect(frames).toEqual([1])
    decoder.resume()
    expect(frames).toEqual([1, 2])
    decoder.resume()
    expect(frames).toEqual([1, 2, 3])
  })
})

/** A payload in one piece. */
function wholeOf({ head, content }: Payload): Buffer {
  return Buffer.concat([head, content])
}

describe('what we write is read by another codec', () => {
  function decoded(write: (sink: Sink) => void): readonly [code: unknown, fields: readonly Seen[], rest: Buffer] {
    const sink = new Sink()
    write(sink)
    expect(sink.bytes.readUInt32BE(0)).toBe(sink.bytes.length)
    expect(sink.bytes.readUInt16BE(6)).toBe(300)
    const body = sink.bytes.subarray(8)
    const cursor = new Cursor(body)
    cursor.check()
    const [performative] = decodeAll(body.subarray(0, cursor.at))
    return [(performative as { descriptor: number }).descriptor, fieldsOf(performative), body.subarray(cursor.at)]
  }

  test.each([0, 1, 255, 256, 2 ** 32 - 1])('a transfer of delivery %i', (deliveryId) => {
    const transfer = Object.assign(new OutgoingTransfer(), {
      channel: 300,
      handle: 7,
      deliveryId,
      content: encode(t.described(0x77, t.string('x'))),
      hasHeader: true,
      durable: true,
      priority: 9,
      ttlMs: 70_000,
      deliveryCount: 300,
    })
    const [code, fields, payload] = decoded((sink) => writeTransfer(sink, transfer, 1000))
    const tag = Buffer.alloc(4)
    tag.writeUInt32BE(deliveryId)
    expect([code, fields]).toEqual([0x14, [7, deliveryId, tag, 0, false]])
    expect(payload).toEqual(wholeOf(payloadOf(transfer)))
    expect(sectionsOf(payload).get(0x70)).toEqual([true, 9, 70_000, false, 300])
  })

  test('a delivery in parts', () => {
    const transfer = Object.assign(new OutgoingTransfer(), {
      channel: 300,
      content: Buffer.alloc(500, 3),
      settled: true,
    })
    expect(writeTransfer(new Sink(), transfer, 512)).toBe(false)
    const payload = payloadOf(transfer)
    const [, first, start] = decoded((sink) => writePart(sink, transfer, payload, 0, 512))
    const [, last, rest] = decoded((sink) => writePart(sink, transfer, payload, start.length, 512))
    expect([first[5], last]).toEqual([true, [0, null, null, null, null, false]])
    expect(Buffer.concat([start, rest])).toEqual(wholeOf(payload))
  })

  test.each([0, 100, 464, 465, 1000])('a delivery in parts, behind %d bytes of annotations', (annotationBytes) => {
    const transfer = Object.assign(new OutgoingTransfer(), {
      channel: 300,
      hasHeader: true,
      annotations: Buffer.alloc(annotationBytes, 1),
      content: Buffer.from(Array.from({ length: 1000 }, (_, index) => index & 255)),
      contentStart: 7,
    })
    const payload = payloadOf(transfer)
    const parts: Buffer[] = []
    for (let at = 0; at < payload.bytes; ) {
      const [, , part] = decoded((sink) => {
        at = writePart(sink, transfer, payload, at, 512)
      })
      parts.push(part)
    }
    expect(Buffer.concat(parts)).toEqual(wholeOf(payload))
    expect(wholeOf(payload).subarray(-993)).toEqual(transfer.content.subarray(7))
  })

  test('flows and dispositions', () => {
    const numbers = { nextIncomingId: 2 ** 32 - 1, incomingWindow: 0, nextOutgoingId: 255, outgoingWindow: 256 }
    const link = { ...numbers, handle: 1000, deliveryCount: 2 ** 31, linkCredit: 0, drain: true }
    expect(decoded((sink) => writeFlow(sink, 300, link)).slice(0, 2)).toEqual([
      0x13,
      [2 ** 32 - 1, 0, 255, 256, 1000, 2 ** 31, 0, null, true],
    ])
    expect(decoded((sink) => writeFlow(sink, 300, { ...link, handle: -1 }))[1]).toHaveLength(4)
    for (const state of [acceptedState, Buffer.concat([encode(composite(0x25, t.string('y'.repeat(400))))])]) {
      const [code, fields] = decoded((sink) => writeDisposition(sink, 300, true, { first: 3, last: 300 }, true, state))
      expect([code, fields.slice(0, 4)]).toEqual([0x15, [true, 3, 300, true]])
      expect(fields[4]).toEqual(decodeAll(Buffer.from(state))[0])
    }
    const sink = new Sink()
    writeEmptyFrame(sink)
    expect(sink.bytes.toString('hex')).toBe('0000000802000000')
  })
})

describe('what another codec writes is read by us', () => {
  test('fields that are absent or null are as by default', () => {
    const transfer = new Transfer()
    const cursor = new Cursor(Buffer.alloc(0))
    const read = (bytes: Buffer): AmqpFault | undefined => {
      cursor.set(bytes, 0, bytes.length)
      cursor.performative()
      return transfer.read(cursor)
    }
    expect(
      read(encode(composite(0x14, t.uint(1), t.uint(2), t.binary('tag'), t.uint(3), t.boolean(true)))),
    ).toBeUndefined()
    expect(transfer).toMatchObject({
      handle: 1,
      deliveryId: 2,
      tagLength: 3,
      messageFormat: 3,
      settled: true,
      more: false,
    })
    expect(read(encode(composite(0x14, t.uint(300), ...new Array(10).fill(undefined))))).toBeUndefined()
    expect(transfer).toMatchObject({
      handle: 300,
      deliveryId: -1,
      messageFormat: -1,
      settled: undefined,
      aborted: false,
    })
    expect(transfer.stateEnd).toBe(transfer.stateStart)
    expect(read(encode(t.described('amqp:transfer:list', t.list(t.uint(5)))))).toBeUndefined()
    expect(transfer.handle).toBe(5)
  })

  test('flows and dispositions', () => {
    const flow = new Flow()
    const bytes = encode(composite(0x13, undefined, t.uint(1), t.uint(2), t.uint(3)))
    const cursor = new Cursor(bytes)
    cursor.performative()
    expect(flow.read(cursor)).toBeUndefined()
    expect(flow).toMatchObject({ nextIncomingId: -1, incomingWindow: 1, handle: -1, linkCredit: -1, drain: false })
    const disposition = new Disposition()
    const settled = encode(composite(0x15, t.boolean(true), t.uint(7)))
    cursor.set(settled, 0, settled.length)
    cursor.performative()
    expect(disposition.read(cursor)).toBeUndefined()
    expect(disposition).toMatchObject({ role: true, first: 7, last: 7, settled: false })
    expect(disposition.stateEnd).toBe(disposition.stateStart)
  })
})

describe('values (part 1, section 1.6)', () => {
  const text = fc.string({ unit: 'binary' }).filter((one) => Buffer.from(one).toString() === one)
  const value: fc.Memo<Value> = fc.memo((depth) =>
    depth <= 1
      ? scalars
      : fc.oneof(
          scalars,
          fc.record({ type: fc.constant('list' as const), value: fc.array(value(), { maxLength: 4 }) }),
          fc.record({
            type: fc.constant('map' as const),
            value: fc.array(fc.tuple(value(), value()), { maxLength: 4 }),
          }),
        ),
  )
  const bytes = (length: number) =>
    fc.uint8Array({ minLength: length, maxLength: length }).map((one) => Buffer.from(one))
  const scalars: fc.Arbitrary<Value> = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    text,
    fc.double(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.uint8Array({ maxLength: 300 }).map((one) => Buffer.from(one)),
    fc.integer({ min: -128, max: 127 }).map((one) => ({ type: 'byte' as const, value: one })),
    fc.integer({ min: -32_768, max: 32_767 }).map((one) => ({ type: 'short' as const, value: one })),
    fc.integer().map((one) => ({ type: 'int' as const, value: one })),
    fc.nat(255).map((one) => ({ type: 'ubyte' as const, value: one })),
    fc.nat(65_535).map((one) => ({ type: 'ushort' as const, value: one })),
    fc.nat(2 ** 32 - 1).map((one) => ({ type: 'uint' as const, value: one })),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((one) => ({ type: 'ulong' as const, value: one })),
    fc.float().map((one) => ({ type: 'float' as const, value: one })),
    fc.integer({ min: -1e12, max: 1e12 }).map((one) => ({ type: 'timestamp' as const, value: one })),
    fc.uuid().map((one) => ({ type: 'uuid' as const, value: one })),
    fc.constantFrom('a', '€', '😀').map((one) => ({ type: 'char' as const, value: one })),
    fc.constantFrom('queue', 'x'.repeat(300)).map((one) => ({ type: 'symbol' as const, value: one })),
    fc.oneof(bytes(4), bytes(8), bytes(16)).map((one) => ({ type: 'decimal' as const, value: one })),
  )

  test('of every type come back as they were, and are sound', () => {
    fc.assert(
      fc.property(value(4), (given) => {
        const writer = new ValueWriter()
        writer.write(given)
        const encoded = Buffer.from(writer.bytes)
        const cursor = new Cursor(encoded)
        cursor.check()
        expect([cursor.isBroken, cursor.at]).toEqual([false, encoded.length])
        cursor.set(encoded, 0, encoded.length)
        cursor.skip()
        expect(cursor.at).toBe(encoded.length)
        expect(new ValueReader(encoded, 0).read()).toEqual(given)
      }),
    )
  })

  test('that are not of the type they say are written as text', () => {
    const wrong: fc.Arbitrary<Value> = fc.oneof(
      fc
        .tuple(fc.constantFrom('byte', 'ubyte', 'short', 'ushort', 'int', 'uint', 'timestamp', 'float'), fc.double())
        .map(([type, one]) => ({ type, value: one }) as Value),
      fc.tuple(fc.constantFrom('uuid', 'char', 'symbol'), text).map(([type, one]) => ({ type, value: one }) as Value),
      fc.bigInt().map((one) => ({ type: 'ulong' as const, value: one })),
      fc.bigInt(),
      fc.uint8Array({ maxLength: 40 }).map((one) => ({ type: 'decimal' as const, value: one })),
    )
    fc.assert(
      fc.property(wrong, (given) => {
        const writer = new ValueWriter()
        writer.write(given)
        const cursor = new Cursor(Buffer.from(writer.bytes))
        cursor.check()
        expect([cursor.isBroken, cursor.at]).toEqual([false, writer.bytes.length])
      }),
      { numRuns: 2000 },
    )
  })

  test('of any bytes are read or refused with a RangeError, and found broken by the cursor if they cannot be read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (given) => {
        const encoded = Buffer.from(given)
        const cursor = new Cursor(encoded)
        cursor.check()
        const isSound = !cursor.isBroken
        try {
          new ValueReader(encoded, 0).read()
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
          expect(isSound).toBe(false)
        }
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    ['40', null],
    ['5601', true],
    ['5600', false],
    ['43', { type: 'uint', value: 0 }],
    ['52ff', { type: 'uint', value: 255 }],
    ['44', { type: 'ulong', value: 0n }],
    ['53ff', { type: 'ulong', value: 255n }],
    ['54ff', { type: 'int', value: -1 }],
    ['55ff', -1n],
    ['45', { type: 'list', value: [] }],
    ['e00503a3016101', undefined],
    [
      'e006 02 a3 01 61 01 62',
      {
        type: 'list',
        value: [
          { type: 'symbol', value: 'a' },
          { type: 'symbol', value: 'b' },
        ],
      },
    ],
    ['73 0010ffff', { type: 'char', value: '\u{10ffff}' }],
    ['73 00110000', { type: 'char', value: '\ufffd' }],
  ])('%s', (hex, expected) => {
    const encoded = Buffer.from(hex.replaceAll(' ', ''), 'hex')
    if (expected === undefined) expect(() => new ValueReader(encoded, 0).read()).toThrow(RangeError)
    else expect(new ValueReader(encoded, 0).read()).toEqual(expected)
  })
})

test('sections of any bytes are found or refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (given) => {
      const encoded = Buffer.from(given)
      const sections = new Sections()
      if (sections.scan(encoded, 0, encoded.length) === undefined) {
        expect(sections.bodyStart).toBeGreaterThanOrEqual(sections.keptStart)
        expect(sections.bodyEnd).toBeLessThanOrEqual(encoded.length)
      }
    }),
    { numRuns: 2000 },
  )
})

test.each([
  [0, 1, 1],
  [2 ** 32 - 1, 0, 1],
  [0, 2 ** 32 - 1, -1],
  [2 ** 31, 2 ** 31 + 5, 5],
])('from %i to %i are %i steps modulo 2^32', (left, right, gap) => {
  expect(serialGap(left, right)).toBe(gap)
})

test.each([
  [10, 1000, true],
  [1000, 10, false],
])('of a message with %d bytes that stay behind and %d that go on the frame is kept: %s', (left, kept, isKept) => {
  const annotations = t.described(0x71, t.map({ left: t.binary(Buffer.alloc(left)) }))
  const bytes = encode(annotations, t.described(0x75, t.binary(Buffer.alloc(kept))))
  const reader = new MessageReader()
  expect(reader.read(bytes, 0, bytes.length, 1, false)).toBeUndefined()
  const { content } = reader.message(Address.must('queue', 'a'), new MessageSource('s-', undefined, 'p'), 1, false)
  const whole = Buffer.from(content)
  bytes.fill(255)
  expect(whole.equals(content)).toBe(!isKept)
})
