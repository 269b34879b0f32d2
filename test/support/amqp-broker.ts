import { amqpFormat, opaqueFormat } from '../../protocols/amqp/content.ts'
import type { AmqpOptions } from '../../protocols/amqp/limits.ts'
import { createAmqp } from '../../protocols/amqp/protocol.ts'
import { stompFormats } from '../../protocols/stomp/content.ts'
import { createStomp } from '../../protocols/stomp/protocol.ts'
import type { Broker } from '../../src/broker/broker.ts'
import type { Protocol } from '../../src/protocol.ts'
import type { Wire } from '../../src/transport/wire.ts'
import { AmqpPeer } from './amqp-peer.ts'
import { StompTestClient } from './stomp-client.ts'
import type { VirtualClock } from './virtual-clock.ts'
import { serverName, WiredBroker, type WiredBrokerOptions } from './wired-broker.ts'

export interface AmqpBrokerOptions extends WiredBrokerOptions {
  readonly amqp?: Partial<AmqpOptions>
}

/** A broker with AMQP and STOMP over wires of memory, on a virtual clock and real turns. */
export class AmqpBroker {
  readonly clock: VirtualClock
  readonly broker: Broker
  readonly wired: WiredBroker
  readonly #amqp: Protocol
  readonly #stomp: Protocol

  private constructor(options: AmqpBrokerOptions) {
    this.wired = new WiredBroker(options, [amqpFormat, opaqueFormat, ...Object.values(stompFormats)])
    this.clock = this.wired.clock
    this.broker = this.wired.broker
    this.#amqp = createAmqp(serverName, options.amqp)
    this.#stomp = createStomp(serverName)
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
    return new AmqpPeer(this.wired.wire(this.#amqp))
  }

  /** A peer that is open and has begun a session on channel 0. */
  async begun(containerId = 'peer'): Promise<AmqpPeer> {
    const peer = this.peer()
    await peer.open(containerId)
    await peer.begin()
    return peer
  }

  async stomp(headers: Record<string, string> = {}): Promise<StompTestClient> {
    const stomp = new StompTestClient(this.wired.wire(this.#stomp), '1.2')
    await stomp.connect(headers)
    return stomp
  }
}
