import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { Decoder } from '../../../../protocols/stomp/decoder.ts'
import { writeFrame } from '../../../../protocols/stomp/encoder.ts'
import type { Frame, FrameHandler } from '../../../../protocols/stomp/frame.ts'
import { Command, FrameScratch } from '../../../../protocols/stomp/frame.ts'
import type { Version } from '../../../../protocols/stomp/headers.ts'
import { Header, headerSet } from '../../../../protocols/stomp/headers.ts'
import { defaultFrameLimits } from '../../../../protocols/stomp/limits.ts'
import { bodyVectors } from '../../../vectors/stomp/bodies.ts'
import { encodingVectors } from '../../../vectors/stomp/encoding.ts'
import { frameVectors } from '../../../vectors/stomp/frames.ts'
import { limitVectors } from '../../../vectors/stomp/limits.ts'
import { BytesSink } from '../../../vectors/stomp/sink.ts'
import type { Outcome, Vector } from '../../../vectors/stomp/vector.ts'
import { decode, frame, plainFrame, Recorder } from '../../../vectors/stomp/vector.ts'

const vectors = [...frameVectors, ...encodingVectors, ...bodyVectors, ...limitVectors]

function bytesOf(vector: Vector): Buffer {
  return typeof vector.bytes === 'string' ? Buffer.from(vector.bytes) : vector.bytes
}

function expected(vector: Vector): Outcome {
  return {
    frames: vector.frames ?? [],
    heartBeats: vector.heartBeats ?? 0,
    errors: vector.error === undefined ? [] : [vector.error],
  }
}

function everyByte(bytes: Uint8Array): number[] {
  return Array.from({ length: bytes.length }, (_, index) => index)
}

/** Frames of one field, kept as the handler sees it. */
class Bodies implements FrameHandler {
  readonly bodies: string[] = []
  heartBeats = 0
  errors: string[] = []
  react: (body: string, frame: Frame) => void = () => {}

  onFrame(frame: Frame): void {
    const body = frame.bytes.toString('latin1', frame.bodyStart, frame.bodyEnd)
    this.bodies.push(body)
    this.react(body, frame)
  }

  onHeartBeat(): void {
    this.heartBeats += 1
  }

  onError(fault: { sentence: string }): void {
    this.errors.push(fault.sentence)
  }
}

function decoderFor(handler: FrameHandler, version?: Version, scratch = new FrameScratch()): Decoder {
  const decoder = new Decoder(handler, defaultFrameLimits, scratch)
  if (version !== undefined) decoder.version = version
  return decoder
}

/** The first frame in `bytes`, given to `look` while it is valid. */
function look(bytes: string | Buffer, version: Version, see: (frame: Frame) => void): void {
  let seen = 0
  const decoder = decoderFor(
    {
      onFrame(frame) {
        seen += 1
        see(frame)
      },
      onHeartBeat() {},
      onError(fault) {
        throw new Error(fault.sentence)
      },
    },
    version,
  )
  decoder.push(Buffer.from(bytes))
  expect(seen).toBe(1)
}

describe('vectors of the STOMP specifications', () => {
  for (const vector of vectors) {
    it(`${vector.version ?? 'not agreed'}: ${vector.name}`, () => {
      const bytes = bytesOf(vector)
      const outcome = expected(vector)
      const { version, limits } = vector
      expect(decode(bytes, version, [], limits)).toEqual(outcome)
      expect(decode(bytes, version, everyByte(bytes), limits)).toEqual(outcome)
      for (let cut = 1; cut < bytes.length; cut++) {
        expect(decode(bytes, version, [cut], limits), `cut at ${cut}`).toEqual(outcome)
      }
    })
  }

  it('have names of their own', () => {
    const names = vectors.map((vector) => `${vector.version} ${vector.name}`)
    expect(new Set(names).size).toBe(names.length)
  })
})

describe('chunks', () => {
  const headers = fc.array(fc.tuple(fc.string({ unit: 'binary', minLength: 1 }), fc.string({ unit: 'binary' })), {
    maxLength: 12,
  })
  const frames = fc.record({
    command: fc.constantFrom('SEND', 'MESSAGE', 'ERROR', 'SUBSCRIBE', 'ACK', 'RECEIPT', 'DISCONNECT'),
    headers,
    body: fc.uint8Array({ maxLength: 300 }),
  })

  /** What a frame in `version` can say of a text. */
  function expressible(text: string, version: Version, part: 'name' | 'value'): string {
    const clean = text.replaceAll('\0', '-')
    if (version !== '1.0') return clean
    const line = clean.replaceAll(/[\r\n]/g, '-')
    return part === 'name' ? line.replaceAll(':', '-') : line.trim()
  }

  for (const version of ['1.0', '1.1', '1.2'] as const) {
    it(`decodes what was encoded, however it is cut, in ${version}`, () => {
      fc.assert(
        fc.property(
          fc.array(frames, { minLength: 1, maxLength: 4 }),
          fc.array(fc.nat(), { maxLength: 20 }),
          (plan, wished) => {
            const sink = new BytesSink()
            const wanted = plan.map(({ command, headers, body }) => {
              const pairs = headers
                .map(
                  ([name, value]) =>
                    [expressible(name, version, 'name'), expressible(value, version, 'value')] as const,
                )
                .filter(([name]) => name !== 'content-length')
              const hasBody = command === 'SEND' || command === 'MESSAGE' || command === 'ERROR'
              const octets = hasBody ? Buffer.from(body) : Buffer.alloc(0)
              const code = Command[command.toLowerCase() as keyof typeof Command]
              writeFrame(sink, code, pairs, version, octets)
              const length = octets.length === 0 ? [] : [['content-length', `${octets.length}`] as const]
              return frame(command, [...pairs, ...length], octets.toString('latin1'))
            })
            const cuts = wished.map((cut) => cut % sink.position).sort((a, b) => a - b)
            const outcome = decode(sink.bytes, version, cuts)
            expect(outcome.errors).toEqual([])
            expect(outcome.frames).toEqual(wanted)
          },
        ),
        { numRuns: 300 },
      )
    })
  }

  it('reads a frame that lies whole in a chunk in place', () => {
    const chunk = Buffer.from('SEND\n\nabc\0')
    const handler = new Bodies()
    handler.react = (_, frame) => {
      expect(frame.bytes).toBe(chunk)
      expect(frame.ownsBytes).toBe(false)
    }
    decoderFor(handler).push(chunk)
    expect(handler.bodies).toEqual(['abc'])
  })

  it('gives a long frame that is cut a buffer of its own, which may be kept', () => {
    const kept: Buffer[] = []
    const handler = new Bodies()
    handler.react = (_, frame) => {
      expect(frame.ownsBytes).toBe(true)
      kept.push(frame.bytes.subarray(frame.bodyStart, frame.bodyEnd))
    }
    const decoder = decoderFor(handler)
    const bodies = ['a', 'b', 'c'].map((letter) => letter.repeat(5000))
    const bytes = Buffer.from(bodies.map((body) => `SEND\ncontent-length:5000\n\n${body}\0`).join(''))
    for (let at = 0; at < bytes.length; at += 1000) decoder.push(bytes.subarray(at, at + 1000))
    expect(kept.map(String)).toEqual(bodies)
  })

  it('does not give a short frame that is cut a buffer of its own', () => {
    const handler = new Bodies()
    handler.react = (_, frame) => expect(frame.ownsBytes).toBe(false)
    const decoder = decoderFor(handler)
    for (const part of ['SEND\n\na', 'bc\0SEND\n', '\ndef\0SE', 'ND\n\nghi\0']) decoder.push(Buffer.from(part))
    expect(handler.bodies).toEqual(['abc', 'def', 'ghi'])
  })

  it('takes a plain Uint8Array', () => {
    const handler = new Bodies()
    const whole = new Uint8Array(Buffer.from('..SEND\n\nabc\0..'))
    decoderFor(handler).push(whole.subarray(2, whole.length - 2))
    expect(handler.bodies).toEqual(['abc'])
  })

  it('keeps the headers of a cut frame while another decoder uses the same scratch', () => {
    const scratch = new FrameScratch()
    const bytes = [
      Buffer.from('SEND\nreceipt:1\ndestination:/queue/one\na:b\ncontent-length:3\n\nabc\0'),
      Buffer.from('MESSAGE\nsubscription:2\nmessage-id:x\ndestination:/queue/two\nc:d\ne:f\n\nhello\0'),
    ]
    const recorders = [new Recorder(), new Recorder()]
    const decoders = recorders.map((recorder) => decoderFor(recorder, '1.2', scratch))
    for (let at = 0; at < 100; at++) {
      decoders.forEach((decoder, index) => {
        decoder.push(bytes[index]!.subarray(at, at + 1))
      })
    }
    recorders.forEach((recorder, index) => {
      expect(recorder.outcome).toEqual(decode(bytes[index]!, '1.2'))
      expect(recorder.frames).toHaveLength(1)
    })
  })
})

describe('memory', () => {
  /** Bytes asked for while `run` runs, in all and at most at a time. */
  function allocations(run: () => void): { total: number; largest: number } {
    const sizes: number[] = []
    const { allocUnsafe, allocUnsafeSlow } = Buffer
    const pooled = vi.spyOn(Buffer, 'allocUnsafe').mockImplementation((size) => {
      sizes.push(size)
      return allocUnsafe(size) as Buffer<ArrayBuffer>
    })
    const own = vi.spyOn(Buffer, 'allocUnsafeSlow').mockImplementation((size) => {
      sizes.push(size)
      return allocUnsafeSlow(size) as Buffer<ArrayBuffer>
    })
    try {
      run()
    } finally {
      pooled.mockRestore()
      own.mockRestore()
    }
    return { total: sizes.reduce((sum, size) => sum + size, 0), largest: Math.max(0, ...sizes) }
  }

  it('allocates no more than a factor of what has arrived, whatever content-length says', () => {
    const decoder = decoderFor(new Recorder(), '1.2')
    const { largest } = allocations(() => {
      decoder.push(Buffer.from('SEND\ncontent-length:100000000\n\n'))
    })
    expect(largest).toBeLessThanOrEqual(16 * 1024)
    const more = allocations(() => {
      for (let sent = 0; sent < 1024 * 1024; sent += 64 * 1024) decoder.push(Buffer.alloc(64 * 1024))
    })
    expect(more.largest).toBeLessThanOrEqual(4 * 1024 * 1024 + 64 * 1024)
  })

  it('ends with a buffer of exactly the announced size', () => {
    const handler = new Bodies()
    const head = 'SEND\ncontent-length:1000000\n\n'
    handler.react = (_, frame) => {
      expect(frame.bytes.length).toBe(head.length + 1_000_001)
      expect(frame.bytes.buffer.byteLength).toBe(head.length + 1_000_001)
    }
    const decoder = decoderFor(handler)
    const bytes = Buffer.concat([Buffer.from(head), Buffer.alloc(1_000_000, 1), Buffer.alloc(1)])
    for (let at = 0; at < bytes.length; at += 65_536) decoder.push(bytes.subarray(at, at + 65_536))
    expect(handler.bodies).toHaveLength(1)
  })

  for (const [name, head] of [
    ['with content-length', 'SEND\ncontent-length:1000000\n\n'],
    ['that ends at NUL', 'SEND\n\n'],
  ] as const) {
    it(`copies a body ${name} a few times at most, even byte by byte`, () => {
      const handler = new Bodies()
      const decoder = decoderFor(handler)
      const bytes = Buffer.concat([Buffer.from(head), Buffer.alloc(1_000_000, 120), Buffer.alloc(1)])
      const { total } = allocations(() => {
        for (let at = 0; at < bytes.length; at++) decoder.push(bytes.subarray(at, at + 1))
      })
      expect(handler.bodies).toEqual(['x'.repeat(1_000_000)])
      expect(total).toBeLessThan(5_000_000)
    })
  }

  it('stops an endless header line at the limit', () => {
    for (const step of [1, 100, 65_536]) {
      const recorder = new Recorder()
      const decoder = decoderFor(recorder, '1.2')
      decoder.push(Buffer.from('SEND\nfoo:'))
      let sent = 0
      const { total } = allocations(() => {
        for (; sent < 1024 * 1024 && recorder.errors.length === 0; sent += step) decoder.push(Buffer.alloc(step, 120))
      })
      expect(recorder.errors).toEqual([
        { code: 'limit-exceeded', sentence: 'a header line is longer than 16384 bytes' },
      ])
      expect(sent).toBeLessThanOrEqual(16_384 + step)
      expect(total).toBeLessThan(200_000)
    }
  })

  it('stops an endless command after 34 bytes', () => {
    const recorder = new Recorder()
    const decoder = decoderFor(recorder)
    decoder.push(Buffer.alloc(33, 'A'))
    expect(recorder.errors).toEqual([])
    decoder.push(Buffer.from('A'))
    expect(recorder.errors).toHaveLength(1)
  })

  it('stops endless headers at the limits', () => {
    const recorder = new Recorder()
    const decoder = decoderFor(recorder, '1.2')
    decoder.push(Buffer.from('SEND\n'))
    const line = Buffer.from(`foo:${'x'.repeat(1000)}\n`)
    for (let lines = 0; lines < 1000; lines++) decoder.push(line)
    expect(recorder.errors).toEqual([{ code: 'limit-exceeded', sentence: 'the headers are longer than 65536 bytes' }])
  })

  it('reads a frame with as many headers as allowed, cut anywhere', () => {
    const headers = Array.from({ length: 256 }, (_, index) => [`name-${index}`, `${index}`] as const)
    const bytes = Buffer.from(`SEND\n${headers.map(([name, value]) => `${name}:${value}\n`).join('')}\nbody\0`)
    const wanted = { frames: [frame('SEND', headers, 'body')], heartBeats: 0, errors: [] }
    expect(decode(bytes, '1.2')).toEqual(wanted)
    expect(decode(bytes, '1.2', everyByte(bytes))).toEqual(wanted)
  })

  it('refuses a body without end that no content-length announces, at the limit', () => {
    const recorder = new Recorder()
    const decoder = new Decoder(recorder, { ...defaultFrameLimits, bodyBytesMax: 100_000 }, new FrameScratch())
    decoder.push(Buffer.from('SEND\n\n'))
    const { largest } = allocations(() => {
      for (let sent = 0; sent < 1_000_000; sent += 10_000) decoder.push(Buffer.alloc(10_000, 120))
    })
    expect(recorder.errors).toEqual([{ code: 'message-too-large', sentence: 'the body is longer than 100000 bytes' }])
    expect(largest).toBeLessThan(210_000)
  })
})

describe('what the handler may do', () => {
  it('pause the decoder: the rest of the chunk waits for resume', () => {
    const handler = new Bodies()
    const decoder = decoderFor(handler)
    handler.react = (body) => {
      if (body !== 'c') decoder.pause()
    }
    const chunk = Buffer.from('SEND\n\na\0\n\nSEND\n\nb\0SEND\n\nc\0SEND\n\nd\0SE')
    decoder.push(chunk)
    chunk.fill(0xee)
    expect([handler.bodies, handler.heartBeats]).toEqual([['a'], 0])
    const later = Buffer.from('ND\n\ne\0')
    decoder.push(later)
    later.fill(0xee)
    expect(handler.bodies).toEqual(['a'])
    decoder.resume()
    expect([handler.bodies, handler.heartBeats]).toEqual([['a', 'b'], 2])
    decoder.resume()
    expect(handler.bodies).toEqual(['a', 'b', 'c', 'd'])
    decoder.resume()
    expect(handler.bodies).toEqual(['a', 'b', 'c', 'd', 'e'])
    handler.react = () => {}
    decoder.resume()
    decoder.push(Buffer.from('SEND\n\nf\0'))
    expect(handler.bodies.at(-1)).toBe('f')
    expect(handler.errors).toEqual([])
  })

  it('pause and resume it in one call', () => {
    const handler = new Bodies()
    const decoder = decoderFor(handler)
    handler.react = () => {
      decoder.pause()
      decoder.resume()
    }
    decoder.push(Buffer.from('SEND\n\na\0SEND\n\nb\0'))
    expect(handler.bodies).toEqual(['a', 'b'])
  })

  it('pause it at a heart-beat', () => {
    const decoder = decoderFor({
      onFrame() {
        frames += 1
      },
      onHeartBeat() {
        decoder.pause()
      },
      onError() {},
    })
    let frames = 0
    decoder.push(Buffer.from('\nSEND\n\na\0'))
    expect(frames).toBe(0)
    decoder.resume()
    expect(frames).toBe(1)
  })

  it('push to it: those bytes come after the rest of the chunk', () => {
    const handler = new Bodies()
    const decoder = decoderFor(handler)
    handler.react = (body) => {
      if (body === 'a') decoder.push(Buffer.from('SEND\n\nc\0'))
    }
    decoder.push(Buffer.from('SEND\n\na\0SEND\n\nb\0'))
    expect(handler.bodies).toEqual(['a', 'b', 'c'])
  })

  it('push to it and resume it: those bytes still come after the rest of the chunk', () => {
    const handler = new Bodies()
    const decoder = decoderFor(handler)
    handler.react = (body) => {
      if (body !== 'a') return
      decoder.push(Buffer.from('SEND\n\nc\0'))
      decoder.pause()
      decoder.resume()
      expect(handler.bodies).toEqual(['a'])
    }
    decoder.push(Buffer.from('SEND\n\na\0SEND\n\nb\0'))
    expect(handler.bodies).toEqual(['a', 'b', 'c'])
  })

  it('push to it and pause it', () => {
    const handler = new Bodies()
    const decoder = decoderFor(handler)
    handler.react = (body) => {
      decoder.pause()
      if (body === 'a') decoder.push(Buffer.from('SEND\n\nc\0'))
    }
    decoder.push(Buffer.from('SEND\n\na\0SEND\n\nb\0'))
    for (let times = 0; times < 4; times++) decoder.resume()
    expect(handler.bodies).toEqual(['a', 'b', 'c'])
  })

  it('close it: nothing more is said, whatever comes', () => {
    const handler = new Bodies()
    const decoder = decoderFor(handler)
    handler.react = () => decoder.close()
    decoder.push(Buffer.from('SEND\n\na\0\nSEND\n\nb\0bad\n'))
    decoder.push(Buffer.from('SEND\n\nc\0'))
    decoder.resume()
    expect([handler.bodies, handler.heartBeats, handler.errors]).toEqual([['a'], 0, []])
  })

  it('agree on a version: it counts from the next frame on', () => {
    const recorder = new Recorder()
    const decoder = decoderFor({
      onFrame(frame) {
        recorder.onFrame(frame)
        if (frame.command === Command.connect) decoder.version = '1.1'
      },
      onHeartBeat: () => recorder.onHeartBeat(),
      onError: (fault) => recorder.onError(fault),
    })
    expect(decoder.version).toBe('1.0')
    decoder.push(
      Buffer.from('CONNECT\r\naccept-version:1.1\r\npasscode:\\q\r\n\r\n\0\r\nSEND\na:\\c\n\n\0SEND\na:\\r\n\n\0'),
    )
    expect(decoder.version).toBe('1.1')
    expect(recorder.outcome).toEqual({
      frames: [
        frame('CONNECT', [
          ['accept-version', '1.1'],
          ['passcode', '\\q'],
        ]),
        frame('SEND', [['a', ':']]),
      ],
      heartBeats: 1,
      errors: [
        {
          code: 'protocol-error',
          sentence: `header line with an escape sequence that STOMP 1.1 does not define: 'a:\\x5cr'`,
        },
      ],
    })
  })

  it('make another decoder of the same scratch go on, and still read its own frame', () => {
    const scratch = new FrameScratch()
    const inner = new Recorder()
    const waiting = decoderFor(inner, '1.2', scratch)
    waiting.pause()
    waiting.push(Buffer.from('SEND\ndestination:/queue/inner\n\ninner\0'))
    const seen: unknown[] = []
    const outer = decoderFor(
      {
        onFrame(frame) {
          waiting.resume()
          seen.push(plainFrame(frame))
        },
        onHeartBeat() {},
        onError() {},
      },
      '1.2',
      scratch,
    )
    outer.push(Buffer.from('SEND\ndestination:/queue/outer\na:b\n\nouter\0'))
    expect(inner.frames).toEqual([frame('SEND', [['destination', '/queue/inner']], 'inner')])
    expect(seen).toEqual([
      frame(
        'SEND',
        [
          ['destination', '/queue/outer'],
          ['a', 'b'],
        ],
        'outer',
      ),
    ])
  })
})

describe('after an error', () => {
  it('the decoder ignores all input', () => {
    const recorder = new Recorder()
    const decoder = decoderFor(recorder)
    decoder.push(Buffer.from('nonsense\nSEND\n\na\0'))
    decoder.push(Buffer.from('SEND\n\nb\0'))
    decoder.resume()
    expect(recorder.frames).toEqual([])
    expect(recorder.errors).toHaveLength(1)
  })

  it('the receipt it names is a copy', () => {
    const recorder = new Recorder()
    const chunk = Buffer.from('SEND\nreceipt:abc\nwrong\n')
    let receipt: Uint8Array | undefined
    decoderFor({
      onFrame() {},
      onHeartBeat() {},
      onError(fault) {
        receipt = fault.receipt
        recorder.onError(fault)
      },
    }).push(chunk)
    chunk.fill(0)
    expect(Buffer.from(receipt!).toString()).toBe('abc')
    expect(receipt!.buffer.byteLength).toBe(3)
  })
})

describe('a frame', () => {
  it('compares values without making strings of them', () => {
    look('SEND\nack:client\nreceipt:r-1\ntype:\n\n\0', '1.2', (frame) => {
      expect(frame.equals(Header.ack, 'client')).toBe(true)
      expect(frame.equals(Header.ack, 'client-individual')).toBe(false)
      expect(frame.equals(Header.ack, 'clienT')).toBe(false)
      expect(frame.equals(Header.type, '')).toBe(true)
      expect(frame.equals(Header.id, '')).toBe(false)
      expect(frame.equalsBytes(Header.receipt, Buffer.from('r-1'))).toBe(true)
      expect(frame.equalsBytes(Header.receipt, Buffer.from('r-2'))).toBe(false)
      expect(frame.equalsBytes(Header.receipt, Buffer.from('r-'))).toBe(false)
      expect(frame.equalsBytes(Header.id, Buffer.alloc(0))).toBe(false)
    })
  })

  it('reads numbers strictly', () => {
    const values = [
      '0',
      '9',
      '0042',
      '9007199254740991',
      '9007199254740992',
      '-1',
      '1.5',
      '1e3',
      '0x10',
      '',
      ' 1',
      '1 ',
    ]
    const wanted = [0, 9, 42, 9007199254740991, ...Array.from({ length: 8 }, () => Number.NaN)]
    const numbers: number[] = []
    for (const value of values) {
      look(`SEND\npriority:${value}\n\n\0`, '1.2', (frame) => {
        numbers.push(frame.number(Header.priority))
        expect(frame.number(Header.expires)).toBeNaN()
      })
    }
    expect(numbers).toEqual(wanted)
  })

  it('gives the raw range of a value, and a copy of it', () => {
    const chunk = Buffer.from('SEND\nreceipt:a\\cb\n\n\0')
    let raw: Uint8Array | undefined
    look(chunk, '1.2', (frame) => {
      const text = frame.bytes.toString('latin1', frame.valueStart(Header.receipt), frame.valueEnd(Header.receipt))
      expect(text).toBe('a\\cb')
      expect(frame.text(Header.receipt)).toBe('a:b')
      expect([frame.valueStart(Header.id), frame.valueEnd(Header.id)]).toEqual([-1, -1])
      expect(frame.rawValue(Header.id)).toBeUndefined()
      raw = frame.rawValue(Header.receipt)
    })
    expect(Buffer.from(raw!).toString()).toBe('a\\cb')
  })

  it('gives the ranges of its header block and body', () => {
    look('SEND\r\na:1\r\nb:2\r\n\r\nbody\0', '1.2', (frame) => {
      expect(frame.bytes.toString('latin1', frame.headersStart, frame.headersEnd)).toBe('a:1\r\nb:2\r\n')
      expect(frame.bytes.toString('latin1', frame.bodyStart, frame.bodyEnd)).toBe('body')
    })
  })

  it('copies its header lines without those of a set', () => {
    const left = headerSet(Header.receipt, Header.contentLength, Header.transaction)
    const bytes = 'SEND\r\nreceipt:1\r\na:1\r\ncontent-length:1\nreceipt:2\nb:\\c \n\nx\0'
    look(bytes, '1.2', (frame) => {
      expect(frame.headerBytes(left)).toBe(10)
      const target = Buffer.alloc(14, '.')
      expect(frame.copyHeaders(left, target, 2)).toBe(12)
      expect(target.toString()).toBe('..a:1\nb:\\c \n..')
    })
  })

  it('says which known header a line is', () => {
    look('SEND\nfoo:1\ndestination:2\ndestination:3\n\n\0', '1.2', (frame) => {
      expect([0, 1, 2].map((index) => frame.headerAt(index))).toEqual([0, Header.destination, Header.destination])
      expect(frame.commandName).toBe('SEND')
    })
  })
})
