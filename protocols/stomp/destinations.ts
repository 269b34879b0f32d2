/**
 * How STOMP writes addresses. STOMP itself gives destinations no meaning; the prefixes are ActiveMQ's.
 *
 * | written                                   | means                                                        |
 * |-------------------------------------------|--------------------------------------------------------------|
 * | `/queue/a.b`, `queue://a.b`, `a.b`        | the queue `a.b`; a bare name is a topic by `destination-type` |
 * | `/topic/a.b`, `topic://a.b`               | the topic `a.b`                                              |
 * | `/temp-queue/x`, `/temp-topic/x`          | this connection's own temporary destination, made on first use |
 * | `/remote-temp-queue/n`, `/remote-temp-topic/n` | anybody's temporary destination, as a reply-to shows it |
 * | `/dsub/name`                              | this client's durable subscription of that name              |
 */
import { Address, type AddressKind, BrokerError, temporaryPrefix } from '../../src/core.ts'

const written: readonly (readonly [prefix: string, kind: AddressKind])[] = [
  ['/queue/', 'queue'],
  ['/topic/', 'topic'],
  ['queue://', 'queue'],
  ['topic://', 'topic'],
]

const remoteTemporary: readonly (readonly [prefix: string, kind: AddressKind])[] = [
  ['/remote-temp-queue/', 'queue'],
  ['/remote-temp-topic/', 'topic'],
]

const ownTemporary: readonly (readonly [prefix: string, kind: AddressKind])[] = [
  ['/temp-queue/', 'queue'],
  ['/temp-topic/', 'topic'],
]

export const durablePrefix = '/dsub/'

/** A name of {@link ownTemporary}: which of the connection's own temporary destinations is meant. */
export interface TemporaryName {
  readonly kind: AddressKind
  readonly name: string
}

/** Reads `/temp-queue/x` and `/temp-topic/x`; undefined for anything else. */
export function readTemporary(text: string): TemporaryName | undefined {
  for (const [prefix, kind] of ownTemporary) {
    if (text.startsWith(prefix)) return { kind, name: text.slice(prefix.length) }
  }
  return undefined
}

/** Reads every writing that means the same on all connections. */
export function readDestination(text: string, bareKind: AddressKind = 'queue'): Address | BrokerError {
  for (const [prefix, kind] of written) if (text.startsWith(prefix)) return Address.of(kind, text.slice(prefix.length))
  for (const [prefix, kind] of remoteTemporary) {
    if (text.startsWith(prefix)) return Address.of(kind, temporaryPrefix + text.slice(prefix.length))
  }
  if (text.startsWith('/')) {
    const sentence = `the destination "${text.slice(0, 120)}" begins with none of /queue/, /topic/, /temp-queue/, /temp-topic/, /dsub/`
    return new BrokerError('invalid-destination', sentence)
  }
  return Address.of(bareKind, text)
}

/** Writes an address so that {@link readDestination} reads it back. */
export function writeDestination(address: Address): string {
  if (address.isTemporary) return `/remote-temp-${address.kind}/${address.name.slice(temporaryPrefix.length)}`
  return `/${address.kind}/${address.name}`
}
