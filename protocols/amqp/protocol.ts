import type { Broker, Protocol, Wire } from '../../src/core.ts'
import { AmqpConnection } from './connection.ts'
import { Containers, LinkNames } from './containers.ts'
import { ExpiringSubscriptions } from './expiring.ts'
import { type AmqpOptions, defaultAmqpOptions } from './limits.ts'
import { DetachedLinks } from './resume.ts'

/** AMQP 1.0. `serverName` is told to clients: `ManifoldMQ/1.0.0`. */
export function createAmqp(serverName: string, options: Partial<AmqpOptions> = {}): Protocol {
  const settings: AmqpOptions = { ...defaultAmqpOptions, ...options }
  const [product = serverName, version = ''] = serverName.split('/')
  const containers = new Containers()
  const linkNames = new LinkNames()
  const detached = new DetachedLinks()
  const expiring = new WeakMap<Broker, ExpiringSubscriptions>()
  const opened = (broker: Broker): ExpiringSubscriptions => {
    const found = expiring.get(broker) ?? new ExpiringSubscriptions(broker)
    expiring.set(broker, found)
    return found
  }
  return {
    name: 'amqp',
    sniffBytes: 4,
    webSocketSubprotocols: ['amqp'],
    recognises: (head) => 'AMQP'.startsWith(Buffer.from(head).toString('latin1', 0, 4)),
    opened,
    accept(wire: Wire, broker: Broker): void {
      const shared = { broker, options: settings, product, version, containers, linkNames, detached }
      new AmqpConnection(wire, { ...shared, expiring: opened(broker) })
    },
  }
}
