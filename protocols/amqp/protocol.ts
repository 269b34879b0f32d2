import type { Broker, Protocol, Wire } from '../../src/core.ts'
import { AmqpConnection } from './connection.ts'
import { Containers } from './containers.ts'
import { type AmqpOptions, defaultAmqpOptions } from './limits.ts'
import { DetachedLinks } from './resume.ts'

/** AMQP 1.0. `serverName` is told to clients: `ManifoldMQ/1.0.0`. */
export function createAmqp(serverName: string, options: Partial<AmqpOptions> = {}): Protocol {
  const settings: AmqpOptions = { ...defaultAmqpOptions, ...options }
  const [product = serverName, version = ''] = serverName.split('/')
  const containers = new Containers()
  const detached = new DetachedLinks()
  return {
    name: 'amqp',
    sniffBytes: 4,
    webSocketSubprotocols: ['amqp'],
    recognises: (head) => 'AMQP'.startsWith(Buffer.from(head).toString('latin1', 0, 4)),
    accept(wire: Wire, broker: Broker): void {
      new AmqpConnection(wire, { broker, options: settings, product, version, containers, detached })
    },
  }
}
