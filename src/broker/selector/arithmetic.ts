import { normal, numberSpelled } from './number.ts'
import type { ArithmeticOperator, Numeric } from './syntax.ts'
import type { Term } from './term.ts'

/**
 * Arithmetic of selectors. Whole numbers stay exact in the range of a long and become doubles past it; they never wrap. Division
 * is that of real numbers, as in ActiveMQ, Artemis and Qpid, so that 7 / 2 is 3.5 whether the sender's client wrote an int, a
 * double or a text. Division by zero has no value: undefined, which is unknown.
 */
export function calculate(operator: ArithmeticOperator, left: Numeric, right: Numeric): Numeric | undefined {
  if (operator === '/') return divide(left, right)
  if (typeof left === 'number' && typeof right === 'number') {
    const result = withDoubles(operator, left, right)
    if (Number.isSafeInteger(result)) return result
  }
  if (!isWhole(left) || !isWhole(right)) return withDoubles(operator, Number(left), Number(right))
  return normal(withLongs(operator, BigInt(left), BigInt(right)))
}

/** The number's opposite. */
export function negate(value: Numeric): Numeric {
  return typeof value === 'bigint' ? normal(-value) : -value
}

/** What arithmetic takes a value for: itself, or the number a property's text spells (an extension); else undefined. */
export function numberOf(term: Term): Numeric | undefined {
  if (typeof term === 'number' || typeof term === 'bigint') return term
  return typeof term === 'string' ? numberSpelled(term) : undefined
}

function divide(left: Numeric, right: Numeric): Numeric | undefined {
  if (right === 0 || right === 0n) return undefined
  if (typeof left === 'number' && typeof right === 'number') return left / right
  if (isWhole(left) && isWhole(right)) {
    const dividend = BigInt(left)
    const divisor = BigInt(right)
    if (dividend % divisor === 0n) return normal(dividend / divisor)
  }
  return Number(left) / Number(right)
}

/** False for the doubles past the safe range, whose last digits nobody meant. */
function isWhole(value: Numeric): boolean {
  return typeof value === 'bigint' || Number.isSafeInteger(value)
}

function withDoubles(operator: '+' | '-' | '*', left: number, right: number): number {
  if (operator === '+') return left + right
  return operator === '-' ? left - right : left * right
}

function withLongs(operator: '+' | '-' | '*', left: bigint, right: bigint): bigint {
  if (operator === '+') return left + right
  return operator === '-' ? left - right : left * right
}
