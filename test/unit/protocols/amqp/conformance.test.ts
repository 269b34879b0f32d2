import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { malformed } from '../../../vectors/amqp/malformed.ts'

interface Shown {
  readonly file: string
  readonly title: string
}

const page = readFileSync('protocols/amqp/conformance.md', 'utf8')
const rows = page.split('\n').filter((line) => /^\| \d/.test(line))
const shown = rows.flatMap((row) => {
  const cells = row.split(' | ')
  return [...(cells.at(-1) ?? '').replace(/ *\|$/, '').split(' · ')].flatMap((text): Shown[] => {
    const [, file, title] = /^(\w+) › (.+)$/.exec(text.trim()) ?? []
    return file === undefined || title === undefined ? [] : [{ file, title }]
  })
})

function pathOf(file: string): string {
  if (file === 'vectors') return 'test/vectors/amqp/malformed.ts'
  if (file === 'kill') return 'test/process/amqp-kill.test.ts'
  return `test/unit/protocols/amqp/${file}.test.ts`
}

/** The titles of the tests of a file, as they are written. */
function titlesIn(file: string): string[] {
  const text = readFileSync(pathOf(file), 'utf8')
  const named =
    file === 'vectors' ? /name: '([^']+)'/g : /(?<!describe)\(\s*(?:'([^'\n]+)'|`([^`\n]+)`),\s*(?:async|\(|\{|<)/g
  return [...text.matchAll(named)].map(([, plain, template]) => plain ?? template ?? '')
}

test('every statement of the table names tests, and all that it names are there', () => {
  const isDeviation = (row: string): boolean => page.indexOf(row) > page.indexOf('## Deviations')
  expect(rows.filter((row) => !isDeviation(row) && !row.includes(' › '))).toEqual([])
  expect(shown.length).toBeGreaterThan(130)
  const titles = new Map([...new Set(shown.map(({ file }) => file))].map((file) => [file, new Set(titlesIn(file))]))
  expect(shown.filter(({ file, title }) => !titles.get(file)?.has(title))).toEqual([])
})

test('every malformed input, and every test that was written for a clause, is in the table', () => {
  const named = (file: string): Set<string> =>
    new Set(shown.filter((one) => one.file === file).map(({ title }) => title))
  expect(malformed.map(({ name }) => name).filter((name) => !named('vectors').has(name))).toEqual([])
  const clauses = titlesIn('clauses')
  expect(clauses.length).toBeGreaterThan(25)
  expect(clauses.filter((title) => !named('clauses').has(title))).toEqual([])
})
