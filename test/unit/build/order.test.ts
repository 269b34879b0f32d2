import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { ordered } from '../../../build/order.ts'

test('puts what is alike together, and changes nothing else', async () => {
  const noise = (name: string): string =>
    `${name}(){return "${[...name.repeat(300)].map((one, at) => one.charCodeAt(0) * at ** 3).join('')}"}`
  const alike = (name: string): string => `${name}(first,second){return this.sum(first*second)+this.sum(first-second)}`
  const code = `var step=1;export class Thing{${alike('a')}${noise('b')}${noise('c')}${alike('d')}sum(value){return value+step}}step=2`
  const after = ordered(code)
  expect([...after].sort().join('')).toBe([...code].sort().join(''))
  expect(gzipSync(after).length).toBeLessThan(gzipSync(code).length)
  const { Thing } = await import(`data:text/javascript,${encodeURIComponent(after)}`)
  expect(new Thing().a(2, 3)).toBe(9)
})
