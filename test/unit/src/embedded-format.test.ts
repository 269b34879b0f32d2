import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Address } from '../../../src/address.ts'
import { type Draft, draftMessage } from '../../../src/embedded-format.ts'
import { BrokerError } from '../../../src/errors.ts'
import type { Value } from '../../../src/value.ts'
import { ValueReader, ValueWriter } from '../../../src/value-codec.ts'
import { TestBroker } from '../../support/test-broker.ts'

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
const integer = (
  type: 'byte' | 'short' | 'int' | 'ubyte' | 'ushort' | 'uint',
  min: number,
  max: number,
): fc.Arbitrary<Value> => fc.integer({ min, max }).map((value) => ({ type, value }))

const { value: anyValue } = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    bytes,
    integer('byte', -128, 127),
    integer('short', -32_768, 32_767),
    integer('int', -(2 ** 31), 2 ** 31 - 1),
    integer('ubyte', 0, 255),
    integer('ushort', 0, 65_535),
    integer('uint', 0, 2 ** 32 - 1),
    fc.float().map((value): Value => ({ type: 'float', value })),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value): Value => ({ type: 'ulong', value })),
    fc.integer().map((value): Value => ({ type: 'timestamp', value })),
    fc.constantFrom('symbol', 'char', 'uuid').map((type): Value => ({ type, value: 'x' })),
    bytes.map((value): Value => ({ type: 'decimal', value })),
    fc.array(tie('value'), { maxLength: 4 }).map((value): Value => ({ type: 'list', value })),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 4 }).map((value): Value => ({ type: 'map', value })),
  ),
}))

describe('typed values', () => {
  test('come back as they were written, of every type', () => {
    fc.assert(
      fc.property(fc.array(anyValue), (values) => {
        const writer = new ValueWriter()
        for (const value of values) writer.write(value)
        const reader = new ValueReader(writer.bytes)
        for (const value of values) expect(reader.read()).toEqual(value)
        expect(reader.isAtEnd).toBe(true)
      }),
    )
  })

  test('bytes that are no values are a RangeError, wherever they are cut', () => {
    fc.assert(
      fc.property(anyValue, fc.nat(), (value, cut) => {
        const writer = new ValueWriter()
        writer.write(value)
        const whole = writer.bytes
        const reader = new ValueReader(whole.subarray(0, cut % whole.length))
        expect(() => reader.read()).toThrow(RangeError)
      }),
    )
  })
})

describe('messages of embedded programs', () => {
  test('say in their canonical form what was drafted', async () => {
    const { broker } = await TestBroker.open()
    const session = broker.connect({ principal: 'me', clientId: undefined }, silent)
    if (session instanceof BrokerError) throw session
    const draft: Draft = {
      to: 'topic://prices.eu',
      body: 'grüße',
      properties: { count: { type: 'int', value: 3 }, big: 2n ** 60n, raw: new Uint8Array([1, 2]) },
      correlationId: 'c',
      replyTo: Address.must('queue', 'answers'),
      subject: 'quote',
      contentType: 'text/plain',
      durable: true,
      priority: 12,
      ttlMs: 500,
      delayMs: 20,
      groupId: 'g',
    }
    const message = draftMessage(draft, session, 1_000)
    expect(message).toMatchObject({
      durable: true,
      priority: 9,
      expiresAt: 1_500,
      deliverAt: 1_020,
      groupId: 'g',
      timestamp: 1_000,
    })
    expect(message.address.toString()).toBe('topic://prices.eu')
    expect(message.view()).toEqual({
      messageId: undefined,
      correlationId: 'c',
      replyTo: draft.replyTo,
      subject: 'quote',
      contentType: 'text/plain',
      contentEncoding: undefined,
      userId: undefined,
      properties: [
        ['count', { type: 'int', value: 3 }],
        ['big', 2n ** 60n],
        ['raw', Buffer.from([1, 2])],
      ],
      body: { kind: 'text', text: 'grüße' },
    })
    expect(() => draftMessage({ to: 'queue://' }, session, 0)).toThrow(BrokerError)
  })
})

const silent = {
  confirmed: () => undefined,
  refused: () => undefined,
  blocked: () => undefined,
  unblocked: () => undefined,
  closed: () => undefined,
}
