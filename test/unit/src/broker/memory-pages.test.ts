import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MemoryPages, type PagedMessage } from '../../../../src/broker/memory-pages.ts'
import { type Message, MessageSource } from '../../../../src/message.ts'
import { messageOf } from '../../../support/messages.ts'

const sources = [new MessageSource('a', undefined, 'p'), new MessageSource('b', 'c', 'q')]

type Command =
  | {
      readonly kind: 'push'
      readonly step: number
      readonly length: number
      readonly looks: number
      readonly ttl: number
    }
  | { readonly kind: 'shift' }
  | { readonly kind: 'expire'; readonly ms: number }
  | { readonly kind: 'take'; readonly sequence: number }
  | { readonly kind: 'peek'; readonly after: number; readonly count: number }

const length = fc.oneof(
  { weight: 20, arbitrary: fc.nat(200) },
  { weight: 2, arbitrary: fc.nat(20_000) },
  { weight: 1, arbitrary: fc.nat(300_000) },
)
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('push' as const),
      step: fc.integer({ min: 1, max: 3 }),
      length,
      looks: fc.nat(127),
      ttl: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 50 })),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('shift' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const), ms: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('take' as const), sequence: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('peek' as const), after: fc.nat(60), count: fc.nat(20) }) },
)

function messageLike(command: Command & { kind: 'push' }, now: number): Message {
  const { looks } = command
  return messageOf({
    address: (looks & 1) === 0 ? 'orders' : 'topic://prices',
    body: Buffer.alloc(command.length, command.length % 251),
    source: sources[(looks >> 1) & 1] as MessageSource,
    durable: (looks & 4) !== 0,
    priority: looks % 10,
    groupId: (looks & 8) === 0 ? undefined : `g${looks}`,
    retain: (looks & 16) !== 0,
    annotations: (looks & 32) === 0 ? undefined : { 'x-look': looks },
    additions: (looks & 64) === 0 ? undefined : Uint8Array.of(looks),
    expiresAt: command.ttl === 0 ? 0 : now + command.ttl,
    timestamp: now,
  })
}

/** All that a message says, as plain values. */
function plain({ sequence, message, isStored, redelivered }: PagedMessage): unknown[] {
  const { address, content, bodyOffset, durable, priority, expiresAt, timestamp, groupId, retain, source } = message
  const { number, annotations, additions, format, size, deliverAt } = message
  const body = Buffer.from(content).toString('latin1')
  const numbers = [sequence, bodyOffset, priority, expiresAt, timestamp, number, size, deliverAt]
  return [
    numbers,
    isStored,
    redelivered,
    address,
    body,
    durable,
    groupId,
    retain,
    source,
    annotations,
    additions,
    format.name,
  ]
}

describe('memory pages', () => {
  test('do as a plain array does', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
        const pages = new MemoryPages()
        let model: PagedMessage[] = []
        let now = 1_000
        let sequence = 0
        for (const one of commands) {
          switch (one.kind) {
            case 'push': {
              sequence += one.step
              const message = messageLike(one, now)
              const isStored = (one.looks & 2) !== 0
              const redelivered = (one.looks & 4) !== 0
              pages.push(message, sequence, isStored, redelivered)
              model.push({ message, sequence, isStored, redelivered })
              break
            }
            case 'shift': {
              const [expected] = model.splice(0, 1)
              const found = pages.shift()
              expect(found && plain(found)).toEqual(expected && plain(expected))
              break
            }
            case 'expire': {
              now += one.ms
              const isOver = ({ message }: PagedMessage) => message.expiresAt > 0 && message.expiresAt <= now
              expect(pages.takeExpired(now, undefined).map(plain)).toEqual(model.filter(isOver).map(plain))
              model = model.filter((paged) => !isOver(paged))
              break
            }
            case 'take': {
              expect(pages.has(one.sequence)).toBe(model.some((paged) => paged.sequence === one.sequence))
              pages.take(one.sequence)
              model = model.filter((paged) => paged.sequence !== one.sequence)
              break
            }
            case 'peek': {
              const expected = model.filter((paged) => paged.sequence > one.after).slice(0, one.count)
              expect(pages.peek(one.after, one.count).map(plain)).toEqual(expected.map(plain))
              break
            }
            default:
              one satisfies never
          }
          expect(pages.count).toBe(model.length)
          for (const { message } of model) {
            if (message.expiresAt > 0) expect(pages.expiryFrom).toBeLessThanOrEqual(message.expiresAt)
          }
        }
      }),
      { numRuns: 150 },
    )
  })

  test('come out in order when there are more of them than one page holds, and leave none behind', () => {
    const pages = new MemoryPages()
    for (let sequence = 1; sequence <= 20_000; sequence += 1)
      pages.push(messageOf({ body: `${sequence}` }), sequence, false, false)
    for (let sequence = 1; sequence <= 20_000; sequence += 1) {
      const paged = pages.shift()
      if (paged?.sequence !== sequence) expect(paged?.sequence).toBe(sequence)
    }
    expect([pages.shift(), pages.count, pages.expiryFrom]).toEqual([undefined, 0, Number.POSITIVE_INFINITY])
  })

  test('hold messages of more formats, sources and addresses than an envelope is remembered for', () => {
    const pages = new MemoryPages()
    const messages = Array.from({ length: 300 }, (_, index) =>
      messageOf({ address: `q.${index % 40}`, source: new MessageSource(`s${index % 23}`, undefined, 'p') }),
    )
    for (const [index, message] of messages.entries()) pages.push(message, index + 1, false, false)
    const found = messages.map(() => pages.shift()?.message)
    expect(found.map((one) => [String(one?.address), one?.source.idPrefix])).toEqual(
      messages.map((one) => [String(one.address), one.source.idPrefix]),
    )
  })

  test('keep nothing of the caller: what happens to his bytes later is not seen', () => {
    const pages = new MemoryPages()
    const body = Buffer.alloc(20_000, 1)
    pages.push(messageOf({ body }), 1, false, false)
    body.fill(2)
    expect(Buffer.from(pages.shift()?.message.content ?? []).every((byte) => byte === 1)).toBe(true)
  })
})
