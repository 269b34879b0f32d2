/**
 * How AMQP clients write addresses.
 *
 * | written                                  | means                                                                |
 * |------------------------------------------|----------------------------------------------------------------------|
 * | `queue://a.b`, `/queue/a.b`, `/queues/a.b` | the queue `a.b`; after `/queues/` percent escapes are read           |
 * | `topic://a.b`, `/topic/a.b`              | the topic `a.b`                                                       |
 * | `a.b` with a capability                  | what the capability says: `queue`, `topic`, `temporary-queue`, `temporary-topic` |
 * | `a.b`                                    | the topic if there is one of that name and no queue, else the queue   |
 */
import { Address, type AddressKind, BrokerError } from '../../src/core.ts'

const written: readonly (readonly [prefix: string, kind: AddressKind])[] = [
  ['queue://', 'queue'],
  ['topic://', 'topic'],
  ['/queue/', 'queue'],
  ['/topic/', 'topic'],
]
const escapedQueue = '/queues/'

/** What clients may put before names so that they tell queues from topics; offered in our `open`, as Qpid JMS asks for it. */
export const addressPrefixes = { 'queue-prefix': 'queue://', 'topic-prefix': 'topic://' } as const

/** The kind that a terminus's capabilities name. */
export function kindOf(capabilities: readonly string[]): AddressKind | undefined {
  for (const capability of capabilities) {
    if (capability === 'queue' || capability === 'temporary-queue') return 'queue'
    if (capability === 'topic' || capability === 'temporary-topic') return 'topic'
  }
  return undefined
}

/** Reads an address; `bareKind` says what a name without a prefix is. */
export function readAddress(
  text: string,
  bareKind: AddressKind | ((name: string) => AddressKind) = 'queue',
): Address | BrokerError {
  for (const [prefix, kind] of written) if (text.startsWith(prefix)) return Address.of(kind, text.slice(prefix.length))
  if (text.startsWith(escapedQueue)) return readEscaped(text.slice(escapedQueue.length))
  if (text.includes('://')) {
    return new BrokerError('invalid-destination', `"${text.slice(0, 120)}" is neither queue://name nor topic://name`)
  }
  return Address.of(typeof bareKind === 'function' ? bareKind(text) : bareKind, text)
}

function readEscaped(name: string): Address | BrokerError {
  try {
    return Address.of('queue', decodeURIComponent(name))
  } catch {
    return new BrokerError('invalid-destination', `"${name.slice(0, 120)}" has a percent sign that begins no escape`)
  }
}
