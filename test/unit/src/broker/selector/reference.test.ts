import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { compileSelector } from '../../../../../src/broker/selector/selector.ts'
import { BrokerError } from '../../../../../src/errors.ts'
import type { Value } from '../../../../../src/value.ts'
import { messageOf } from '../../../../support/messages.ts'

/*
 * Random conditions, printed with no more parentheses than precedence asks for or with some more, against an evaluator that
 * shares nothing with the one under test.
 */

type Properties = { readonly [name: string]: Value }

type Calculation =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'minus'; readonly operand: Calculation; readonly wrap: boolean }
  | {
      readonly kind: 'binary'
      readonly operator: '+' | '-' | '*' | '/'
      readonly left: Calculation
      readonly right: Calculation
      readonly wrap: boolean
    }

type Condition =
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'not'; readonly operand: Condition; readonly wrap: boolean }
  | {
      readonly kind: 'both'
      readonly operator: 'AND' | 'OR'
      readonly left: Condition
      readonly right: Condition
      readonly wrap: boolean
    }
  | {
      readonly kind: 'compare'
      readonly operator: '=' | '<>' | '<' | '<=' | '>' | '>='
      readonly left: Calculation
      readonly right: Calculation
    }
  | { readonly kind: 'text'; readonly operator: '=' | '<>'; readonly name: string; readonly value: string }
  | {
      readonly kind: 'between'
      readonly negated: boolean
      readonly operand: Calculation
      readonly low: Calculation
      readonly high: Calculation
    }
  | { readonly kind: 'in'; readonly negated: boolean; readonly name: string; readonly values: readonly string[] }
  | { readonly kind: 'like'; readonly negated: boolean; readonly name: string; readonly pattern: string }
  | { readonly kind: 'null'; readonly negated: boolean; readonly name: string }

const name = fc.constantFrom('a', 'b', 'c', 'd')
const text = fc.constantFrom('', 'x', "it's", '5', '-2.5', 'true', 'xyx')
const value: fc.Arbitrary<Value> = fc.oneof(
  fc.integer({ min: -9, max: 9 }),
  fc.constantFrom<Value>(0.5, -1.5, null, true, false, 3n, { type: 'int', value: 2 }, Uint8Array.of(1)),
  text,
)
const properties: fc.Arbitrary<Properties> = fc.dictionary(name, value, { maxKeys: 4, noNullPrototype: true })

const { calculation } = fc.letrec<{ calculation: Calculation }>((tie) => ({
  calculation: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.record({ kind: fc.constant('number' as const), value: fc.constantFrom(0, 1, 2, 3, 9, 0.5, 2.5) }),
    fc.record({ kind: fc.constant('name' as const), name }),
    fc.record({ kind: fc.constant('minus' as const), operand: tie('calculation'), wrap: fc.boolean() }),
    fc.record({
      kind: fc.constant('binary' as const),
      operator: fc.constantFrom('+', '-', '*', '/'),
      left: tie('calculation'),
      right: tie('calculation'),
      wrap: fc.boolean(),
    }),
  ),
}))

const { condition } = fc.letrec<{ condition: Condition }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.record({ kind: fc.constant('boolean' as const), value: fc.boolean() }),
    fc.record({ kind: fc.constant('name' as const), name }),
    fc.record({
      kind: fc.constant('compare' as const),
      operator: fc.constantFrom('=', '<>', '<', '<=', '>', '>='),
      left: calculation,
      right: calculation,
    }),
    fc.record({ kind: fc.constant('text' as const), operator: fc.constantFrom('=', '<>'), name, value: text }),
    fc.record({
      kind: fc.constant('between' as const),
      negated: fc.boolean(),
      operand: calculation,
      low: calculation,
      high: calculation,
    }),
    fc.record({
      kind: fc.constant('in' as const),
      negated: fc.boolean(),
      name,
      values: fc.array(text, { minLength: 1, maxLength: 3 }),
    }),
    fc.record({
      kind: fc.constant('like' as const),
      negated: fc.boolean(),
      name,
      pattern: fc.constantFrom('%', 'x%', '_', "%'%", 'x_x', '', '%y%', 'true'),
    }),
    fc.record({ kind: fc.constant('null' as const), negated: fc.boolean(), name }),
    fc.record({ kind: fc.constant('not' as const), operand: tie('condition'), wrap: fc.boolean() }),
    fc.record({
      kind: fc.constant('both' as const),
      operator: fc.constantFrom('AND', 'OR'),
      left: tie('condition'),
      right: tie('condition'),
      wrap: fc.boolean(),
    }),
  ),
}))

it('evaluates any printed condition as the reference evaluator does', () => {
  fc.assert(
    fc.property(condition, properties, (given, named) => {
      const printed = print(given)
      const selector = compileSelector(printed, 100_000)
      if (selector instanceof BrokerError) throw selector
      const negation = compileSelector(`NOT (${printed})`, 100_000)
      if (negation instanceof BrokerError) throw negation
      const message = messageOf({ properties: named })
      const actual = selector.matches(message) ? true : negation.matches(message) ? false : null
      expect(actual, printed).toBe(evaluate(given, named))
    }),
    { numRuns: 4_000 },
  )
})

/** How tight a node binds: OR 1, AND 2, NOT 3, comparisons 4, sums 5, products 6, signs 7, the rest 8. */
function level(node: Condition | Calculation): number {
  if ('wrap' in node && node.wrap) return 8
  if (node.kind === 'both') return node.operator === 'OR' ? 1 : 2
  if (node.kind === 'not') return 3
  if (node.kind === 'binary') return node.operator === '+' || node.operator === '-' ? 5 : 6
  if (node.kind === 'minus') return 7
  return node.kind === 'boolean' || node.kind === 'name' || node.kind === 'number' ? 8 : 4
}

function print(node: Condition | Calculation, least = 0): string {
  const wrapped = ('wrap' in node && node.wrap) || level(node) < least
  return wrapped ? `(${bare(node)})` : bare(node)
}

function bare(node: Condition | Calculation): string {
  switch (node.kind) {
    case 'number':
    case 'boolean':
      return String(node.value)
    case 'name':
      return node.name
    case 'minus':
      return `- ${print(node.operand, 7)}`
    case 'binary': {
      const own = node.operator === '+' || node.operator === '-' ? 5 : 6
      return `${print(node.left, own)} ${node.operator} ${print(node.right, own + 1)}`
    }
    case 'not':
      return `not ${print(node.operand, 3)}`
    case 'both': {
      const own = node.operator === 'OR' ? 1 : 2
      return `${print(node.left, own)} ${node.operator} ${print(node.right, own + 1)}`
    }
    case 'compare':
      return `${print(node.left, 5)}${node.operator}${print(node.right, 5)}`
    case 'text':
      return `${node.name} ${node.operator} ${quote(node.value)}`
    case 'between':
      return `${print(node.operand, 5)}${not(node)} BETWEEN ${print(node.low, 5)} AND ${print(node.high, 5)}`
    case 'in':
      return `${node.name}${not(node)} IN (${node.values.map(quote).join(', ')})`
    case 'like':
      return `${node.name}${not(node)} LIKE ${quote(node.pattern)}`
    case 'null':
      return `${node.name} IS${not(node)} NULL`
  }
}

function not(node: { readonly negated: boolean }): string {
  return node.negated ? ' NOT' : ''
}

function quote(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}

type Truth = boolean | null

function evaluate(node: Condition, named: Properties): Truth {
  switch (node.kind) {
    case 'boolean':
      return node.value
    case 'name':
      return compare('=', plain(named[node.name]), true)
    case 'not':
      return negate(evaluate(node.operand, named))
    case 'both': {
      const truths = [evaluate(node.left, named), evaluate(node.right, named)]
      const settling = node.operator === 'OR'
      if (truths.includes(settling)) return settling
      return truths.includes(null) ? null : !settling
    }
    case 'compare':
      return compare(node.operator, operand(node.left, named), operand(node.right, named))
    case 'text': {
      const found = plain(named[node.name])
      if (found === null) return null
      return typeof found === 'string' && (found === node.value) === (node.operator === '=')
    }
    case 'between': {
      const [found, low, high] = [operand(node.operand, named), operand(node.low, named), operand(node.high, named)]
      if (node.negated) return or(compare('<', found, low), compare('>', found, high))
      return negate(or(negate(compare('>=', found, low)), negate(compare('<=', found, high))))
    }
    case 'in':
    case 'like': {
      const found = plain(named[node.name])
      if (found === null) return null
      const held = node.kind === 'in' ? node.values.some((one) => one === found) : isLike(found, node.pattern)
      return held !== node.negated
    }
    case 'null':
      return (plain(named[node.name]) === null) !== node.negated
  }
}

function negate(truth: Truth): Truth {
  return truth === null ? null : !truth
}

function or(left: Truth, right: Truth): Truth {
  if (left === true || right === true) return true
  return left === null || right === null ? null : false
}

type Plain = string | number | boolean | Uint8Array | null

function plain(found: Value | undefined): Plain {
  if (found === undefined) return null
  if (typeof found === 'bigint') return Number(found)
  if (typeof found === 'object' && found !== null && 'type' in found) return Number(found.value)
  return found
}

function operand(node: Calculation, named: Properties): Plain {
  return node.kind === 'name' ? plain(named[node.name]) : calculate(node, named)
}

function calculate(node: Calculation, named: Properties): number | null {
  switch (node.kind) {
    case 'number':
      return node.value
    case 'name':
      return spelled(plain(named[node.name]))
    case 'minus': {
      const inner = calculate(node.operand, named)
      return inner === null ? null : -inner
    }
    case 'binary': {
      const left = calculate(node.left, named)
      const right = calculate(node.right, named)
      if (left === null || right === null) return null
      if (node.operator === '+') return left + right
      if (node.operator === '-') return left - right
      if (node.operator === '*') return left * right
      return right === 0 ? null : left / right
    }
  }
}

function spelled(found: Plain): number | null {
  if (typeof found === 'number') return found
  return typeof found === 'string' && /^[+-]?[0-9.]+$/.test(found) ? Number(found) : null
}

function compare(operator: string, left: Plain, right: Plain): Truth {
  if (left === null || right === null) return null
  if (left instanceof Uint8Array || right instanceof Uint8Array) return false
  if (operator === '=' || operator === '<>') {
    if (typeof left === typeof right) return (left === right) === (operator === '=')
    if (typeof left !== 'string' && typeof right !== 'string') return false
    const [found, other] = typeof left === 'string' ? [left, right] : [right, left]
    const read = typeof other === 'number' ? spelled(found) : found === 'true' ? true : null
    return read === null ? null : (read === other) === (operator === '=')
  }
  if (typeof left === 'boolean' || typeof right === 'boolean') return false
  const [leftNumber, rightNumber] = [spelled(left), spelled(right)]
  if (leftNumber === null || rightNumber === null) return null
  if (operator === '<') return leftNumber < rightNumber
  if (operator === '>') return leftNumber > rightNumber
  return operator === '<=' ? leftNumber <= rightNumber : leftNumber >= rightNumber
}

function isLike(found: Plain, pattern: string): boolean {
  const expression = pattern.replaceAll('%', '.*').replaceAll('_', '.')
  return typeof found === 'string' && new RegExp(`^${expression}$`, 's').test(found)
}
