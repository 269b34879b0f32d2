/** How messages go. */
export interface FlowShape {
  readonly producers: number
  readonly consumers: number
  /** Every consumer gets every message; otherwise one of them. */
  readonly isTopic: boolean
  readonly bodyBytes: number
  /** To be kept on disk; on a topic for durable subscribers. */
  readonly isPersistent: boolean
}

/** How our own broker is come to with our own client. */
export type OwnPlace = 'tcp' | 'ws' | 'vm-value' | 'vm-reference'
export type PlaceName = OwnPlace | 'nats' | 'nothing'
export type Subject = PlaceName | 'stomp'

/** Sends and takes as fast as it goes. */
export interface FlowRow extends FlowShape {
  readonly kind: 'flow'
  readonly name: string
  readonly subject: Subject
}

/** Persistent sends to a queue that nobody consumes from, each waited for; `atOnce` at a time. */
export interface StoredRow {
  readonly kind: 'stored'
  readonly name: string
  /** A broker that flushes before it answers; one that does so in intervals; JetStream, which does so too. */
  readonly subject: 'always' | 'interval' | 'jetstream'
  readonly atOnce: number
  readonly bodyBytes: number
}

/** A request and its answer, one after the other. */
export interface RequestRow {
  readonly kind: 'request'
  readonly name: string
  readonly subject: PlaceName
}

export type Row = FlowRow | StoredRow | RequestRow

const kib = 1024
const sizes: readonly (readonly [name: string, bytes: number])[] = [
  ['64', 64],
  ['1k', kib],
  ['16k', 16 * kib],
]
const shapes: readonly (readonly [name: string, shape: Pick<FlowShape, 'producers' | 'consumers' | 'isTopic'>])[] = [
  ['', { producers: 1, consumers: 1, isTopic: false }],
  ['-10', { producers: 10, consumers: 10, isTopic: false }],
  ['-fan', { producers: 1, consumers: 50, isTopic: true }],
]

/** `tcp-64`, `tcp-10-1k`, `tcp-fan-16k` and so on, and the same with `-kept` for what is kept on disk. */
function flows(subject: Subject, persistence: readonly boolean[], shaped = shapes): readonly FlowRow[] {
  return shaped.flatMap(([shapeName, shape]) =>
    persistence.flatMap((isPersistent) =>
      sizes.map(([sizeName, bodyBytes]): FlowRow => {
        const name = `${subject}${shapeName}-${sizeName}${isPersistent ? '-kept' : ''}`
        return { kind: 'flow', name, subject, ...shape, bodyBytes, isPersistent }
      }),
    ),
  )
}

const plain = shapes.slice(0, 1)

export const rows: readonly Row[] = [
  ...flows('tcp', [false, true]),
  ...flows('ws', [false], plain),
  ...flows('vm-value', [false], plain),
  ...flows('vm-reference', [false], plain),
  ...flows('stomp', [false, true]),
  ...flows('nats', [false]),
  ...flows('nothing', [false], plain),
  ...(['always', 'interval', 'jetstream'] as const).flatMap((subject) =>
    [1, 256].map((atOnce): StoredRow => {
      return { kind: 'stored', name: `stored-${subject}-${atOnce}`, subject, atOnce, bodyBytes: kib }
    }),
  ),
  ...(['tcp', 'ws', 'vm-value', 'vm-reference', 'nats'] as const).map((subject): RequestRow => {
    return { kind: 'request', name: `request-${subject}`, subject }
  }),
]
