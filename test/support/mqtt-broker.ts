import type { AuthMethods } from '../../protocols/mqtt/auth.ts'
import { mqttFormat } from '../../protocols/mqtt/content.ts'
import type { MqttOptions } from '../../protocols/mqtt/limits.ts'
import { createMqtt } from '../../protocols/mqtt/protocol.ts'
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
import type { WireServices } from '../../src/transport/wire.ts'
import { Turn } from '../../src/turn.ts'
import { MqttTestClient, type Version } from './mqtt-client.ts'
import { StompTestClient } from './stomp-client.ts'
import { VirtualClock } from './virtual-clock.ts'

export interface MqttBrokerOptions {
  readonly mqtt?: Partial<MqttOptions>
  readonly methods?: AuthMethods
  readonly policies?: readonly PolicyRule[]
  readonly limits?: Partial<Limits>
  readonly access?: BrokerOptions['access']
  readonly store?: BrokerOptions['store']
  readonly clock?: VirtualClock
}

/** A broker with MQTT and STOMP over wires of memory, on a virtual clock and real turns. */
export class MqttBroker {
  readonly clock: VirtualClock
  readonly broker: Broker
  readonly services: WireServices
  readonly #mqtt: Protocol
  readonly #stomp: Protocol

  private constructor(options: MqttBrokerOptions) {
    this.clock = options.clock ?? new VirtualClock()
    const limits = { ...defaultLimits, ...options.limits }
    const turn = new Turn()
    this.services = { clock: this.clock, turn, slabs: new SlabPool(), limits }
    const formats = [mqttFormat, ...Object.values(stompFormats)]
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
    this.#mqtt = createMqtt('ManifoldMQ/test', { systemTopicsMs: 0, ...options.mqtt }, options.methods)
    this.#stomp = createStomp('ManifoldMQ/test')
  }

  static async open(options: MqttBrokerOptions = {}): Promise<MqttBroker> {
    const made = new MqttBroker(options)
    await made.broker.open()
    made.#mqtt.opened?.(made.broker)
    return made
  }

  /** A client whose bytes go to the broker; not yet connected. */
  client(version: Version = 4): MqttTestClient {
    const { wire, client } = memoryWire(this.services)
    this.#mqtt.accept(wire, this.broker)
    return new MqttTestClient(client, version)
  }

  /** A connected client. */
  async connected(
    version: Version = 4,
    options: Parameters<MqttTestClient['connect']>[0] = {},
  ): Promise<MqttTestClient> {
    const client = this.client(version)
    await client.connect(options)
    return client
  }

  /** A connected client of STOMP 1.2. */
  async stomp(): Promise<StompTestClient> {
    const { wire, client } = memoryWire(this.services)
    this.#stomp.accept(wire, this.broker)
    const stomp = new StompTestClient(client, '1.2')
    await stomp.connect()
    return stomp
  }
}
