/** One thing that is wrong with the configuration. */
export interface Problem {
  /** Where the value was written: `manifoldmq.yaml:3:11`, `--set listeners.stomp.port`, `MANIFOLDMQ_NAME`; empty for an object. */
  readonly place: string
  /** Which setting: `listeners.stomp.port`. */
  readonly path: string
  readonly reason: string
}

/** Everything that is wrong with a configuration, at once. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super(problems.map(problemLine).join('\n'))
    this.problems = problems
  }
}

/** `file:line:col path reason`; the path is left out where the place already names it. */
export function problemLine(problem: Problem): string {
  const path = problem.place.endsWith(` ${problem.path}`) ? '' : problem.path
  return [problem.place, path, problem.reason].filter((part) => part.length > 0).join(' ')
}

/** The candidate that `word` was probably meant to be, if one is near. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(plain(word), plain(candidate))
    if (distance >= bestDistance) continue
    best = candidate
    bestDistance = distance
  }
  return best
}

/** ` (did you mean "…"?)`, or nothing. */
export function suggestion(word: string, candidates: readonly string[]): string {
  const near = nearest(word, candidates)
  return near === undefined ? '' : ` (did you mean "${near}"?)`
}

/** The same for `portMax`, `port_max` and `PORT-MAX`. */
export function plain(word: string): string {
  return word.toLowerCase().replaceAll(/[-_]/g, '')
}

/** Letters to change, add, leave out or swap with their neighbour. */
function editDistance(left: string, right: string): number {
  const rows: number[][] = [Array.from({ length: right.length + 1 }, (_, index) => index)]
  const at = (row: number, column: number) => rows[row]?.[column] ?? 0
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row]
    rows.push(current)
    for (let column = 1; column <= right.length; column += 1) {
      const change = left[row - 1] === right[column - 1] ? 0 : 1
      const swapped =
        row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1]
      const swap = swapped ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY
      current.push(Math.min(at(row - 1, column) + 1, at(row, column - 1) + 1, at(row - 1, column - 1) + change, swap))
    }
  }
  return at(left.length, right.length)
}
