import type { Broker, Protocol, Wire } from '../../src/core.ts'
import type { AuthMethods } from './auth.ts'
import { MqttConnection } from './connection.ts'
import { defaultMqttOptions, type MqttOptions } from './limits.ts'
import { PacketType } from './packet.ts'
import { Sessions } from './sessions.ts'
import { SystemTopics } from './system-topics.ts'

/**
 * MQTT 3.1, 3.1.1 and 5. `serverName` is told in `$SYS/broker/version`: `ManifoldMQ/1.0.0`. `methods`: of enhanced
 * authentication; none unless given.
 */
export function createMqtt(
  serverName: string,
  options: Partial<MqttOptions> = {},
  methods: AuthMethods = new Map(),
): Protocol {
  const settings: MqttOptions = { ...defaultMqttOptions, ...options }
  const sessions = new WeakMap<Broker, Sessions>()
  const opened = (broker: Broker): Sessions => {
    const found = sessions.get(broker)
    if (found !== undefined) return found
    const made = new Sessions(broker, settings)
    sessions.set(broker, made)
    const everyMs = settings.systemTopicsMs
    if (everyMs > 0) new SystemTopics(broker, made, { everyMs, version: serverName })
    return made
  }
  return {
    name: 'mqtt',
    sniffBytes: 8,
    webSocketSubprotocols: ['mqtt', 'mqttv3.1'],
    recognises,
    opened,
    accept(wire: Wire, broker: Broker): void {
      new MqttConnection(wire, broker, opened(broker), methods)
    },
  }
}

/** A client's first packet is CONNECT, whose payload begins with the name of the protocol. */
function recognises(head: Uint8Array): boolean {
  if (head[0] !== PacketType.connect << 4) return false
  let at = 1
  while (at < head.length && at < 5 && (head[at] as number) > 127) at += 1
  const name = Buffer.from(head.subarray(at + 1)).toString('latin1')
  return '\0\u0004MQTT'.startsWith(name) || '\0\u0006MQIsdp'.startsWith(name) || name.startsWith('\0\u0004MQTT')
}
