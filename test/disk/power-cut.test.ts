import { afterEach, beforeEach, test } from 'vitest'
import { LoopDisk } from '../../interop/loop-disk.ts'
import { CrashingBroker, crashUnderLoad, expectSound } from '../support/crashing-broker.ts'
import { randomOf, startSeed } from '../support/seed.ts'

const environment: { readonly CUTS?: string } = process.env
const cuts = Number(environment.CUTS ?? 40)

let disk: LoopDisk
let broker: CrashingBroker

beforeEach(async () => {
  disk = await LoopDisk.make()
  await disk.mount()
  broker = new CrashingBroker(disk.mountPoint)
})

afterEach(async () => {
  await broker.end('SIGKILL')
  await disk.remove()
})

/** What has not been flushed is gone, as without power; the broker may still learn of it, or be killed meanwhile. */
async function cut(random: () => number): Promise<void> {
  const aborted = disk.abort()
  if (random() < 0.5) await aborted
  await new Promise((resolve) => setTimeout(resolve, random() * 30))
  await broker.end('SIGKILL')
  await aborted
  await disk.unmount()
  await disk.mount()
}

test(
  `a broker whose disk is cut off ${cuts} times under load loses nothing it confirmed, and nothing acknowledged comes back`,
  async () => {
    const seed = startSeed()
    const random = randomOf(seed)
    const options = { crashes: cuts, random, crash: () => cut(random) }
    const figures = await crashUnderLoad(broker, options)
    expectSound(figures, seed)
    console.log(JSON.stringify({ seed, cuts, ...figures }))
  },
  30_000 + cuts * 5_000,
)
