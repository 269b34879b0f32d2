import { describe, expect, test } from 'vitest'
import { Address } from '../../../../src/address.ts'
import { StompBroker } from '../../../support/stomp-broker.ts'

/** What real clients need beyond the letter of the specification. */
describe('clients', () => {
  test('an ERROR names its charset: stompit 1.0.0 ends its process on a short ERROR of exactly text/plain', async () => {
    const test = await StompBroker.open()
    const client = await test.connected()
    client.send('send', { destination: '/nowhere' }, 'x')
    expect((await client.next('ERROR')).headers['content-type']).toBe('text/plain;charset=utf-8')
  })

  test('an ACK of 1.0 may have its message-id escaped: go-stomp does so in every version', async () => {
    const test = await StompBroker.open()
    const client = await test.connected('1.0')
    await client.sure('subscribe', { id: 's', destination: '/queue/q', ack: 'client' })
    await client.sure('send', { destination: '/queue/q' }, 'x')
    const id = (await client.next('MESSAGE')).headers['message-id']!
    expect(id).toContain(':')
    await client.sure('ack', { 'message-id': id.replaceAll(':', '\\c') })
    expect(test.broker.router.queue(Address.must('queue', 'q')).count).toBe(0)
  })
})
