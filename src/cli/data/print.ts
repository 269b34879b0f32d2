import type { OwnerRecord, StoredEntry } from '../../store/store.ts'
import { CommandError, tell } from '../failure.ts'
import { entriesOf } from './entries.ts'
import { type DataOptions, type OpenStore, withStore } from './folder.ts'
import { printFrames } from './frames.ts'
import { propertiesOf } from './lines.ts'
import { countOf, mebibytes, messages, nameOf, number, print, time } from './names.ts'

export interface PrintOptions extends DataOptions {
  /** Prints the messages of this owner instead. */
  readonly messages?: string
  /** Prints the frames instead, from this segment on. */
  readonly frames?: number
}

/** Prints what is stored: who holds how much, or the messages of one, or the journal itself. */
export async function printData(options: PrintOptions): Promise<void> {
  const isJson = options.json === true
  await withStore(options, 'print', false, async (open) => {
    if (options.frames !== undefined) await printFrames(open, options.frames, isJson)
    else if (options.messages !== undefined) await printMessages(open, options.messages, isJson)
    else printSummary(open, isJson)
  })
}

function printSummary({ folder, store, owners }: OpenStore, isJson: boolean): void {
  const segments = [...store.segments]
  const { wasClean, frameCount, damages } = store.report
  const liveBytes = segments.reduce((sum, segment) => sum + segment.liveBytes, 0)
  const usedBytes = segments.reduce((sum, segment) => sum + segment.usedBytes, 0)
  const states = [...store.states].map(([key, value]) => ({ key, bytes: value.length }))
  if (isJson) {
    const list = owners.map((owner) => ({ ...ownerJson(owner) }))
    const journal = { segments: segments.length, usedBytes, liveBytes }
    print(
      JSON.stringify({ folder, wasClean, framesAfterCheckpoint: frameCount, journal, owners: list, states, damages }),
    )
    return
  }
  const closed = wasClean ? 'closed in order' : `not closed in order, ${number(frameCount)} frames after the checkpoint`
  print(`store    ${folder}, ${closed}`)
  print(
    `journal  ${segments.length} segments, ${mebibytes(usedBytes)} written, of which ${mebibytes(liveBytes)} are alive`,
  )
  for (const { segment, offset, bytes, reason } of damages)
    print(`damage   seg-${segment} at ${offset}, ${bytes} bytes: ${reason}`)
  for (const owner of owners) print(`owner    ${ownerText(owner)}`)
  if (states.length > 0) print(`states   ${number(states.length)} of protocols`)
}

function ownerJson(owner: OwnerRecord): object {
  const { id, spec, counts, bytes, lastSequence } = owner
  const byPriority = Object.fromEntries([...counts.entries()].filter(([, count]) => count > 0))
  return { id, name: nameOf(spec), settings: spec.settings, messages: countOf(owner), byPriority, bytes, lastSequence }
}

function ownerText(owner: OwnerRecord): string {
  const { spec, counts, bytes, lastSequence } = owner
  const used = [...counts.entries()].filter(([, count]) => count > 0)
  const split =
    used.length > 1 ? ` (${used.map(([priority, count]) => `priority ${priority}: ${number(count)}`).join(', ')})` : ''
  const settings = Object.entries(spec.settings)
    .map(([name, value]) => ` ${name}=${value}`)
    .join('')
  return `${nameOf(spec)}: ${messages(countOf(owner))}${split}, ${mebibytes(bytes)}, last sequence ${lastSequence}${settings}`
}

async function printMessages({ folder, store, owners }: OpenStore, name: string, isJson: boolean): Promise<void> {
  const owner = owners.find(({ spec }) => nameOf(spec) === name)
  if (owner === undefined) {
    const names = owners.map(({ spec }) => nameOf(spec))
    const some = names.length === 0 ? 'nothing is' : `there are ${names.slice(0, 20).join(', ')}`
    throw new CommandError(`there is no ${name} in ${folder}; ${some}`)
  }
  const onUnreadable = (sequence: number): void => tell(`the message with sequence ${sequence} cannot be read`)
  for await (const entry of entriesOf(store, owner, onUnreadable)) print(isJson ? entryJson(entry) : entryText(entry))
}

function entryJson({ sequence, deliveryCount, redelivered, notBefore, message }: StoredEntry): string {
  const { id, priority, expiresAt, timestamp, groupId, annotations, bodySize } = message
  const address = message.address.toString()
  const properties = propertiesOf(message)
  const facts = { id, address, priority, timestamp, expiresAt, groupId, annotations, bodyBytes: bodySize, properties }
  return JSON.stringify({ sequence, deliveryCount, redelivered, notBefore, ...facts })
}

function entryText({ sequence, deliveryCount, redelivered, notBefore, message }: StoredEntry): string {
  const parts = [
    `${sequence}  id ${message.id}, ${number(message.bodySize)} bytes, priority ${message.priority}, taken in ${time(message.timestamp)}`,
  ]
  if (redelivered) parts.push(`seen, failed ${deliveryCount} times`)
  if (notBefore > 0) parts.push(`not before ${time(notBefore)}`)
  if (message.expiresAt > 0) parts.push(`expires ${time(message.expiresAt)}`)
  return parts.join(', ')
}
