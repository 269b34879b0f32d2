import { SelectorFault } from './fault.ts'
import { type Keyword, Lexer, type Mark, type Token } from './lexer.ts'
import { normal } from './number.ts'
import { longMinMagnitude } from './numeric-literal.ts'
import {
  type ArithmeticOperator,
  type ArithmeticStep,
  type Calculation,
  type Condition,
  type Expression,
  type Identifier,
  isCalculation,
  isCondition,
  type NumberLiteral,
} from './syntax.ts'

/** Parentheses, NOT and signs open at one place: far below what the call stack holds. */
export const nestingMax = 256

/**
 * Parses a selector (Jakarta Messaging 3.1 section 3.8.1.1). From loose to tight: OR, AND, NOT, comparison, `+ -`, `* /`, sign;
 * comparisons do not chain. What can be told without a message is refused here: an ordering of strings or booleans, arithmetic
 * on them, a number where a condition belongs. Throws a SelectorFault.
 *
 * @returns undefined for a blank text, which is no selector at all
 */
export function parseSelector(text: string): Condition | undefined {
  return new Parser(text).parse()
}

class Parser {
  readonly #lexer: Lexer
  #token: Token
  #nesting: number

  constructor(text: string) {
    this.#lexer = new Lexer(text)
    this.#token = this.#lexer.next()
    this.#nesting = 0
  }

  parse(): Condition | undefined {
    if (this.#isEnd()) return undefined
    const at = this.#token.at
    const condition = this.#condition(this.#or(), at)
    if (!this.#isEnd()) throw this.#unexpected('AND, OR or the end of the selector')
    return condition
  }

  #or(): Expression {
    return this.#junction('or', 'OR', () => this.#and())
  }

  #and(): Expression {
    return this.#junction('and', 'AND', () => this.#not())
  }

  #junction(kind: 'and' | 'or', keyword: Keyword, operand: () => Expression): Expression {
    let at = this.#token.at
    const first = operand()
    if (!this.#isKeyword(keyword)) return first
    const operands = [this.#condition(first, at)]
    while (this.#takeKeyword(keyword)) {
      at = this.#token.at
      operands.push(this.#condition(operand(), at))
    }
    return { kind, operands }
  }

  #not(): Expression {
    if (!this.#isKeyword('NOT')) return this.#predicate()
    return this.#nested(() => {
      const at = this.#token.at
      return { kind: 'not', operand: this.#condition(this.#not(), at) }
    })
  }

  #predicate(): Expression {
    const at = this.#token.at
    const left = this.#sum()
    if (this.#token.kind === 'mark') return this.#comparison(left, at, this.#token.mark)
    if (this.#takeKeyword('IS')) return this.#isNull(left, at)
    const negated = this.#takeKeyword('NOT')
    if (this.#takeKeyword('BETWEEN')) return this.#between(left, at, negated)
    if (this.#takeKeyword('IN')) return this.#in(left, at, negated)
    if (this.#takeKeyword('LIKE')) return this.#like(left, at, negated)
    if (negated) throw this.#unexpected('BETWEEN, IN or LIKE')
    return left
  }

  #comparison(left: Expression, leftAt: number, operator: Mark): Expression {
    switch (operator) {
      case '=':
      case '<>':
        this.#advance()
        return { kind: 'equality', operator, left, right: this.#sum() }
      case '<':
      case '<=':
      case '>':
      case '>=': {
        const number = this.#calculation(left, leftAt)
        this.#advance()
        return { kind: 'order', operator, left: number, right: this.#number() }
      }
      default:
        return left
    }
  }

  #between(left: Expression, at: number, negated: boolean): Condition {
    const operand = this.#calculation(left, at)
    const low = this.#number()
    if (!this.#takeKeyword('AND')) throw this.#unexpected('AND between the two bounds')
    return { kind: 'between', negated, operand, low, high: this.#number() }
  }

  #in(left: Expression, at: number, negated: boolean): Condition {
    const identifier = this.#identifier(left, at, 'IN')
    if (!this.#takeMark('(')) throw this.#unexpected('"("')
    const values: string[] = []
    do values.push(this.#string())
    while (this.#takeMark(','))
    if (!this.#takeMark(')')) throw this.#unexpected('"," or ")"')
    return { kind: 'in', negated, identifier, values }
  }

  #like(left: Expression, at: number, negated: boolean): Condition {
    const identifier = this.#identifier(left, at, 'LIKE')
    const pattern = this.#string()
    if (!this.#takeKeyword('ESCAPE')) return { kind: 'like', negated, identifier, pattern, escape: undefined }
    const escapeAt = this.#token.at
    const character = this.#string()
    if ([...character].length !== 1) throw new SelectorFault(escapeAt, 'expected one character between the quotes')
    return { kind: 'like', negated, identifier, pattern, escape: character }
  }

  #isNull(left: Expression, at: number): Condition {
    const identifier = this.#identifier(left, at, 'IS NULL')
    const negated = this.#takeKeyword('NOT')
    if (!this.#takeKeyword('NULL')) throw this.#unexpected(negated ? 'NULL' : 'NULL or NOT NULL')
    return { kind: 'is-null', negated, identifier }
  }

  #sum(): Expression {
    return this.#chain('+', '-', () => this.#product())
  }

  #product(): Expression {
    return this.#chain('*', '/', () => this.#signed())
  }

  #chain(one: ArithmeticOperator, other: ArithmeticOperator, operand: () => Expression): Expression {
    let at = this.#token.at
    const first = operand()
    if (!this.#isMark(one) && !this.#isMark(other)) return first
    const firstNumber = this.#calculation(first, at)
    const steps: ArithmeticStep[] = []
    for (;;) {
      const operator = this.#isMark(one) ? one : other
      if (!this.#takeMark(operator)) return { kind: 'arithmetic', first: firstNumber, steps }
      at = this.#token.at
      steps.push({ operator, operand: this.#calculation(operand(), at) })
    }
  }

  #signed(): Expression {
    const negative = this.#isMark('-')
    if (!negative && !this.#isMark('+')) return this.#primary()
    return this.#nested(() => {
      if (this.#token.kind === 'number') return this.#literal(negative, this.#token.at, this.#token.value)
      const at = this.#token.at
      return { kind: 'sign', negative, operand: this.#calculation(this.#signed(), at) }
    })
  }

  #primary(): Expression {
    const token = this.#token
    switch (token.kind) {
      case 'identifier':
        this.#advance()
        return { kind: 'identifier', name: token.name }
      case 'string':
        this.#advance()
        return { kind: 'string', value: token.value }
      case 'number':
        return this.#literal(false, token.at, token.value)
      case 'keyword':
        if (token.keyword !== 'TRUE' && token.keyword !== 'FALSE') break
        this.#advance()
        return { kind: 'boolean', value: token.keyword === 'TRUE' }
      case 'mark':
        if (token.mark === '(') return this.#parenthesised()
        break
      case 'end':
        break
      default:
        return token satisfies never
    }
    throw this.#unexpected('an identifier, a literal or "("')
  }

  #parenthesised(): Expression {
    return this.#nested(() => {
      const inner = this.#or()
      if (!this.#takeMark(')')) throw this.#unexpected('AND, OR or ")"')
      return inner
    })
  }

  #literal(negative: boolean, at: number, value: number | bigint): NumberLiteral {
    if (value === longMinMagnitude && !negative) {
      throw new SelectorFault(at, 'expected a number in the range of a long')
    }
    this.#advance()
    if (!negative) return { kind: 'number', value }
    return { kind: 'number', value: typeof value === 'bigint' ? normal(-value) : -value }
  }

  /** Takes the token that opens a nesting, and counts the nesting while `inner` parses what is in it. */
  #nested(inner: () => Expression): Expression {
    if (this.#nesting === nestingMax) {
      throw new SelectorFault(this.#token.at, `expected at most ${nestingMax} nested parentheses, NOTs and signs`)
    }
    this.#nesting += 1
    this.#advance()
    const expression = inner()
    this.#nesting -= 1
    return expression
  }

  #number(): Calculation {
    const at = this.#token.at
    return this.#calculation(this.#sum(), at)
  }

  #string(): string {
    const token = this.#token
    if (token.kind !== 'string') throw this.#unexpected('a string literal')
    this.#advance()
    return token.value
  }

  #calculation(expression: Expression, at: number): Calculation {
    if (isCalculation(expression)) return expression
    throw new SelectorFault(at, `expected a number or an identifier, found ${kindName(expression)}`)
  }

  #condition(expression: Expression, at: number): Condition {
    if (isCondition(expression)) return expression
    throw new SelectorFault(at, `expected a condition, found ${kindName(expression)}`)
  }

  #identifier(expression: Expression, at: number, operator: string): Identifier {
    if (expression.kind === 'identifier') return expression
    throw new SelectorFault(at, `expected an identifier before ${operator}, found ${kindName(expression)}`)
  }

  #isEnd(): boolean {
    return this.#token.kind === 'end'
  }

  #isKeyword(keyword: Keyword): boolean {
    return this.#token.kind === 'keyword' && this.#token.keyword === keyword
  }

  #takeKeyword(keyword: Keyword): boolean {
    const taken = this.#isKeyword(keyword)
    if (taken) this.#advance()
    return taken
  }

  #isMark(mark: Mark): boolean {
    return this.#token.kind === 'mark' && this.#token.mark === mark
  }

  #takeMark(mark: Mark): boolean {
    const taken = this.#isMark(mark)
    if (taken) this.#advance()
    return taken
  }

  #advance(): void {
    this.#token = this.#lexer.next()
  }

  #unexpected(expected: string): SelectorFault {
    return new SelectorFault(this.#token.at, `expected ${expected}, found ${tokenName(this.#token)}`)
  }
}

function tokenName(token: Token): string {
  switch (token.kind) {
    case 'keyword':
      return token.keyword === 'NULL' ? 'NULL, which is compared with IS NULL and IS NOT NULL' : token.keyword
    case 'identifier':
      return `the identifier ${token.name.length > 40 ? `${token.name.slice(0, 37)}...` : token.name}`
    case 'string':
      return 'a string literal'
    case 'number':
      return 'a number'
    case 'mark':
      return `"${token.mark}"`
    case 'end':
      return 'the end of the selector'
    default:
      return token satisfies never
  }
}

function kindName(expression: Expression): string {
  if (expression.kind === 'string') return 'a string literal'
  if (expression.kind === 'boolean') return expression.value ? 'TRUE' : 'FALSE'
  if (expression.kind === 'identifier') return 'an identifier'
  return isCalculation(expression) ? 'a number' : 'a condition'
}
