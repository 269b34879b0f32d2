/** One measurement of a store or of what is below it: `program.js ORDER` with the order in JSON; prints the result in JSON. */
import { pbkdf2 } from 'node:crypto'
import { ClosedLoop } from './closed-loop.ts'
import { type Engine, NoEngine } from './engine.ts'
import { type LoopJob, noTrouble, type StoreOrder, type StoreResult } from './job.ts'
import { JournalEngine } from './journal-engine.ts'
import { LmdbEngine } from './lmdb-engine.ts'
import { append, copy, overwrite, overwriteDsync } from './raw-disk.ts'

/** Twice what libuv's pool has threads. */
const poolJobs = 8
const poolJobRounds = 100_000
const warmUpSeconds = 1

async function carryOut({ job, seconds, folder }: StoreOrder): Promise<StoreResult> {
  switch (job.kind) {
    case 'loop':
      if (job.isPoolBusy) keepPoolBusy()
      return await new ClosedLoop(engineOf(job, folder), job).run(seconds, warmUpSeconds)
    case 'append':
      return { figures: append(folder, seconds), trouble: noTrouble }
    case 'overwrite':
      return { figures: overwrite(folder, seconds), trouble: noTrouble }
    case 'overwrite-dsync':
      return { figures: overwriteDsync(folder, seconds), trouble: noTrouble }
    case 'copy':
      return { figures: copy(job.bodyBytes, seconds), trouble: noTrouble }
    default:
      return job satisfies never
  }
}

function engineOf({ engine, bodyBytes }: LoopJob, folder: string): Engine {
  switch (engine) {
    case 'journal':
      return new JournalEngine(folder, false)
    case 'journal-pool':
      return new JournalEngine(folder, true)
    case 'lmdb':
      return new LmdbEngine(folder)
    case 'nothing':
      return new NoEngine(bodyBytes)
    default:
      return engine satisfies never
  }
}

/** Passwords to check without end, as a broker with many logins has. */
function keepPoolBusy(): void {
  const again = (): void => pbkdf2('password', 'salt', poolJobRounds, 32, 'sha256', again)
  for (let job = 0; job < poolJobs; job += 1) again()
}

const result = await carryOut(JSON.parse(process.argv[2] ?? ''))
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
