import { setImmediate as later } from 'node:timers/promises'
import type { JournalSizes } from '../../src/store/journal-limits.ts'
import { JournalStore } from '../../src/store/journal-store.ts'
import type { DiskFile } from '../../src/store/log/disk.ts'
import { testFormats } from './messages.ts'
import { type Names, type Random, SimulatedDisk } from './simulated-disk.ts'
import { TestBroker, type TestBrokerOptions } from './test-broker.ts'

/** Something that may not be in a broker that has crashed. */
export class Violation extends Error {}

/** A disk whose users do not flush in recovery the tail that they have found: the broken variant of storage.md 6.3. */
export class TailLosingDisk extends SimulatedDisk {
  override flush(_file: DiskFile): Promise<void> {
    return this.operation()
  }

  protected override successor({ names, flushedNames }: Names): SimulatedDisk {
    return new TailLosingDisk(names, flushedNames)
  }
}

/** So small that a few messages fill a segment. Nothing waits to be accepted, for a clock may stand still. */
export const crashSizes: JournalSizes = {
  segmentBytes: 24 * 1024,
  frameBytesMax: 6 * 1024,
  partBytes: 2 * 1024,
  eagerBytes: 1024,
  patientBytes: Number.POSITIVE_INFINITY,
  checkpointBytes: 40 * 1024,
  pageCacheBytes: 4 * 1024,
  pageEntries: 24,
}

/** A few messages wait to be accepted; the clock must go on. */
export const patientSizes: JournalSizes = { ...crashSizes, patientBytes: 512 }

const turnsMax = 20_000

/** A broker over one disk after the other, those who use it, and what they know of what it must have kept. */
export interface CrashSimulation {
  readonly random: Random
  /** False if the broker has crashed before it was open. */
  open(disk: SimulatedDisk, crashAfter: number): Promise<boolean>
  /** Somebody does something. */
  step(): void
  turn(): Promise<void>
  /** The broker is open and crashes no more. */
  end(): Promise<void>
}

/** Has it crash so often, while it is opened or at work, and open once more. */
export async function crashAgain(simulation: CrashSimulation, disk: SimulatedDisk, times: number): Promise<void> {
  const { random } = simulation
  const pick = (count: number): number => Math.floor(random() * count)
  let current = disk
  for (let round = 0; round < times; round += 1) {
    const isOpen = await simulation.open(current, round === 0 ? Number.POSITIVE_INFINITY : pick(250))
    if (isOpen) current.crashAfter = current.operations + pick(400)
    for (let step = 0; isOpen && !current.isCrashed; step += 1) {
      if (step > turnsMax) throw new Violation('the broker has come to a halt')
      simulation.step()
      await simulation.turn()
    }
    current = current.after(random() < 0.4 ? 'kill' : 'power loss', random)
  }
  await simulation.open(current, Number.POSITIVE_INFINITY)
  await simulation.end()
}

/** Names the seed of a violation. */
export async function seeded<T>(seed: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    throw new Violation(`${error.message}, FUZZ_SEED=${seed}`)
  }
}

/** What a simulation finds first of a recovery that does not flush the tail; `undefined` if 40 seeds find nothing. */
export async function foundWithLostTails(simulate: (seed: number, disk: SimulatedDisk) => Promise<unknown>) {
  let found: unknown
  for (let seed = 1; seed <= 40 && found === undefined; seed += 1) {
    await simulate(seed, new TailLosingDisk()).catch((error: unknown) => {
      found = error
    })
  }
  return found
}

/** A broker on what a disk has, which may crash after so many operations. Undefined if it does before the broker is open. */
export async function openOrCrash(
  disk: SimulatedDisk,
  crashAfter: number,
  options: TestBrokerOptions & Required<Pick<TestBrokerOptions, 'clock'>>,
): Promise<TestBroker | undefined> {
  disk.crashAfter = crashAfter
  let test: TestBroker | undefined
  let failure: unknown
  const store = options.store ?? new JournalStore(disk, options.clock, patientSizes)
  TestBroker.open({ formats: testFormats, ...options, store }).then(
    (opened) => {
      test = opened
    },
    (error: unknown) => {
      failure = error
    },
  )
  for (let turns = 0; test === undefined && !disk.isCrashed; turns += 1) {
    if (failure !== undefined) throw new Violation(`it cannot be opened: ${String(failure)}`)
    if (turns > turnsMax) throw new Violation('neither opened nor crashed')
    await later()
  }
  // It may have crashed in the moment in which it was open.
  if (disk.isCrashed) return undefined
  disk.crashAfter = Number.POSITIVE_INFINITY
  return test
}

/** Lets the broker and the disk go on a little, more or less. */
export async function goOn(test: TestBroker, random: Random): Promise<void> {
  test.turn()
  if (random() < 0.5) await later()
  else for (let ticks = Math.floor(random() * 12); ticks > 0; ticks -= 1) await Promise.resolve()
  // What is told at the moment of the crash has been told.
  for (const failure of test.failures) throw new Violation(failure.message)
}

/** Closes the broker in order. */
export async function closeOrHalt(test: TestBroker): Promise<void> {
  let isClosed = false
  void test.broker.close().then(() => {
    isClosed = true
  })
  for (let turns = 0; !isClosed; turns += 1) {
    if (turns > turnsMax) throw new Violation('it does not close')
    test.turn()
    test.clock.advance(100)
    await later()
  }
}
