import { Writable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  frameHead,
  messagePrefix,
  OutgoingMessage,
  writeAck,
  writeConnect,
  writeConnected,
  writeError,
  writeFrame,
  writeHeartBeat,
  writeMessage,
  writeReceipt,
  writeSend,
  writeSubscribe,
  writeTransaction,
} from '../../../../protocols/stomp/encoder.ts'
import { Command } from '../../../../protocols/stomp/frame.ts'
import { Output } from '../../../../src/transport/output.ts'
import { SlabPool } from '../../../../src/transport/slab-pool.ts'
import { Turn } from '../../../../src/turn.ts'
import { BytesSink } from '../../../vectors/stomp/sink.ts'
import { decode, frame } from '../../../vectors/stomp/vector.ts'

function written(write: (sink: BytesSink) => void): string {
  const sink = new BytesSink()
  write(sink)
  return sink.bytes.toString()
}

function outgoing(head: string, body: string | Uint8Array): OutgoingMessage {
  const message = new OutgoingMessage()
  message.idPrefix = Buffer.from('ID:host-1:')
  message.number = 42
  message.content = Buffer.concat([Buffer.from(head), Buffer.from('\n'), Buffer.from(body)])
  message.bodyOffset = head.length + 1
  return message
}

describe('MESSAGE', () => {
  const prefix = messagePrefix('1.2', 'sub:1', '/queue/a')

  it('has what the broker says before the content', () => {
    const message = outgoing('foo:bar\n', 'hello')
    expect(written((sink) => writeMessage(sink, prefix, message))).toBe(
      'MESSAGE\nsubscription:sub\\c1\ndestination:/queue/a\nmessage-id:ID:host-1:42\ncontent-length:5\nfoo:bar\n\nhello\0\n',
    )
  })

  it('has ack, redelivered and more headers when there are any', () => {
    const message = outgoing('', '')
    message.ack = 1000
    message.redelivered = true
    message.extra = Buffer.from('x:1\ny:2\n')
    const bare = messagePrefix('1.0', undefined, undefined)
    expect(written((sink) => writeMessage(sink, bare, message))).toBe(
      'MESSAGE\nmessage-id:ID:host-1:42\nack:1000\nredelivered:true\nx:1\ny:2\ncontent-length:0\n\n\0\n',
    )
  })

  it('has another head in place of that of the content', () => {
    const message = outgoing('foo:a\\rb\n', 'hello')
    message.head = Buffer.from('foo:a b\n\n')
    expect(written((sink) => writeMessage(sink, prefix, message))).toContain('content-length:5\nfoo:a b\n\nhello\0\n')
  })

  it('is one reserve when it is short', () => {
    const sink = new BytesSink()
    writeMessage(sink, prefix, outgoing('foo:bar\n', 'x'.repeat(1024)))
    expect(sink.reserves).toBe(1)
  })

  it('hands long content to the sink without copying it', () => {
    const message = outgoing('foo:bar\n', 'x'.repeat(100_000))
    const handed: Uint8Array[] = []
    const sink = new BytesSink()
    const write = sink.write.bind(sink)
    sink.write = (bytes) => {
      handed.push(bytes)
      write(bytes)
    }
    writeMessage(sink, prefix, message)
    expect(handed).toHaveLength(1)
    expect(handed[0]).toBe(message.content)
  })

  it('reads back, for bodies and numbers of all sizes', () => {
    const sizes = fc.oneof(fc.nat({ max: 200 }), fc.integer({ min: 8000, max: 8400 }), fc.constant(70_000))
    const numbers = fc.oneof(fc.nat(), fc.nat({ max: 20 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }))
    fc.assert(
      fc.property(sizes, numbers, numbers, fc.boolean(), fc.boolean(), (size, number, ack, redelivered, transcoded) => {
        const body = Buffer.alloc(size, 'a\0b\n')
        const message = outgoing('foo:1\nfoo:2\n', body)
        message.number = number
        message.ack = ack
        message.redelivered = redelivered
        if (transcoded) message.head = Buffer.from('foo:1\nfoo:2\n\n')
        const sink = new BytesSink()
        writeMessage(sink, prefix, message)
        writeHeartBeat(sink)
        expect(decode(sink.bytes, '1.2')).toEqual({
          frames: [
            frame(
              'MESSAGE',
              [
                ['subscription', 'sub:1'],
                ['destination', '/queue/a'],
                ['message-id', `ID:host-1:${number}`],
                ...(ack === 0 ? [] : [['ack', `${ack}`] as const]),
                ...(redelivered ? [['redelivered', 'true'] as const] : []),
                ['content-length', `${size}`],
                ['foo', '1'],
                ['foo', '2'],
              ],
              body.toString('latin1'),
            ),
          ],
          heartBeats: 2,
          errors: [],
        })
      }),
    )
  })

  it('writes every decimal digit of a number', () => {
    for (let power = 0; power < 16; power++) {
      const near = [10 ** power - 1, 10 ** power, 10 ** power + 1]
      for (const number of [...near, ...near.map((low) => 7_000_000_000 + low), ...near.map((low) => 3e15 + low)]) {
        if (number > Number.MAX_SAFE_INTEGER) continue
        const message = outgoing('', '')
        message.number = number
        expect(written((sink) => writeMessage(sink, prefix, message))).toContain(`message-id:ID:host-1:${number}\n`)
      }
    }
  })
})

describe('the other frames of the server', () => {
  it('RECEIPT echoes the raw value (1.2 RECEIPT: MUST include the header receipt-id)', () => {
    const raw = Buffer.from('receipt:a\\cb\n')
    expect(written((sink) => writeReceipt(sink, raw, 8, 12))).toBe('RECEIPT\nreceipt-id:a\\cb\n\n\0\n')
    expect(written((sink) => writeReceipt(sink, Buffer.from('message-12345')))).toBe(
      'RECEIPT\nreceipt-id:message-12345\n\n\0\n',
    )
    expect(written((sink) => writeReceipt(sink, Buffer.from('x'.repeat(500))))).toBe(
      `RECEIPT\nreceipt-id:${'x'.repeat(500)}\n\n\0\n`,
    )
  })

  it('CONNECTED is not escaped, and cannot be broken (1.2 Value Encoding)', () => {
    const headers = [
      ['version', '1.2'],
      ['server', 'ManifoldMQ/0.1.0 a:b\\c'],
      ['session', 'a\nb\0c\rd'],
    ] as const
    expect(written((sink) => writeConnected(sink, headers))).toBe(
      'CONNECTED\nversion:1.2\nserver:ManifoldMQ/0.1.0 a:b\\c\nsession:a b c d\n\n\0\n',
    )
  })

  it('ERROR has its text as a body with type and length (1.2 ERROR)', () => {
    const headers = [['message', 'no such queue: a']] as const
    expect(written((sink) => writeError(sink, headers, '1.2', 'é'))).toBe(
      'ERROR\nmessage:no such queue\\c a\ncontent-type:text/plain;charset=utf-8\ncontent-length:2\n\né\0\n',
    )
    expect(written((sink) => writeError(sink, headers, '1.0'))).toBe('ERROR\nmessage:no such queue: a\n\n\0\n')
  })

  it('a heart-beat is one LF', () => {
    expect(written((sink) => writeHeartBeat(sink))).toBe('\n')
  })
})

describe('the frames of a client', () => {
  it('CONNECT is not escaped', () => {
    const headers = [
      ['accept-version', '1.0,1.1,1.2'],
      ['host', 'a:b'],
    ] as const
    expect(written((sink) => writeConnect(sink, headers))).toBe('CONNECT\naccept-version:1.0,1.1,1.2\nhost:a:b\n\n\0')
  })

  it('SEND has its own headers, a receipt number and the length', () => {
    const head = frameHead(Command.send, [['destination', '/queue/a:b']], '1.2')
    expect(written((sink) => writeSend(sink, head, 7, Buffer.from('abc')))).toBe(
      'SEND\ndestination:/queue/a\\cb\nreceipt:7\ncontent-length:3\n\nabc\0',
    )
    expect(written((sink) => writeSend(sink, head, 0, Buffer.alloc(0)))).toBe(
      'SEND\ndestination:/queue/a\\cb\ncontent-length:0\n\n\0',
    )
    const long = 'x'.repeat(20_000)
    expect(written((sink) => writeSend(sink, head, 0, Buffer.from(long)))).toBe(
      `SEND\ndestination:/queue/a\\cb\ncontent-length:20000\n\n${long}\0`,
    )
  })

  it('ACK and NACK carry the id as it came', () => {
    const message = Buffer.from('ack:12\\c3\n')
    const head = Buffer.from('ACK\nid:')
    expect(written((sink) => writeAck(sink, head, message, 4, 9))).toBe('ACK\nid:12\\c3\n\n\0')
    const nack = Buffer.concat([frameHead(Command.nack, [['subscription', '0']], '1.1'), Buffer.from('message-id:')])
    expect(written((sink) => writeAck(sink, nack, Buffer.from('5')))).toBe('NACK\nsubscription:0\nmessage-id:5\n\n\0')
  })

  it('SUBSCRIBE and the frames of a transaction', () => {
    expect(written((sink) => writeSubscribe(sink, [['id', '1']], '1.2'))).toBe('SUBSCRIBE\nid:1\n\n\0')
    const begin = written((sink) => writeTransaction(sink, Command.begin, 'tx:1', '1.1'))
    expect(begin).toBe('BEGIN\ntransaction:tx\\c1\n\n\0')
  })

  it('any frame is escaped for its version', () => {
    const headers = [['a:b', 'c\r\nd']] as const
    const texts = (['1.0', '1.1', '1.2'] as const).map((version) =>
      written((sink) => writeFrame(sink, Command.unsubscribe, headers, version)),
    )
    expect(texts).toEqual([
      'UNSUBSCRIBE\na_b:c  d\n\n\0',
      'UNSUBSCRIBE\na\\cb:c\r\\nd\n\n\0',
      'UNSUBSCRIBE\na\\cb:c\\r\\nd\n\n\0',
    ])
  })

  it('CONNECT, STOMP and CONNECTED are not escaped in any version (1.2 Value Encoding)', () => {
    for (const command of [Command.connect, Command.stomp, Command.connected]) {
      const text = written((sink) => writeFrame(sink, command, [['passcode', 'a:b\\c']], '1.2'))
      expect(text).toContain('\npasscode:a:b\\c\n\n')
    }
  })

  it('a body with NULs has a content-length (1.2 Header content-length: the frame MUST include it)', () => {
    expect(written((sink) => writeFrame(sink, Command.send, [], '1.2', Buffer.from('\0')))).toBe(
      'SEND\ncontent-length:1\n\n\0\0',
    )
  })
})

it('frames of all sizes pass through the output of a wire in order', () => {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      chunks.push(Buffer.from(chunk))
      done()
    },
  })
  const turn = new Turn(() => {})
  const sink = new Output(stream, turn, new SlabPool(), 1024 * 1024, { congested() {}, drained() {} })
  const sizes = [0, 10, 4000, 5000, 8000, 8191, 8192, 100, 100_000, 1]
  for (const size of sizes) {
    writeMessage(sink, messagePrefix('1.2', '0', '/queue/a'), outgoing('foo:bar\n', Buffer.alloc(size, 'x')))
    writeReceipt(sink, Buffer.from(`r-${size}`))
  }
  turn.run()
  const outcome = decode(Buffer.concat(chunks), '1.2')
  expect(outcome.errors).toEqual([])
  expect(
    outcome.frames.map((frame) => (frame.command === 'MESSAGE' ? frame.body.length : frame.headers[0]?.[1])),
  ).toEqual(sizes.flatMap((size) => [size, `r-${size}`]))
})
