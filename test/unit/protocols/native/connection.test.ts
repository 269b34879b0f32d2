import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Flag, FrameType } from '../../../../protocols/native/frame.ts'
import { defaultNativeOptions } from '../../../../protocols/native/options.ts'
import { plainHead, writeHead } from '../../../../protocols/native/section.ts'
import { beginFrame, endFrame, writeVarint } from '../../../../protocols/native/writer.ts'
import { Address } from '../../../../src/address.ts'
import type { Queue } from '../../../../src/broker/queue.ts'
import { NativeBroker } from '../../../support/native-broker.ts'
import { RawNative } from '../../../support/raw-native.ts'

let broker: NativeBroker

const limits = { frameBytesMax: 10_000, bodyBytesMax: 50_000 }
const options = { heartBeatMs: 0, linksMax: 3, producerCredit: 4, producerCreditBytes: 20_000, limits }

beforeEach(async () => {
  broker = await NativeBroker.open({ native: options })
})

afterEach(async () => {
  await broker[Symbol.asyncDispose]()
})

const int = (value: number) => ({ type: 'int', value }) as const

/** A client with a producer, link 1, and a consumer, link 2, of the same queue. */
async function both(fields = {}): Promise<RawNative> {
  const raw = await RawNative.open(broker)
  raw.producer(1, 1)
  raw.consumer(2, 2, fields)
  await raw.next('ok')
  await raw.next('ok')
  return raw
}

describe('SPEC 1, the preface', () => {
  test('of a major version that is not spoken is answered with what is, an ERROR and the end', async () => {
    const raw = RawNative.begin(broker, '4d4e464402000000')
    expect(await raw.fatal()).toMatchObject({ code: 100, text: 'this broker speaks MNP/1, not MNP/2' })
    expect(raw.preface).toEqual([1, 0])
  })

  test('of a higher minor version is welcome', async () => {
    const raw = RawNative.begin(broker, '4d4e464401050000')
    raw.hello()
    await raw.next('welcome')
  })

  test('and HELLO and what follows it may come without waiting', async () => {
    const raw = RawNative.begin(broker)
    raw.hello()
    raw.producer(1, 1)
    raw.send(1, 1, 'early')
    expect((await raw.all()).map(({ type }) => type)).toEqual(['welcome', 'ok', 'accepted'])
  })
})

describe('SPEC 2, frames', () => {
  test('of an unknown type that are SKIPPABLE are left out', async () => {
    const raw = await both()
    raw.frame(0x7e, Flag.skippable, 1, 2, 3)
    raw.frame(0x06, Flag.skippable)
    raw.send(1, 1, 'x')
    expect((await raw.all()).map(({ type }) => type)).toEqual(['deliver', 'accepted'])
  })

  test.each([0x03, 0x06, 0x21, 0x7e])('of the unknown type %i end the connection', async (type) => {
    const raw = await both()
    raw.frame(type, 0)
    expect(await raw.fatal()).toMatchObject({ code: 100, text: `there is no frame of type ${type}` })
  })

  test('with unknown flags end the connection', async () => {
    const raw = await both()
    raw.frame(FrameType.ping, 16, 1)
    expect((await raw.fatal()).code).toBe(100)
  })

  test('with bytes behind their payload end the connection', async () => {
    const raw = await both()
    raw.frame(FrameType.ping, 0, 1, 2)
    expect((await raw.fatal()).text).toContain('too many')
  })

  test('over the limit end the connection before they have come', async () => {
    const raw = await both()
    raw.bytes('00002711 2000')
    expect((await raw.fatal()).text).toContain('over the limit of 10000')
  })

  test('may have names in their maps that nobody knows', async () => {
    const raw = await RawNative.open(broker, { colour: 'blue' })
    raw.producer(1, 1, { destination: 'queue://q', shape: int(5) })
    await raw.next('ok')
  })
})

describe('SPEC 4, the connection', () => {
  test('begins with HELLO', async () => {
    const raw = RawNative.begin(broker)
    raw.ping(1)
    expect((await raw.fatal()).text).toBe('the first frame must be HELLO')
  })

  test('takes one HELLO', async () => {
    const raw = await RawNative.open(broker)
    raw.hello()
    expect((await raw.fatal()).code).toBe(100)
  })

  test('is ended if no HELLO comes', async () => {
    const raw = RawNative.begin(broker)
    await broker.advance(defaultNativeOptions.connectMsMax - 1)
    expect(raw.isOver).toBe(false)
    await broker.advance(1)
    expect((await raw.fatal()).code).toBe(101)
  })

  test('is ended if HELLO is longer than 64 KiB', async () => {
    const raw = RawNative.begin(broker)
    raw.bytes('00010001 0100')
    expect((await raw.fatal()).text).toContain('over the limit of 65536')
  })

  test.each(['SCRAM-SHA-256', 'EXTERNAL', ''])('refuses the mechanism "%s", and names those there are', async (one) => {
    const raw = RawNative.begin(broker)
    raw.hello({ mechanism: one })
    expect(await raw.fatal()).toMatchObject({ code: 200, text: expect.stringContaining('PLAIN and ANONYMOUS') })
  })

  test('refuses PLAIN without a user and a password', async () => {
    const raw = RawNative.begin(broker)
    raw.hello({ mechanism: 'PLAIN', initialResponse: Buffer.from('\0guest') })
    expect((await raw.fatal()).code).toBe(200)
  })

  test('tells in WELCOME what it takes, and the time', async () => {
    const raw = RawNative.begin(broker)
    raw.hello()
    const { fields } = await raw.next('welcome')
    expect(Object.fromEntries(fields as [string, unknown][])).toMatchObject({
      broker: 'test',
      product: 'ManifoldMQ/test',
      heartBeatMs: { int: '0' },
      frameBytesMax: { int: '10000' },
      messageBytesMax: { ulong: '50000' },
      time: { timestamp: String(broker.clock.now()) },
      caps: { list: [] },
    })
  })

  test('answers PING with the same nonce', async () => {
    const raw = await RawNative.open(broker)
    raw.ping(77)
    expect(await raw.next('pong')).toMatchObject({ nonce: 77 })
  })

  test('ends with BYE and gives back what is unsettled, not counted', async () => {
    const raw = await both()
    raw.send(1, 1, 'x')
    await raw.next('deliver')
    await raw.next('accepted')
    raw.bye()
    expect(await raw.all()).toMatchObject([{ type: 'bye', error: null }])
    expect(raw.isOver).toBe(true)
    const other = await both()
    expect(await other.next('deliver')).not.toHaveProperty('count')
  })

  test('that ends without BYE fails what is unsettled, and rolls back', async () => {
    const raw = await both()
    raw.send(1, 1, 'x')
    await raw.next('deliver')
    raw.send(1, 2, 'never', { transaction: 1 })
    await raw.all()
    raw.stream.destroy()
    const other = await both()
    expect(await other.next('deliver')).toMatchObject({ info: expect.any(Number), count: 1 })
    expect(await other.delivered()).toEqual([])
  })
})

describe('SPEC 4.1, heart-beats', () => {
  beforeEach(async () => {
    await broker[Symbol.asyncDispose]()
    broker = await NativeBroker.open({ native: { heartBeatMs: 10_000 } })
  })

  test.each([
    [4000, 4000],
    [60_000, 10_000],
    [0, 0],
  ])('of %i ms asked for are %i', async (asked, agreed) => {
    const raw = RawNative.begin(broker)
    raw.hello({ heartBeatMs: int(asked) })
    const { fields } = await raw.next('welcome')
    expect(Object.fromEntries(fields as [string, unknown][])).toMatchObject({ heartBeatMs: { int: String(agreed) } })
  })

  test('are sent each time, and three without a word end the connection', async () => {
    const raw = await RawNative.open(broker, { heartBeatMs: int(1000) })
    for (let beat = 0; beat < 3; beat += 1) {
      await broker.advance(1000)
      await raw.next('ping')
    }
    raw.frame(FrameType.pong, 0, 0)
    for (let beat = 0; beat < 3; beat += 1) {
      await broker.advance(1000)
      await raw.next('ping')
    }
    await broker.advance(1000)
    expect((await raw.fatal()).code).toBe(101)
  })
})

describe('SPEC 5, producers', () => {
  test('have numbers of their own from 1 to 2^31 - 1, free again once they are closed', async () => {
    const raw = await RawNative.open(broker)
    raw.producer(1, 7)
    await raw.next('ok')
    raw.producer(2, 7)
    raw.consumer(3, 7)
    raw.producer(4, 0)
    raw.producer(5, 2 ** 31)
    const codes = (await raw.all()).map(({ answers, error }) => [answers, (error as { code: number }).code])
    expect(codes).toEqual([
      [2, 304],
      [3, 304],
      [4, 303],
      [5, 303],
    ])
    raw.closeLink(6, 7)
    await raw.next('ok')
    raw.producer(7, 7)
    await raw.next('ok')
  })

  test('are no more than there may be', async () => {
    const raw = await RawNative.open(broker)
    for (let link = 1; link <= 4; link += 1) raw.producer(link, link)
    expect((await raw.all()).map(({ type }) => type)).toEqual(['ok', 'ok', 'ok', 'error'])
  })

  test('need the flag REPLY, and a destination that is none of patterns', async () => {
    const raw = await RawNative.open(broker)
    raw.producer(1, 1, { destination: 'queue://a.*' })
    expect(await raw.next('error')).toMatchObject({ error: { code: 301 } })
    raw.frame(FrameType.producer, 0, 1, 0)
    expect((await raw.fatal()).text).toBe('it needs the flag REPLY')
  })

  test('begin anywhere above 0 and grow by one', async () => {
    const raw = await both()
    raw.send(1, 1000, 'a')
    raw.send(1, 1001, 'b')
    const frames = await raw.all()
    expect(frames.filter(({ type }) => type === 'accepted').at(-1)).toMatchObject({ link: 1, upTo: 1001 })
    raw.send(1, 1003, 'gap')
    expect((await raw.fatal()).text).toContain('comes after send 1001')
  })

  test('do not begin at 0', async () => {
    const raw = await both()
    raw.send(1, 0, 'x')
    expect((await raw.fatal()).code).toBe(100)
  })

  test('that send beyond their credit end the connection', async () => {
    const raw = await RawNative.open(broker)
    raw.producer(1, 1)
    for (let seq = 1; seq <= 5; seq += 1) raw.send(1, seq, 'x')
    expect((await raw.fatal()).text).toBe('send 5 of link 1 is beyond its credit')
  })

  test('may overdraw their bytes once', async () => {
    const raw = await RawNative.open(broker)
    raw.producer(1, 1)
    raw.send(1, 1, 'x'.repeat(9000))
    raw.send(1, 2, 'x'.repeat(9000))
    raw.send(1, 3, 'x'.repeat(9000))
    raw.send(1, 4, 'x')
    expect((await raw.fatal()).text).toBe('send 4 of link 1 is beyond its credit')
  })

  test('are granted more once half of their credit is used and safe', async () => {
    const raw = await RawNative.open(broker)
    raw.producer(1, 1)
    await raw.next('ok')
    raw.send(1, 1, 'a')
    raw.send(1, 2, 'b')
    const frames = await raw.all()
    expect(frames.at(-1)).toMatchObject({ type: 'credit', link: 1, messages: 2, drain: 0 })
  })

  test('that are unknown end the connection, those that have been closed are passed over', async () => {
    const raw = await both()
    raw.closeLink(3, 1)
    await raw.next('ok')
    raw.send(1, 1, 'late')
    raw.part(1, 'late', false)
    raw.ping(1)
    expect((await raw.all()).map(({ type }) => type)).toEqual(['pong'])
    raw.send(9, 1, 'x')
    expect((await raw.fatal()).text).toBe('there is no producer link 9')
  })

  test('with confirm none hear of refusals only', async () => {
    const raw = await RawNative.open(broker)
    raw.producer(1, 1, { confirm: 'none' })
    await raw.next('ok')
    raw.send(1, 1, 'x', { head: { to: 'queue://q' } })
    raw.send(1, 2, 'y')
    expect((await raw.all()).map(({ type }) => type)).toEqual(['accepted', 'credit'])
  })

  test('without a destination say where to in each section, or are refused', async () => {
    const raw = await RawNative.open(broker)
    raw.producer(1, 1, {})
    await raw.next('ok')
    raw.send(1, 1, 'x', { head: { to: 'queue://q' } })
    raw.send(1, 2, 'y')
    const frames = await raw.all()
    const rejections = frames.flatMap(({ rejections: some }) => (some ?? []) as { seq: number; code: number }[])
    expect(rejections).toMatchObject([{ seq: 2, code: 301 }])
  })
})

test('a message keeps no more memory than four times its own', async () => {
  await using roomy = await NativeBroker.open()
  const raw = await RawNative.open(roomy)
  raw.producer(1, 1)
  await raw.next('ok')
  const bodies = [100, 9000, 14_000, 30_000].map((length, index) => Buffer.alloc(length, index))
  raw.write((sink) => {
    for (const [index, body] of bodies.entries()) {
      sink.reserve(64)
      const start = sink.position
      beginFrame(sink, FrameType.send, 0)
      writeVarint(sink, 1)
      writeVarint(sink, index + 1)
      writeHead(sink, { ...plainHead, kind: 1 })
      sink.write(body)
      endFrame(sink, start)
    }
  })
  await raw.all()
  const queue = roomy.broker.find(Address.must('queue', 'q')) as Queue
  const contents = [...queue.residents()].map(({ message }) => message.content)
  expect(contents.map((content) => Buffer.from(content.subarray(4)))).toEqual(bodies)
  const [short, ...long] = contents.map(({ buffer, length }) => buffer.byteLength / length)
  for (const times of long) expect(times).toBeLessThanOrEqual(4)
  // Node cuts what is short from pieces of 8 KiB.
  expect(short).toBeLessThanOrEqual(8192 / 104)
})

describe('SPEC 5.4, parts', () => {
  test('of two links may come between each other', async () => {
    const raw = await RawNative.open(broker)
    raw.producer(1, 1)
    raw.producer(2, 2)
    raw.consumer(3, 3)
    await raw.all()
    raw.send(1, 1, 'a', { flags: Flag.more })
    raw.send(2, 1, 'b', { flags: Flag.more })
    raw.part(1, 'aa', true)
    raw.part(2, 'bb', false)
    raw.part(1, 'aaa', false)
    const deliveries = (await raw.all()).filter(({ type }) => type === 'deliver')
    const bodies = deliveries.map(({ section }) => Buffer.from((section as { body: string }).body, 'hex').toString())
    expect(bodies).toEqual(['bbb', 'aaaaaa'])
  })

  test('cost their bytes, and are given back with them', async () => {
    const raw = await RawNative.open(broker)
    raw.producer(1, 1)
    await raw.next('ok')
    raw.send(1, 1, 'x'.repeat(9000), { flags: Flag.more })
    raw.part(1, 'x'.repeat(9000), true)
    raw.part(1, 'x'.repeat(996), false)
    const section = 4 + 9000 + 9000 + 996
    const granted = (await raw.all()).filter(({ type }) => type === 'credit')
    expect(granted).toMatchObject([{ link: 1, messages: 1, bytes: section }])
  })

  test('of two sections of one link end the connection', async () => {
    const raw = await both()
    raw.send(1, 1, 'a', { flags: Flag.more })
    raw.send(1, 2, 'b')
    expect((await raw.fatal()).text).toBe('link 1 begins a message before the last one is complete')
  })

  test('of one section are the only ones of their link', async () => {
    const raw = await both()
    raw.send(1, 1, 'a', { flags: Flag.more })
    raw.send(1, 2, 'b', { flags: Flag.more })
    expect((await raw.fatal()).text).toBe('link 1 begins a message before the last one is complete')
  })

  test('that nobody has begun end the connection', async () => {
    const raw = await both()
    raw.part(1, 'x', false)
    expect((await raw.fatal()).text).toBe('link 1 has begun no message')
  })

  test('of one connection are no longer together than one message may be', async () => {
    const raw = await both()
    raw.send(1, 1, 'x'.repeat(9000), { flags: Flag.more })
    for (let part = 0; part < 5; part += 1) raw.part(1, 'x'.repeat(9000), true)
    expect((await raw.fatal()).text).toContain('more than 50000 bytes')
  })
})

describe('SPEC 6, consumers', () => {
  test('get nothing without credit, and no more than its bytes but the last', async () => {
    const raw = await both({ credit: int(0), creditBytes: int(0) })
    for (let seq = 1; seq <= 4; seq += 1) raw.send(1, seq, `${seq}`)
    await raw.all()
    raw.credit(2, 3, 1)
    expect(await raw.delivered()).toEqual(['1'])
    raw.credit(2, 0, 1000)
    expect(await raw.delivered()).toEqual(['2', '3'])
    raw.credit(2, 1, 0)
    expect(await raw.delivered()).toEqual(['4'])
  })

  test('that drain get what there is, and give the rest back', async () => {
    const raw = await both({ credit: int(0) })
    raw.send(1, 1, 'only')
    await raw.all()
    raw.credit(2, 5, 1000, true)
    expect((await raw.all()).map(({ type, unused }) => [type, unused])).toEqual([
      ['deliver', undefined],
      ['drained', 4],
    ])
    raw.send(1, 2, 'later')
    expect((await raw.all()).map(({ type }) => type)).not.toContain('deliver')
  })

  test('settle ranges, those settled already are passed over', async () => {
    const raw = await both()
    for (let seq = 1; seq <= 4; seq += 1) raw.send(1, seq, `${seq}`)
    await raw.all()
    raw.settle({ ranges: [[2, 3]] })
    raw.settle({ ranges: [[1, 3]], outcome: 1 }, 5)
    expect((await raw.all()).map(({ type, number }) => [type, number])).toEqual([
      ['deliver', 5],
      ['ok', undefined],
    ])
  })

  test('that settle what was never sent end the connection', async () => {
    const raw = await both()
    raw.settle({ ranges: [[1, 1]] })
    expect((await raw.fatal()).text).toBe('SETTLE: delivery 1 was never sent')
  })

  test('that settle with an unknown outcome end the connection', async () => {
    const raw = await both()
    raw.settle({ outcome: 4 })
    expect((await raw.fatal()).text).toBe('SETTLE: there is no outcome 4')
  })

  test('that are closed give back what is unsettled', async () => {
    const raw = await both()
    raw.send(1, 1, 'x')
    await raw.all()
    raw.closeLink(3, 2)
    await raw.next('ok')
    raw.consumer(4, 2)
    await raw.next('ok')
    const again = await raw.next('deliver')
    expect(again).toMatchObject({ number: 1, info: expect.any(Number) })
    expect((again.info as number) & 1, 'redelivered').toBe(1)
    expect(again).not.toHaveProperty('count')
  })

  test.each([
    [{ source: undefined }, 303],
    [{ source: 'queue://' }, 301],
    [{ ack: 'later' }, 303],
    [{ retained: 'often' }, 303],
    [{ selector: 'a = ' }, 302],
  ])('that ask for %j are refused with %i', async (fields, code) => {
    const raw = await RawNative.open(broker)
    raw.consumer(1, 1, fields)
    expect(await raw.next('error')).toMatchObject({ answers: 1, error: { code } })
  })
})

describe('SPEC 7, transactions', () => {
  test('hold sends and settlements, and answer the sends at once', async () => {
    const raw = await both()
    raw.send(1, 1, 'in')
    await raw.all()
    raw.send(1, 2, 'out', { transaction: 5 })
    raw.settle({ ranges: [[1, 1]] }, 0, 5)
    const held = await raw.all()
    expect(held.filter(({ type }) => type === 'accepted')).toMatchObject([{ upTo: 2 }])
    expect(held.filter(({ type }) => type === 'deliver')).toEqual([])
    raw.transactionEnd(9, 5, 0)
    const done = await raw.all()
    expect(done.map(({ type }) => type).sort()).toEqual(['deliver', 'ok'])
  })

  test('that are rolled back leave the settled to the client', async () => {
    const raw = await both()
    raw.send(1, 1, 'in')
    await raw.all()
    raw.settle({ ranges: [[1, 1]] }, 0, 1)
    raw.transactionEnd(3, 1, 1)
    await raw.next('ok')
    raw.settle({ ranges: [[1, 1]], outcome: 1 })
    expect(await raw.delivered()).toEqual(['in'])
  })

  test('that nobody has begun are empty', async () => {
    const raw = await both()
    raw.transactionEnd(3, 77, 0)
    raw.transactionEnd(4, 78, 1)
    expect((await raw.all()).map(({ type, answers }) => [type, answers])).toEqual([
      ['ok', 3],
      ['ok', 4],
    ])
  })
})

describe('SPEC 8, destinations', () => {
  test.each([
    [{ op: 'fly', address: 'queue://q' }, 303],
    [{ op: 'inspect' }, 301],
    [{ op: 'purge', address: 'queue://none' }, 300],
    [{ op: 'unsubscribe' }, 303],
    [{}, 301],
  ])('refuse %j with %i', async (fields, code) => {
    const raw = await RawNative.open(broker)
    raw.destination(1, fields)
    expect(await raw.next('error')).toMatchObject({ answers: 1, error: { code } })
  })

  test('that are temporary can be consumed from by their connection alone', async () => {
    const raw = await RawNative.open(broker)
    raw.destination(1, { op: 'temporary', kind: 'queue' })
    const { fields } = await raw.next('ok')
    const [[, source]] = fields as [[string, string]]
    const other = await RawNative.open(broker)
    other.consumer(1, 1, { source })
    expect((await other.next('error')).answers).toBe(1)
    raw.consumer(2, 1, { source })
    expect((await raw.next('ok')).answers).toBe(2)
  })
})
