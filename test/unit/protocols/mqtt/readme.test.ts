import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

function numbersOf(text: string): string[] {
  return text.split(' ').map((id) => id.replace('MQTT-', ''))
}

test('the table of conformance names the statements of the tests, those and no others', () => {
  const tests = readFileSync('test/unit/protocols/mqtt/conformance.test.ts', 'utf8')
  const titles = [...tests.matchAll(/['"`]((?:MQTT-[\d.-]+ ?)+): /g)].map(([, ids = '']) => numbersOf(ids))
  const readme = readFileSync('protocols/mqtt/README.md', 'utf8')
  const [table = ''] =
    readme
      .split(/^\| statements +\| not in the table because/m)[0]
      ?.split('\n## ')
      .slice(-1) ?? []
  const rows = [...table.matchAll(/^\| (\d[\d. -]*?) +\| /gm)].map(([, ids = '']) => numbersOf(ids))
  const sorted = (all: readonly string[][]) => [...new Set(all.map((ids) => ids.join(' ')))].sort()
  expect(titles.length).toBeGreaterThan(90)
  expect(sorted(rows)).toEqual(sorted(titles))
})
