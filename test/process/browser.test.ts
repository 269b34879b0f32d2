import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { clientContract } from '../contract/client-contract.ts'

const gzipBytesMax = 18_300
const file = new URL('../../dist/protocols/native/client/browser.min.js', import.meta.url)

const client = await import(file.href)

describe('the client for browsers', () => clientContract('a WebSocket', client))

test(`the client for browsers has at most ${gzipBytesMax} bytes, compressed`, () => {
  const size = gzipSync(readFileSync(file), { level: 9 }).length
  expect(size).toBeLessThanOrEqual(gzipBytesMax)
  expect(size).toBeGreaterThan(1000)
})

test('the client for browsers has nothing of Node in it', () => {
  const found = readFileSync(file, 'utf8').match(/\bimport\b|\brequire\(|\bBuffer\b|setImmediate|node:/)
  expect(found).toBeNull()
})
