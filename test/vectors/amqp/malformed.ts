import { composite, encode, frameBytes, headers, t } from '../../support/amqp-peer.ts'

/** How far a peer has come when it sends what it must not. */
export type Stage = 'connected' | 'sasl' | 'authenticated' | 'open' | 'begun' | 'attached'

/** Bytes that break the protocol, and how the broker answers. */
export interface Malformed {
  readonly name: string
  readonly clause: string
  readonly stage: Stage
  readonly bytes: Buffer
  /**
   * The error condition of the frame that answers, and which one: 0x18 close, 0x17 end, 0x16 detach; 'hang up': the connection
   * ends without one.
   */
  readonly answer: readonly [frame: 0x16 | 0x17 | 0x18, condition: string] | 'hang up' | 'header'
}

const framing = 'amqp:connection:framing-error'
const decode = 'amqp:decode-error'

function head(size: number, doff = 2, type = 0, channel = 0): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(size, 0)
  bytes[4] = doff
  bytes[5] = type
  bytes.writeUInt16BE(channel, 6)
  return bytes
}

function raw(hex: string, type = 0): Buffer {
  return frameBytes(Buffer.from(hex.replaceAll(' ', ''), 'hex'), undefined, 0, type)
}

function performative(code: number, ...fields: Parameters<typeof t.list>): Buffer {
  return frameBytes(encode(composite(code, ...fields)))
}

function attach(name: string, handle: number, more: Parameters<typeof t.list> = []): Buffer {
  return performative(
    0x12,
    t.string(name),
    t.uint(handle),
    t.boolean(false),
    undefined,
    undefined,
    composite(0x28),
    composite(0x29, t.string('queue://a')),
    ...more,
  )
}

function transfer(payload: string, ...fields: Parameters<typeof t.list>): Buffer {
  return frameBytes(encode(composite(0x14, ...fields)), Buffer.from(payload.replaceAll(' ', ''), 'hex'))
}

const first = [t.uint(0), t.uint(0), t.binary('x'), t.uint(0)] as const
/** A list in a list in a list. */
const deep = `${'c0ff01'.repeat(60)}45`
/** 45 bytes that made rhea's reader fill the heap: an array of four thousand million values that take no bytes. */
const bomb = '00 53 41 d0 0000001c 00000002 a3 09 414e4f4e594d4f5553 f0 00000005 ffffffff 41'

export const malformed: readonly Malformed[] = [
  {
    name: 'no AMQP at all',
    clause: '2.2',
    stage: 'connected',
    bytes: Buffer.from('GET / HTTP/1.1\r\n'),
    answer: 'header',
  },
  {
    name: 'AMQP 0-9-1',
    clause: '2.2',
    stage: 'connected',
    bytes: Buffer.from('AMQP\0\0\x09\x01', 'latin1'),
    answer: 'header',
  },
  {
    name: 'another version',
    clause: '2.2',
    stage: 'connected',
    bytes: Buffer.from('AMQP\0\x02\0\0', 'latin1'),
    answer: 'header',
  },
  {
    name: 'TLS by header',
    clause: '2.2',
    stage: 'connected',
    bytes: Buffer.from('AMQP\x02\x01\0\0', 'latin1'),
    answer: 'header',
  },
  { name: 'SASL a second time', clause: '5.3.2', stage: 'authenticated', bytes: headers.sasl, answer: 'header' },
  {
    name: 'an array without end before authentication',
    clause: '1.6.24',
    stage: 'sasl',
    bytes: raw(bomb, 1),
    answer: 'hang up',
  },
  {
    name: 'a frame of 4 GiB before authentication',
    clause: '2.3.1',
    stage: 'sasl',
    bytes: head(0xffffffff, 2, 1),
    answer: 'hang up',
  },
  { name: 'a SASL frame of size 0', clause: '2.3.1', stage: 'sasl', bytes: head(0, 2, 1), answer: 'hang up' },
  {
    name: 'an AMQP frame during SASL',
    clause: '5.3.1',
    stage: 'sasl',
    bytes: performative(0x10, t.string('x')),
    answer: 'hang up',
  },
  {
    name: 'a response before init',
    clause: '5.3.2',
    stage: 'sasl',
    bytes: raw('00 53 43 c0 03 01 a0 00', 1),
    answer: 'hang up',
  },
  {
    name: 'an outcome from the client',
    clause: '5.3.2',
    stage: 'sasl',
    bytes: raw('00 53 44 c0 03 01 50 00', 1),
    answer: 'hang up',
  },
  {
    name: 'a mechanism named constructor',
    clause: '5.3.3.2',
    stage: 'sasl',
    bytes: frameBytes(encode(composite(0x41, t.symbol('constructor'))), undefined, 0, 1),
    answer: 'hang up',
  },
  {
    name: 'a mechanism with the name of a prototype',
    clause: '5.3.3.2',
    stage: 'sasl',
    bytes: frameBytes(encode(composite(0x41, t.symbol('__proto__'))), undefined, 0, 1),
    answer: 'hang up',
  },
  {
    name: 'PLAIN with one part',
    clause: 'RFC 4616',
    stage: 'sasl',
    bytes: frameBytes(encode(composite(0x41, t.symbol('PLAIN'), t.binary('only'))), undefined, 0, 1),
    answer: 'hang up',
  },
  {
    name: 'PLAIN on behalf of somebody else',
    clause: 'RFC 4616',
    stage: 'sasl',
    bytes: frameBytes(encode(composite(0x41, t.symbol('PLAIN'), t.binary('other\0user\0pass'))), undefined, 0, 1),
    answer: 'hang up',
  },
  { name: 'a frame of size 0', clause: '2.3.1', stage: 'open', bytes: head(0), answer: [0x18, framing] },
  { name: 'a frame of size 5', clause: '2.3.1', stage: 'open', bytes: head(5), answer: [0x18, framing] },
  {
    name: 'a frame larger than max-frame-size',
    clause: '2.7.1',
    stage: 'open',
    bytes: head(200_000),
    answer: [0x18, framing],
  },
  { name: 'data offset 1', clause: '2.3.1', stage: 'open', bytes: head(8, 1), answer: [0x18, framing] },
  { name: 'data offset beyond the frame', clause: '2.3.1', stage: 'open', bytes: head(8, 3), answer: [0x18, framing] },
  { name: 'a frame of an unknown type', clause: '2.3.1', stage: 'open', bytes: head(8, 2, 7), answer: [0x18, framing] },
  {
    name: 'a SASL frame after authentication',
    clause: '2.3.1',
    stage: 'open',
    bytes: raw('00 53 41 45', 1),
    answer: [0x18, framing],
  },
  {
    name: 'a performative that nobody knows',
    clause: '2.3.2',
    stage: 'open',
    bytes: raw('00 53 99 45'),
    answer: [0x18, decode],
  },
  {
    name: 'a performative that is a string',
    clause: '2.3.2',
    stage: 'open',
    bytes: raw('00 53 11 a1 01 78'),
    answer: [0x18, decode],
  },
  { name: 'a body without a descriptor', clause: '2.3.2', stage: 'open', bytes: raw('45'), answer: [0x18, decode] },
  {
    name: 'an unknown type code',
    clause: '1.6',
    stage: 'open',
    bytes: raw('00 53 11 c0 03 01 3f 00'),
    answer: [0x18, decode],
  },
  {
    name: 'a list that claims more items than it has',
    clause: '1.6.22',
    stage: 'open',
    bytes: raw('00 53 11 c0 02 05 40'),
    answer: [0x18, decode],
  },
  {
    name: 'a list that is longer than its frame',
    clause: '1.6.22',
    stage: 'open',
    bytes: raw('00 53 11 d0 00001000 00000001 40'),
    answer: [0x18, decode],
  },
  {
    name: 'an array without end',
    clause: '1.6.24',
    stage: 'open',
    bytes: raw('00 53 11 d0 0000000e 00000001 f0 00000005 ffffffff 41'),
    answer: [0x18, decode],
  },
  {
    name: 'lists too deep in each other',
    clause: '1.6.22',
    stage: 'open',
    bytes: raw(`00 53 11 ${deep}`),
    answer: [0x18, decode],
  },
  {
    name: 'descriptors of descriptors without end',
    clause: '1.2',
    stage: 'open',
    bytes: raw('00'.repeat(3000)),
    answer: [0x18, decode],
  },
  {
    name: 'a map with a key but no value',
    clause: '1.6.23',
    stage: 'open',
    bytes: raw('00 53 11 c0 05 01 c1 02 01 40'),
    answer: [0x18, decode],
  },
  {
    name: 'a second open',
    clause: '2.4.1',
    stage: 'open',
    bytes: performative(0x10, t.string('again')),
    answer: [0x18, 'amqp:illegal-state'],
  },
  {
    name: 'a begin before open',
    clause: '2.4.1',
    stage: 'authenticated',
    bytes: Buffer.concat([headers.amqp, raw('00 53 11 c0 05 04 40 43 43 43')]),
    answer: [0x18, 'amqp:illegal-state'],
  },
  {
    name: 'an open without a container id',
    clause: '2.7.1',
    stage: 'authenticated',
    bytes: Buffer.concat([headers.amqp, raw('00 53 10 45')]),
    answer: [0x18, decode],
  },
  {
    name: 'an open with a max-frame-size of 100',
    clause: '2.7.1',
    stage: 'authenticated',
    bytes: Buffer.concat([headers.amqp, performative(0x10, t.string('x'), undefined, t.uint(100))]),
    answer: [0x18, framing],
  },
  {
    name: 'a transfer on a channel without session',
    clause: '2.5.1',
    stage: 'open',
    bytes: transfer('', ...first),
    answer: [0x18, 'amqp:not-allowed'],
  },
  {
    name: 'an attach on a channel without session',
    clause: '2.5.1',
    stage: 'open',
    bytes: attach('x', 0),
    answer: [0x18, 'amqp:not-allowed'],
  },
  {
    name: 'a begin on a channel that has a session',
    clause: '2.5.1',
    stage: 'begun',
    bytes: raw('00 53 11 c0 05 04 40 43 43 43'),
    answer: [0x18, 'amqp:not-allowed'],
  },
  {
    name: 'a begin beyond channel-max',
    clause: '2.7.1',
    stage: 'open',
    bytes: frameBytes(encode(composite(0x11, undefined, t.uint(0), t.uint(1), t.uint(1))), undefined, 4000),
    answer: [0x18, framing],
  },
  {
    name: 'a begin that answers none of ours',
    clause: '2.5.1',
    stage: 'open',
    bytes: performative(0x11, t.ushort(7), t.uint(0), t.uint(1), t.uint(1)),
    answer: [0x18, 'amqp:not-allowed'],
  },
  {
    name: 'an attach without a handle',
    clause: '2.7.3',
    stage: 'begun',
    bytes: performative(0x12, t.string('x')),
    answer: [0x18, decode],
  },
  {
    name: 'an attach beyond handle-max',
    clause: '2.7.2',
    stage: 'begun',
    bytes: attach('x', 5000),
    answer: [0x18, framing],
  },
  {
    name: 'an attach whose name is a list',
    clause: '2.7.3',
    stage: 'begun',
    bytes: performative(0x12, t.list(), t.uint(0), t.boolean(false)),
    answer: [0x18, decode],
  },
  {
    name: 'an attach of a handle in use',
    clause: '2.7.3',
    stage: 'attached',
    bytes: attach('other', 0),
    answer: [0x17, 'amqp:session:handle-in-use'],
  },
  {
    name: 'a source that is a target',
    clause: '3.5.3',
    stage: 'begun',
    bytes: performative(0x12, t.string('x'), t.uint(0), t.boolean(true), undefined, undefined, composite(0x29)),
    answer: [0x18, decode],
  },
  {
    name: 'a detach of a handle that is not attached',
    clause: '2.6.4',
    stage: 'begun',
    bytes: performative(0x16, t.uint(3)),
    answer: [0x17, 'amqp:session:unattached-handle'],
  },
  {
    name: 'a flow for a handle that is not attached',
    clause: '2.6.7',
    stage: 'begun',
    bytes: performative(0x13, t.uint(0), t.uint(1), t.uint(0), t.uint(1), t.uint(3)),
    answer: [0x17, 'amqp:session:unattached-handle'],
  },
  {
    name: 'a transfer on a handle that is not attached',
    clause: '2.6.12',
    stage: 'begun',
    bytes: transfer('', ...first),
    answer: [0x17, 'amqp:session:unattached-handle'],
  },
  {
    name: 'a transfer without a delivery-id',
    clause: '2.7.5',
    stage: 'attached',
    bytes: transfer('', t.uint(0)),
    answer: [0x17, decode],
  },
  {
    name: 'a transfer without a handle',
    clause: '2.7.5',
    stage: 'attached',
    bytes: raw('00 53 14 45'),
    answer: [0x18, decode],
  },
  {
    name: 'a flow of one field',
    clause: '2.7.4',
    stage: 'begun',
    bytes: performative(0x13, t.uint(0)),
    answer: [0x18, decode],
  },
  {
    name: 'a disposition without a role',
    clause: '2.7.6',
    stage: 'begun',
    bytes: performative(0x15),
    answer: [0x18, decode],
  },
  {
    name: 'a disposition with a state that nobody knows',
    clause: '3.4',
    stage: 'begun',
    bytes: performative(0x15, t.boolean(true), t.uint(0), undefined, t.boolean(true), composite(0x99)),
    answer: [0x17, decode],
  },
  {
    name: 'an end with what is no error',
    clause: '2.7.8',
    stage: 'open',
    bytes: performative(0x17, t.string('x')),
    answer: [0x18, 'amqp:not-allowed'],
  },
]
