/** A whole number or an IEEE double. Whole numbers within the safe range are always plain numbers. */
export type Numeric = number | bigint

export type EqualityOperator = '=' | '<>'
export type OrderOperator = '<' | '<=' | '>' | '>='
export type ArithmeticOperator = '+' | '-' | '*' | '/'

/** A header field or property of the message, by its case-sensitive name. */
export interface Identifier {
  readonly kind: 'identifier'
  readonly name: string
}

export interface StringLiteral {
  readonly kind: 'string'
  readonly value: string
}

export interface BooleanLiteral {
  readonly kind: 'boolean'
  readonly value: boolean
}

export interface NumberLiteral {
  readonly kind: 'number'
  readonly value: Numeric
}

/** What can have a number as its value: the only operands of arithmetic, ordering and BETWEEN. */
export type Calculation =
  | NumberLiteral
  | Identifier
  | { readonly kind: 'sign'; readonly negative: boolean; readonly operand: Calculation }
  /** Operators of one precedence level from left to right: a chain is one node, so that its length costs no depth. */
  | { readonly kind: 'arithmetic'; readonly first: Calculation; readonly steps: readonly ArithmeticStep[] }

export interface ArithmeticStep {
  readonly operator: ArithmeticOperator
  readonly operand: Calculation
}

/** What is true, false or unknown. An identifier alone stands for `identifier = TRUE`. */
export type Condition =
  | BooleanLiteral
  | Identifier
  | { readonly kind: 'and' | 'or'; readonly operands: readonly Condition[] }
  | { readonly kind: 'not'; readonly operand: Condition }
  | EqualityTest
  | OrderTest
  | BetweenTest
  | InTest
  | LikeTest
  | { readonly kind: 'is-null'; readonly negated: boolean; readonly identifier: Identifier }

export interface EqualityTest {
  readonly kind: 'equality'
  readonly operator: EqualityOperator
  readonly left: Expression
  readonly right: Expression
}

export interface OrderTest {
  readonly kind: 'order'
  readonly operator: OrderOperator
  readonly left: Calculation
  readonly right: Calculation
}

export interface BetweenTest {
  readonly kind: 'between'
  readonly negated: boolean
  readonly operand: Calculation
  readonly low: Calculation
  readonly high: Calculation
}

export interface InTest {
  readonly kind: 'in'
  readonly negated: boolean
  readonly identifier: Identifier
  readonly values: readonly string[]
}

export interface LikeTest {
  readonly kind: 'like'
  readonly negated: boolean
  readonly identifier: Identifier
  readonly pattern: string
  /** One code point. */
  readonly escape: string | undefined
}

/** The syntax tree of a selector: SQL-92 conditions as Jakarta Messaging 3.1 section 3.8.1.1 has them. */
export type Expression = Condition | Calculation | StringLiteral

export function isCalculation(expression: Expression): expression is Calculation {
  const { kind } = expression
  return kind === 'number' || kind === 'identifier' || kind === 'sign' || kind === 'arithmetic'
}

export function isCondition(expression: Expression): expression is Condition {
  if (expression.kind === 'identifier') return true
  return expression.kind !== 'string' && !isCalculation(expression)
}
