import type { Broker } from '../../src/core.ts'
import type { ProducerLink } from './producer-link.ts'

const byBroker = new WeakMap<Broker, Map<string, ProducerLink>>()

/** The live links of named producers of a broker, over whatever its clients come. */
export function namedProducers(broker: Broker): Map<string, ProducerLink> {
  const known = byBroker.get(broker)
  if (known !== undefined) return known
  const made = new Map<string, ProducerLink>()
  byBroker.set(broker, made)
  return made
}
