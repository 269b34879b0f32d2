import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { publicNames } from '../../build/names.ts'
import { clientContract } from '../contract/client-contract.ts'

const gzipBytesMax = 18_000
const file = new URL('../../dist/protocols/native/client/browser.min.js', import.meta.url)

const client = await import(file.href)

describe('the client for browsers', () => clientContract('a WebSocket', client))

test(`the client for browsers has at most ${gzipBytesMax} bytes, compressed`, () => {
  const size = gzipSync(readFileSync(file), { level: 9 }).length
  expect(size).toBeLessThanOrEqual(gzipBytesMax)
  expect(size).toBeGreaterThan(1000)
})

test.each([
  ['broker', 'it must look like ws://'],
  ['tcp://127.0.0.1:61616', '"tcp:" is none of ws: wss:'],
])('the client for browsers says of %s what it takes instead', async (url, sentence) => {
  const refused = await client.connect(url).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(client.ManifoldError)
  expect(refused).toMatchObject({ code: 'invalid-request', message: expect.stringContaining(sentence) })
})

test('the client for browsers has every public name that its modules have', () => {
  const folder = new URL('.', file)
  const names = publicNames('browser', (module) => readFileSync(new URL(`${module}.d.ts`, folder), 'utf8'))
  const modules = readdirSync(folder).filter((name) => name.endsWith('.js') && name !== 'browser.min.js')
  const said = modules.map((name) => readFileSync(new URL(name, folder), 'utf8')).join('')
  const built = readFileSync(file, 'utf8')
  const members = [...names].filter((name) => new RegExp(`[^.]\\.${name}\\b`).test(said))
  expect(members.length).toBeGreaterThan(80)
  expect(members.filter((name) => !new RegExp(`\\b${name}\\b`).test(built))).toEqual([])
})

test('the client for browsers has nothing of Node in it', () => {
  const found = readFileSync(file, 'utf8').match(/\bimport\b|\brequire\(|\bBuffer\b|setImmediate|node:/)
  expect(found).toBeNull()
})
