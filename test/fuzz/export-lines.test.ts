import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OpaqueFormat } from '../../src/cli/data/formats.ts'
import { LineError, MessageReader, messageLine, parseLine } from '../../src/cli/data/lines.ts'
import { messageOf } from '../support/messages.ts'

const parameters = { numRuns: 2000 }
const reader = new MessageReader((name) => new OpaqueFormat(name))

/** Reads a line as an import does. True if it was taken. */
function isTaken(text: string): boolean {
  try {
    const line = parseLine(text)
    if (line.kind === 'message') reader.read(line)
    return true
  } catch (error) {
    if (!(error instanceof LineError)) throw error
    return false
  }
}

const message = fc.record({
  body: fc.oneof(fc.string({ unit: 'binary' }), fc.uint8Array()),
  priority: fc.integer({ min: 0, max: 9 }),
  expiresAt: fc.nat(),
  durable: fc.boolean(),
  retain: fc.boolean(),
  groupId: fc.option(fc.string({ unit: 'binary' }), { nil: undefined }),
  annotations: fc.option(
    fc.dictionary(fc.oneof(fc.string(), fc.constant('__proto__')), fc.oneof(fc.string(), fc.integer())),
    { nil: undefined },
  ),
  additions: fc.option(fc.uint8Array(), { nil: undefined }),
})

test('whatever a message has in it, its line brings it back as it was', () => {
  const isTheSame = fc.property(message, fc.boolean(), fc.nat(), (given, redelivered, deliveryCount) => {
    const sent = messageOf(given)
    const entry = { sequence: 7, message: sent, deliveryCount, redelivered, notBefore: 0 }
    const line = parseLine(JSON.stringify(messageLine(3, entry)))
    if (line.kind !== 'message') throw new Error(line.kind)
    const read = reader.read(line)
    expect(Buffer.from(read.content)).toEqual(Buffer.from(sent.content))
    const { id, bodyOffset, priority, expiresAt, durable, retain, groupId, annotations } = read
    expect({ id, bodyOffset, priority, expiresAt, durable, retain, groupId }).toEqual({
      id: sent.id,
      bodyOffset: sent.bodyOffset,
      priority: sent.priority,
      expiresAt: sent.expiresAt,
      durable: sent.durable,
      retain: sent.retain,
      groupId: sent.groupId,
    })
    expect(Object.entries(annotations ?? {})).toEqual(Object.entries(sent.annotations ?? {}))
    expect(read.additions === undefined ? undefined : [...read.additions]).toEqual(
      given.additions && [...given.additions],
    )
    expect([line.redelivered, line.deliveryCount]).toEqual([redelivered, deliveryCount])
  })
  fc.assert(isTheSame, { ...parameters, numRuns: 300 })
})

test('a line that is changed anywhere is taken or refused with a reason', () => {
  const whole = JSON.stringify(
    messageLine(1, {
      sequence: 1,
      message: messageOf({ body: 'x' }),
      deliveryCount: 0,
      redelivered: false,
      notBefore: 0,
    }),
  )
  expect(isTaken(whole)).toBe(true)
  const at = fc.integer({ min: 0, max: whole.length })
  fc.assert(
    fc.property(at, at, fc.string(), (from, to, text) => {
      isTaken(whole.slice(0, from) + text + whole.slice(to))
    }),
    parameters,
  )
})

test('any JSON is taken or refused with a reason', () => {
  const kind = fc.constantFrom('message', 'owner', 'state', 'end', 'manifoldmq-export', 'x')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.jsonValue(),
        fc.record({ kind, owner: fc.jsonValue(), message: fc.jsonValue(), spec: fc.jsonValue() }),
      ),
      (value) => {
        isTaken(JSON.stringify(value))
      },
    ),
    parameters,
  )
})
