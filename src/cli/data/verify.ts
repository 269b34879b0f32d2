import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { framesOf } from '../../store/journal-copy.ts'
import type { Damage } from '../../store/journal-scan.ts'
import { journalFolder } from '../../store/open-journal.ts'
import { unfinishedBatch } from '../../store/recovery.ts'
import type { Segment } from '../../store/segments.ts'
import { CommandError, tell } from '../failure.ts'
import { Progress } from '../progress.ts'
import { entriesOf } from './entries.ts'
import { type DataOptions, type OpenStore, withStore } from './folder.ts'
import { countOf, mebibytes, messages, nameOf, number, print } from './names.ts'

interface Finding {
  readonly place: string
  readonly reason: string
}

/** Reads all of the store and says what of it is not as it was written. Ends with 1 if there is any such thing. */
export async function verify(options: DataOptions): Promise<void> {
  await withStore(options, 'verify', true, async (open) => {
    const findings = open.store.report.damages.filter(({ reason }) => reason !== unfinishedBatch).map(damageFinding)
    const bytes = await verifySegments(open, findings)
    const known = open.store.report.damages.length
    const count = await verifyMessages(open, findings)
    const isKnown = (segment: number): boolean => findings.some(({ place }) => place === `seg-${segment}`)
    const found = open.store.report.damages.slice(known).filter(({ segment }) => !isKnown(segment))
    if (found.length > 0 && open.isLive && (await hasLostSegments(open.folder, open.store.segments))) {
      tell("the broker's clients have taken messages while they were being read; the rest was left out")
    } else findings.push(...found.map(damageFinding))
    const result = { messages: count, owners: open.owners.length, bytes, isLive: open.isLive, findings }
    if (options.json === true) print(JSON.stringify(result))
    else for (const { place, reason } of findings) print(`${place}: ${reason}`)
    const read = `${messages(count)} of ${number(open.owners.length)} owners, ${mebibytes(bytes)} of journal`
    if (findings.length > 0) {
      throw new CommandError(
        `${open.folder} is damaged in ${number(findings.length)} places; ${read} were read. A broker serves all that can be read; manifoldmq data export saves it`,
      )
    }
    tell(`${open.folder} is sound: ${read}`)
  })
}

function damageFinding({ segment, offset, bytes, reason }: Damage): Finding {
  return { place: `seg-${segment} at ${offset}, ${bytes} bytes`, reason }
}

/** Checks every frame, those before the checkpoint too, which a start does not read. Returns how many bytes they are. */
async function verifySegments({ folder, store, isLive }: OpenStore, findings: Finding[]): Promise<number> {
  const known = new Set(store.report.damages.map(({ segment }) => segment))
  const segments = [...store.segments].filter(({ usedBytes }) => usedBytes > 0)
  const total = segments.reduce((sum, { usedBytes }) => sum + usedBytes, 0)
  const progress = new Progress('verified', total, mebibytes)
  try {
    for (const segment of segments) {
      const reason = await faultOf(segment)
      progress.count += segment.usedBytes
      const isNew = reason !== undefined && !known.has(segment.id)
      if (isNew && !(isLive && (await isGone(folder, segment)))) findings.push({ place: `seg-${segment.id}`, reason })
    }
  } finally {
    progress.end()
  }
  return total
}

async function faultOf({ id, file, usedBytes }: Segment): Promise<string | undefined> {
  const bytes = await file.read(0, usedBytes)
  const { end, isWhole } = framesOf(bytes, id)
  if (isWhole && end === usedBytes) return undefined
  return `only ${number(end)} of ${number(usedBytes)} bytes are whole frames, or there is a gap between them`
}

/** Whether a running broker has given the segment up while it was being read: then nobody needs what was in it. */
async function isGone(folder: string, { id }: Segment): Promise<boolean> {
  const path = join(folder, journalFolder, `seg-${id}`)
  const bytes = await readFile(path).catch(() => undefined)
  if (bytes === undefined || (await stat(path).catch(() => undefined)) === undefined) return true
  return framesOf(bytes, id).isWhole
}

/** Reads every message that is to be delivered one day. */
async function verifyMessages({ folder, store, owners, isLive }: OpenStore, findings: Finding[]): Promise<number> {
  const total = owners.reduce((sum, owner) => sum + countOf(owner), 0)
  const progress = new Progress('read', total)
  try {
    for (const owner of owners) {
      const name = nameOf(owner.spec)
      const unreadable: number[] = []
      for await (const { message } of entriesOf(store, owner, (sequence) => unreadable.push(sequence))) {
        message.view()
        progress.count += 1
      }
      if (unreadable.length === 0) continue
      if (isLive && (await hasLostSegments(folder, store.segments)))
        tell(`${name}: ${messages(unreadable.length)} have been taken while they were being read`)
      else for (const sequence of unreadable) findings.push({ place: name, reason: unreadableReason(sequence) })
    }
    return progress.count
  } finally {
    progress.end()
  }
}

function unreadableReason(sequence: number): string {
  return `the message with sequence ${sequence} is not what was written`
}

async function hasLostSegments(folder: string, segments: Iterable<Segment>): Promise<boolean> {
  for (const { id } of segments) {
    if ((await stat(join(folder, journalFolder, `seg-${id}`)).catch(() => undefined)) === undefined) return true
  }
  return false
}
