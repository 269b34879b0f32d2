import { Address, type Broker, BrokerError, type Identity, type Session } from '../../src/core.ts'
import type { Fields } from './encoder.ts'
import type { FieldMap } from './fields.ts'

interface Place {
  readonly broker: Broker
  readonly identity: Identity
  readonly session: Session
}

/** Carries out a DEST: `temporary`, `declare`, `inspect`, `purge`, `delete` or `unsubscribe`. */
export function administer(fields: FieldMap, place: Place): Fields | BrokerError {
  const operation = fields.text('op')
  if (operation === 'temporary') return temporary(fields, place.session)
  if (operation === 'unsubscribe') return unsubscribe(fields, place.session)
  const address = Address.parse(fields.text('address') ?? '')
  if (address instanceof BrokerError) return address
  switch (operation) {
    case 'declare':
      return declare(address, place)
    case 'inspect':
      return inspect(address, place)
    case 'purge':
    case 'delete':
      return remove(address, operation, place)
    default:
      return new BrokerError('invalid-request', `DEST: there is no operation "${operation ?? ''}"`)
  }
}

function temporary(fields: FieldMap, session: Session): Fields | BrokerError {
  const address = session.createTemporary(fields.text('kind') === 'topic' ? 'topic' : 'queue')
  return address instanceof BrokerError ? address : { address: address.toString() }
}

function unsubscribe(fields: FieldMap, session: Session): Fields | BrokerError {
  const name = fields.text('name')
  if (name === undefined) return new BrokerError('invalid-request', 'DEST unsubscribe needs a name')
  return session.deleteSubscription(name) ?? {}
}

function declare(address: Address, { broker, identity }: Place): Fields | BrokerError {
  const denied = broker.access.authorise(identity, 'send', address)
  if (denied !== undefined) return denied
  const destination = broker.router.destination(address)
  return destination instanceof BrokerError ? destination : {}
}

function inspect(address: Address, { broker, identity }: Place): Fields | BrokerError {
  const denied = broker.access.authorise(identity, 'browse', address)
  if (denied !== undefined) return denied
  const found = broker.find(address)
  if (found === undefined) return { exists: false }
  if ('bindings' in found) return { exists: true, consumers: int(found.bindings.length) }
  return {
    exists: true,
    messages: int(found.count),
    unsettled: int(found.unsettledCount),
    consumers: int(found.consumerCount),
  }
}

function remove(address: Address, operation: 'purge' | 'delete', { broker, identity }: Place): Fields | BrokerError {
  const denied = broker.access.authorise(identity, 'administer', address)
  if (denied !== undefined) return denied
  const found = broker.find(address)
  if (found === undefined) return new BrokerError('not-found', `there is no ${address}`)
  if (operation === 'delete') {
    broker.router.deleteDestination(address)
    return {}
  }
  return 'purge' in found ? { removed: int(found.purge()) } : {}
}

function int(value: number): { readonly type: 'int'; readonly value: number } {
  return { type: 'int', value }
}
