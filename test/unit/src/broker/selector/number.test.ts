import { describe, expect, it } from 'vitest'
import { normal, numberSpelled } from '../../../../../src/broker/selector/number.ts'
import { cpuMsOf } from '../../../../support/cpu.ts'

describe('numberSpelled', () => {
  it.each([
    ['0', 0],
    ['5', 5],
    ['-5', -5],
    ['+5', 5],
    ['010', 10],
    ['5.', 5],
    ['.5', 0.5],
    ['-.5', -0.5],
    ['1e3', 1000],
    ['1E+3', 1000],
    ['1.5e-1', 0.15],
    ['123456789012345', 123_456_789_012_345],
    ['9007199254740991', 9_007_199_254_740_991],
    ['9007199254740993', 9_007_199_254_740_993n],
    ['-9007199254740993', -9_007_199_254_740_993n],
    ['+9007199254740993', 9_007_199_254_740_993n],
    ['9223372036854775807', 9_223_372_036_854_775_807n],
    ['-9223372036854775808', -9_223_372_036_854_775_808n],
    ['9223372036854775808', 2 ** 63],
    ['123456789012345678901234567890', 1.2345678901234568e29],
    ['1e400', Number.POSITIVE_INFINITY],
  ])('reads %j', (text, value) => {
    expect(numberSpelled(text)).toBe(value)
  })

  it.each([
    '',
    ' ',
    '+',
    '-',
    '.',
    '-.',
    'e5',
    '.e5',
    '1e',
    '1e+',
    '1e5x',
    '1.2.3',
    '--5',
    '+-5',
    ' 5',
    '5 ',
    '5\n',
    '1_000',
    '0x10',
    '0b1',
    '5L',
    '5D',
    '5f',
    'NaN',
    'Infinity',
    '-Infinity',
    'five',
    '٥',
    '5\u0000',
    '1,5',
  ])('reads no number in %j', (text) => {
    expect(numberSpelled(text)).toBeUndefined()
  })

  it('takes time linear in a text of digits', () => {
    const cpuMs = cpuMsOf(() => {
      expect(numberSpelled('9'.repeat(1_000_000))).toBe(Number.POSITIVE_INFINITY)
      expect(numberSpelled(`${'9'.repeat(1_000_000)}x`)).toBeUndefined()
    })
    expect(cpuMs).toBeLessThan(1_000)
  })
})

describe('normal', () => {
  it('gives each whole number one form', () => {
    expect(normal(5n)).toBe(5)
    expect(normal(-9_007_199_254_740_991n)).toBe(-9_007_199_254_740_991)
    expect(normal(9_007_199_254_740_992n)).toBe(9_007_199_254_740_992n)
    expect(normal(2n ** 63n)).toBe(2 ** 63)
    expect(normal(-(2n ** 63n))).toBe(-(2n ** 63n))
  })
})
