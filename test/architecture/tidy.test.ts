import { expect, test } from 'vitest'
import { readSources } from '../support/source-tree.ts'

/** STYLE §1.6. */
const linesMax = 500
const medianLinesMax = 120

const sources = readSources('src', 'protocols')
const all = [
  ...sources,
  ...readSources('build', 'test', 'bench', 'interop').filter(({ path }) => !path.includes('/architecture/')),
]

test(`no source file is longer than ${linesMax} lines`, () => {
  const long = sources.filter(({ lines }) => lines > linesMax)
  expect(long.map(({ path, lines }) => `${path} ${lines}`)).toEqual([])
})

test(`half of the source files are no longer than ${medianLinesMax} lines`, () => {
  const lengths = sources.map(({ lines }) => lines).sort((left, right) => left - right)
  expect(lengths[lengths.length >> 1]).toBeLessThanOrEqual(medianLinesMax)
})

test('nothing is left to be done in a comment or skipped in a test', () => {
  const marks = /\b(TODO|FIXME|XXX|HACK)\b|\b(describe|test|it)\.only\b|\bdebugger\b/
  expect(
    all.filter(({ text }) => marks.test(text)).map(({ path, text }) => `${path}: ${marks.exec(text)?.[0]}`),
  ).toEqual([])
})

test('names of files are kebab-case nouns', () => {
  expect(all.map(({ path }) => path).filter((path) => !/^[a-z0-9/-]+(\.test|\.d)?\.ts$/.test(path))).toEqual([])
})
