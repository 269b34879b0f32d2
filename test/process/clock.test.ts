import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'

test.each([
  ['lives to see what is awaited', 1, true, 'called\n'],
  ['does not wait for anything else', 60_000, false, ''],
])('a program %s', (_, ms, isAwaited, printed) => {
  const clock = pathToFileURL(resolve('dist/src/clock.js')).href
  const program = `
    import { systemClock } from '${clock}'
    systemClock.after(${ms}, () => console.log('called'), ${isAwaited})
  `
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  })
  expect({ status, stdout }).toEqual({ status: 0, stdout: printed })
})
