import type { BrokerJob } from './broker-jobs.ts'
import { compactedMibMax, drainedMibMax, type EngineName, type LoopJob, type StoreJob } from './job.ts'

/** One of the things that a row measures in turn. */
export interface Subject {
  readonly name: string
  readonly job: StoreJob | BrokerJob
}

/** A figure to keep to, alone or beside another of the same run. */
export interface StoreGoal {
  readonly text: string
  readonly subject: string
  readonly figure: string
  /** What it is divided by. */
  readonly base?: { readonly subject: string; readonly figure: string }
  readonly min?: number
  readonly max?: number
}

/** A store, or a broker with one, beside what the same disk and processor do without. */
export interface StoreRow {
  readonly kind: 'store'
  readonly name: string
  readonly title: string
  /** Takes many minutes or much disk: run only when it is asked for by name. */
  readonly isLong: boolean
  readonly subjects: readonly Subject[]
  readonly goals: readonly StoreGoal[]
}

const kib = 1024
const million = 1_000_000

function loop(engine: EngineName, bodyBytes: number, change: Partial<LoopJob> = {}): LoopJob {
  return { kind: 'loop', engine, bodyBytes, window: 2000, lanes: 2, backlog: 0, isPoolBusy: false, ...change }
}

const append: Subject = { name: 'append 1 MiB', job: { kind: 'append' } }
const overwrite: Subject = { name: 'overwrite 4 KiB', job: { kind: 'overwrite' } }
/** Beside the flush, which the store uses: who measures a machine sees whether that is the right one there. */
const overwriteDsync: Subject = { name: 'overwrite 4 KiB, O_DSYNC', job: { kind: 'overwrite-dsync' } }
const one = { window: 1, lanes: 1 }

const rateGoal = (text: string, base: string, min: number): StoreGoal => ({
  text,
  subject: 'journal',
  figure: 'perSecond',
  base: { subject: base, figure: 'perSecond' },
  min,
})

const bandwidthGoal: StoreGoal = {
  text: 'bandwidth in and out, of appending 1 MiB at a time',
  subject: 'journal',
  figure: 'mbPerSecond',
  base: { subject: append.name, figure: 'mbPerSecond' },
  min: 1,
}

const mainCpuGoal = (max: number): StoreGoal => ({
  text: 'microseconds of the main thread for a message, in and out',
  subject: 'journal',
  figure: 'mainCpuUs',
  max,
})

const engineRows: readonly StoreRow[] = [
  {
    kind: 'store',
    name: 'store-1k',
    title: 'store in and out, 1 KiB, 2,000 in flight',
    isLong: false,
    subjects: [
      append,
      { name: 'copy', job: { kind: 'copy', bodyBytes: kib } },
      { name: 'nothing', job: loop('nothing', kib) },
      { name: 'lmdb', job: loop('lmdb', kib) },
      { name: 'journal', job: loop('journal', kib) },
    ],
    goals: [bandwidthGoal, rateGoal("lmdb's rate", 'lmdb', 4), mainCpuGoal(1.5)],
  },
  {
    kind: 'store',
    name: 'store-64',
    title: 'store in and out, 64 B, 2,000 in flight',
    isLong: false,
    subjects: [
      { name: 'copy', job: { kind: 'copy', bodyBytes: 64 } },
      { name: 'lmdb', job: loop('lmdb', 64) },
      { name: 'journal', job: loop('journal', 64) },
    ],
    goals: [rateGoal("lmdb's rate", 'lmdb', 5), mainCpuGoal(0.9)],
  },
  {
    kind: 'store',
    name: 'store-16k',
    title: 'store in and out, 16 KiB, 2,000 in flight',
    isLong: false,
    subjects: [
      append,
      { name: 'copy', job: { kind: 'copy', bodyBytes: 16 * kib } },
      { name: 'lmdb', job: loop('lmdb', 16 * kib) },
      { name: 'journal', job: loop('journal', 16 * kib) },
    ],
    goals: [bandwidthGoal, rateGoal("lmdb's rate", 'lmdb', 1)],
  },
  {
    kind: 'store',
    name: 'store-commit',
    title: 'store, one commit at a time, 1 KiB',
    isLong: false,
    subjects: [
      overwrite,
      overwriteDsync,
      { name: 'lmdb', job: loop('lmdb', kib, one) },
      { name: 'journal', job: loop('journal', kib, one) },
      { name: 'journal, 128', job: loop('journal', kib, { window: 128, lanes: 1 }) },
    ],
    goals: [
      ...(['p50Ms', 'p99Ms'] as const).map((figure) => ({
        text: `a commit's ${figure.slice(0, 3)}, of overwriting 4 KiB`,
        subject: 'journal',
        figure,
        base: { subject: overwrite.name, figure },
        max: figure === 'p50Ms' ? 2.5 : 5,
      })),
      {
        text: 'the rate of 128 in flight, of the rate of one',
        subject: 'journal, 128',
        figure: 'perSecond',
        base: { subject: 'journal', figure: 'perSecond' },
        min: 30,
      },
    ],
  },
  {
    kind: 'store',
    name: 'store-pool',
    title: "store, one commit at a time while libuv's pool is busy",
    isLong: false,
    subjects: [
      { name: 'journal', job: loop('journal', kib, one) },
      { name: 'journal, busy', job: loop('journal', kib, { ...one, isPoolBusy: true }) },
      { name: 'in the pool, busy', job: loop('journal-pool', kib, { ...one, isPoolBusy: true }) },
    ],
    goals: [
      {
        text: "a commit's p50 while 8 passwords are checked, of that of a quiet process",
        subject: 'journal, busy',
        figure: 'p50Ms',
        base: { subject: 'journal', figure: 'p50Ms' },
        max: 5,
      },
    ],
  },
  {
    kind: 'store',
    name: 'store-depth',
    title: 'store in and out behind 2,000,000 messages, 1 KiB',
    isLong: false,
    subjects: [
      { name: 'journal', job: loop('journal', kib) },
      { name: 'journal, 2 M', job: loop('journal', kib, { backlog: 2 * million }) },
    ],
    goals: [
      {
        text: 'the rate of an empty one',
        subject: 'journal, 2 M',
        figure: 'perSecond',
        base: { subject: 'journal', figure: 'perSecond' },
        min: 0.4,
      },
    ],
  },
]

const deepGoals = (extraRssMibMax: number, readyMsMax: number): readonly StoreGoal[] => [
  { text: 'MiB more in memory than before', subject: 'broker', figure: 'extraRssMib', max: extraRssMibMax },
  {
    text: 'the steady rate behind the backlog, of that without when all is written as well',
    subject: 'broker',
    figure: 'deepPerSecond',
    base: { subject: 'broker', figure: 'writtenPerSecond' },
    min: 0.8,
  },
  {
    text: 'the same, of that without when what is accepted at once is not written',
    subject: 'broker',
    figure: 'deepPerSecond',
    base: { subject: 'broker', figure: 'steadyPerSecond' },
    min: 0.8,
  },
  { text: 'ms to ready after kill -9, cold cache', subject: 'broker', figure: 'coldReadyMs', max: readyMsMax },
  { text: 'ms to ready after kill -9, warm cache', subject: 'broker', figure: 'warmReadyMs', max: readyMsMax },
  { text: 'MiB of journal to read again after kill -9', subject: 'broker', figure: 'replayMib', max: 200 },
  { text: 'MiB on disk at most 10 s after the drain', subject: 'broker', figure: 'drainedMib', max: drainedMibMax },
]

const brokerRows: readonly StoreRow[] = [
  {
    kind: 'store',
    name: 'persistent-1k',
    title: 'queue 1->1, 1 KiB, persistent and not',
    isLong: false,
    subjects: [
      { name: 'in memory', job: { kind: 'broker-flow', bodyBytes: kib, isPersistent: false } },
      { name: 'persistent', job: { kind: 'broker-flow', bodyBytes: kib, isPersistent: true } },
    ],
    goals: [
      {
        text: 'of the rate of messages that are not persistent',
        subject: 'persistent',
        figure: 'perSecond',
        base: { subject: 'in memory', figure: 'perSecond' },
        min: 0.7,
      },
    ],
  },
  {
    kind: 'store',
    name: 'backlog-2m',
    title: 'persistent backlog, 2,000,000 x 1 KiB',
    isLong: true,
    subjects: [{ name: 'broker', job: { kind: 'broker-backlog', bodyBytes: kib, messages: 2 * million } }],
    goals: deepGoals(64, 1000),
  },
  {
    kind: 'store',
    name: 'backlog-20m',
    title: 'persistent backlog, 20,000,000 x 64 B',
    isLong: true,
    subjects: [{ name: 'broker', job: { kind: 'broker-backlog', bodyBytes: 64, messages: 20 * million } }],
    goals: deepGoals(256, 3000),
  },
  {
    kind: 'store',
    name: 'forgotten',
    title: 'one message in 10,000 left unacknowledged, of 2,000,000 x 1 KiB',
    isLong: true,
    subjects: [
      { name: 'broker', job: { kind: 'broker-forgotten', bodyBytes: kib, messages: 2 * million, every: 10_000 } },
    ],
    goals: [
      {
        text: 'MiB on disk at most 60 s later, over 4 x live',
        subject: 'broker',
        figure: 'overMib',
        max: compactedMibMax,
      },
    ],
  },
]

export const storeRows: readonly StoreRow[] = [...engineRows, ...brokerRows]
