import type { Duplex } from 'node:stream'
import { openAccess } from '../../src/broker/access.ts'
import { Broker, type BrokerOptions } from '../../src/broker/broker.ts'
import type { PolicyRule } from '../../src/broker/policy.ts'
import { defaultLimits, type Limits } from '../../src/limits.ts'
import type { ContentFormat } from '../../src/message.ts'
import type { Protocol } from '../../src/protocol.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { memoryWire } from '../../src/transport/memory.ts'
import { SlabPool } from '../../src/transport/slab-pool.ts'
import type { WireServices } from '../../src/transport/wire.ts'
import { Turn } from '../../src/turn.ts'
import { VirtualClock } from './virtual-clock.ts'

/** What the tests of every protocol may want of a broker. */
export interface WiredBrokerOptions {
  readonly policies?: readonly PolicyRule[]
  readonly limits?: Partial<Limits>
  readonly access?: BrokerOptions['access']
  readonly store?: BrokerOptions['store']
  readonly clock?: VirtualClock
}

/** How the broker names itself to clients. */
export const serverName = 'ManifoldMQ/test'

/** A broker whose clients come over wires of memory, on a virtual clock and real turns. */
export class WiredBroker {
  readonly clock: VirtualClock
  readonly broker: Broker
  readonly services: WireServices

  constructor(options: WiredBrokerOptions, formats: readonly ContentFormat[]) {
    this.clock = options.clock ?? new VirtualClock()
    const limits = { ...defaultLimits, ...options.limits }
    const turn = new Turn()
    this.services = { clock: this.clock, turn, slabs: new SlabPool(), limits }
    this.broker = new Broker({
      name: 'test',
      clock: this.clock,
      turn,
      store: options.store ?? new MemoryStore(),
      access: options.access ?? openAccess,
      limits,
      policies: options.policies ?? [],
      runId: 'run',
      formats: (name) => formats.find((format) => format.name === name),
      onFailure: () => undefined,
    })
  }

  /** The client's end of a new wire, at whose other end the protocol is spoken. */
  wire(protocol: Protocol): Duplex {
    const { wire, client } = memoryWire(this.services)
    protocol.accept(wire, this.broker)
    return client
  }
}
