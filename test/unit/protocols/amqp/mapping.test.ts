import { describe, expect, test } from 'vitest'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import { composite, encode, fieldsOf, type Seen, sectionsOf, t, type Wired } from '../../../support/amqp-peer.ts'
import type { ReceivedFrame as StompFrame } from '../../../support/stomp-client.ts'

async function toStomp(...sections: readonly Wired[]): Promise<StompFrame> {
  const broker = await AmqpBroker.open()
  const stomp = await broker.stomp()
  await stomp.sure('subscribe', { id: '1', destination: '/queue/a' })
  const peer = await broker.begun()
  await peer.sender('s', 'queue://a')
  peer.transfer(0, encode(...sections))
  return stomp.next('MESSAGE')
}

async function fromStomp(
  headers: Record<string, string>,
  body: string | Uint8Array,
): Promise<ReadonlyMap<number, Seen>> {
  const broker = await AmqpBroker.open()
  const peer = await broker.begun()
  await peer.receiver('r', 'queue://a', { credit: 1 })
  const stomp = await broker.stomp()
  stomp.send('send', { destination: '/queue/a', ...headers }, body)
  return sectionsOf((await peer.next(0x14)).payload)
}

describe('AMQP to STOMP', () => {
  test.each<[string, Wired, string]>([
    ['a string', t.described(0x77, t.string('Grüße')), 'Grüße'],
    ['data', t.described(0x75, t.binary('bytes')), 'bytes'],
    ['binary as a value', t.described(0x77, t.binary('bytes')), 'bytes'],
    ['null', t.described(0x77, t.null()), ''],
    ['a number', t.described(0x77, t.long(-5)), '-5'],
    ['a list', t.described(0x77, t.list(t.uint(1), t.string('a'))), '[1,"a"]'],
    ['a map', t.described(0x77, t.map({ a: t.long(1) })), '{"a":"1"}'],
    ['a sequence', t.described(0x76, t.list(t.string('a'))), '["a"]'],
  ])('%s', async (_name, body, expected) => {
    expect((await toStomp(body)).body).toBe(expected)
  })

  test('several data sections are one body', async () => {
    expect((await toStomp(t.described(0x75, t.binary('one')), t.described(0x75, t.binary('two')))).body).toBe('onetwo')
  })

  test('properties and application properties become headers', async () => {
    const { headers } = await toStomp(
      composite(0x70, t.boolean(true), t.ubyte(7)),
      composite(
        0x73,
        t.string('m1'),
        t.binary('me'),
        t.string('queue://a'),
        t.string('subject'),
        t.string('queue://answers'),
        t.ulong(77),
        t.symbol('text/plain'),
        t.symbol('utf-8'),
        undefined,
        undefined,
        t.string('group'),
      ),
      t.described(
        0x74,
        t.map({ text: t.string('x'), yes: t.boolean(true), count: t.long(5), bytes: t.binary('\x01') }),
      ),
      t.described(0x77, t.string('x')),
    )
    expect(headers).toMatchObject({
      type: 'subject',
      'reply-to': '/queue/answers',
      'correlation-id': '77',
      'content-type': 'text/plain',
      'content-encoding': 'utf-8',
      JMSXGroupID: 'group',
      text: 'x',
      yes: 'true',
      count: '5',
      bytes: 'AQ==',
      priority: '7',
      persistent: 'true',
    })
  })

  test('what is in sections that cannot be read is given as bytes', async () => {
    // Application properties whose map is sound on the outside only.
    const broken = Buffer.from('005374c103023f3f', 'hex')
    const broker = await AmqpBroker.open()
    const stomp = await broker.stomp()
    await stomp.sure('subscribe', { id: '1', destination: '/queue/a' })
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    peer.transfer(0, Buffer.concat([broken, encode(t.described(0x77, t.string('x')))]))
    expect((await stomp.next('MESSAGE')).headers['content-type']).toBe('application/octet-stream')
  })
})

describe('STOMP to AMQP', () => {
  test('text is a string, bytes are data, nothing is empty data', async () => {
    expect((await fromStomp({}, 'Grüße')).get(0x77)).toBe('Grüße')
    expect((await fromStomp({}, Buffer.from([0xff, 0]))).get(0x75)).toEqual(Buffer.from([0xff, 0]))
    expect((await fromStomp({}, '')).get(0x75)).toEqual(Buffer.alloc(0))
  })

  test('headers become properties and application properties', async () => {
    const sections = await fromStomp(
      {
        persistent: 'true',
        priority: '7',
        expires: '1700000001000',
        'correlation-id': 'c',
        'reply-to': '/queue/answers',
        type: 'subject',
        'content-type': 'text/plain',
        JMSXGroupID: 'g',
        colour: 'red',
      },
      'x',
    )
    expect((sections.get(0x70) as readonly Seen[]).slice(0, 3)).toEqual([true, 7, 1000])
    const properties = sections.get(0x73) as readonly Seen[]
    expect(String(properties[0])).toMatch(/^ID:/)
    expect(properties.slice(2, 8)).toEqual(['queue://a', 'subject', 'queue://answers', 'c', 'text/plain', null])
    expect(properties[10]).toBe('g')
    expect((sections.get(0x74) as ReadonlyMap<Seen, Seen>).get('colour')).toBe('red')
  })

  test('an expiry beyond all time harms nobody', async () => {
    const sections = await fromStomp({ expires: '99999999999999999999' }, 'x')
    expect(sections.get(0x77)).toBe('x')
    expect((sections.get(0x73) as readonly Seen[])[8]).toBeNull()
  })

  test('a reply finds its way back over temporary destinations of either side', async () => {
    const broker = await AmqpBroker.open()
    const stomp = await broker.stomp()
    await stomp.sure('subscribe', { id: 't', destination: '/temp-queue/answers' })
    stomp.send('send', { destination: '/queue/service', 'reply-to': '/temp-queue/answers' }, 'question')
    const service = await broker.begun()
    await service.receiver('r', 'queue://service', { credit: 1 })
    const question = sectionsOf((await service.next(0x14)).payload)
    const replyTo = String((question.get(0x73) as readonly Seen[])[4])
    await service.sender('answer', replyTo, { handle: 5 })
    service.transfer(0, encode(t.described(0x77, t.string('answer'))), { handle: 5 })
    expect((await stomp.next('MESSAGE')).body).toBe('answer')
    const dynamic = composite(0x28, undefined, undefined, undefined, undefined, t.boolean(true))
    const node = await service.receiver('dyn', dynamic, { handle: 6, credit: 1 })
    const address = String(fieldsOf(node.fields[5])[0])
    await service.sender('ask', 'queue://stomps', { handle: 7 })
    await stomp.sure('subscribe', { id: 's', destination: '/queue/stomps' })
    const asking = composite(0x73, undefined, undefined, undefined, undefined, t.string(address))
    service.transfer(1, encode(asking, t.described(0x77, t.string('question'))), { handle: 7 })
    const received = await stomp.next('MESSAGE')
    stomp.send('send', { destination: received.headers['reply-to'] ?? '' }, 'reply')
    expect(sectionsOf((await service.next(0x14)).payload).get(0x77)).toBe('reply')
  })
})
