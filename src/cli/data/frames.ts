import { frameHeaderBytes, isFrameIntact, RecordType, readBlocks, readFrameHeader } from '../../store/frame.ts'
import type { OpenStore } from './folder.ts'
import { number, print } from './names.ts'

const typeNames = new Map<number, string>(Object.entries(RecordType).map(([name, type]) => [type, name]))
const marker = Buffer.from('MMJ1')

interface RecordLine {
  readonly type: string
  readonly owner: number
  readonly priority: number
  readonly sequence: number
  readonly bytes: number
}

/** Prints the frames of the segments from a given one on, each with its records: what was written, in the order it was. */
export async function printFrames({ store }: OpenStore, from: number, isJson: boolean): Promise<void> {
  for (const { id, file, usedBytes } of store.segments) {
    if (id < from) continue
    const bytes = await file.read(0, usedBytes)
    for (let at = 0; at < bytes.length; ) {
      const header = readFrameHeader(bytes, at)
      if (header?.segment !== id || !isFrameIntact(bytes, at, header)) {
        const next = bytes.indexOf(marker, at + 1)
        const end = next < 0 ? bytes.length : next
        if (isJson) print(JSON.stringify({ segment: id, offset: at, bytes: end - at, isIntact: false }))
        else print(`seg-${id} at ${at}: ${number(end - at)} bytes that are no frame`)
        at = end
        continue
      }
      const records: RecordLine[] = []
      readBlocks(bytes, at + frameHeaderBytes, at + header.bytes, (record) => {
        const { type, owner, priority, sequence } = record
        records.push({
          type: typeNames.get(type) ?? `type ${type}`,
          owner,
          priority,
          sequence,
          bytes: record.end - record.at,
        })
      })
      const { number: frame, epoch, continues } = header
      if (isJson)
        print(JSON.stringify({ segment: id, offset: at, bytes: header.bytes, frame, epoch, continues, records }))
      else {
        const goesOn = continues ? ', its batch goes on in the next' : ''
        print(
          `seg-${id} at ${at}: frame ${frame} of epoch ${epoch}, ${number(header.bytes)} bytes, ${records.length} records${goesOn}`,
        )
        for (const { type, owner, priority, sequence, bytes: length } of records)
          print(`  ${type} owner ${owner} priority ${priority} sequence ${sequence}, ${number(length)} bytes`)
      }
      at += header.bytes
    }
  }
}
