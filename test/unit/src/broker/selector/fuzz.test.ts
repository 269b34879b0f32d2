import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileSelector } from '../../../../../src/broker/selector/selector.ts'
import { BrokerError } from '../../../../../src/errors.ts'
import { cpuMsOf } from '../../../../support/cpu.ts'
import { messageOf } from '../../../../support/messages.ts'

const charactersMax = 500
const message = messageOf({
  properties: { a: 1, b: 'x', c: true, d: 9_223_372_036_854_775_807n, e: '5', 'x-y': 2 },
  view: { subject: 'car' },
})

const words = [
  'a',
  'b',
  'c',
  'd',
  'e',
  'JMSPriority',
  'JMSType',
  '"x-y"',
  '$',
  '_',
  'NULL',
  'TRUE',
  'FALSE',
  'NOT',
  'AND',
  'OR',
  'BETWEEN',
  'LIKE',
  'IN',
  'IS',
  'ESCAPE',
  'not',
  'is null',
  '=',
  '<>',
  '<',
  '<=',
  '>',
  '>=',
  '+',
  '-',
  '*',
  '/',
  '(',
  ')',
  ',',
  '.',
  '0',
  '1',
  '5L',
  '.5',
  '7.',
  '1E3',
  '0x1F',
  '017',
  '08',
  '9223372036854775807',
  '9223372036854775808',
  '1e999',
  "'x'",
  "''",
  "'%'",
  "'a_%'",
  "'",
  '"',
  '!',
  '😀',
  '\ud83d',
  '\u0000',
  '\n',
]

describe('compileSelector returns a selector or says what is wrong, whatever the text', () => {
  it('of any characters', () => {
    check(fc.string({ unit: 'binary', maxLength: charactersMax + 50 }))
  })

  it('of any words with spaces', () => {
    check(fc.array(fc.constantFrom(...words), { maxLength: 40 }).map((parts) => parts.join(' ')))
  })

  it('of any words without spaces', () => {
    check(fc.array(fc.constantFrom(...words), { maxLength: 40 }).map((parts) => parts.join('')))
  })

  it('of a selector with one word changed', () => {
    const valid =
      "a BETWEEN 1 AND - ( d + 2 ) AND NOT b LIKE 'a_%' ESCAPE '!' OR c = TRUE AND b IN ( 'x' , 'y' ) OR e IS NOT NULL"
    const parts = valid.split(' ')
    check(
      fc
        .tuple(fc.nat(parts.length - 1), fc.constantFrom(...words), fc.boolean())
        .map(([at, word, inserts]) => parts.toSpliced(at, inserts ? 0 : 1, word).join(' ')),
    )
  })
})

function check(texts: fc.Arbitrary<string>): void {
  const seen = { taken: 0, refused: 0 }
  fc.assert(
    fc.property(texts, (text) => {
      const cpuMs = cpuMsOf(() => {
        const result = compileSelector(text, charactersMax)
        if (result instanceof BrokerError) {
          seen.refused += 1
          expect(result.code).toBe('invalid-selector')
          const character = Number(/^selector at character (\d+): expected .+$/s.exec(result.message)?.[1])
          expect(character).toBeGreaterThanOrEqual(1)
          expect(character).toBeLessThanOrEqual(text.length + 1)
        } else {
          seen.taken += 1
          expect(result.text).toBe(text)
          expect(typeof result.matches(message)).toBe('boolean')
        }
      })
      expect(cpuMs).toBeLessThan(1_000)
    }),
    { numRuns: 2_500 },
  )
  expect(seen.taken).toBeGreaterThan(0)
  expect(seen.refused).toBeGreaterThan(0)
}
