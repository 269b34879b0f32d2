import { calculate, negate, numberOf } from './arithmetic.ts'
import { equal, equalText, order, orders } from './comparison.ts'
import { type Facts, type Reader, readerOf } from './facts.ts'
import { LikePattern } from './like.ts'
import {
  type ArithmeticOperator,
  type BetweenTest,
  type Calculation,
  type Condition,
  type EqualityTest,
  type Expression,
  isCondition,
  type LikeTest,
  type Numeric,
} from './syntax.ts'
import type { Truth } from './term.ts'

/** Evaluates a condition; never throws. */
export type Test = (facts: Facts) => Truth

type Calculator = (facts: Facts) => Numeric | undefined

/** Turns a condition into one function, once for a selector. Three-valued logic as in tables 3-4 to 3-6 of 3.8.1.2. */
export function compileCondition(condition: Condition): Test {
  switch (condition.kind) {
    case 'boolean': {
      const { value } = condition
      return () => value
    }
    case 'identifier': {
      const read = readerOf(condition.name)
      return (facts) => equal(read(facts), true, true)
    }
    case 'and':
      return junction(condition.operands.map(compileCondition), false)
    case 'or':
      return junction(condition.operands.map(compileCondition), true)
    case 'not':
      return negation(compileCondition(condition.operand))
    case 'equality':
      return equality(condition)
    case 'order': {
      const left = compileExpression(condition.left)
      const right = compileExpression(condition.right)
      const holds = orders[condition.operator]
      return (facts) => order(left(facts), right(facts), holds)
    }
    case 'between':
      return between(condition)
    case 'in': {
      const read = readerOf(condition.identifier.name)
      return membership(read, new Set(condition.values), condition.negated)
    }
    case 'like':
      return like(condition)
    case 'is-null': {
      const read = readerOf(condition.identifier.name)
      const { negated } = condition
      return (facts) => (read(facts) === undefined) !== negated
    }
    default:
      return condition satisfies never
  }
}

/** AND or OR: `decisive` is the value that settles it whatever the other operands are. */
function junction(tests: readonly Test[], decisive: boolean): Test {
  return (facts) => {
    let result: Truth = !decisive
    for (let index = 0; index < tests.length; index += 1) {
      const truth = tests[index]?.(facts)
      if (truth === decisive) return decisive
      if (truth === undefined) result = undefined
    }
    return result
  }
}

function negation(test: Test): Test {
  return (facts) => {
    const truth = test(facts)
    return truth === undefined ? undefined : !truth
  }
}

function equality(condition: EqualityTest): Test {
  const wanted = condition.operator === '='
  if (condition.right.kind === 'string') return textEquality(condition.left, condition.right.value, wanted)
  if (condition.left.kind === 'string') return textEquality(condition.right, condition.left.value, wanted)
  const left = compileExpression(condition.left)
  const right = compileExpression(condition.right)
  return (facts) => equal(left(facts), right(facts), wanted)
}

function textEquality(expression: Expression, literal: string, wanted: boolean): Test {
  const read = compileExpression(expression)
  return (facts) => equalText(read(facts), literal, wanted)
}

/** `a >= low AND a <= high`, or negated `a < low OR a > high` (3.8.1.1). */
function between(condition: BetweenTest): Test {
  const operand = compileExpression(condition.operand)
  const low = compileExpression(condition.low)
  const high = compileExpression(condition.high)
  const decisive = condition.negated
  const lowHolds = orders[decisive ? '<' : '>=']
  const highHolds = orders[decisive ? '>' : '<=']
  return (facts) => {
    const value = operand(facts)
    const first = order(value, low(facts), lowHolds)
    if (first === decisive) return decisive
    const second = order(value, high(facts), highHolds)
    return second === decisive || first !== undefined ? second : undefined
  }
}

/** A value that is no string equals none of them: false, and true for NOT IN, which negates the whole (3.8.1.1). */
function membership(read: Reader, values: ReadonlySet<string>, negated: boolean): Test {
  return (facts) => {
    const term = read(facts)
    if (term === undefined) return undefined
    return (typeof term === 'string' && values.has(term)) !== negated
  }
}

/** As with IN, a value that is no string is like nothing. */
function like(condition: LikeTest): Test {
  const read = readerOf(condition.identifier.name)
  const pattern = new LikePattern(condition.pattern, condition.escape)
  const { negated } = condition
  return (facts) => {
    const term = read(facts)
    if (term === undefined) return undefined
    return (typeof term === 'string' && pattern.matches(term)) !== negated
  }
}

/** The value of an operand; a condition's truth is a boolean, and NULL if unknown. */
function compileExpression(expression: Expression): Reader {
  if (expression.kind === 'identifier') return readerOf(expression.name)
  if (expression.kind === 'string') {
    const { value } = expression
    return () => value
  }
  return isCondition(expression) ? compileCondition(expression) : compileCalculation(expression)
}

/** The value of an arithmetic expression; undefined, which is unknown, if an operand is no number. */
function compileCalculation(calculation: Calculation): Calculator {
  switch (calculation.kind) {
    case 'number': {
      const { value } = calculation
      return () => value
    }
    case 'identifier': {
      const read = readerOf(calculation.name)
      return (facts) => numberOf(read(facts))
    }
    case 'sign': {
      const operand = compileCalculation(calculation.operand)
      return calculation.negative ? negative(operand) : operand
    }
    case 'arithmetic': {
      const first = compileCalculation(calculation.first)
      const steps = calculation.steps.map(({ operator, operand }) => ({
        operator,
        operand: compileCalculation(operand),
      }))
      return chain(first, steps)
    }
    default:
      return calculation satisfies never
  }
}

function negative(operand: Calculator): Calculator {
  return (facts) => {
    const value = operand(facts)
    return value === undefined ? undefined : negate(value)
  }
}

interface CompiledStep {
  readonly operator: ArithmeticOperator
  readonly operand: Calculator
}

function chain(first: Calculator, steps: readonly CompiledStep[]): Calculator {
  return (facts) => {
    let result = first(facts)
    for (const { operator, operand } of steps) {
      if (result === undefined) return undefined
      const right = operand(facts)
      result = right === undefined ? undefined : calculate(operator, result, right)
    }
    return result
  }
}
