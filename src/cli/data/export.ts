import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Writable } from 'node:stream'
import { flushFolder } from '../../store/folder.ts'
import { CommandError, tell } from '../failure.ts'
import { Progress } from '../progress.ts'
import { entriesOf } from './entries.ts'
import { type DataOptions, type OpenStore, withStore } from './folder.ts'
import { type ExportLine, exportVersion, messageLine } from './lines.ts'
import { countOf, messages, nameOf, number } from './names.ts'

/** Writes everything that is stored as lines of JSON, to a file or to standard output. */
export async function exportData(file: string | undefined, options: DataOptions): Promise<void> {
  await withStore(options, 'export', false, async (open) => {
    if (file === undefined) {
      checkWhole(await write(open, process.stdout))
      return
    }
    const partial = `${file}.partial`
    const out = createWriteStream(partial, { flush: true })
    try {
      const counts = await write(open, out)
      out.end()
      await once(out, 'close')
      await rename(partial, file)
      await flushFolder(dirname(file))
      tell(`exported ${messages(counts.messages)} of ${number(counts.owners)} owners to ${file}`)
      checkWhole(counts)
    } catch (error) {
      out.destroy()
      await rm(partial, { force: true })
      throw error
    }
  })
}

/** What could be read has been written all the same. */
function checkWhole({ leftOut }: Counts): void {
  if (leftOut > 0) throw new CommandError(`${messages(leftOut)} could not be read and are not in the export`)
}

interface Counts {
  readonly leftOut: number
  readonly owners: number
  readonly messages: number
  readonly states: number
}

async function write({ store, owners }: OpenStore, out: Writable): Promise<Counts> {
  const total = owners.reduce((sum, owner) => sum + countOf(owner), 0)
  const progress = new Progress('exported', total)
  const failed = once(out, 'error').then(([error]) => Promise.reject(error as Error))
  const put = async (line: ExportLine): Promise<void> => {
    if (!out.write(`${JSON.stringify(line)}\n`)) await Promise.race([once(out, 'drain'), failed])
  }
  failed.catch(() => undefined)
  let leftOut = 0
  try {
    await put({ kind: 'manifoldmq-export', version: exportVersion })
    for (const { id, spec, lastSequence } of owners) await put({ kind: 'owner', id, spec, lastSequence })
    for (const owner of owners) {
      const onUnreadable = (sequence: number): void => {
        tell(`${nameOf(owner.spec)}: the message with sequence ${sequence} cannot be read and is left out`)
        leftOut += 1
      }
      for await (const entry of entriesOf(store, owner, onUnreadable)) {
        await put(messageLine(owner.id, entry))
        progress.count += 1
      }
    }
    for (const [key, value] of store.states) {
      await put({ kind: 'state', key, value: Buffer.from(value).toString('base64') })
    }
    const counts = { owners: owners.length, messages: progress.count, states: store.states.size }
    await put({ kind: 'end', ...counts })
    return { ...counts, leftOut }
  } finally {
    progress.end()
  }
}
