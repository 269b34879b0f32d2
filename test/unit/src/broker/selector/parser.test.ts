import { describe, expect, it } from 'vitest'
import { nestingMax, parseSelector } from '../../../../../src/broker/selector/parser.ts'
import { compileSelector } from '../../../../../src/broker/selector/selector.ts'
import { BrokerError } from '../../../../../src/errors.ts'

describe('an invalid selector is refused with the character and what was expected', () => {
  it.each([
    ['a', 0, ''],
    ['=', 1, 'expected an identifier, a literal or "(", found "="'],
    ["=TEST 'test'", 1, 'expected an identifier, a literal or "("'],
    ['a =', 4, 'found the end of the selector'],
    ['a = ', 5, 'found the end of the selector'],
    ['a b', 3, 'expected AND, OR or the end of the selector, found the identifier b'],
    ['a = 1 b = 2', 7, 'expected AND, OR or the end'],
    ['a = b = c', 7, 'found "="'],
    ['a < b < c', 7, 'found "<"'],
    ['a == 1', 4, 'found "="'],
    ['a != 1', 3, 'found "!"'],
    ['a => 1', 4, 'found ">"'],
    ['a < > 1', 5, 'found ">"'],
    ['a # 1', 3, 'found "#"'],
    ['a % 2 = 1', 3, 'found "%"'],
    ['a = 1;', 6, 'found ";"'],
    ['a = \u00a01', 5, 'found U+00A0'],
    ['a = \u0000', 5, 'found U+0000'],
    ['a = 😀', 5, 'found U+1F600'],
    ["a = '😀' 😀", 9, 'found U+1F600'],
    ["a = '😀😀' b", 10, 'found the identifier b'],
    ["a = 'abc", 9, "expected ' to close the string literal"],
    ["a = 'it''s", 11, "expected ' to close the string literal"],
    ['"abc = 1', 9, 'expected " to close the quoted identifier'],
    ['"" = 1', 2, 'expected a name between the double quotes'],
    ['(a', 3, 'expected AND, OR or ")"'],
    ['(a = 1', 7, 'expected AND, OR or ")"'],
    ['a = 1)', 6, 'found ")"'],
    ['()', 2, 'found ")"'],
    ['(a b)', 4, 'expected AND, OR or ")", found the identifier b'],
    ['a AND', 6, 'found the end of the selector'],
    ['AND a', 1, 'found AND'],
    ['a OR OR b', 6, 'found OR'],
    ['NOT', 4, 'found the end of the selector'],
    ['a NOT b', 7, 'expected BETWEEN, IN or LIKE'],
    ['a = NOT b', 5, 'found NOT'],
    ['5', 1, 'expected a condition, found a number'],
    ["'abc'", 1, 'expected a condition, found a string literal'],
    ['3+5', 1, 'expected a condition, found a number'],
    ['True AND 3+5', 10, 'expected a condition, found a number'],
    ['a AND (3+5)', 7, 'expected a condition'],
    ["'x' OR a", 1, 'expected a condition'],
    ['NOT 5', 5, 'expected a condition'],
    ['-a', 1, 'expected a condition, found a number'],
    ["a > 'x'", 5, 'expected a number or an identifier, found a string literal'],
    ["'x' < a", 1, 'expected a number or an identifier'],
    ['a > TRUE', 5, 'found TRUE'],
    ['a >= (b = 1)', 6, 'found a condition'],
    ["a + 'x' = 1", 5, 'expected a number or an identifier, found a string literal'],
    ["'x' + a = 1", 1, 'found a string literal'],
    ['a * FALSE = 1', 5, 'found FALSE'],
    ["-'x' = 1", 2, 'found a string literal'],
    ['1 - (a AND b) = 1', 5, 'found a condition'],
    ["a BETWEEN 'x' AND 'y'", 11, 'found a string literal'],
    ['a BETWEEN 1 2', 13, 'expected AND between the two bounds, found a number'],
    ['a BETWEEN 1 OR 2', 13, 'found OR'],
    ['a BETWEEN AND 2', 11, 'found AND'],
    ['TRUE BETWEEN 1 AND 2', 1, 'found TRUE'],
    ['a IN', 5, 'expected "("'],
    ['a IN ()', 7, 'expected a string literal, found ")"'],
    ['a IN (1)', 7, 'expected a string literal, found a number'],
    ["a IN ('x'", 10, 'expected "," or ")"'],
    ["a IN ('x',)", 11, 'expected a string literal'],
    ["a IN ('x' 'y')", 11, 'expected "," or ")", found a string literal'],
    ["5 IN ('x')", 1, 'expected an identifier before IN, found a number'],
    ["a + 1 NOT IN ('x')", 1, 'expected an identifier before IN'],
    ['a LIKE', 7, 'expected a string literal'],
    ['a LIKE b', 8, 'expected a string literal, found the identifier b'],
    ['a LIKE 5', 8, 'expected a string literal, found a number'],
    ["'x' LIKE 'x'", 1, 'expected an identifier before LIKE'],
    ["a LIKE 'x' ESCAPE", 18, 'expected a string literal'],
    ["a LIKE 'x' ESCAPE ''", 19, 'expected one character'],
    ["a LIKE 'x' ESCAPE 'ab'", 19, 'expected one character'],
    ["a ESCAPE 'x'", 3, 'found ESCAPE'],
    ['a IS', 5, 'expected NULL or NOT NULL'],
    ['a IS 5', 6, 'expected NULL or NOT NULL'],
    ['a IS NOT', 9, 'expected NULL'],
    ['a IS TRUE', 6, 'expected NULL or NOT NULL, found TRUE'],
    ['5 IS NULL', 1, 'expected an identifier before IS NULL'],
    ['a = NULL', 5, 'found NULL, which is compared with IS NULL'],
    ['like = 1', 1, 'found LIKE'],
    ['a.b-c = d e', 11, 'found the identifier e'],
    ['1a = 1', 2, 'expected a space or an operator after the number'],
    ['a > 5AND b', 6, 'expected a space or an operator after the number'],
    ['a = 08', 6, 'expected an octal digit'],
    ['a = 0x', 7, 'expected a hexadecimal digit'],
    ['a = 0xG', 7, 'expected a hexadecimal digit'],
    ['a = 0b2', 7, 'expected a binary digit'],
    ['a = 1E', 7, 'expected a digit of the exponent'],
    ['a = 1E+', 8, 'expected a digit of the exponent'],
    ['a = 1_', 6, 'expected a space or an operator'],
    ['a = 5.0L', 8, 'expected a space or an operator'],
    ['a = 1.2.3', 8, 'found a number'],
    ['a = 9223372036854775808', 5, 'expected a number in the range of a long'],
    ['a = -9223372036854775809', 6, 'expected a number in the range of a long'],
    ['a = -(9223372036854775808)', 7, 'expected a number in the range of a long'],
    ['a = 0x10000000000000000', 5, 'expected a number in the range of a long'],
    ['a = 1E309', 5, 'expected a number in the range of a double'],
    ['a = 1E-400', 5, 'expected a number in the range of a double'],
    ['a = 1E39F', 5, 'expected a number in the range of a float'],
    ['a = .', 5, 'found "."'],
    ['a, b', 2, 'found ","'],
    ['-- comment', 1, 'expected a condition, found a number'],
    ['a /* comment */', 4, 'found "*"'],
  ])('%j at character %i', (text, character, expected) => {
    const result = compileSelector(text, 1_000)
    if (character === 0) return expect(result).not.toBeInstanceOf(BrokerError)
    if (!(result instanceof BrokerError)) throw new Error('was taken')
    expect(result.code).toBe('invalid-selector')
    expect(result.message).toContain(expected)
    expect(result.message).toMatch(new RegExp(`^selector at character ${character}: expected `))
  })

  it('cuts the long identifiers that it names', () => {
    const result = compileSelector(`a ${'b'.repeat(500)}`, 1_000)
    expect(result).toBeInstanceOf(BrokerError)
    expect(result instanceof BrokerError && result.message.length).toBeLessThan(150)
  })
})

describe('nesting', () => {
  const openings = ['(', 'NOT ', '- ', '+ ']

  it.each(openings)('of %j is taken up to the maximum and refused past it', (opening) => {
    expect(compileSelector(nested(opening, nestingMax), 10_000)).not.toBeInstanceOf(BrokerError)
    const refusal = compileSelector(nested(opening, nestingMax + 1), 10_000)
    expect(refusal).toMatchObject({ code: 'invalid-selector' })
    expect(refusal instanceof BrokerError && refusal.message).toContain('256 nested')
  })

  it('is refused without exhausting the stack however deep it is', () => {
    for (const opening of [...openings, '(NOT ', '-(', 'NOT(a=-']) {
      expect(compileSelector(opening.repeat(200_000), 2_000_000)).toMatchObject({ code: 'invalid-selector' })
    }
  })

  it('counts what is open at one place, not what stands side by side', () => {
    const text = Array.from({ length: 1_000 }, () => '(NOT (a = -b))').join(' AND ')
    expect(compileSelector(text, 100_000)).not.toBeInstanceOf(BrokerError)
  })

  function nested(opening: string, times: number): string {
    if (opening === '(') return `${'('.repeat(times)}a${')'.repeat(times)}`
    return opening.startsWith('NOT') ? `${opening.repeat(times)}a` : `${opening.repeat(times)}a = 1`
  }
})

describe('parseSelector', () => {
  it('makes one node of a chain of operators of one level', () => {
    expect(parseSelector('a AND b AND c OR d')).toEqual({
      kind: 'or',
      operands: [{ kind: 'and', operands: ['a', 'b', 'c'].map(identifier) }, identifier('d')],
    })
    expect(parseSelector('a - 1 + 2 * b > 0')).toEqual({
      kind: 'order',
      operator: '>',
      left: {
        kind: 'arithmetic',
        first: identifier('a'),
        steps: [
          { operator: '-', operand: { kind: 'number', value: 1 } },
          {
            operator: '+',
            operand: {
              kind: 'arithmetic',
              first: { kind: 'number', value: 2 },
              steps: [{ operator: '*', operand: identifier('b') }],
            },
          },
        ],
      },
      right: { kind: 'number', value: 0 },
    })
  })

  it('takes a sign before a number into the number', () => {
    expect(parseSelector('a = -5')).toMatchObject({ right: { kind: 'number', value: -5 } })
    expect(parseSelector('a = - 9223372036854775808')).toMatchObject({ right: { value: -9_223_372_036_854_775_808n } })
  })

  it('sees no selector in a blank text', () => {
    expect(parseSelector(' \n')).toBeUndefined()
  })

  function identifier(name: string) {
    return { kind: 'identifier', name }
  }
})
