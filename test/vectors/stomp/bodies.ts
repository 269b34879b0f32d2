import type { Vector } from './vector.ts'
import { frame, protocolError } from './vector.ts'

const bodiless = [
  'CONNECT',
  'STOMP',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'ACK',
  'NACK',
  'BEGIN',
  'COMMIT',
  'ABORT',
  'DISCONNECT',
]
const bodilessOfServers = ['CONNECTED', 'RECEIPT']

const notNumbers: readonly (readonly [string, string])[] = [
  ['-1', 'negative'],
  ['-0', 'negative zero'],
  ['0x3', 'hexadecimal'],
  ['', 'empty'],
  [' 3', 'padded'],
  ['3 ', 'padded'],
  ['+3', 'signed'],
  ['3.0', 'with a fraction'],
  ['1e1', 'with an exponent'],
  ['3,4', 'a list'],
  ['three', 'a word'],
]

/** STOMP 1.2 "Body" and "Header content-length". */
export const bodyVectors: readonly Vector[] = [
  {
    name: 'NULs in a body with content-length',
    clause: '1.2 Header content-length: this number of octets MUST be read, regardless of NULL octets',
    version: '1.2',
    bytes: 'SEND\ncontent-length:7\n\n\0a\0\0b\n\0\0',
    frames: [frame('SEND', [['content-length', '7']], '\0a\0\0b\n\0')],
  },
  {
    name: 'a body that looks like a frame',
    clause: '1.2 Header content-length',
    version: '1.2',
    bytes: 'MESSAGE\ncontent-length:8\n\nSEND\n\n\0\n\0',
    frames: [frame('MESSAGE', [['content-length', '8']], 'SEND\n\n\0\n')],
  },
  {
    name: 'content-length 0, and with leading zeros',
    clause: '1.2 Header content-length: an octet count',
    version: '1.2',
    bytes: 'SEND\ncontent-length:0\n\n\0SEND\ncontent-length:0000000000000000000002\n\nab\0',
    frames: [
      frame('SEND', [['content-length', '0']]),
      frame('SEND', [['content-length', '0000000000000000000002']], 'ab'),
    ],
  },
  {
    name: 'the body is shorter than content-length',
    clause: '1.2 Header content-length: the frame still needs to be terminated with a NULL octet',
    version: '1.2',
    bytes: 'SEND\nreceipt:r\ncontent-length:5\n\nabc\0\n\n\n',
    error: protocolError('no NUL after the 5 bytes that content-length announces', 'r'),
  },
  {
    name: 'the body is longer than content-length',
    clause: '1.2 Header content-length: the frame still needs to be terminated with a NULL octet',
    version: '1.2',
    bytes: 'SEND\ncontent-length:2\n\nabc\0',
    error: protocolError('no NUL after the 2 bytes that content-length announces'),
  },
  {
    name: 'a body of multi-byte characters, counted in octets',
    clause: '1.2 Header content-length: an octet count',
    version: '1.2',
    bytes: 'SEND\ncontent-length:4\n\n😀\0',
    frames: [frame('SEND', [['content-length', '4']], Buffer.from('😀').toString('latin1'))],
  },
  ...[...bodiless, ...bodilessOfServers].flatMap((command): Vector[] => [
    {
      name: `a body on ${command}`,
      clause: '1.2 Body: all other frames MUST NOT have a body',
      version: '1.2',
      bytes: `${command}\nreceipt:9\n\nbody\0`,
      error: protocolError(`${command} must not have a body`, '9'),
    },
    {
      name: `a body announced on ${command}`,
      clause: '1.2 Body: all other frames MUST NOT have a body',
      version: '1.2',
      bytes: `${command}\ncontent-length:4\n\nbody\0`,
      error: protocolError(`${command} must not have a body`),
    },
    {
      name: `content-length 0 on ${command}`,
      clause: '1.2 Header content-length: all frames MAY include a content-length header',
      version: '1.2',
      bytes: `${command}\ncontent-length:0\n\n\0`,
      frames: [frame(command, [['content-length', '0']])],
    },
  ]),
  {
    name: 'a body on CONNECT, which kills stompit',
    clause: '1.2 Body: all other frames MUST NOT have a body',
    version: undefined,
    bytes: 'CONNECT\naccept-version:1.2\n\nx\0',
    error: protocolError('CONNECT must not have a body'),
  },
  {
    name: 'the body of a 1.0 SUBSCRIBE is left out',
    clause: '1.0 SUBSCRIBE: the body of the SUBSCRIBE command is ignored',
    version: '1.0',
    bytes: 'SUBSCRIBE\ndestination:a\n\nbody\0DISCONNECT\ncontent-length:2\n\n\n\n\0SEND\n\nx\0',
    frames: [
      frame('SUBSCRIBE', [['destination', 'a']]),
      frame('DISCONNECT', [['content-length', '2']]),
      frame('SEND', [], 'x'),
    ],
  },
  {
    name: 'an ERROR with a body',
    clause: '1.2 Body',
    version: '1.2',
    bytes: 'ERROR\nmessage: malformed frame received\ncontent-length:12\n\nThe message:\0\n',
    frames: [
      frame(
        'ERROR',
        [
          ['message', ' malformed frame received'],
          ['content-length', '12'],
        ],
        'The message:',
      ),
    ],
    heartBeats: 1,
  },
  ...notNumbers.map(([value, how]) => ({
    name: `content-length ${JSON.stringify(value)}, ${how}`,
    clause: '1.2 Header content-length: an octet count',
    version: '1.2' as const,
    bytes: `SEND\ncontent-length:${value}\n\nabc\0`,
    error: protocolError(`content-length is not a number: '${value}'`),
  })),
  ...['104857601', '9007199254740993', '99999999999999999999', '1'.repeat(400)].map((value) => ({
    name: `content-length ${value.slice(0, 24)}, past the limit, before any of the body`,
    clause: '1.2 Size Limits: the maximum size of a frame body',
    version: '1.2' as const,
    bytes: `SEND\nreceipt:1\ncontent-length:${value}\n\n`,
    error: { code: 'message-too-large' as const, sentence: 'the body is longer than 104857600 bytes', receipt: '1' },
  })),
]
