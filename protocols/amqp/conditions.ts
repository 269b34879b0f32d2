import type { BrokerError, ErrorCode } from '../../src/core.ts'
import { type ErrorFields, wrap } from './control.ts'
import type { AmqpFault } from './frame.ts'

/** The error conditions of part 2, section 2.8, and part 4, section 4.5.8, for the broker's codes. */
const conditions: Readonly<Record<ErrorCode, string>> = {
  'not-authenticated': 'amqp:unauthorized-access',
  'not-authorised': 'amqp:unauthorized-access',
  'not-found': 'amqp:not-found',
  'invalid-destination': 'amqp:invalid-field',
  'invalid-selector': 'amqp:invalid-field',
  'invalid-request': 'amqp:invalid-field',
  'invalid-transaction': 'amqp:transaction:unknown-id',
  'already-exists': 'amqp:not-allowed',
  'in-use': 'amqp:resource-locked',
  'limit-exceeded': 'amqp:resource-limit-exceeded',
  'message-too-large': 'amqp:link:message-size-exceeded',
  'resource-exhausted': 'amqp:resource-limit-exceeded',
  'store-locked': 'amqp:internal-error',
  'store-failed': 'amqp:internal-error',
  'slow-consumer': 'amqp:resource-limit-exceeded',
  'shutting-down': 'amqp:connection:forced',
  'taken-over': 'amqp:connection:forced',
  deleted: 'amqp:resource-deleted',
  'protocol-error': 'amqp:not-allowed',
  'timed-out': 'amqp:connection:forced',
}

/**
 * The broker's error as AMQP says it. One that names another place is a redirect of the connection (part 2, section 2.8.16) or of
 * a link (section 2.8.17), as `of` says.
 */
export function errorOf(error: BrokerError, of: 'connection' | 'link' = 'link'): ErrorFields {
  const { redirect } = error
  const description = error.message
  if (redirect === undefined) return { condition: conditions[error.code], description }
  const { host, port, hostname, address } = redirect
  const info = {
    ...(hostname === undefined ? {} : { hostname }),
    'network-host': host,
    port: wrap.ushort(port),
    ...(of === 'connection' || address === undefined ? {} : { address }),
  }
  return { condition: `amqp:${of}:redirect`, description, info }
}

/** The peer broke the protocol in a way that ends the connection. */
export class PeerFault extends Error {
  override readonly name = 'PeerFault'
  readonly fault: AmqpFault

  constructor(fault: AmqpFault) {
    super(fault.sentence)
    this.fault = fault
  }
}
