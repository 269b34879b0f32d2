import { stompFormats } from '../../protocols/stomp/content.ts'
import type { Version } from '../../protocols/stomp/headers.ts'
import type { StompOptions } from '../../protocols/stomp/limits.ts'
import { createStomp } from '../../protocols/stomp/protocol.ts'
import { openAccess } from '../../src/broker/access.ts'
import { Broker, type BrokerOptions } from '../../src/broker/broker.ts'
import type { PolicyRule } from '../../src/broker/policy.ts'
import { defaultLimits, type Limits } from '../../src/limits.ts'
import type { Protocol } from '../../src/protocol.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { memoryWire } from '../../src/transport/memory.ts'
import { SlabPool } from '../../src/transport/slab-pool.ts'
import type { WireServices } from '../../src/transport/wire.ts'
import { Turn } from '../../src/turn.ts'
import { StompTestClient } from './stomp-client.ts'
import { VirtualClock } from './virtual-clock.ts'

export interface StompBrokerOptions {
  readonly stomp?: Partial<StompOptions>
  readonly policies?: readonly PolicyRule[]
  readonly limits?: Partial<Limits>
  readonly access?: BrokerOptions['access']
  readonly store?: BrokerOptions['store']
}

/** A broker with STOMP over wires of memory, on a virtual clock and real turns. */
export class StompBroker {
  readonly clock: VirtualClock
  readonly broker: Broker
  readonly services: WireServices
  readonly #protocol: Protocol

  private constructor(options: StompBrokerOptions) {
    this.clock = new VirtualClock()
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
      formats: (name) => Object.values(stompFormats).find((format) => format.name === name),
      onFailure: () => undefined,
    })
    this.#protocol = createStomp('ManifoldMQ/test', options.stomp)
  }

  static async open(options: StompBrokerOptions = {}): Promise<StompBroker> {
    const made = new StompBroker(options)
    await made.broker.open()
    return made
  }

  /** A client whose bytes go to the broker; not yet connected. */
  client(version: Version = '1.2'): StompTestClient {
    const { wire, client } = memoryWire(this.services)
    this.#protocol.accept(wire, this.broker)
    return new StompTestClient(client, version)
  }

  async connected(version: Version = '1.2', headers: Record<string, string> = {}): Promise<StompTestClient> {
    const client = this.client(version)
    await client.connect(headers)
    return client
  }
}
