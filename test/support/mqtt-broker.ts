import type { AuthMethods } from '../../protocols/mqtt/auth.ts'
import { mqttFormat } from '../../protocols/mqtt/content.ts'
import type { MqttOptions } from '../../protocols/mqtt/limits.ts'
import { createMqtt } from '../../protocols/mqtt/protocol.ts'
import { stompFormats } from '../../protocols/stomp/content.ts'
import { createStomp } from '../../protocols/stomp/protocol.ts'
import type { Broker } from '../../src/broker/broker.ts'
import type { Protocol } from '../../src/protocol.ts'
import { MqttTestClient, type Version } from './mqtt-client.ts'
import { StompTestClient } from './stomp-client.ts'
import type { VirtualClock } from './virtual-clock.ts'
import { serverName, WiredBroker, type WiredBrokerOptions } from './wired-broker.ts'

export interface MqttBrokerOptions extends WiredBrokerOptions {
  readonly mqtt?: Partial<MqttOptions>
  readonly methods?: AuthMethods
}

/** A broker with MQTT and STOMP over wires of memory, on a virtual clock and real turns. */
export class MqttBroker {
  readonly clock: VirtualClock
  readonly broker: Broker
  readonly #wired: WiredBroker
  readonly #mqtt: Protocol
  readonly #stomp: Protocol

  private constructor(options: MqttBrokerOptions) {
    this.#wired = new WiredBroker(options, [mqttFormat, ...Object.values(stompFormats)])
    this.clock = this.#wired.clock
    this.broker = this.#wired.broker
    this.#mqtt = createMqtt(serverName, { systemTopicsMs: 0, ...options.mqtt }, options.methods)
    this.#stomp = createStomp(serverName)
  }

  static async open(options: MqttBrokerOptions = {}): Promise<MqttBroker> {
    const made = new MqttBroker(options)
    await made.broker.open()
    made.#mqtt.opened?.(made.broker)
    return made
  }

  /** A client whose bytes go to the broker; not yet connected. */
  client(version: Version = 4): MqttTestClient {
    return new MqttTestClient(this.#wired.wire(this.#mqtt), version)
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
    const stomp = new StompTestClient(this.#wired.wire(this.#stomp), '1.2')
    await stomp.connect()
    return stomp
  }
}
