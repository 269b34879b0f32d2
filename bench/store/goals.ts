import type { Goal } from '../goals.ts'
import { ratio, spread } from '../statistics.ts'
import { fixed, percent, percents } from '../text.ts'
import type { StoreCourse } from './course.ts'
import type { StoreGoal } from './rows.ts'

/** The numbers that a row of a store is to reach. */
export function storeGoalsOf(course: StoreCourse): readonly Goal[] {
  return course.row.goals.map((goal) => ({ row: course.row.name, ...judged(course, goal) }))
}

function judged(course: StoreCourse, goal: StoreGoal): Omit<Goal, 'row'> {
  const { text, base, min, max } = goal
  const values = figuresOf(course, goal.subject, goal.figure)
  const found = base === undefined ? spread(values) : ratio(values, figuresOf(course, base.subject, base.figure))
  const isShare = base !== undefined && (min ?? max ?? 0) < 1
  const shown = isShare ? percents(found) : `${fixed(found.median, 2)} (${fixed(found.min, 2)}-${fixed(found.max, 2)})`
  const bound = (value: number): string => (isShare ? percent(value) : String(value))
  const bounds = [
    ...(min === undefined ? [] : [`at least ${bound(min)}`]),
    ...(max === undefined ? [] : [`at most ${bound(max)}`]),
  ]
  const unit = base === undefined || isShare ? '' : ' x'
  return {
    text: `${goal.subject}: ${shown}${unit}, ${text}; ${bounds.join(', ')}`,
    isReached: found.median >= (min ?? Number.NEGATIVE_INFINITY) && found.median <= (max ?? Number.POSITIVE_INFINITY),
  }
}

/** One figure of a subject, by round. */
export function figuresOf({ runs }: StoreCourse, subject: string, figure: string): readonly number[] {
  return runs.filter((run) => run.subject === subject).map(({ figures }) => figures[figure] ?? Number.NaN)
}
