import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readFilter, readTopicName, writeTopicName } from '../../../../protocols/mqtt/topics.ts'
import { Address } from '../../../../src/address.ts'
import { BrokerError } from '../../../../src/errors.ts'

function nameOf(topic: string): string {
  const address = readTopicName(topic)
  if (address instanceof BrokerError) throw address
  return address.toString()
}

describe('topic names', () => {
  test.each([
    ['prices/eu', 'topic://prices.eu'],
    ['/a//b/', 'topic://.a..b.'],
    ['v1.2/a', 'topic://v1%2E2.a'],
    ['a%2Fb/c', 'topic://a/b.c'],
    ['a%252Fb', 'topic://a%2Fb'],
    ['100%', 'topic://100%'],
    ['a%2E', 'topic://a%252E'],
    ['*', 'topic://%2A'],
    ['a/>', 'topic://a.%3E'],
    ['>/a', 'topic://>.a'],
    ['%23', 'topic://%23'],
    ['a\u0001b', 'topic://a%01b'],
    ['$queue/orders/eu', 'queue://orders.eu'],
    ['$SYS/broker', 'topic://$SYS.broker'],
  ])('%s is %s, and that is read back', (topic, address) => {
    expect(nameOf(topic)).toBe(address)
    expect(writeTopicName(Address.parse(address) as Address)).toBe(topic)
  })

  const piece = fc.constantFrom(
    'a',
    '.',
    '%',
    '25',
    '2E',
    '2F',
    '23',
    '2A',
    '3E',
    '*',
    '>',
    '/',
    '\u0001',
    '\u007f',
    'é',
    '',
  )
  const topic = fc.array(piece, { minLength: 1, maxLength: 8 }).map((parts) => parts.join(''))

  test('no two topics have one address, and each address leads back', () => {
    fc.assert(
      fc.property(topic, (text) => {
        fc.pre(text !== '' && !text.startsWith('$queue/'))
        const address = readTopicName(text)
        fc.pre(!(address instanceof BrokerError))
        expect(address.isPattern).toBe(false)
        expect(writeTopicName(address)).toBe(text)
      }),
      { numRuns: 5000 },
    )
  })

  const coreName = fc
    .array(fc.constantFrom('a', '.', '%', '25', '2E', '2F', '2B', '23', '2A', '3E', '/', '+', '#', '*', '>'), {
      minLength: 1,
      maxLength: 8,
    })
    .map((parts) => parts.join(''))

  test('no two addresses have one topic, and each topic leads back', () => {
    fc.assert(
      fc.property(coreName, fc.constantFrom('queue', 'topic'), (name, kind) => {
        const address = Address.of(kind as 'queue' | 'topic', name)
        fc.pre(!(address instanceof BrokerError) && !address.isPattern)
        const text = writeTopicName(address as Address)
        expect(/[+#]/.test(text)).toBe(false)
        expect(nameOf(text)).toBe((address as Address).toString())
      }),
      { numRuns: 5000 },
    )
  })
})

describe('filters', () => {
  test.each([
    ['a/+/b', 'topic://a.*.b', undefined],
    ['#', 'topic://#', undefined],
    ['a/#', 'topic://a.#', undefined],
    ['+', 'topic://*', undefined],
    ['$queue/+/eu', 'queue://*.eu', undefined],
    ['$share/g/a/+', 'topic://a.*', 'g'],
    ['$share/g/$queue/q', 'queue://q', 'g'],
    ['a.b/*', 'topic://a%2Eb.%2A', undefined],
  ])('%s is %s of group %s', (text, address, group) => {
    const filter = readFilter(text)
    if (filter instanceof BrokerError) throw filter
    expect([filter.address.toString(), filter.group, filter.text]).toEqual([address, group, text])
  })
})
