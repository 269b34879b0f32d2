import { describe, expect, test } from 'vitest'
import { isAllClean, report } from '../../../../bench/report.ts'
import { rowsNamed } from '../../../../bench/row-names.ts'
import { rows, usualRows } from '../../../../bench/rows.ts'
import type { StoreCourse } from '../../../../bench/store/course.ts'
import { storeGoalsOf } from '../../../../bench/store/goals.ts'
import { noTrouble } from '../../../../bench/store/job.ts'
import type { StoreGoal, StoreRow } from '../../../../bench/store/rows.ts'

const rate: StoreGoal = {
  text: "of the other's rate",
  subject: 'journal',
  figure: 'perSecond',
  base: { subject: 'lmdb', figure: 'perSecond' },
  min: 4,
}
const cpu: StoreGoal = { text: 'microseconds', subject: 'journal', figure: 'mainCpuUs', max: 1.5 }

function courseOf(goals: readonly StoreGoal[], journal: readonly number[], lmdb: readonly number[]): StoreCourse {
  const row: StoreRow = { kind: 'store', name: 'x', title: 'x', isLong: false, subjects: [], goals }
  const runs = (subject: string, rates: readonly number[]) =>
    rates.map((perSecond, round) => {
      return { subject, round: round + 1, figures: { perSecond, mainCpuUs: perSecond / 100 }, trouble: noTrouble }
    })
  return { kind: 'store', row, runs: [...runs('journal', journal), ...runs('lmdb', lmdb)] }
}

describe('a goal of a store', () => {
  test('holds the ratio of the medians against the least, with the range of the rounds', () => {
    const [reached] = storeGoalsOf(courseOf([rate], [400, 410, 390], [100, 90, 110]))
    expect(reached).toEqual({
      row: 'x',
      text: "journal: 4.00 (3.55-4.56) x, of the other's rate; at least 4",
      isReached: true,
    })
    expect(storeGoalsOf(courseOf([rate], [399], [100]))[0]?.isReached).toBe(false)
  })

  test('below one is told in percent', () => {
    const [goal] = storeGoalsOf(courseOf([{ ...rate, min: 0.4 }], [39], [100]))
    expect(goal).toMatchObject({ text: "journal: 39 % (39-39), of the other's rate; at least 40 %", isReached: false })
  })

  test('may be a figure by itself that is not to be passed', () => {
    expect(storeGoalsOf(courseOf([cpu], [150], []))[0]?.isReached).toBe(true)
    expect(storeGoalsOf(courseOf([cpu], [151], []))[0]).toMatchObject({
      text: 'journal: 1.51 (1.51-1.51), microseconds; at most 1.5',
      isReached: false,
    })
  })

  test('that nothing was measured for is not reached', () => {
    expect(storeGoalsOf(courseOf([rate], [], [100]))[0]?.isReached).toBe(false)
  })
})

test('every goal of the table is about something that its row measures', () => {
  for (const row of rows) {
    if (row.kind !== 'store') continue
    const subjects = row.subjects.map(({ name }) => name)
    for (const { subject, base, min, max } of row.goals) {
      expect(subjects).toContain(subject)
      if (base !== undefined) expect(subjects).toContain(base.subject)
      expect(min ?? max).toBeDefined()
    }
  }
})

test('long rows are run by their names only', () => {
  expect(usualRows().map(({ name }) => name)).not.toContain('backlog-20m')
  expect(usualRows().map(({ name }) => name)).toContain('store-1k')
  expect(rowsNamed(rows, ['backlog-20m']).map(({ name }) => name)).toEqual(['backlog-20m'])
})

test('a message that a store has lost makes the run fail', () => {
  const course = courseOf([cpu], [100], [])
  const [run] = course.runs
  const lossy = { ...course, runs: [{ ...run!, trouble: { ...noTrouble, lost: 2 } }] }
  expect(isAllClean([course])).toBe(true)
  expect(isAllClean([lossy])).toBe(false)
  expect(report([lossy])).toContain('ERROR x: 2 lost')
})
