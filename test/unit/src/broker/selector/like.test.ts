import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LikePattern } from '../../../../../src/broker/selector/like.ts'
import { cpuMsOf } from '../../../../support/cpu.ts'

function like(text: string, pattern: string, escapeCharacter?: string): boolean {
  return new LikePattern(pattern, escapeCharacter).matches(text)
}

describe('LikePattern', () => {
  it.each([
    ['', '', true],
    ['a', '', false],
    ['', '%', true],
    ['', '%%', true],
    ['', '_', false],
    ['abc', 'abc', true],
    ['abc', 'abcd', false],
    ['abcd', 'abc', false],
    ['abc', '%abc%', true],
    ['abc', 'a%c', true],
    ['ac', 'a%c', true],
    ['aba', 'ab%ba', false],
    ['abba', 'ab%ba', true],
    ['a', 'a%a', false],
    ['aaa', 'a_a', true],
    ['aaa', '%_a_%', true],
    ['aa', '%_a_%', false],
    ['xxabxxacxx', '%ab%ac%', true],
    ['xxacxxabxx', '%ab%ac%', false],
    ['mississippi', 'm%iss%ip%i', true],
    ['mississippi', '%iss%iss%iss%', false],
    ['aab', '%a_', true],
    ['a\nb', 'a_b', true],
    ['a%b', 'a%b', true],
    ['.*', '.*', true],
    ['xx', '.*', false],
    ['[a]', '[a]', true],
  ])('of %j like %j is %s', (text, pattern, expected) => {
    expect(like(text, pattern)).toBe(expected)
  })

  it.each([
    ['a%b', 'a!%b', '!', true],
    ['axb', 'a!%b', '!', false],
    ['a_b', 'a!_b', '!', true],
    ['axb', 'a!_b', '!', false],
    ['a!b', 'a!!b', '!', true],
    ['a!!b', 'a!!b', '!', false],
    ['a!%', 'a!!%', '!', true],
    ['a!xyz', 'a!!%', '!', true],
    ['a!c', 'a!c', '!', true],
    ['a!', 'a!', '!', true],
    ['50%', '%!%', '!', true],
    ['50', '%!%', '!', false],
    ['a%b', 'a%%b', '%', true],
    ['axb', 'a%%b', '%', false],
    ['a_b', 'a__b', '_', true],
    ['😀%', '😀%', '😀', false],
    ['%', '😀%', '😀', true],
    ['ab', 'a%', undefined, true],
  ])('of %j like %j escape %j is %s', (text, pattern, escapeCharacter, expected) => {
    expect(like(text, pattern, escapeCharacter)).toBe(expected)
  })

  it.each([
    ['😀', '_', true],
    ['😀', '__', false],
    ['a😀', '%_', true],
    ['😀😀', '__', true],
    ['x😀y😀z', '%_y_%', true],
    ['😀a😀', '😀_😀', true],
    ['😀', '%\udE00', false],
    ['😀', '\ud83d%', false],
    ['😀', '%\ud83d%', false],
    ['\ud83d\ud83d\ude00', '_😀', true],
    ['\ud83d\ud83d\ude00', '%😀', true],
    ['\ude00\ude00', '__', true],
    ['\ud83da', '\ud83d_', true],
    ['\ud83da', '%\ud83d%', true],
  ])('counts a surrogate pair as one character: %j like %j is %s', (text, pattern, expected) => {
    expect(like(text, pattern)).toBe(expected)
  })

  it('agrees with a plain recursive matcher', () => {
    const character = fc.constantFrom('a', 'b', '😀', '\ud83d', '\ude00')
    const text = fc.array(character, { maxLength: 12 }).map((parts) => parts.join(''))
    const wild = fc.constantFrom('a', 'b', '😀', '%', '_', '_', '%', '\ud83d')
    const pattern = fc.array(wild, { maxLength: 10 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(text, pattern, (given, wanted) => {
        expect(like(given, wanted)).toBe(plainLike([...given], [...wanted]))
      }),
      { numRuns: 3_000 },
    )
  })

  it('agrees with a plain matcher on segments of several words of bits', () => {
    const segment = fc.array(fc.constantFrom('a', 'a', 'a', 'b', '_'), { minLength: 30, maxLength: 140 })
    fc.assert(
      fc.property(
        segment,
        fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 300 }),
        fc.nat(),
        (parts, noise, at) => {
          const pattern = parts.join('')
          const offset = at % (noise.length + 1)
          const planted = noise.slice(0, offset) + pattern.replaceAll('_', 'b') + noise.slice(offset)
          expect(like(planted, `%${pattern}%`)).toBe(true)
          const matcher = new RegExp(pattern.replaceAll('_', '.'), 's')
          expect(like(noise, `%${pattern}%`)).toBe(matcher.test(noise))
          expect(like(planted.slice(1), `%${pattern}%`)).toBe(matcher.test(planted.slice(1)))
        },
      ),
      { numRuns: 300 },
    )
  })

  describe('takes no more than linear time', () => {
    const long = 'a'.repeat(200_000)

    it.each([
      ['many % and one letter that is missing', long, `${'%a'.repeat(4_000)}%b`],
      ['many % and one letter that is missing inside', long, `${'%a'.repeat(4_000)}%b%`],
      ['many % and _', long, `${'%_a'.repeat(2_500)}%b%`],
      ['many % alone', long, '%'.repeat(8_000)],
      ['many _ alone', long, '_'.repeat(8_000)],
      ['many _ behind %', long, `%${'_'.repeat(8_000)}b`],
      ['a long segment that almost matches everywhere', long, `%${'a'.repeat(8_000)}b%`],
      ['a long segment that almost matches from its end', long, `%b${'a'.repeat(8_000)}%`],
      ['a long segment with _ that almost matches everywhere', long, `%${'_a'.repeat(4_000)}b%`],
      ['a segment of many different characters', long, `%_${differentCharacters(8_000)}_%`],
    ])('for %s', (_, text, pattern) => {
      const compiled = new LikePattern(pattern, undefined)
      expect(cpuMsOf(() => compiled.matches(text))).toBeLessThan(2_000)
    })
  })
})

function differentCharacters(count: number): string {
  return Array.from({ length: count }, (_, index) => String.fromCodePoint(0x4e00 + index)).join('')
}

function plainLike(text: readonly string[], pattern: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return text.length === 0
  if (first === '%') return plainLike(text, rest) || (text.length > 0 && plainLike(text.slice(1), pattern))
  if (text.length === 0) return false
  return (first === '_' || first === text[0]) && plainLike(text.slice(1), rest)
}
