import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toValue } from '../../../../protocols/native/client/values.ts'
import { Cursor } from '../../../../protocols/native/cursor.ts'
import { Decoder } from '../../../../protocols/native/decoder.ts'
import { Kind, plainHead, readSection, SectionFacts, writeHead } from '../../../../protocols/native/section.ts'
import { readValue, skipValue, writeValue } from '../../../../protocols/native/values.ts'
import { GrowingBytes, putVarint, varintBytes } from '../../../../protocols/native/writer.ts'
import { decodeHex, FrameLog, prefaceHex } from '../../../support/native-frames.ts'

interface Vector {
  readonly name: string
  readonly hex: string
  readonly frames: readonly object[]
}

interface BadVector {
  readonly name: string
  readonly hex: string
  readonly error: string
}

const vectors: readonly Vector[] = JSON.parse(readFileSync('test/vectors/native/frames.json', 'utf8'))
const malformed: readonly BadVector[] = JSON.parse(readFileSync('test/vectors/native/malformed.json', 'utf8'))
const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

describe('vectors', () => {
  test.each(vectors)('$name, whole and cut at every byte', ({ hex, frames }) => {
    const bytes = Buffer.from(prefaceHex + hex, 'hex')
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const log = new FrameLog()
      log.decoder.push(bytes.subarray(0, cut))
      log.decoder.push(bytes.subarray(cut))
      expect(log.fault).toBeUndefined()
      expect(log.preface).toEqual([1, 0])
      expect(asJson(log.frames)).toEqual(frames)
    }
  })

  test('all of them in one stream, byte by byte', () => {
    const log = new FrameLog()
    const bytes = Buffer.from(prefaceHex + vectors.map(({ hex }) => hex).join(''), 'hex')
    for (const byte of bytes) log.decoder.push(Uint8Array.of(byte))
    expect(asJson(log.frames)).toEqual(vectors.flatMap(({ frames }) => frames))
  })

  test.each(vectors)('$name, in chunks of three bytes that are all written to the same place', ({ hex, frames }) => {
    const bytes = Buffer.from(prefaceHex + hex, 'hex')
    const log = new FrameLog()
    const place = Buffer.alloc(3)
    for (let at = 0; at < bytes.length; at += place.length) {
      log.decoder.push(place.subarray(0, bytes.copy(place, 0, at)))
      log.decoder.own()
    }
    expect(asJson(log.frames)).toEqual(frames)
  })

  test.each([0, 1])('a section that says nothing but its kind is read as any other, persistent: %s', (persistent) => {
    for (const kind of Object.values(Kind)) {
      const bytes = Uint8Array.of(9, kind, 0, persistent, 0, 7, 8, 9)
      const { head, body } = readSection(bytes, 1, 7)
      expect(head).toEqual({ ...plainHead, kind, persistent: persistent === 1 })
      expect([...body]).toEqual([7, 8])
    }
    expect(() => readSection(Uint8Array.of(Kind.bytes, 0, persistent))).toThrow('it ends too early')
    const named = readSection(Uint8Array.of(Kind.bytes, 0, persistent, 5, 1, 1, 0x78, 1, 1, 9))
    expect([named.head.properties, [...named.body]]).toEqual([[['x', true]], [9]])
  })

  test.each(malformed)('malformed: $name', ({ hex, error }) => {
    expect(decodeHex(hex).fault?.message).toBe(error)
  })

  test.each(vectors)('$name with its end missing is malformed or waits for more', ({ hex }) => {
    const bytes = Buffer.from(hex, 'hex')
    for (let end = 6; end < bytes.length; end += 1) {
      const short = Buffer.from(bytes.subarray(0, end))
      short.writeUInt32BE(end - 4)
      const log = new FrameLog()
      log.decoder.push(Buffer.concat([Buffer.from(prefaceHex, 'hex'), short]))
      expect(log.frames.length + (log.fault === undefined ? 0 : 1)).toBe(1)
    }
  })

  test('the example of SPEC.md is what it says', () => {
    const spec = readFileSync('protocols/native/SPEC.md', 'utf8')
    const example = /## 11\.[\s\S]*?```\n([\s\S]*?)```/.exec(spec)?.[1] ?? ''
    const lines = example.split('\n').map((line) => line.split('#')[0] ?? '')
    let hex = ''
    for (const line of lines) {
      if (/^c /.test(line)) hex += line.slice(2)
      else if (/^ {4}/.test(line)) hex += line
    }
    const log = new FrameLog()
    log.decoder.push(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
    expect(log.fault).toBeUndefined()
    expect(log.frames.map(({ type }) => type)).toEqual(['hello', 'producer', 'send'])
    expect(log.frames[2]).toMatchObject({ section: { kind: 2, persistent: true, body: '6869' } })
  })
})

describe('a preface', () => {
  test('of another protocol is malformed at its first byte', () => {
    for (const text of ['GET / HTTP/1.1\r\n', 'CONNECT\n', 'AMQP\0\u0001\0\0', 'M', 'MNFX']) {
      const log = new FrameLog()
      log.decoder.push(Buffer.from(text, 'latin1'))
      expect(log.fault !== undefined || text === 'M').toBe(true)
    }
  })

  test('with its last bytes set is malformed', () => {
    const log = new FrameLog()
    log.decoder.push(Buffer.from('4d4e464401000001', 'hex'))
    expect(log.fault?.message).toContain('must be 0')
  })
})

describe('a decoder', () => {
  test('keeps what comes while it is paused, and goes on with it', () => {
    const log = new FrameLog()
    log.decoder.pause()
    const bytes = Buffer.from(`${prefaceHex}00000003040007${'00000003040009'}`, 'hex')
    for (const byte of bytes) log.decoder.push(Uint8Array.of(byte))
    expect(log.frames).toEqual([])
    log.decoder.resume()
    expect(log.frames.map(({ nonce }) => nonce)).toEqual([7, 9])
  })

  test('takes a frame of exactly its limit, and none of a byte more', () => {
    const frame = (length: number): Buffer => {
      const bytes = Buffer.alloc(4 + length)
      bytes.writeUInt32BE(length)
      bytes[4] = 0x31
      bytes[6] = 1
      return bytes
    }
    expect(decodeHex(frame(100).toString('hex'), 100).frames).toHaveLength(1)
    expect(decodeHex(frame(101).subarray(0, 6).toString('hex'), 100).fault?.message).toContain('over the limit of 100')
  })
})

describe('numbers', () => {
  test('of every length come back', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const bytes = new Uint8Array(8)
        const end = putVarint(bytes, 0, value)
        expect(end).toBe(varintBytes(value))
        expect(new Cursor(bytes.subarray(0, end)).varint()).toBe(value)
      }),
    )
    for (const value of [0, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      const bytes = new Uint8Array(8)
      expect(new Cursor(bytes.subarray(0, putVarint(bytes, 0, value))).varint()).toBe(value)
    }
  })

  test.each([
    [5, { type: 'int', value: 5 }],
    [-(2 ** 31), { type: 'int', value: -(2 ** 31) }],
    [2 ** 31, 2n ** 31n],
    [1.5, 1.5],
    [-0, -0],
    [2 ** 60, 2 ** 60],
  ])('a program writes %s in the shortest type that holds it', (value, read) => {
    const bytes = new GrowingBytes()
    writeValue(bytes, toValue(value))
    expect(readValue(new Cursor(bytes.bytes))).toEqual(read)
  })
})

const scalar = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.uint8Array().map((bytes) => Uint8Array.from(bytes)),
  fc.integer().map((value) => ({ type: 'int', value }) as const),
  fc.integer({ min: -32_768, max: 32_767 }).map((value) => ({ type: 'short', value }) as const),
  fc.integer({ min: 0, max: 255 }).map((value) => ({ type: 'ubyte', value }) as const),
  fc.float().map((value) => ({ type: 'float', value }) as const),
  fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }).map((value) => ({ type: 'char', value }) as const),
)

describe('values', () => {
  test('come back with their types, and are passed over whole', () => {
    const list = fc.array(scalar).map((value) => ({ type: 'list', value }) as const)
    const map = fc.array(fc.tuple(fc.string(), scalar)).map((value) => ({ type: 'map', value }) as const)
    const pairs = fc.array(fc.tuple(scalar, scalar)).map((value) => ({ type: 'map', value }) as const)
    fc.assert(
      fc.property(fc.oneof(scalar, list, map, pairs), (value) => {
        const bytes = new GrowingBytes()
        writeValue(bytes, value)
        expect(readValue(new Cursor(bytes.bytes))).toEqual(value)
        const cursor = new Cursor(bytes.bytes)
        skipValue(cursor)
        expect(cursor.left).toBe(0)
      }),
    )
  })

  test('deeper than 8 are not written', () => {
    let value: unknown = null
    for (let depth = 0; depth < 9; depth += 1) value = { type: 'list', value: [value] }
    expect(() => writeValue(new GrowingBytes(), value as never)).toThrow(RangeError)
  })
})

test('what the broker needs of a section is what its reader sees', () => {
  const text = fc.option(fc.string(), { nil: undefined })
  const time = fc.maxSafeNat()
  const head = fc.record({
    kind: fc.constantFrom(0 as const, 1 as const, 2 as const, 6 as const),
    persistent: fc.boolean(),
    priority: fc.integer({ min: 0, max: 9 }),
    expiresAt: time,
    timestamp: time,
    messageId: text,
    correlationId: fc.option(scalar, { nil: undefined }),
    replyTo: text,
    subject: text,
    groupId: text,
    contentType: text,
    deliverAt: time,
    contentEncoding: text,
    traceparent: text,
    userId: text,
    retain: fc.boolean(),
    to: text,
    properties: fc.array(fc.tuple(fc.string(), scalar)),
  })
  fc.assert(
    fc.property(head, fc.uint8Array(), (given, body) => {
      const bytes = new GrowingBytes()
      writeHead(bytes, { ...plainHead, ...given })
      const bodyStart = bytes.position
      bytes.write(body)
      const section = readSection(bytes.bytes)
      expect(section.head).toEqual({ ...plainHead, ...given })
      expect(Uint8Array.from(section.body)).toEqual(Uint8Array.from(body))
      const facts = new SectionFacts()
      facts.read(new Cursor(bytes.bytes))
      const { kind, persistent, priority, expiresAt, deliverAt, groupId, retain, to } = given
      expect({ ...facts }).toEqual({ kind, persistent, priority, expiresAt, deliverAt, groupId, retain, to, bodyStart })
    }),
  )
})

test('a frame that comes in pieces is alone in its bytes, and one among others is not', () => {
  const alone: boolean[] = []
  const decoder = new Decoder(
    {
      onPreface: () => undefined,
      onFrame: () => alone.push(decoder.isAlone),
      onMalformed: (fault) => {
        throw fault
      },
    },
    1000,
  )
  const ping = '00000003040007'
  const bytes = Buffer.from(`${prefaceHex}${ping}${ping}${ping}${ping}`, 'hex')
  decoder.push(bytes.subarray(0, 18))
  decoder.push(bytes.subarray(18))
  expect(alone).toEqual([false, true, false, false])
})
