import { expect, test } from 'vitest'
import { table } from '../../../interop/table.ts'

test('a table has columns as wide as their widest cell, centred under their heads', () => {
  const rows = [
    ['first', 'ok', ''],
    ['second row', 'FAILED', 'ok'],
  ]
  expect(table(['', 'one', 'client 2'], rows)).toBe(
    [
      '             one    client 2',
      '----------  ------  --------',
      'first         ok',
      'second row  FAILED     ok',
    ].join('\n'),
  )
})
