import type { Protocol } from '../src/core.ts'
import type { AmqpOptions } from './amqp/limits.ts'
import type { MqttOptions } from './mqtt/limits.ts'
import type { NativeOptions } from './native/options.ts'
import type { StompOptions } from './stomp/limits.ts'

/** The settings of each protocol. */
export interface ProtocolOptions {
  readonly mqtt: MqttOptions
  readonly native: NativeOptions
  readonly stomp: StompOptions
  readonly amqp: AmqpOptions
}

export type Load<Options> = (serverName: string, options: Options) => Promise<Protocol>

/** Every protocol by its name in the configuration. Its code is loaded when it is used. */
export const protocols: { readonly [Name in keyof ProtocolOptions]: Load<ProtocolOptions[Name]> } = {
  async mqtt(serverName, options) {
    const { createMqtt } = await import('./mqtt/protocol.ts')
    return createMqtt(serverName, options)
  },
  async native(serverName, options) {
    const { createNative } = await import('./native/protocol.ts')
    return createNative(serverName, options)
  },
  async stomp(serverName, options) {
    const { createStomp } = await import('./stomp/protocol.ts')
    return createStomp(serverName, options)
  },
  async amqp(serverName, options) {
    const { createAmqp } = await import('./amqp/protocol.ts')
    return createAmqp(serverName, options)
  },
}
