import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Address, type AddressKind, covers } from '../../../src/address.ts'
import { BrokerError } from '../../../src/errors.ts'

function faultOf(result: Address | BrokerError): string | undefined {
  return result instanceof BrokerError ? `${result.code}: ${result.message}` : undefined
}

describe('an address', () => {
  test('reads queue://, topic:// and a name alone, and writes what it reads back', () => {
    const texts = { orders: 'queue://orders', 'queue://a.b': 'queue://a.b', 'topic://prices.>': 'topic://prices.>' }
    for (const [text, written] of Object.entries(texts)) {
      const address = Address.parse(text)
      expect(address.toString()).toBe(written)
      expect(address instanceof Address && address.equals(Address.parse(written) as Address)).toBe(true)
    }
  })

  test('of any kind and name is read back from what it writes', () => {
    const name = fc.string({ unit: fc.constantFrom('a', 'é', '.', '*', '>', ':', '/', ' ', '$', '😀'), minLength: 1 })
    fc.assert(
      fc.property(fc.constantFrom<AddressKind>('queue', 'topic'), name, (kind, text) => {
        const address = Address.must(kind, text)
        const back = Address.parse(address.toString())
        expect(back).toBeInstanceOf(Address)
        expect([(back as Address).kind, (back as Address).name]).toEqual([kind, text])
        expect(address.levels.join('.')).toBe(text)
      }),
    )
  })

  test('is a pattern if a level is * or the last is >', () => {
    const patterns = ['*', '>', 'a.*', '*.a', 'a.*.b', 'a.>', '*.>']
    const plain = ['a', 'a*', '*a.b', 'a>', '>.a', 'a.>.b', 'a.**', 'a.', '.']
    expect(patterns.filter((name) => !Address.must('topic', name).isPattern)).toEqual([])
    expect(plain.filter((name) => Address.must('topic', name).isPattern)).toEqual([])
  })

  test('knows a temporary destination by its name', () => {
    expect([Address.must('queue', '$temp.x').isTemporary, Address.must('queue', '$tempo').isTemporary]).toEqual([
      true,
      false,
    ])
  })

  test('refuses what no destination may be called', () => {
    const refused = ['', 'a\nb', 'a\u0000', 'a\u007f', 'x'.repeat(4097), 'é'.repeat(2049), 'a.'.repeat(128)]
    for (const name of refused) expect(faultOf(Address.of('queue', name))).toMatch(/^invalid-destination: queue name/)
    expect(faultOf(Address.parse('http://x'))).toMatch(/neither/)
    expect(() => Address.must('queue', '')).toThrow('is empty')
  })

  test('may be as long and as deep as the limits say', () => {
    for (const name of ['x'.repeat(4096), 'é'.repeat(2048), 'a.'.repeat(127)]) {
      expect(faultOf(Address.of('topic', name))).toBeUndefined()
    }
  })

  test('shortens a long name in the error', () => {
    expect(faultOf(Address.of('queue', `${'x'.repeat(5000)}`))?.length).toBeLessThan(300)
  })
})

describe('a pattern', () => {
  test.each([
    ['a.b', 'a.b', true],
    ['a.b', 'a', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a', false],
    ['a.*', 'a.b.c', false],
    ['*.b', 'a.b', true],
    ['a.>', 'a.b', true],
    ['a.>', 'a.b.c.d', true],
    ['a.>', 'a', false],
    ['>', 'a', true],
    ['*', '', true],
    ['a.*.c', 'a..c', true],
    ['a.>.c', 'a.b.c', false],
    ['a.>.c', 'a.>.c', true],
    ['>', '$temp.a', false],
    ['*.a', '$temp.a', false],
    ['$temp.*', '$temp.a', true],
    ['$temp.>', '$temp.a.b', true],
    ['a.*', 'a.$b', true],
  ])('%s covers %s: %s', (pattern, name, expected) => {
    expect(covers(pattern.split('.'), name.split('.'))).toBe(expected)
  })
})
