import { describe, expect, test } from 'vitest'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import { accepted, bodyOf, conditionOf, text } from '../../../support/amqp-frames.ts'
import {
  type AmqpPeer,
  composite,
  decodeAll,
  descriptorOf,
  encode,
  fieldsOf,
  type ReceivedFrame,
  sectionsOf,
  t,
  type Wired,
} from '../../../support/amqp-peer.ts'
import { policyRule } from '../../../support/policy-rule.ts'

async function linked(broker: AmqpBroker, address = 'queue://a', credit = 100): Promise<AmqpPeer> {
  const peer = await broker.begun()
  await peer.sender('s', address)
  await peer.receiver('r', address, { credit })
  return peer
}

describe('a message', () => {
  test('comes out as it went in, but for header and delivery annotations', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    const kept = encode(
      t.described(0x72, t.map({ 'x-opt-colour': t.string('red') })),
      composite(0x73, t.binary('id'), undefined, t.string('to'), undefined, undefined, t.ulong(5)),
      t.described(0x74, t.map({ a: t.long(1), b: t.ubyte(2) })),
      t.described(0x75, t.binary('one')),
      t.described(0x75, t.binary('two')),
      t.described(0x78, t.map({ crc: t.uint(9) })),
    )
    const head = encode(
      composite(0x70, t.boolean(true), t.ubyte(7)),
      t.described(0x71, t.map({ trace: t.string('x') })),
    )
    peer.transfer(0, Buffer.concat([head, kept]))
    const { payload } = await peer.next(0x14)
    expect(payload.subarray(-kept.length)).toEqual(kept)
    const [header, next] = decodeAll(payload)
    expect(fieldsOf(header)).toEqual([true, 7, null, true, 0])
    expect(descriptorOf(next)).toBe(0x72)
  })

  test('keeps encodings that nobody would choose', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    const odd = Buffer.from('00800000000000000075b00000000378797a', 'hex')
    peer.transfer(0, odd)
    expect((await peer.next(0x14)).payload.subarray(-odd.length)).toEqual(odd)
  })

  test('of another format passes through untouched, with its format', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    const opaque = Buffer.from([0, 1, 2, 3, 255])
    peer.transfer(0, opaque, { messageFormat: 0x1234 })
    const frame = await peer.next(0x14)
    expect([frame.fields[3], frame.payload]).toEqual([0x1234, opaque])
  })

  test.each([
    ['a section twice', encode(composite(0x73), composite(0x73))],
    ['sections out of order', encode(t.described(0x77, t.string('x')), composite(0x73))],
    ['two kinds of body', encode(t.described(0x75, t.binary('x')), t.described(0x77, t.string('x')))],
    ['a section that nobody knows', encode(composite(0x79))],
    ['a section cut short', encode(t.described(0x75, t.binary('abc'))).subarray(0, -1)],
    ['a header that is a map', encode(t.described(0x70, t.map({})))],
    ['annotations that are cut short', Buffer.from('005372c10502a30161a3', 'hex')],
  ])('with %s is rejected as a decode error', async (_name, payload) => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    peer.transfer(0, payload)
    const { fields } = await peer.next(0x15)
    expect([fields[0], fields[1], fields[3]]).toEqual([true, 0, true])
    expect(fieldsOf(fieldsOf(fields[4])[0])[0]).toBe('amqp:decode-error')
    peer.transfer(1, text('next'))
    expect(bodyOf(await peer.next(0x14))).toBe('next')
  })

  test('of many frames is put together, and sent in frames of what the peer reads', async () => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    await peer.open('small', t.uint(512))
    await peer.begin()
    await peer.sender('s', 'queue://a')
    await peer.receiver('r', 'queue://a', { credit: 10 })
    const body = Buffer.alloc(5000, 'abcdefg')
    const payload = encode(t.described(0x75, t.binary(body)))
    for (let at = 0; at < payload.length; at += 400) {
      const hasMore = at + 400 < payload.length
      const piece = payload.subarray(at, at + 400)
      if (at === 0) peer.transfer(0, piece, { hasMore })
      else peer.send(composite(0x14, t.uint(0), undefined, undefined, undefined, undefined, t.boolean(hasMore)), piece)
    }
    const pieces: Buffer[] = []
    for (;;) {
      const frame = await peer.next(0x14)
      pieces.push(frame.payload)
      expect(frame.payload.length).toBeLessThanOrEqual(504)
      if (frame.fields[5] !== true) break
    }
    expect(pieces.length).toBeGreaterThan(9)
    expect(sectionsOf(Buffer.concat(pieces)).get(0x75)).toEqual(body)
  })

  test('that is aborted is forgotten', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    peer.transfer(0, text('first half').subarray(0, 5), { hasMore: true })
    peer.transfer(0, Buffer.alloc(0), { aborted: true })
    peer.transfer(1, Buffer.alloc(0), { aborted: true })
    peer.transfer(2, text('whole'))
    expect(bodyOf(await peer.next(0x14))).toBe('whole')
    expect((await peer.next(0x15)).fields.slice(0, 2)).toEqual([true, 2])
  })

  test('that is too large closes its link', async () => {
    const limits = { frameBytesMax: 1024, messageBytesMax: 2000 }
    const broker = await AmqpBroker.open({ amqp: { limits } })
    const peer = await linked(broker)
    for (let part = 0; part < 3; part += 1) peer.transfer(0, Buffer.alloc(900), { hasMore: true })
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:link:message-size-exceeded')
    peer.transfer(1, text('late'))
    await peer.synced()
  })

  test('of one link may come between the frames of another', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    await peer.sender('other', 'queue://a', { handle: 2 })
    const payload = text('in two parts')
    peer.transfer(0, payload.subarray(0, 6), { hasMore: true })
    peer.transfer(1, text('between'), { handle: 2 })
    peer.transfer(0, payload.subarray(6))
    const bodies = (await peer.transfers(2)).map(bodyOf)
    expect(bodies).toEqual(['between', 'in two parts'])
  })

  test('within another of the same link ends the session', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    peer.transfer(0, text('half').subarray(0, 3), { hasMore: true })
    peer.transfer(1, text('other'))
    expect(conditionOf(await peer.next(0x17))).toBe('amqp:decode-error')
  })
})

describe('settling what the broker takes in', () => {
  test('says accepted for as many at a time as follow each other', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    const all: Buffer[] = []
    for (let id = 0; id < 5; id += 1) {
      peer.transfer(id, text(String(id)))
      all.push(Buffer.alloc(0))
    }
    const ranges: unknown[][] = []
    for (let count = 0; count < 5; ) {
      const { fields } = await peer.next(0x15)
      ranges.push([...fields])
      count += Number(fields[2] ?? fields[1]) - Number(fields[1]) + 1
      expect([fields[0], fields[3], descriptorOf(fields[4])]).toEqual([true, true, 0x24])
    }
    expect(ranges.length).toBeLessThan(5)
    expect(all).toHaveLength(5)
  })

  test('says nothing of what came settled', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    peer.transfer(0, text('settled'), { settled: true })
    await peer.next(0x14)
    await peer.synced()
    expect(peer.frames.filter((frame) => frame.code === 0x15)).toEqual([])
  })

  test('leaves the last word to a sender that wants it (mode second)', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    const answer = await peer.sender('s', 'queue://a', { rcvSettleMode: 1 })
    expect(answer.fields[4]).toBe(1)
    peer.transfer(0, text('x'))
    const { fields } = await peer.next(0x15)
    expect([fields[3], descriptorOf(fields[4])]).toEqual([false, 0x24])
    peer.send(composite(0x15, t.boolean(false), t.uint(0), undefined, t.boolean(true)))
    await peer.synced()
  })

  test('rejects what the broker refuses; of a settled one the link tells', async () => {
    const policies = [policyRule('queue://full', { messagesMax: 1, overflow: 'reject' })]
    const broker = await AmqpBroker.open({ policies })
    const peer = await broker.begun()
    await peer.sender('s', 'queue://full')
    peer.transfer(0, text('fits'))
    peer.transfer(1, text('does not'))
    const refusal = [await peer.next(0x15), await peer.next(0x15)].find(({ fields }) => fields[1] === 1)
    expect(fieldsOf(fieldsOf(refusal?.fields[4])[0])[0]).toBe('amqp:resource-limit-exceeded')
    peer.transfer(2, text('neither'), { settled: true })
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:resource-limit-exceeded')
  })
})

describe('credit (part 2, section 2.6.7)', () => {
  test('of a sender is given again when half of it is used', async () => {
    const broker = await AmqpBroker.open({ amqp: { linkCredit: 4 } })
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    peer.transfer(0, text('0'))
    await peer.synced()
    expect(peer.frames.filter((frame) => frame.code === 0x13)).toEqual([])
    peer.transfer(1, text('1'))
    const { fields } = await peer.next(0x13)
    expect(fields.slice(4, 7)).toEqual([0, 2, 4])
  })

  test('that is used up and used again closes the link', async () => {
    const policies = [policyRule('queue://a', { messagesMax: 1 })]
    const broker = await AmqpBroker.open({ amqp: { linkCredit: 2 }, policies })
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    for (let id = 0; id < 4; id += 1) peer.transfer(id, text('x'))
    expect(conditionOf(await peer.next(0x16))).toBe('amqp:link:transfer-limit-exceeded')
  })

  test('is withheld from senders while a queue is full, and comes when there is room', async () => {
    const policies = [policyRule('queue://a', { messagesMax: 2 })]
    const broker = await AmqpBroker.open({ amqp: { linkCredit: 2 }, policies })
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    peer.transfer(0, text('0'))
    peer.transfer(1, text('1'))
    await peer.synced()
    const flows = peer.frames.filter((frame) => frame.code === 0x13).length
    await peer.receiver('r', 'queue://a', { credit: 10 })
    const [first] = await peer.transfers(2)
    expect(peer.frames.filter((frame) => frame.code === 0x13)).toHaveLength(flows)
    const id = Number(first?.fields[1])
    peer.disposition(id, id + 1, accepted)
    expect((await peer.next(0x13)).fields[6]).toBe(2)
  })

  test('of a receiver is the only reason to deliver', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker, 'queue://a', 2)
    for (let id = 0; id < 5; id += 1) peer.transfer(id, text(String(id)))
    expect((await peer.transfers(2)).map(bodyOf)).toEqual(['0', '1'])
    await peer.synced()
    expect(peer.frames.filter((frame) => frame.code === 0x14)).toEqual([])
    peer.credit(1, 1, 2)
    expect(bodyOf(await peer.next(0x14))).toBe('2')
    // Counted from what the receiver had seen: of these two one is used already.
    peer.credit(1, 2, 2)
    expect(bodyOf(await peer.next(0x14))).toBe('3')
    await peer.synced()
    expect(peer.frames.filter((frame) => frame.code === 0x14)).toEqual([])
  })

  test('can be taken back', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker, 'queue://a', 10)
    peer.credit(1, 0, 0)
    peer.transfer(0, text('x'))
    await peer.next(0x15)
    await peer.synced()
    expect(peer.frames.filter((frame) => frame.code === 0x14)).toEqual([])
  })

  test('is drained: all there is, then the rest is used up and said so', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker, 'queue://a', 0)
    for (let id = 0; id < 3; id += 1) peer.transfer(id, text(String(id)))
    peer.credit(1, 10, 0, 0, true)
    await peer.transfers(3)
    const { fields } = await peer.next(0x13)
    expect(fields.slice(4, 9)).toEqual([1, 10, 0, null, true])
    // Once more with nothing there; a queue that stays empty is drained at once.
    peer.credit(1, 5, 10, 0, true)
    expect((await peer.next(0x13)).fields.slice(4, 7)).toEqual([1, 15, 0])
    peer.transfer(3, text('later'))
    await peer.synced()
    expect(peer.frames.filter((frame) => frame.code === 0x14)).toEqual([])
  })

  test('is told when the peer asks for an echo', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker, 'queue://a', 0)
    peer.credit(1, 7, 0, 0, false, true)
    expect((await peer.next(0x13)).fields.slice(4, 7)).toEqual([1, 0, 7])
    peer.send(
      composite(
        0x13,
        t.uint(0),
        t.uint(10),
        t.uint(0),
        t.uint(10),
        undefined,
        undefined,
        undefined,
        undefined,
        undefined,
        t.boolean(true),
      ),
    )
    expect((await peer.next(0x13)).fields).toHaveLength(4)
    peer.credit(0, 0, 0, 0, false, true)
    expect((await peer.next(0x13)).fields[4]).toBe(0)
  })
})

describe('session windows (part 2, section 2.5.6)', () => {
  test('no frame goes out beyond the window of the peer, and the rest comes when it opens', async () => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    await peer.open('narrow', t.uint(512))
    await peer.begin(0, 3)
    await peer.sender('s', 'queue://a')
    await peer.receiver('r', 'queue://a')
    // Credit for many messages, room for three frames.
    const flow = (nextIn: number, window: number): void =>
      peer.send(
        composite(0x13, t.uint(nextIn), t.uint(window), t.uint(0), t.uint(1000), t.uint(1), t.uint(0), t.uint(100)),
      )
    flow(0, 3)
    const long = encode(t.described(0x77, t.string('y'.repeat(1200))))
    peer.transfer(0, text('short'))
    for (let at = 0; at < long.length; at += 400) {
      peer.transfer(1, long.subarray(at, at + 400), { hasMore: at + 400 < long.length })
    }
    peer.transfer(2, text('last'))
    const first = await peer.transfers(3)
    await peer.synced()
    expect(peer.frames.filter((frame) => frame.code === 0x14)).toEqual([])
    flow(3, 50)
    const rest: ReceivedFrame[] = []
    do rest.push(await peer.next(0x14))
    while (rest.at(-1)?.payload.toString('latin1').includes('last') === false)
    const pieces = [...first, ...rest].map((frame) => frame.payload.toString('latin1')).join('')
    expect(pieces.match(/y/g)).toHaveLength(1200)
  })

  test('a peer that overruns ours loses the session', async () => {
    const broker = await AmqpBroker.open({ amqp: { linkCredit: 100_000 } })
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    peer.transfer(0, Buffer.alloc(1), { hasMore: true })
    const more = composite(0x14, t.uint(0), undefined, undefined, undefined, undefined, t.boolean(true))
    for (let frame = 0; frame < 5000; frame += 1) peer.send(more, Buffer.alloc(1))
    const { fields } = await peer.next(0x13)
    expect(fields[1]).toBe(8192)
    expect(fields.length).toBe(4)
  })
})

describe('settling what the broker sends', () => {
  async function delivered(count: number, broker: AmqpBroker): Promise<AmqpPeer> {
    const peer = await linked(broker)
    for (let id = 0; id < count; id += 1) peer.transfer(id, text(String(id)))
    await peer.transfers(count)
    return peer
  }

  const left = (broker: AmqpBroker, name = 'a'): number => broker.broker.router.queueOfName(name)?.count ?? -1

  test('by ranges, in any order', async () => {
    const broker = await AmqpBroker.open()
    const peer = await delivered(10, broker)
    peer.disposition(3, 9, accepted)
    peer.disposition(0, 1, accepted)
    await peer.synced()
    expect(left(broker)).toBe(1)
    peer.disposition(0, 0xffffffff >>> 1, accepted)
    await peer.synced()
    expect(left(broker)).toBe(0)
  })

  test.each<[string, Wired | undefined, number, boolean]>([
    ['released', composite(0x26), 0, true],
    ['modified without failure', composite(0x27, t.boolean(false)), 0, true],
    ['modified with failure', composite(0x27, t.boolean(true)), 1, true],
    ['settled without an outcome', undefined, 1, true],
  ])('%s: it comes again', async (_name, state, count, comes) => {
    const broker = await AmqpBroker.open()
    const peer = await delivered(1, broker)
    peer.disposition(0, 0, state)
    const again = await peer.next(0x14)
    expect(comes).toBe(true)
    expect(fieldsOf(decodeAll(again.payload)[0]).slice(3)).toEqual([false, count])
  })

  test('rejected: a dead letter that says where it was, and why', async () => {
    const broker = await AmqpBroker.open()
    const peer = await delivered(1, broker)
    peer.disposition(0, 0, composite(0x25, composite(0x1d, t.symbol('my:error'), t.string('not like this'))))
    await peer.receiver('dead', 'queue://DLQ.a', { handle: 5, credit: 1 })
    const { payload } = await peer.next(0x14)
    const annotations = sectionsOf(payload).get(0x72) as ReadonlyMap<string, unknown>
    expect(annotations.get('x-opt-dead-letter-address')).toBe('queue://a')
    expect(annotations.get('x-opt-dead-letter-reason')).toBe('my:error: not like this')
    expect(sectionsOf(payload).get(0x77)).toBe('0')
  })

  test.each([
    [t.map({ field: t.string('price'), at: t.list(t.uint(3), t.uint(4)) }), ' {"field":"price","at":[3,4]}'],
    [t.map({}), ' {}'],
    [t.null(), ''],
    [t.map({ field: t.string('x'.repeat(1100)) }), ''],
  ])('rejected with an info map %#: it follows the description, if there is room', async (info, more) => {
    const broker = await AmqpBroker.open()
    const peer = await delivered(1, broker)
    peer.disposition(0, 0, composite(0x25, composite(0x1d, t.symbol('my:error'), t.string('not so'), info)))
    await peer.receiver('dead', 'queue://DLQ.a', { handle: 5, credit: 1 })
    const annotations = sectionsOf((await peer.next(0x14)).payload).get(0x72) as ReadonlyMap<string, unknown>
    expect(annotations.get('x-opt-dead-letter-reason')).toBe(`my:error: not so${more}`)
  })

  test('modified with annotations: they are added, over those of the same name', async () => {
    const broker = await AmqpBroker.open()
    const peer = await linked(broker)
    const annotated = encode(
      t.described(0x72, t.map({ 'x-opt-a': t.string('old'), 'x-opt-b': t.string('kept') })),
      t.described(0x77, t.string('x')),
    )
    peer.transfer(0, annotated)
    await peer.next(0x14)
    const added = t.map({ 'x-opt-a': t.string('new'), 'x-opt-c': t.uint(3) })
    peer.disposition(0, 0, composite(0x27, t.boolean(true), undefined, added))
    const again = sectionsOf((await peer.next(0x14)).payload)
    expect([...(again.get(0x72) as ReadonlyMap<string, unknown>)].sort()).toEqual([
      ['x-opt-a', 'new'],
      ['x-opt-b', 'kept'],
      ['x-opt-c', 3],
    ])
    peer.disposition(1, 1, composite(0x27, t.boolean(true), undefined, t.map({ 'x-opt-d': t.uint(4) })))
    const third = sectionsOf((await peer.next(0x14)).payload).get(0x72) as ReadonlyMap<string, unknown>
    expect([third.get('x-opt-a'), third.get('x-opt-d')]).toEqual(['new', 4])
  })

  test('modified with annotations until it is dead: the dead letter has them, and says itself why it died', async () => {
    const broker = await AmqpBroker.open({ policies: [policyRule('queue://a', { deliveriesMax: 2 })] })
    const peer = await delivered(1, broker)
    const [own, forged] = [t.string('mine'), t.string('forged')]
    for (const [id, added] of [t.map({ 'x-opt-a': own }), t.map({ 'x-opt-dead-letter-reason': forged })].entries()) {
      peer.disposition(id, id, composite(0x27, t.boolean(true), t.boolean(id === 1), added))
      if (id === 0) await peer.next(0x14)
    }
    await peer.receiver('dead', 'queue://DLQ.a', { handle: 5, credit: 1 })
    const annotations = sectionsOf((await peer.next(0x14)).payload).get(0x72) as ReadonlyMap<string, unknown>
    expect(annotations.get('x-opt-a')).toBe('mine')
    expect(annotations.get('x-opt-dead-letter-reason')).toBe('not accepted in 2 deliveries')
  })

  test('modified with annotations: together they have 16 KiB, and what goes beyond is left out', async () => {
    const broker = await AmqpBroker.open()
    const peer = await delivered(1, broker)
    const long = t.string('x'.repeat(9_000))
    for (const [id, name] of ['x-opt-a', 'x-opt-b', 'x-opt-c'].entries()) {
      peer.disposition(
        id,
        id,
        composite(0x27, undefined, undefined, t.map({ [name]: name === 'x-opt-c' ? t.uint(1) : long })),
      )
      await peer.next(0x14)
    }
    peer.disposition(3, 3, composite(0x27))
    const annotations = sectionsOf((await peer.next(0x14)).payload).get(0x72) as ReadonlyMap<string, unknown>
    expect([...annotations.keys()]).toEqual(['x-opt-a', 'x-opt-c'])
  })

  test('modified as undeliverable here: it goes to another', async () => {
    const broker = await AmqpBroker.open()
    const peer = await delivered(1, broker)
    peer.disposition(0, 0, composite(0x27, undefined, t.boolean(true)))
    await peer.synced()
    expect(peer.frames.filter((frame) => frame.code === 0x14)).toEqual([])
    await peer.receiver('other', 'queue://a', { handle: 5, credit: 1 })
    expect((await peer.next(0x14)).fields[0]).toBe(2)
  })

  test('by a receiver that waits for us to settle first (mode second)', async () => {
    const broker = await AmqpBroker.open()
    const peer = await delivered(2, broker)
    peer.disposition(0, 1, accepted, false)
    const answers: unknown[] = []
    for (;;) {
      const { fields } = await peer.next(0x15)
      if (fields[0] === false) {
        answers.push(fields.slice(1, 4), descriptorOf(fields[4]))
        break
      }
    }
    expect(answers).toEqual([[0, 1, true], 0x24])
    expect(left(broker)).toBe(0)
  })

  test('the default outcome of the source counts for what is settled without one', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    const source = composite(0x28, t.string('queue://a'), ...new Array(7).fill(undefined), composite(0x24))
    const answer = await peer.receiver('r', source, { credit: 1 })
    expect(descriptorOf(fieldsOf(answer.fields[5])[8])).toBe(0x24)
    peer.transfer(0, text('x'))
    await peer.next(0x14)
    peer.disposition(0, 0, undefined)
    await peer.synced()
    expect(left(broker)).toBe(0)
  })

  test('what is unsettled when the link or the connection ends comes again; only a lost connection counts as failed', async () => {
    const broker = await AmqpBroker.open()
    const peer = await delivered(1, broker)
    peer.send(composite(0x16, t.uint(1), t.boolean(true)))
    await peer.next(0x16)
    await peer.receiver('again', 'queue://a', { credit: 1 })
    expect(fieldsOf(decodeAll((await peer.next(0x14)).payload)[0]).slice(3)).toEqual([false, 0])
    peer.cut()
    await peer.closed
    const other = await broker.begun('other')
    await other.receiver('r', 'queue://a', { credit: 1 })
    expect(fieldsOf(decodeAll((await other.next(0x14)).payload)[0]).slice(3)).toEqual([false, 1])
  })

  test('nothing has to be settled of what was sent settled', async () => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await peer.sender('s', 'queue://a')
    const answer = await peer.receiver('r', 'queue://a', { credit: 5, sndSettleMode: 1 })
    expect(answer.fields[3]).toBe(1)
    peer.transfer(0, text('x'))
    expect((await peer.next(0x14)).fields[4]).toBe(true)
    await peer.synced()
    expect(left(broker)).toBe(0)
  })
})
