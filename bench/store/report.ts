import { median } from '../statistics.ts'
import { count, table } from '../text.ts'
import type { StoreCourse } from './course.ts'
import { figuresOf } from './goals.ts'

/** Medians of all that was measured of stores, and of what they are held against. */
export function storeTable(courses: readonly StoreCourse[]): string {
  const lines = courses.flatMap((course) =>
    course.row.subjects.map(({ name }, index) => [index === 0 ? course.row.title : '', name, medians(course, name)]),
  )
  return table(['row', 'subject', 'medians'], lines)
}

function medians(course: StoreCourse, subject: string): string {
  const names = new Set(
    course.runs.filter((run) => run.subject === subject).flatMap(({ figures }) => Object.keys(figures)),
  )
  return [...names]
    .map((name) => [name, median(figuresOf(course, subject, name))] as const)
    .filter(([, value]) => value !== 0)
    .map(([name, value]) => `${name} ${value >= 1000 ? count(value) : Number(value.toPrecision(3))}`)
    .join(', ')
}
