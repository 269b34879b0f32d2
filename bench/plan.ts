import type { Times } from './histogram.ts'
import type { Findings } from './ledger.ts'
import type { PaceFigures } from './pace.ts'

/** How much is sent, and how fast. */
export type Load =
  /** As fast as the windows allow, for so long. */
  | { readonly kind: 'timed'; readonly seconds: number }
  /** As fast as the windows allow, so many in all. */
  | { readonly kind: 'counted'; readonly messages: number }
  /** By a schedule that waits for nobody; latency counts from when a message is due. */
  | {
      readonly kind: 'paced'
      readonly perSecond: number
      readonly seconds: number
      /** Left out of the latencies. */
      readonly warmUpSeconds: number
    }

/** What producers and consumers do in one run. */
export interface FlowPlan {
  /** `client`: native, spoken by the client that users have. */
  readonly protocol: 'stomp' | 'amqp' | 'mqtt' | 'native' | 'client'
  readonly port: number
  /** Tells this run's messages from all others: 32 bits. */
  readonly run: number
  readonly destination: string
  readonly isTopic: boolean
  /** Connections of the one producer process and of the one consumer process. */
  readonly producers: number
  readonly consumers: number
  readonly bodyBytes: number
  /** To be kept on disk. */
  readonly isPersistent: boolean
  readonly ack: 'auto' | 'client-individual'
  /** AMQP and native: sent and delivered settled, so that nothing is confirmed or acknowledged. */
  readonly isSettled: boolean
  /** Messages of one producer that wait for their receipt. */
  readonly window: number
  /** Messages of all producers that no consumer has got yet, so that no backlog builds up; 0: as many as there are. */
  readonly unreceivedMax: number
  readonly load: Load
  /** Number of the first message of each producer: those before it were sent by an earlier plan of the same run. */
  readonly firstSequence: number
  /** The consumers leave every so manieth message unacknowledged; 0: none. */
  readonly forgottenEvery: number
  /** Where the consumers say how much they have got. */
  readonly progressFile: string
}

/** What the control asks of a generator process; each order has one answer. */
export type Order =
  | { readonly kind: 'consume'; readonly plan: FlowPlan }
  | { readonly kind: 'expect'; readonly sent: readonly number[] }
  | { readonly kind: 'produce'; readonly plan: FlowPlan }
  | { readonly kind: 'go' }
  /** Opens connections and leaves them alone. */
  | { readonly kind: 'idle'; readonly port: number; readonly connections: number }
  | { readonly kind: 'leave' }

export interface Produced {
  readonly kind: 'produced'
  /** By each producer. */
  readonly sent: readonly number[]
  readonly confirmed: number
  readonly receipts: PaceFigures
  /** How late the generator itself sent what was due. */
  readonly lateness: Times
  readonly errors: readonly string[]
}

export interface Consumed {
  readonly kind: 'consumed'
  readonly received: number
  readonly deliveries: PaceFigures
  readonly latency: Times
  readonly findings: Findings
  readonly errors: readonly string[]
}

export type Answer =
  | { readonly kind: 'ready' }
  | Produced
  | Consumed
  | { readonly kind: 'failed'; readonly message: string }
