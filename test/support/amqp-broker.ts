import { amqpFormat, opaqueFormat } from '../../protocols/amqp/content.ts'
import type { AmqpOptions } from '../../protocols/amqp/limits.ts'
import { createAmqp } from '../../protocols/amqp/protocol.ts'
import { stompFormats } from '../../protocols/stomp/content.ts'
import { createStomp } from '../../protocols/stomp/protocol.ts'
import { openAccess } from '../../src/broker/access.ts'
import { Broker, type BrokerOptions } from '../../src/broker/broker.ts'
import type { PolicyRule } from '../../src/broker/policy.ts'
import { defaultLimits, type Limits } from '../../src/limits.ts'
import type { Protocol } from '../../src/protocol.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { memoryWire } from '../../src/transport/memory.ts'
import { SlabPool } from '../../src/transport/slab-pool.ts'
import type { Wire, WireServices } from '../../src/transport/wire.ts'
import { Turn } from '../../src/turn.ts'
import { AmqpPeer } from './amqp-peer.ts'
import { StompTestClient } from './stomp-client.ts'
import { VirtualClock } from './virtual-clock.ts'

export interface AmqpBrokerOptions {
  readonly amqp?: Partial<AmqpOptions>
  readonly policies?: readonly PolicyRule[]
  readonly limits?: Partial<Limits>
  readonly access?: BrokerOptions['access']
  readonly store?: BrokerOptions['store']
}

/** A broker with AMQP and STOMP over wires of memory, on a virtual clock and real turns. */
export class AmqpBroker {
  readonly clock: VirtualClock
  readonly broker: Broker
  readonly services: WireServices
  readonly #amqp: Protocol
  readonly #stomp: Protocol

  private constructor(options: AmqpBrokerOptions) {
    this.clock = new VirtualClock()
    const limits = { ...defaultLimits, ...options.limits }
    const turn = new Turn()
    this.services = { clock: this.clock, turn, slabs: new SlabPool(), limits }
    const formats = [amqpFormat, opaqueFormat, ...Object.values(stompFormats)]
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
    this.#amqp = createAmqp('ManifoldMQ/test', options.amqp)
    this.#stomp = createStomp('ManifoldMQ/test')
  }

  static async open(options: AmqpBrokerOptions = {}): Promise<AmqpBroker> {
    const made = new AmqpBroker(options)
    await made.broker.open()
    made.#amqp.opened?.(made.broker)
    return made
  }

  /** Serves one connection that comes from elsewhere. */
  accept(wire: Wire): void {
    this.#amqp.accept(wire, this.broker)
  }

  /** A peer whose bytes go to the broker; it has said nothing yet. */
  peer(): AmqpPeer {
    const { wire, client } = memoryWire(this.services)
    this.accept(wire)
    return new AmqpPeer(client)
  }

  /** A peer that is open and has begun a session on channel 0. */
  async begun(containerId = 'peer'): Promise<AmqpPeer> {
    const peer = this.peer()
    await peer.open(containerId)
    await peer.begin()
    return peer
  }

  async stomp(headers: Record<string, string> = {}): Promise<StompTestClient> {
    const { wire, client } = memoryWire(this.services)
    this.#stomp.accept(wire, this.broker)
    const stomp = new StompTestClient(client, '1.2')
    await stomp.connect(headers)
    return stomp
  }
}
