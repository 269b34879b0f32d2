import type { ContentFormat, Protocol } from '../src/core.ts'
import type { AmqpOptions } from './amqp/limits.ts'
import type { MqttOptions } from './mqtt/limits.ts'
import type { NativeOptions } from './native/limits.ts'
import type { StompOptions } from './stomp/limits.ts'

/** A protocol and the formats of the messages it has stored. */
export interface LoadedProtocol {
  readonly protocol: Protocol
  readonly formats: readonly ContentFormat[]
}

/** The settings of each protocol. */
export interface ProtocolOptions {
  readonly mqtt: MqttOptions
  readonly native: NativeOptions
  readonly stomp: StompOptions
  readonly amqp: AmqpOptions
}

export type Load<Options> = (serverName: string, options: Options) => Promise<LoadedProtocol>

/** Every protocol by its name in the configuration. Its code is loaded when it is used. */
export const protocols: { readonly [Name in keyof ProtocolOptions]: Load<ProtocolOptions[Name]> } = {
  async mqtt(serverName, options) {
    const { createMqtt, mqttFormats } = await import('./mqtt/protocol.ts')
    return { protocol: createMqtt(serverName, options), formats: mqttFormats }
  },
  async native(serverName, options) {
    const { createNative, nativeFormats } = await import('./native/protocol.ts')
    return { protocol: createNative(serverName, options), formats: nativeFormats }
  },
  async stomp(serverName, options) {
    const { createStomp, stompFormats } = await import('./stomp/protocol.ts')
    return { protocol: createStomp(serverName, options), formats: stompFormats }
  },
  async amqp(serverName, options) {
    const { createAmqp, amqpFormats } = await import('./amqp/protocol.ts')
    return { protocol: createAmqp(serverName, options), formats: amqpFormats }
  },
}
