import { describe, expect, test } from 'vitest'
import { BrokerError, type Redirect } from '../../../../src/errors.ts'
import { AmqpBroker, type AmqpBrokerOptions } from '../../../support/amqp-broker.ts'
import {
  composite,
  descriptorOf,
  encode,
  fieldsOf,
  frameBytes,
  headers,
  type ReceivedFrame,
  type Seen,
  t,
} from '../../../support/amqp-peer.ts'

const there: Redirect = { host: '10.0.0.2', port: 5672, hostname: 'two.example', address: 'queue://there' }

function moved(redirect: Redirect): BrokerError {
  return new BrokerError('not-found', 'another broker has it', { redirect })
}

function redirectOf(frame: ReceivedFrame): unknown[] {
  const [condition, description, info] = fieldsOf(frame.fields.find((field) => descriptorOf(field) === 0x1d))
  return [condition, description, Object.fromEntries(info as ReadonlyMap<Seen, Seen>)]
}

/** The access rules of a broker that lets everybody in, and has moved what is asked of it. */
function elsewhere(redirect: Redirect): NonNullable<AmqpBrokerOptions['access']> {
  return {
    authenticate: (login, answer) => answer({ principal: 'x', clientId: login.clientId }),
    authorise: () => moved(redirect),
  }
}

describe('a link', () => {
  test.each([
    [there, { hostname: 'two.example', 'network-host': '10.0.0.2', port: 5672, address: 'queue://there' }],
    [
      { host: '::1', port: 9 },
      { 'network-host': '::1', port: 9 },
    ],
  ])('is sent elsewhere with amqp:link:redirect (part 2, section 2.8.17)', async (redirect, info) => {
    const broker = await AmqpBroker.open({ access: elsewhere(redirect) })
    const peer = await broker.begun()
    expect((await peer.sender('s', 'queue://a')).fields[6]).toBeNull()
    expect(redirectOf(await peer.next(0x16))).toEqual(['amqp:link:redirect', 'another broker has it', info])
    expect((await peer.receiver('r', 'queue://a')).fields[5]).toBeNull()
    expect(redirectOf(await peer.next(0x16))).toEqual(['amqp:link:redirect', 'another broker has it', info])
  })
})

describe('a connection', () => {
  const info = { hostname: 'two.example', 'network-host': '10.0.0.2', port: 5672 }

  test('is sent elsewhere with amqp:connection:redirect as it opens (part 2, section 2.8.16)', async () => {
    const broker = await AmqpBroker.open({
      access: { authenticate: (_login, answer) => answer(moved(there)), authorise: () => undefined },
    })
    const peer = broker.peer()
    peer.write(headers.amqp, frameBytes(encode(composite(0x10, t.string('peer')))))
    await peer.next(0x10)
    expect(redirectOf(await peer.next(0x18))).toEqual(['amqp:connection:redirect', 'another broker has it', info])
    await peer.closed
  })

  test('the keys of the info map are symbols, the port is a ushort', async () => {
    const broker = await AmqpBroker.open({ access: elsewhere({ host: 'h', port: 5672 }) })
    const peer = await broker.begun()
    const chunks: Buffer[] = []
    peer.stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    await peer.sender('s', 'queue://a')
    await peer.next(0x16)
    const bytes = Buffer.concat(chunks).toString('latin1')
    expect(bytes).toContain(encode(t.symbol('network-host'), t.string('h')).toString('latin1'))
    expect(bytes).toContain(encode(t.symbol('port'), t.ushort(5672)).toString('latin1'))
  })
})

test('a message is rejected with the condition of the error, its redirect with words alone', async () => {
  const broker = await AmqpBroker.open({
    access: {
      authenticate: (login, answer) => answer({ principal: 'x', clientId: login.clientId }),
      authorise: (_identity, _action, { name }) => (name === 'b' ? moved(there) : undefined),
    },
  })
  const peer = await broker.begun()
  await peer.sender('relay', composite(0x29))
  const to = composite(0x73, undefined, undefined, t.string('queue://b'))
  peer.transfer(0, encode(to, t.described(0x77, t.string('x'))))
  const { fields } = await peer.next(0x15)
  expect([descriptorOf(fields[4]), fieldsOf(fieldsOf(fields[4])[0])]).toEqual([
    0x25,
    ['amqp:link:redirect', 'another broker has it'],
  ])
})
