/** The order of methods and of functions says nothing to a program, but how well its text compresses depends on it. */
import { deflateRawSync } from 'node:zlib'
import { type AnyNode, type ClassBody, parse } from 'acorn'
import { childrenOf } from './nodes.ts'

/** How much of the text around a class is looked at: what is further away is found again at a higher price. */
const lookBehind = 8000
const lookAhead = 2000

/**
 * The code with its functions behind all else, and with the methods of each class where they compress best, tried one after the other
 * in every place.
 */
export function ordered(given: string): string {
  const code = functionsLast(given)
  let done = ''
  let at = 0
  for (const { body } of classesIn(parse(code, { ecmaVersion: 2022, sourceType: 'module' }))) {
    const start = body[0]?.start ?? at
    const end = body.at(-1)?.end ?? at
    done += code.slice(at, start)
    const before = done.slice(-lookBehind)
    const after = code.slice(end, end + lookAhead)
    const cost = (members: readonly string[]): number =>
      deflateRawSync(before + members.join('') + after, { level: 9 }).length
    done += cheapest(
      body.map((member) => code.slice(member.start, member.end)),
      cost,
    ).join('')
    at = end
  }
  return done + code.slice(at)
}

function functionsLast(code: string): string {
  const { body } = parse(code, { ecmaVersion: 2022, sourceType: 'module' })
  const isLast = ({ type }: AnyNode): boolean => type === 'FunctionDeclaration'
  const inOrder = [...body.filter((one) => !isLast(one)), ...body.filter(isLast)]
  return inOrder.map(({ start, end }) => code.slice(start, end)).join('')
}

function cheapest(given: readonly string[], cost: (members: readonly string[]) => number): readonly string[] {
  let members = given
  let least = cost(members)
  for (const member of given) {
    const others = members.filter((one) => one !== member)
    for (let place = 0; place <= others.length; place += 1) {
      const tried = others.toSpliced(place, 0, member)
      const costs = cost(tried)
      if (costs >= least) continue
      least = costs
      members = tried
    }
  }
  return members
}

/** From the first to the last; none lies in another. */
function classesIn(node: AnyNode): readonly ClassBody[] {
  return node.type === 'ClassBody' ? [node] : childrenOf(node).flatMap(classesIn)
}
