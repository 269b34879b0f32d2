import { AmqpClient } from './amqp-client.ts'
import type { ClientEvents, ClientServices, FlowClient } from './flow-client.ts'
import { FullClient } from './full-client.ts'
import { MqttClient } from './mqtt-client.ts'
import { NativeClient } from './native-client.ts'
import type { FlowPlan } from './plan.ts'
import { StompClient } from './stomp-client.ts'

const clients = { amqp: AmqpClient, client: FullClient, mqtt: MqttClient, native: NativeClient, stomp: StompClient }

/** A connection of the plan's protocol. */
export function clientOf(
  { protocol, port }: FlowPlan,
  number: number,
  services: ClientServices,
  events: ClientEvents,
): FlowClient {
  const Client = clients[protocol]
  return new Client(port, number, services, events)
}
