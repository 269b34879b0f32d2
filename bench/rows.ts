import type { FlowPlan } from './plan.ts'
import { type StoreRow, storeRows } from './store/rows.ts'

/** What stays the same in all runs of a row. */
export type FlowShape = Pick<
  FlowPlan,
  | 'protocol'
  | 'isSettled'
  | 'isTopic'
  | 'producers'
  | 'consumers'
  | 'bodyBytes'
  | 'isPersistent'
  | 'ack'
  | 'window'
  | 'unreceivedMax'
>

/** Messages through relay and broker, in turn. */
export interface FlowRow {
  readonly kind: 'flow'
  readonly name: string
  readonly title: string
  readonly shape: FlowShape
  /** Messages a second by schedule; undefined: as fast as the windows allow. */
  readonly perSecond?: number
  /** The least share of the relay's rate that the broker should reach. */
  readonly shareMin?: number
  readonly p99MsMax?: number
}

/** Messages through the broker alone. */
export interface PlainRow {
  readonly kind: 'plain'
  readonly name: string
  readonly title: string
  readonly shape: FlowShape
  /** What is measured in turn with it, and how many times the rate of that it should reach; undefined: nothing. */
  readonly base: { readonly shape: FlowShape; readonly timesMin: number | undefined } | undefined
}

/** A million messages put into a queue, then taken out. */
export interface BacklogRow {
  readonly kind: 'backlog'
  readonly name: string
  readonly title: string
  readonly shape: FlowShape
  /** The least share of the steady rate, of enqueueing and of draining. */
  readonly shareMin: number
  readonly pauseMsMax: number
}

/** Connections that do nothing. */
export interface IdleRow {
  readonly kind: 'idle'
  readonly name: string
  readonly title: string
  readonly kibPerConnectionMax: number
}

/** From the start of the process to its first `ready` line. */
export interface StartRow {
  readonly kind: 'start'
  readonly name: string
  readonly title: string
  readonly startMsMax: number
}

export type Row = FlowRow | PlainRow | BacklogRow | IdleRow | StartRow | StoreRow

const kib = 1024

const queue: FlowShape = {
  protocol: 'stomp',
  isSettled: false,
  isTopic: false,
  producers: 1,
  consumers: 1,
  bodyBytes: kib,
  isPersistent: false,
  ack: 'client-individual',
  window: 1000,
  unreceivedMax: 2000,
}

const fanOut: FlowShape = {
  protocol: 'stomp',
  isSettled: false,
  isTopic: true,
  producers: 1,
  consumers: 100,
  bodyBytes: kib,
  isPersistent: false,
  ack: 'auto',
  window: 1000,
  unreceivedMax: 500,
}

/** AMQP 1->1: each size unsettled and settled, durable and not. */
const amqpRows: readonly PlainRow[] = (
  [
    ['64', '64 B', { bodyBytes: 64 }],
    ['1k', '1 KiB', { bodyBytes: kib }],
    ['1m', '1 MiB', { bodyBytes: kib * kib, window: 16, unreceivedMax: 32 }],
  ] as const
).flatMap(([name, size, change]) =>
  [false, true].flatMap((isSettled) =>
    [false, true].map((isPersistent) => ({
      kind: 'plain' as const,
      name: `amqp-${name}${isSettled ? '-settled' : ''}${isPersistent ? '-durable' : ''}`,
      title: `AMQP 1->1, ${size}, ${isSettled ? 'settled' : 'unsettled'}${isPersistent ? ', durable' : ''}`,
      shape: { ...queue, protocol: 'amqp' as const, isSettled, isPersistent, ...change },
      base: undefined,
    })),
  ),
)

/**
 * The native protocol beside STOMP: every send is confirmed, every delivery of a queue settled; durable and not. The same generator, and
 * then the client that users have.
 */
const nativeRows = (protocol: 'native' | 'client'): readonly PlainRow[] =>
  (
    [
      ['64', 'queue 1->1, 64 B', { ...queue, bodyBytes: 64 }, 2],
      ['1k', 'queue 1->1, 1 KiB', queue, 1.5],
      ['16k', 'queue 1->1, 16 KiB', { ...queue, bodyBytes: 16 * kib }, undefined],
      ['10', 'queue 10->10, 1 KiB', { ...queue, producers: 10, consumers: 10 }, undefined],
      ['fanout-1k', 'topic 1->100, 1 KiB', fanOut, undefined],
      ['fanout-64', 'topic 1->100, 64 B', { ...fanOut, bodyBytes: 64 }, undefined],
    ] as const
  ).flatMap(([name, title, shape, timesMin]) =>
    (shape.isTopic ? [false] : [false, true]).map((isPersistent) => ({
      kind: 'plain' as const,
      name: `${protocol}-${name}${isPersistent ? '-durable' : ''}`,
      title: `${protocol} ${title}${isPersistent ? ', durable' : ''}`,
      shape: { ...shape, protocol, isPersistent },
      base: {
        shape: { ...shape, isPersistent },
        timesMin: isPersistent || protocol === 'client' ? undefined : timesMin,
      },
    })),
  )

/** Every SEND asks for a receipt; nothing is persistent but in the rows of the store. To measure one thing more, add its line. */
export const rows: readonly Row[] = [
  { kind: 'flow', name: 'queue-1k', title: 'queue 1->1, 1 KiB', shape: queue, shareMin: 0.6 },
  { kind: 'flow', name: 'queue-64', title: 'queue 1->1, 64 B', shape: { ...queue, bodyBytes: 64 }, shareMin: 0.5 },
  { kind: 'flow', name: 'queue-16k', title: 'queue 1->1, 16 KiB', shape: { ...queue, bodyBytes: 16 * kib } },
  {
    kind: 'flow',
    name: 'queue-10',
    title: 'queue 10->10 (one process each), 1 KiB',
    shape: { ...queue, producers: 10, consumers: 10 },
  },
  { kind: 'flow', name: 'fanout-1k', title: 'topic 1->100 (one process), 1 KiB', shape: fanOut, shareMin: 0.6 },
  {
    kind: 'flow',
    name: 'fanout-64',
    title: 'topic 1->100 (one process), 64 B',
    shape: { ...fanOut, bodyBytes: 64 },
  },
  {
    kind: 'flow',
    name: 'fanout-ack',
    title: 'topic 1->100 (one process), 1 KiB, client-individual',
    shape: { ...fanOut, ack: 'client-individual' },
  },
  {
    kind: 'flow',
    name: 'latency',
    title: 'queue 1->1, 1 KiB, open loop at 2,000/s',
    shape: queue,
    perSecond: 2000,
    p99MsMax: 2,
  },
  {
    kind: 'backlog',
    name: 'backlog',
    title: 'backlog in a queue, 1 KiB, then drained',
    shape: queue,
    shareMin: 0.85,
    pauseMsMax: 100,
  },
  { kind: 'idle', name: 'idle', title: 'idle connections', kibPerConnectionMax: 10 },
  { kind: 'start', name: 'start', title: 'start to ready', startMsMax: 400 },
  ...amqpRows,
  ...nativeRows('native'),
  ...nativeRows('client').filter(({ shape }) => !shape.isTopic && !shape.isPersistent),
  ...storeRows,
]

/** All rows but those that take many minutes, which are run only by their names. */
export function usualRows(): readonly Row[] {
  return rows.filter((row) => row.kind !== 'store' || !row.isLong)
}
