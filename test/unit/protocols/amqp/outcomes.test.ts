import { describe, expect, test } from 'vitest'
import { mergeAnnotations, readAnnotations } from '../../../../protocols/amqp/outcomes.ts'
import { encode, t } from '../../../support/amqp-peer.ts'

const known = encode(t.map({ 'x-opt-a': t.string('old'), 'x-opt-b': t.uint(2) }))

describe('what is added by modified', () => {
  test('is read as entries, the later ones over those before', () => {
    expect(readAnnotations(known)).toEqual([
      ['x-opt-a', 'old'],
      ['x-opt-b', { type: 'uint', value: 2 }],
    ])
    const merged = mergeAnnotations(known, encode(t.map({ 'x-opt-a': t.string('new') })))
    expect(new Map(readAnnotations(merged)).get('x-opt-a')).toBe('new')
  })

  test.each<[string, Uint8Array]>([
    ['nothing', Buffer.alloc(0)],
    ['a list', encode(t.list(t.uint(1)))],
    ['a map with a value of a type that is none', Buffer.from([0xc1, 6, 2, 0xa3, 1, 97, 0x3f, 0])],
    ['a map whose symbol says so', Buffer.from([0xc1, 6, 2, 0xa3, 99, 97, 0x43, 0x40])],
  ])('is passed over if it is %s', (_name, bytes) => {
    expect(readAnnotations(bytes)).toEqual([])
    expect(new Map(readAnnotations(mergeAnnotations(known, bytes))).get('x-opt-a')).toBe('old')
  })

  test('is never more than the part of it that was said, wherever it is cut', () => {
    for (let end = 0; end < known.length; end += 1) expect(readAnnotations(known.subarray(0, end))).toEqual([])
  })
})
