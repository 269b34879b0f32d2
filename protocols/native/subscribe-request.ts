import { Address, BrokerError, type SubscribeRequest } from '../../src/core.ts'
import type { FieldMap } from './fields.ts'

type Request = Omit<SubscribeRequest, 'consumer'>

/** What the map of a CONSUMER asks for. */
export function subscribeRequest(fields: FieldMap): Request | BrokerError {
  const text = fields.text('source')
  if (text === undefined) return new BrokerError('invalid-request', 'CONSUMER needs a source')
  const address = Address.parse(text)
  if (address instanceof BrokerError) return address
  const ack = fields.text('ack') ?? 'explicit'
  if (ack !== 'explicit' && ack !== 'none') {
    return new BrokerError('invalid-request', `CONSUMER: ack must be explicit or none, not "${ack}"`)
  }
  const retained = fields.text('retained')
  if (retained !== undefined && retained !== 'send' && retained !== 'if-new' && retained !== 'none') {
    return new BrokerError('invalid-request', 'CONSUMER: retained must be send, if-new or none')
  }
  return {
    address,
    presettled: ack === 'none',
    selector: fields.text('selector'),
    noLocal: fields.flag('noLocal'),
    exclusive: fields.flag('exclusive'),
    priority: Math.min(fields.number('priority') ?? 0, 127),
    browse: fields.flag('browse'),
    name: fields.text('name'),
    durable: fields.flag('durable'),
    shared: fields.flag('shared'),
    retained,
  }
}
