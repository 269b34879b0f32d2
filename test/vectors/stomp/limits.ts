import type { Vector } from './vector.ts'
import { frame } from './vector.ts'

/** STOMP 1.2 "Size Limits", with small limits: at each limit, and one past it. */
export const limitVectors: readonly Vector[] = [
  {
    name: 'header lines as long as the limit',
    clause: '1.2 Size Limits: the maximum length of header lines',
    version: '1.2',
    limits: { headerLineBytesMax: 8 },
    bytes: 'SEND\nfoo:1234\nbar:5678\r\n\n\0',
    frames: [
      frame('SEND', [
        ['foo', '1234'],
        ['bar', '5678'],
      ]),
    ],
  },
  ...['foo:12345\n\n\0', 'foo:12345\r\n\n\0', 'foo:1234567890', '123456789012'].map((rest) => ({
    name: `the header line ${JSON.stringify(rest)}, past a limit of 8`,
    clause: '1.2 Size Limits: the maximum length of header lines',
    version: '1.2' as const,
    limits: { headerLineBytesMax: 8 },
    bytes: `SEND\nreceipt:\n${rest}`,
    error: { code: 'limit-exceeded' as const, sentence: 'a header line is longer than 8 bytes', receipt: '' },
  })),
  {
    name: 'as many headers as the limit',
    clause: '1.2 Size Limits: the number of frame headers',
    version: '1.2',
    limits: { headersMax: 2 },
    bytes: 'SEND\na:1\na:2\n\nx\0',
    frames: [
      frame(
        'SEND',
        [
          ['a', '1'],
          ['a', '2'],
        ],
        'x',
      ),
    ],
  },
  {
    name: 'one header more than the limit',
    clause: '1.2 Size Limits: the number of frame headers',
    version: '1.2',
    limits: { headersMax: 2 },
    bytes: 'SEND\na:1\na:2\na:3\n\nx\0',
    error: { code: 'limit-exceeded', sentence: 'a frame has more than 2 header lines' },
  },
  {
    name: 'a header block as long as the limit',
    clause: '1.2 Size Limits',
    version: '1.2',
    limits: { headerBlockBytesMax: 13 },
    bytes: '\n\nSEND\na:1\nb:2\n\nx\0SEND\na:1\nb:2\n\nx\0',
    frames: [
      frame(
        'SEND',
        [
          ['a', '1'],
          ['b', '2'],
        ],
        'x',
      ),
      frame(
        'SEND',
        [
          ['a', '1'],
          ['b', '2'],
        ],
        'x',
      ),
    ],
    heartBeats: 2,
  },
  {
    name: 'a header block past the limit',
    clause: '1.2 Size Limits',
    version: '1.2',
    limits: { headerBlockBytesMax: 13 },
    bytes: '\n\nSEND\na:1\nb:22\n\nx\0',
    heartBeats: 2,
    error: { code: 'limit-exceeded', sentence: 'the headers are longer than 13 bytes' },
  },
  {
    name: 'bodies as long as the limit',
    clause: '1.2 Size Limits: the maximum size of a frame body',
    version: '1.2',
    limits: { bodyBytesMax: 3 },
    bytes: 'SEND\n\nabc\0SEND\ncontent-length:3\n\nabc\0',
    frames: [frame('SEND', [], 'abc'), frame('SEND', [['content-length', '3']], 'abc')],
  },
  {
    name: 'a body without content-length past the limit',
    clause: '1.2 Size Limits: the maximum size of a frame body',
    version: '1.2',
    limits: { bodyBytesMax: 3 },
    bytes: 'SEND\n\nabcd\0',
    error: { code: 'message-too-large', sentence: 'the body is longer than 3 bytes' },
  },
  {
    name: 'a body without end',
    clause: '1.2 Size Limits: the maximum size of a frame body',
    version: '1.2',
    limits: { bodyBytesMax: 3 },
    bytes: 'SEND\n\nabcdefgh',
    error: { code: 'message-too-large', sentence: 'the body is longer than 3 bytes' },
  },
  {
    name: 'a content-length past the limit, before the body',
    clause: '1.2 Size Limits: the maximum size of a frame body',
    version: '1.2',
    limits: { bodyBytesMax: 3 },
    bytes: 'SEND\ncontent-length:4\n\n',
    error: { code: 'message-too-large', sentence: 'the body is longer than 3 bytes' },
  },
]
