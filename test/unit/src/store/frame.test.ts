import { describe, expect, test } from 'vitest'
import {
  blockBytes,
  blockEnd,
  blockHeaderBytes,
  frameHeaderBytes,
  isFrameIntact,
  RecordType,
  readBlocks,
  readFrameHeader,
  recordHeaderBytes,
  sealFrame,
} from '../../../../src/store/frame.ts'
import { JournalBatch } from '../../../../src/store/journal-batch.ts'
import { JournalFrame } from '../../../../src/store/journal-frame.ts'
import { MessageEncoder } from '../../../../src/store/message-codec.ts'
import type { Place } from '../../../../src/store/segments.ts'
import { messageOf } from '../../../support/messages.ts'

/** A sealed frame of a batch, in segment 7. */
function frameOf(fill: (batch: JournalBatch) => void, offset = 0): Buffer {
  const batch = new JournalBatch(() => 1)
  fill(batch)
  const frame = new JournalFrame(Buffer.alloc(512 * 1024), new MessageEncoder(), 100_000)
  const file = undefined as unknown as Place['segment']['file']
  const segment = { id: 7, file, usedBytes: 0, liveEntries: 0, liveBytes: 0 }
  frame.begin({ segment, offset, room: 512 * 1024 })
  for (const change of batch.changes) expect(frame.add(change)).toBe(true)
  const bytes = Buffer.from(frame.memory.subarray(0, frame.finish(3, 2 ** 40 + 5)))
  sealFrame(bytes)
  return bytes
}

const sizes = [10, 100, 20_000, 5, 3_000, 40_000, 1, 2, 3, 9_000, 9_000, 9_000]
const bodies = sizes.map((size, index) => `${index}`.repeat(size))
const many = (batch: JournalBatch): void => {
  for (const [index, body] of bodies.entries()) batch.put(9, 2 ** 40 + index, messageOf({ body, durable: true }), 0)
}

describe('a frame', () => {
  test('refers to a message that came just before only if it is not to come at another time', () => {
    const message = messageOf({ body: 'shared', durable: true })
    const bytes = frameOf((batch) => {
      for (const [index, time] of [0, 0, -1, -1, 5].entries()) batch.put(1 + index, 1, message, time)
    })
    const found: string[] = []
    readBlocks(bytes, frameHeaderBytes, bytes.length, ({ type, at }) => {
      found.push(type === RecordType.put ? `${bytes.readDoubleLE(at)}` : 'same')
    })
    expect(found).toEqual(['0', 'same', '-1', 'same', '5'])
  })

  test('is sealed only if its blocks lead to its end', () => {
    for (const length of [0, 7, 41, 2 ** 32 - 1]) {
      const bytes = frameOf((batch) => batch.put(1, 1, messageOf({ body: 'x', durable: true }), 0))
      bytes.writeUInt32LE(length, frameHeaderBytes)
      expect(() => sealFrame(bytes)).toThrow(RangeError)
    }
  })

  test('is read as it was written', () => {
    const bytes = frameOf(many)
    const header = readFrameHeader(bytes, 0)
    expect(header).toMatchObject({ bytes: bytes.length, epoch: 3, segment: 7, number: 2 ** 40 + 5, continues: false })
    expect(header !== undefined && isFrameIntact(bytes, 0, header)).toBe(true)
    const found: [number, number, number, boolean][] = []
    readBlocks(bytes, frameHeaderBytes, bytes.length, ({ type, owner, sequence, at, end }) => {
      found.push([type, owner, sequence, bytes.toString('latin1', at, end).endsWith(bodies[found.length] as string)])
    })
    expect(found).toEqual(bodies.map((_, index) => [RecordType.put, 9, 2 ** 40 + index, true]))
  })

  test('has blocks that end with the record that fills them, and leads from each record to its block', () => {
    const bytes = frameOf(many)
    for (let block = frameHeaderBytes; block < bytes.length; ) {
      const end = blockEnd(bytes, block, bytes.length, 7)
      expect(end).toBeGreaterThan(block)
      let last = block
      for (let at = block + blockHeaderBytes; at < end; at += recordHeaderBytes + bytes.readUInt32LE(at + 16)) {
        expect(at - bytes.readUInt16LE(at + 14)).toBe(block)
        last = at
      }
      expect(last - block).toBeLessThan(blockBytes)
      block = end
    }
  })

  test('is not taken for whole with any bit of it turned over, nor in another segment', () => {
    const bytes = frameOf((batch) => {
      batch.put(1, 1, messageOf({ body: 'x', durable: true }), 0)
      batch.state('key', new Uint8Array([1, 2, 3]))
    })
    for (let at = 0; at < bytes.length; at += 1) {
      const flipped = Buffer.from(bytes)
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      const header = readFrameHeader(flipped, 0)
      expect(header !== undefined && isFrameIntact(flipped, 0, header), `byte ${at}`).toBe(false)
    }
    expect(blockEnd(bytes, frameHeaderBytes, bytes.length, 8)).toBe(-1)
  })

  test('of blocks that are all sound but not its own is not taken for whole', () => {
    const [one, other] = ['a', 'b'].map((body) =>
      frameOf((batch) => {
        for (let at = 1; at < 4; at += 1) batch.put(1, at, messageOf({ body: body.repeat(20_000), durable: true }), 0)
      }),
    ) as [Buffer, Buffer]
    const end = blockEnd(one, frameHeaderBytes, one.length, 7)
    other.copy(one, frameHeaderBytes, frameHeaderBytes, end)
    expect(blockEnd(one, frameHeaderBytes, one.length, 7)).toBe(end)
    const header = readFrameHeader(one, 0)
    expect(header !== undefined && isFrameIntact(one, 0, header)).toBe(false)
  })
})
