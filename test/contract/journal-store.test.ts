import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/clock.ts'
import { JournalStore } from '../../src/store/journal-store.ts'
import { FileDisk } from '../../src/store/log/file-disk.ts'
import { PoolLane } from '../../src/store/log/pool-lane.ts'
import { storeContract } from './store-contract.ts'

storeContract('the journal', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'manifoldmq-contract-'))
  return {
    store: async () =>
      new JournalStore(await FileDisk.open(folder, new PoolLane(), () => Promise.resolve()), systemClock),
    clear: () => rm(folder, { recursive: true }),
  }
})
