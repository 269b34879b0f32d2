import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** What the README shows of a broker in one's own process; the other samples are programs of their own, which interop runs. */
function embedded(): string {
  const fences = [...readFileSync('README.md', 'utf8').matchAll(/^```js\n(.*?)^```/gms)].map(([, code = '']) => code)
  const found = fences.filter((code) => code.includes("from 'manifoldmq'"))
  expect(found).toHaveLength(1)
  return found[0] ?? ''
}

test('the sample of a broker in one’s own process does what it says, and ends', () => {
  const node = ['--input-type=module', '--eval', embedded()]
  const { status, stdout, stderr } = spawnSync(process.execPath, node, { encoding: 'utf8', timeout: 20_000 })
  expect({ status, complaints: stderr.replace(/^\{.*\}\n/gm, '') }).toEqual({ status: 0, complaints: '' })
  expect(stdout).toMatch(/^stomp tcp:|^tcp:\/\/127\.0\.0\.1:\d+$/m)
  expect(stdout).toMatch(/^safe up to 1$/m)
})
