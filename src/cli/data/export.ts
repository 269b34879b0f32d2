import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { tell } from '../failure.ts'
import { Progress } from '../progress.ts'
import { entriesOf } from './entries.ts'
import { type DataOptions, type OpenStore, withStore } from './folder.ts'
import { type ExportLine, exportVersion, messageLine } from './lines.ts'
import { countOf, messages, number } from './names.ts'

/** Writes everything that is stored as lines of JSON, to a file or to standard output. */
export async function exportData(file: string | undefined, options: DataOptions): Promise<void> {
  await withStore(options, 'export', false, async (open) => {
    if (file === undefined) {
      await write(open, process.stdout)
      return
    }
    const partial = `${file}.partial`
    const out = createWriteStream(partial, { flush: true })
    try {
      const counts = await write(open, out)
      out.end()
      await once(out, 'close')
      await rename(partial, file)
      tell(`exported ${messages(counts.messages)} of ${number(counts.owners)} owners to ${file}`)
    } catch (error) {
      out.destroy()
      await rm(partial, { force: true })
      throw error
    }
  })
}

interface Counts {
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
  try {
    await put({ kind: 'manifoldmq-export', version: exportVersion })
    for (const { id, spec, lastSequence } of owners) await put({ kind: 'owner', id, spec, lastSequence })
    for (const owner of owners) {
      for await (const entry of entriesOf(store, owner)) {
        await put(messageLine(owner.id, entry))
        progress.count += 1
      }
    }
    for (const [key, value] of store.states) {
      await put({ kind: 'state', key, value: Buffer.from(value).toString('base64') })
    }
    const counts = { owners: owners.length, messages: progress.count, states: store.states.size }
    await put({ kind: 'end', ...counts })
    return counts
  } finally {
    progress.end()
  }
}
