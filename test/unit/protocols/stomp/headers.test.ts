import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HeaderNumber, Version } from '../../../../protocols/stomp/headers.ts'
import {
  escapeHeader,
  findInvalidUtf8,
  findUndefinedEscape,
  Header,
  headerNames,
  NameTable,
  readHeaders,
  transcodeBlock,
  unescapeHeader,
  writeHeaders,
} from '../../../../protocols/stomp/headers.ts'
import { decode } from '../../../vectors/stomp/vector.ts'

const versions = ['1.0', '1.1', '1.2'] as const
const text = fc.string({ unit: 'binary', maxLength: 20 })
const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 10 })
/** Strings rich in what matters to a header line. */
const hard = fc.string({
  unit: fc.constantFrom('a', ':', '\\', '\n', '\r', '\0', ' ', 'n', 'c', 'r', 'é'),
  maxLength: 12,
})
const hardName = hard.filter((name) => name !== '')

function block(lines: string): Buffer {
  return Buffer.from(lines)
}

function transcoded(lines: string, from: Version, to: Version): string {
  return Buffer.from(transcodeBlock(block(lines), from, to)).toString()
}

describe('known headers', () => {
  it('are found by their bytes, wherever they stand', () => {
    for (let number = 1; number < headerNames.names.length; number++) {
      const bytes = Buffer.from(`xx${headerNames.names[number]}:yy`)
      expect(headerNames.find(bytes, 2, bytes.length - 3)).toBe(number)
    }
  })

  it('are not found in their parts, in another case, or in anything else', () => {
    for (const known of headerNames.names.slice(1)) {
      const others = [
        known.slice(1),
        known.slice(0, -1),
        `${known}x`,
        `x${known}`,
        known.toUpperCase(),
        known.toLowerCase(),
      ]
      for (const other of [...others, 'hasOwnProperty', 'constructor', '__proto__', 'toString']) {
        if (other === '' || headerNames.names.includes(other)) continue
        const bytes = Buffer.from(other)
        expect(headerNames.find(bytes, 0, bytes.length), other).toBe(0)
      }
    }
  })

  it('have the numbers that Header says', () => {
    expect(headerNames.names[Header.destination]).toBe('destination')
    expect(headerNames.names[Header.jmsxGroupId]).toBe('JMSXGroupID')
    expect(headerNames.names[Header.amqScheduledDelay]).toBe('AMQ_SCHEDULED_DELAY')
    const numbers: readonly HeaderNumber[] = Object.values(Header)
    expect(new Set(numbers).size).toBe(numbers.length)
    expect(numbers.length).toBe(headerNames.names.length - 1)
    expect(Math.max(...numbers)).toBeLessThan(256)
  })

  it('may be many, of one length and with one hash value', () => {
    const names = Array.from({ length: 200 }, (_, index) => `n${String(index).padStart(3, '0')}e`)
    const table = new NameTable(names)
    names.forEach((name, index) => {
      expect(table.find(Buffer.from(name), 0, 5)).toBe(index + 1)
    })
    expect(table.find(Buffer.from('n200e'), 0, 5)).toBe(0)
  })
})

describe('escaping', () => {
  it('writes what each version can, as the table in headers.ts says', () => {
    const all = 'a:b\\c\nd\re\0f'
    expect(escapeHeader(all, '1.2')).toBe('a\\cb\\\\c\\nd\\re f')
    expect(escapeHeader(all, '1.1')).toBe('a\\cb\\\\c\\nd\re f')
    expect(escapeHeader(all, '1.0')).toBe('a:b\\c d e f')
    expect(escapeHeader(all, '1.0', 'name')).toBe('a_b\\c d e f')
    expect(escapeHeader(all, '1.2', 'name')).toBe('a\\cb\\\\c\\nd\\re f')
  })

  it('leaves a text without special octets as it is', () => {
    for (const version of versions) expect(escapeHeader('/queue/a b-ü\t', version)).toBe('/queue/a b-ü\t')
  })

  it('is undone by unescaping (1.2 "Value Encoding": the reverse transformation MUST be applied)', () => {
    fc.assert(
      fc.property(fc.oneof(text, hard), fc.constantFrom('1.1' as const, '1.2' as const), (value, version) => {
        const bytes = Buffer.from(escapeHeader(value, version))
        expect(unescapeHeader(bytes, 0, bytes.length, version)).toBe(value.replaceAll('\0', ' '))
        expect(findUndefinedEscape(bytes, 0, bytes.length, version)).toBe(-1)
      }),
    )
  })

  it('never writes an octet that ends a line or a frame', () => {
    fc.assert(
      fc.property(fc.oneof(text, hard), fc.constantFrom(...versions), (value, version) => {
        const escaped = escapeHeader(value, version)
        expect(escaped).not.toMatch(version === '1.1' ? /[\n\0]/ : /[\r\n\0]/)
        expect(escapeHeader(value, version, 'name')).not.toContain(':')
      }),
    )
  })

  it('refuses undefined escapes, and says where they are', () => {
    const cases = [
      ['a\\t', '1.2', 1],
      ['ab\\', '1.2', 2],
      ['\\\\\\', '1.2', 2],
      ['\\r', '1.2', -1],
      ['\\n\\c\\\\', '1.2', -1],
      ['\\r', '1.1', 0],
      ['\\n\\c\\\\', '1.1', -1],
      ['\\q', '1.0', -1],
    ] as const
    for (const [text, version, at] of cases) {
      const bytes = Buffer.from(text)
      expect(findUndefinedEscape(bytes, 0, bytes.length, version), text).toBe(at)
      expect(unescapeHeader(bytes, 0, bytes.length, version) === undefined, text).toBe(at >= 0)
    }
  })
})

describe('UTF-8', () => {
  it('is valid exactly where a strict TextDecoder says so', () => {
    const strict = new TextDecoder('utf-8', { fatal: true })
    const octets = fc.oneof(
      fc.uint8Array({ maxLength: 8 }),
      fc.array(
        fc.constantFrom(0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5),
      ),
      text.map((value) => Buffer.from(value)),
    )
    fc.assert(
      fc.property(octets, (values) => {
        const bytes = Uint8Array.from(values)
        const at = findInvalidUtf8(bytes, 0, bytes.length)
        let isValid = true
        try {
          strict.decode(bytes)
        } catch {
          isValid = false
        }
        expect(at < 0).toBe(isValid)
        if (at >= 0) expect(() => strict.decode(bytes.subarray(0, at))).not.toThrow()
      }),
      { numRuns: 3000 },
    )
  })

  it('is not looked for past the end of the range', () => {
    const bytes = Buffer.from('é')
    expect(findInvalidUtf8(bytes, 0, 1)).toBe(0)
    expect(findInvalidUtf8(bytes, 0, 0)).toBe(-1)
  })
})

describe('header blocks', () => {
  it('are read in order, with repeated names', () => {
    expect(readHeaders(block('a\\c:1\na\\c:2\nb:x:y\nc:\n'), '1.2')).toEqual([
      ['a:', '1'],
      ['a:', '2'],
      ['b', 'x:y'],
      ['c', ''],
    ])
  })

  it('are read with padding in 1.0 only', () => {
    expect(readHeaders(block('a: b \n'), '1.0')).toEqual([['a', 'b']])
    expect(readHeaders(block('a: b \n'), '1.1')).toEqual([['a', ' b ']])
  })

  it('are read as far as they are header lines', () => {
    expect(readHeaders(block('no colon\n:no name\na:\\q\n\nb:1\nc:no end'), '1.2')).toEqual([['b', '1']])
  })

  it('are read as they were written', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(name, text)),
        fc.constantFrom('1.1' as const, '1.2' as const),
        (headers, version) => {
          const clean = headers.map(
            ([name, value]) => [name.replaceAll('\0', '-'), value.replaceAll('\0', '-')] as const,
          )
          expect(readHeaders(writeHeaders(clean, version), version)).toEqual(clean)
        },
      ),
    )
  })
})

describe('a header block for another version', () => {
  it('is the same bytes if nothing needs another form', () => {
    const plain = block('destination:/queue/a\nné:a b\nempty:\n')
    for (const from of versions) {
      for (const to of versions) expect(transcodeBlock(plain, from, to)).toBe(plain)
    }
    const escaped = block('a\\c:\\n\\\\\\c\n')
    expect(transcodeBlock(escaped, '1.2', '1.2')).toBe(escaped)
  })

  it('loses nothing upwards', () => {
    expect(transcoded('a:b:c\\d\n', '1.0', '1.2')).toBe('a:b\\cc\\\\d\n')
    expect(transcoded('a:b:c\n', '1.0', '1.2')).toBe('a:b\\cc\n')
    expect(transcoded('a: b\n', '1.0', '1.1')).toBe('a:b\n')
    expect(transcoded('a:b \n', '1.0', '1.1')).toBe('a:b\n')
    expect(transcoded('a:b\rc\r\n', '1.1', '1.2')).toBe('a:b\\rc\\r\n')
    expect(transcoded('a:b\rc\n', '1.0', '1.1')).toBe('a:b\rc\n')
  })

  it('keeps CR towards 1.1, where it needs no escape', () => {
    expect(transcoded('a\\rb:c\\rd\n', '1.2', '1.1')).toBe('a\rb:c\rd\n')
  })

  it('has spaces for ends of line, and _ for a colon in a name, towards 1.0', () => {
    expect(transcoded('a\\cb:c\\cd\\ne\\\\f\n', '1.1', '1.0')).toBe('a_b:c:d e\\f\n')
    expect(transcoded('a\\rb:c\\rd\n', '1.2', '1.0')).toBe('a b:c d\n')
  })

  it('says what the old one said, but for what the table in headers.ts lists', () => {
    const pairs = fc.array(fc.tuple(hardName, hard), { maxLength: 6 })
    fc.assert(
      fc.property(pairs, fc.constantFrom(...versions), fc.constantFrom(...versions), (headers, from, to) => {
        const written = writeHeaders(headers, from)
        const said = readHeaders(written, from)
        const received = readHeaders(transcodeBlock(written, from, to), to)
        const wanted = said.map(([name, value]) =>
          to !== '1.0' || from === '1.0'
            ? [name, value]
            : [
                name.replaceAll(/[\r\n]/g, ' ').replaceAll(':', '_'),
                value.replaceAll(/[\r\n]/g, ' ').replace(/^ +| +$/g, ''),
              ],
        )
        expect(received).toEqual(wanted)
      }),
      { numRuns: 2000 },
    )
  })

  it('never breaks the frame it stands in', () => {
    const pairs = fc.array(fc.tuple(hardName, hard), { maxLength: 6 })
    fc.assert(
      fc.property(pairs, fc.constantFrom(...versions), fc.constantFrom(...versions), (headers, from, to) => {
        const received = transcodeBlock(writeHeaders(headers, from), from, to)
        const bytes = Buffer.concat([Buffer.from('MESSAGE\n'), received, Buffer.from('\nbody\0')])
        const outcome = decode(bytes, to)
        expect(outcome.errors).toEqual([])
        expect(outcome.frames).toHaveLength(1)
        expect(outcome.frames[0]!.headers).toHaveLength(headers.length)
        expect(outcome.frames[0]!.body).toBe('body')
      }),
      { numRuns: 1000 },
    )
  })
})
