import { FrameScratch } from '../protocols/stomp/frame.ts'
import { SlabPool } from '../src/transport/slab-pool.ts'
import { Turn } from '../src/turn.ts'
import type { FlowPlan } from './plan.ts'

/** Bytes taken from a socket at a time. */
const readBytes = 256 * 1024
export const handshakeMsMax = 30_000

/** What all clients of one process share; a quiet one has no buffer of its own. */
export class ClientServices {
  readonly turn: Turn
  readonly slabs: SlabPool
  readonly scratch: FrameScratch
  readonly buffer: Buffer

  constructor() {
    this.turn = new Turn()
    this.slabs = new SlabPool()
    this.scratch = new FrameScratch()
    this.buffer = Buffer.allocUnsafeSlow(readBytes)
  }
}

/** One connection that produces or consumes, of any protocol. */
export interface FlowClient {
  readonly number: number
  /** When the bytes being read came in, monotonic milliseconds. */
  readonly readAtMs: number
  /** Nothing is to be sent now; `onRoom` tells when it may be. */
  readonly isHeld: boolean
  connect(): Promise<void>
  /** Makes ready to send what the plan says. */
  publish(plan: FlowPlan): Promise<void>
  subscribe(plan: FlowPlan): Promise<void>
  /** `sequence` counts from 1. */
  send(sequence: number, body: Buffer): void
  /** Acknowledges the message that is being told. */
  acknowledge(): void
  /** Sends what is written and hangs up; resolves when the connection is closed. */
  leave(): Promise<void>
}

/** What a client tells whoever uses it. */
export interface ClientEvents {
  /** A message whose body, of `bodyBytes` bytes, begins at `bodyStart`; of a long one `bytes` has the stamp at least. */
  onMessage(client: FlowClient, bytes: Buffer, bodyStart: number, bodyBytes: number): void
  /** So many more messages are confirmed. */
  onReceipts(client: FlowClient, count: number): void
  /** All frames of one read have been told. */
  onRead(client: FlowClient): void
  /** There is room again. */
  onRoom(client: FlowClient): void
  /** The server sent an error or something that is none of its protocol, or hung up. */
  onFailure(client: FlowClient, reason: string): void
}
