import type { Vector } from './vector.ts'
import { frame, protocolError } from './vector.ts'

const invalidUtf8: readonly (readonly [name: string, octets: readonly number[], shown: string])[] = [
  ['a lone continuation octet', [0x80], '\\x80'],
  ['a lone lead octet', [0xc3], '\\xc3'],
  ['Latin-1', [0xe9, 0x74, 0xe9], '\\xe9t\\xe9'],
  ['an overlong form', [0xc0, 0x8a], '\\xc0\\x8a'],
  ['an overlong form of three octets', [0xe0, 0x80, 0x8a], '\\xe0\\x80\\x8a'],
  ['a surrogate', [0xed, 0xa0, 0x80], '\\xed\\xa0\\x80'],
  ['past U+10FFFF', [0xf4, 0x90, 0x80, 0x80], '\\xf4\\x90\\x80\\x80'],
  ['an octet that UTF-8 never has', [0xff], '\\xff'],
]

/** STOMP 1.2 "Value Encoding". */
export const encodingVectors: readonly Vector[] = [
  {
    name: 'the four escapes of 1.2, in names and values',
    clause: '1.2 Value Encoding: the following transformations MUST be applied',
    version: '1.2',
    bytes: 'SEND\na\\cb\\nc\\rd\\\\e:f\\cg\\nh\\ri\\\\j\n\n\0',
    frames: [frame('SEND', [['a:b\nc\rd\\e', 'f:g\nh\ri\\j']])],
  },
  {
    name: 'a backslash that is escaped escapes nothing',
    clause: '1.2 Value Encoding',
    version: '1.2',
    bytes: 'SEND\na:\\\\n\\\\\\n\\\\\\\\\n\n\0',
    frames: [frame('SEND', [['a', '\\n\\\n\\\\']])],
  },
  {
    name: 'escapes in known headers',
    clause: '1.2 Value Encoding',
    version: '1.2',
    bytes: 'SEND\ndestination:/queue/a\\cb\nreceipt:\\n\n\n\0',
    frames: [
      frame('SEND', [
        ['destination', '/queue/a:b'],
        ['receipt', '\n'],
      ]),
    ],
  },
  {
    name: 'the three escapes of 1.1',
    clause: '1.1 Value Encoding',
    version: '1.1',
    bytes: 'SEND\na\\cb:f\\cg\\nh\\\\j\n\n\0',
    frames: [frame('SEND', [['a:b', 'f:g\nh\\j']])],
  },
  {
    name: '1.0 has no escapes',
    clause: '1.0 has no value encoding',
    version: '1.0',
    bytes: 'SEND\na\\c:f\\cg\\q\\\n\n\0',
    frames: [frame('SEND', [['a\\c', 'f\\cg\\q\\']])],
  },
  ...['\\t', '\\q', '\\N', '\\0', '\\:'].map((sequence) => ({
    name: `the escape ${sequence} in a value`,
    clause: '1.2 Value Encoding: undefined escape sequences MUST be treated as a fatal protocol error',
    version: '1.2' as const,
    bytes: `SEND\nfoo:a${sequence}b\n\n\0`,
    error: protocolError(
      `header line with an escape sequence that STOMP 1.2 does not define: 'foo:a\\x5c${sequence.slice(1)}b'`,
    ),
  })),
  {
    name: 'an undefined escape in a name',
    clause: '1.2 Value Encoding',
    version: '1.2',
    bytes: 'SEND\nfo\\o:a\n\n\0',
    error: protocolError(`header line with an escape sequence that STOMP 1.2 does not define: 'fo\\x5co:a'`),
  },
  {
    name: 'a backslash at the end of a name',
    clause: '1.2 Value Encoding',
    version: '1.2',
    bytes: 'SEND\nfoo\\:a\n\n\0',
    error: protocolError(`header line with an escape sequence that STOMP 1.2 does not define: 'foo\\x5c:a'`),
  },
  {
    name: 'a backslash at the end of a value',
    clause: '1.2 Value Encoding',
    version: '1.2',
    bytes: 'SEND\nfoo:a\\\r\n\n\0',
    error: protocolError(`header line with an escape sequence that STOMP 1.2 does not define: 'foo:a\\x5c'`),
  },
  {
    name: 'the escape of CR in 1.1',
    clause: '1.1 Value Encoding: such as \\r MUST be treated as a fatal protocol error',
    version: '1.1',
    bytes: 'SEND\nreceipt:7\nfoo:a\\rb\n\n\0',
    error: protocolError(`header line with an escape sequence that STOMP 1.1 does not define: 'foo:a\\x5crb'`, '7'),
  },
  {
    name: 'CONNECT and CONNECTED are not escaped',
    clause: '1.2 Value Encoding: all frames except the CONNECT and CONNECTED frames',
    version: '1.2',
    bytes: 'CONNECT\nlogin:a\\c\npasscode:a\\qb\\\n\n\0CONNECTED\nversion:1.2\nsession:a\\nb\n\n\0',
    frames: [
      frame('CONNECT', [
        ['login', 'a\\c'],
        ['passcode', 'a\\qb\\'],
      ]),
      frame('CONNECTED', [
        ['version', '1.2'],
        ['session', 'a\\nb'],
      ]),
    ],
  },
  {
    name: 'spaces around names and values stay',
    clause: '1.2 Value Encoding: clients and servers MUST never trim or pad headers with spaces',
    version: '1.2',
    bytes: 'SEND\n foo : bar \ndestination: a \n\n\0',
    frames: [
      frame('SEND', [
        [' foo ', ' bar '],
        ['destination', ' a '],
      ]),
    ],
  },
  {
    name: 'spaces around values stay in a CONNECT with accept-version',
    clause: '1.2 Value Encoding: MUST never trim',
    version: undefined,
    bytes: 'CONNECT\naccept-version:1.2\nlogin: bob \n\n\0',
    frames: [
      frame('CONNECT', [
        ['accept-version', '1.2'],
        ['login', ' bob '],
      ]),
    ],
  },
  {
    name: 'a CONNECT without accept-version is of 1.0, whose examples are padded',
    clause: '1.2 Protocol Negotiation: it means that the client only supports version 1.0',
    version: undefined,
    bytes: 'CONNECT\nlogin: bob\npasscode: \n\n\0',
    frames: [
      frame('CONNECT', [
        ['login', 'bob'],
        ['passcode', ''],
      ]),
    ],
  },
  {
    name: 'a CONNECTED without version is of 1.0',
    clause: '1.0 CONNECT: session: <session-id>',
    version: undefined,
    bytes: 'CONNECTED\nsession: 1 \n\n\0CONNECTED\nversion:1.1\nsession: 1\n\n\0',
    frames: [
      frame('CONNECTED', [['session', '1']]),
      frame('CONNECTED', [
        ['version', '1.1'],
        ['session', ' 1'],
      ]),
    ],
  },
  {
    name: 'spaces around 1.0 values are padding',
    clause: '1.0 SUBSCRIBE: destination: /queue/foo',
    version: '1.0',
    bytes: 'SUBSCRIBE\ndestination: /queue/foo \nack: client\ncontent-length: 0 \n\n\0',
    frames: [
      frame('SUBSCRIBE', [
        ['destination', '/queue/foo'],
        ['ack', 'client'],
        ['content-length', '0'],
      ]),
    ],
  },
  {
    name: 'characters of two, three and four octets',
    clause: '1.2 Value Encoding: the commands and headers are encoded in UTF-8',
    version: '1.2',
    bytes: 'SEND\nné:ü\ndestination:/queue/€\\c😀\n\n😀é\0',
    frames: [
      frame(
        'SEND',
        [
          ['né', 'ü'],
          ['destination', '/queue/€:😀'],
        ],
        Buffer.from('😀é').toString('latin1'),
      ),
    ],
  },
  {
    name: 'CR LF after a character of several octets, which breaks stompit when it is cut',
    clause: '1.2 STOMP Frames',
    version: '1.2',
    bytes: 'SEND\r\nfoo:é\r\né:1\r\n\r\n\0',
    frames: [
      frame('SEND', [
        ['foo', 'é'],
        ['é', '1'],
      ]),
    ],
  },
  ...invalidUtf8.map(([name, octets, shown]) => ({
    name: `${name} in a value`,
    clause: '1.2 Value Encoding: headers are encoded in UTF-8',
    version: '1.2' as const,
    bytes: Buffer.concat([Buffer.from('SEND\nfoo:'), Buffer.from(octets), Buffer.from('\n\n\0')]),
    error: protocolError(`header line with bytes that are not UTF-8: 'foo:${shown}'`),
  })),
  {
    name: 'bytes that are not UTF-8 in a body',
    clause: '1.2 Header content-type: otherwise the body is a binary blob',
    version: '1.2',
    bytes: Buffer.from('SEND\n\n\xff\xfe\0', 'latin1'),
    frames: [frame('SEND', [], '\xff\xfe')],
  },
]
