import { BrokerError } from '../../errors.ts'
import type { Message } from '../../message.ts'
import { compileCondition, type Test } from './compile.ts'
import { Facts } from './facts.ts'
import { characterNumber, SelectorFault } from './fault.ts'
import { parseSelector } from './parser.ts'

/** Says which messages a subscription wants. */
export interface Selector {
  /** As it was given. */
  readonly text: string
  /** True only if the condition is true of the message, not if it is false or unknown. Never throws. */
  matches(message: Message): boolean
}

/**
 * Compiles a message selector (Jakarta Messaging 3.1 section 3.8, an SQL-92 condition). A blank text is no selector (3.8.1.1) and
 * comes back as one that matches every message.
 *
 * Extensions: identifiers may hold `.`, and any name may be written in double quotes, as "content-type" (a doubled quote is one).
 * A property that is text counts as the number or boolean it spells where it meets one: against a number in `=` and `<>`, in
 * orderings, BETWEEN and arithmetic, against a boolean, and alone as a condition. If it spells none, the result is unknown. STOMP
 * properties and MQTT user properties are all text, and `count > 5` selects them. String literals are never converted.
 *
 * Division is that of real numbers, and whole numbers past the range of a long become doubles (see arithmetic.ts). Names with
 * JMS that facts.ts does not list are looked up like any other property.
 *
 * @param charactersMax longest text, in UTF-16 units
 * @returns for a bad selector, the error `invalid-selector` whose sentence names the character, from 1, and what was expected there
 */
export function compileSelector(text: string, charactersMax: number): Selector | BrokerError {
  if (text.length > charactersMax) {
    return invalid(charactersMax + 1, `expected at most ${charactersMax} characters, found ${text.length}`)
  }
  try {
    const condition = parseSelector(text)
    return new CompiledSelector(text, condition === undefined ? () => true : compileCondition(condition))
  } catch (error) {
    if (error instanceof SelectorFault) return invalid(characterNumber(text, error.offset), error.message)
    throw error
  }
}

class CompiledSelector implements Selector {
  readonly text: string
  readonly #test: Test

  constructor(text: string, test: Test) {
    this.text = text
    this.#test = test
  }

  matches(message: Message): boolean {
    return this.#test(new Facts(message)) === true
  }
}

function invalid(character: number, sentence: string): BrokerError {
  return new BrokerError('invalid-selector', `selector at character ${character}: ${sentence}`)
}
