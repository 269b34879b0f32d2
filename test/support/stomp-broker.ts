import { stompFormats } from '../../protocols/stomp/content.ts'
import type { Version } from '../../protocols/stomp/headers.ts'
import type { StompOptions } from '../../protocols/stomp/limits.ts'
import { createStomp } from '../../protocols/stomp/protocol.ts'
import type { Broker } from '../../src/broker/broker.ts'
import type { Protocol } from '../../src/protocol.ts'
import { StompTestClient } from './stomp-client.ts'
import type { VirtualClock } from './virtual-clock.ts'
import { serverName, WiredBroker, type WiredBrokerOptions } from './wired-broker.ts'

export interface StompBrokerOptions extends WiredBrokerOptions {
  readonly stomp?: Partial<StompOptions>
}

/** A broker with STOMP over wires of memory, on a virtual clock and real turns. */
export class StompBroker {
  readonly clock: VirtualClock
  readonly broker: Broker
  readonly #wired: WiredBroker
  readonly #protocol: Protocol

  private constructor(options: StompBrokerOptions) {
    this.#wired = new WiredBroker(options, Object.values(stompFormats))
    this.clock = this.#wired.clock
    this.broker = this.#wired.broker
    this.#protocol = createStomp(serverName, options.stomp)
  }

  static async open(options: StompBrokerOptions = {}): Promise<StompBroker> {
    const made = new StompBroker(options)
    await made.broker.open()
    return made
  }

  /** A client whose bytes go to the broker; not yet connected. */
  client(version: Version = '1.2'): StompTestClient {
    return new StompTestClient(this.#wired.wire(this.#protocol), version)
  }

  async connected(version: Version = '1.2', headers: Record<string, string> = {}): Promise<StompTestClient> {
    const client = this.client(version)
    await client.connect(headers)
    return client
  }
}
