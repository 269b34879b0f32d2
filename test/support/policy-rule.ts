import { Address } from '../../src/address.ts'
import type { Policy, PolicyRule } from '../../src/broker/policy.ts'
import { BrokerError } from '../../src/errors.ts'

/** A rule for the addresses that `match`, written as `Address.parse` reads it, covers. */
export function policyRule(match: string, set: Partial<Policy>): PolicyRule {
  const address = Address.parse(match)
  if (address instanceof BrokerError) throw address
  return { match: address, set }
}
