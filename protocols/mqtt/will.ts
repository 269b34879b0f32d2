import { Address, type Broker, BrokerError, type Identity, type SessionEvents } from '../../src/core.ts'
import type { Will } from './connect.ts'
import { toMessage } from './content.ts'
import { Properties, willProperties } from './properties.ts'

/** For messages of the adapter's own, whose answers nobody waits for. */
export const unheard: SessionEvents = {
  confirmed: () => undefined,
  refused: () => undefined,
  blocked: () => undefined,
  unblocked: () => undefined,
  closed: () => undefined,
}

/** Publishes the will of a client that has gone (3.1.2.5), with that client's rights. False: the broker is closing. */
export function publishWill(broker: Broker, identity: Identity, will: Will): boolean {
  const session = broker.connect(identity, unheard)
  if (session instanceof BrokerError) return false
  const { address, payload, qos, retain } = will
  const properties = new Properties()
  properties.read(will.properties, 0, will.properties.length, willProperties)
  const envelope = { address, qos, retain, now: broker.clock.now(), source: session.source }
  session.send(toMessage(envelope, { properties, bytes: payload, start: 0, end: payload.length }))
  session.close('clean')
  return true
}

/** A will as the store has it: bytes in base64. */
interface StoredWill {
  readonly address: string
  readonly qos: number
  readonly retain: boolean
  readonly delayMs: number
  readonly properties: string
  readonly payload: string
}

/** A will as text, for the store. */
export function writeWill(will: Will): string {
  const { address, delayMs, payload, properties, qos, retain } = will
  const stored: StoredWill = {
    address: address.toString(),
    qos,
    retain,
    delayMs,
    properties: properties.toString('base64'),
    payload: payload.toString('base64'),
  }
  return JSON.stringify(stored)
}

/** Reads it back. */
export function readWill(text: string): Will | undefined {
  const stored = JSON.parse(text) as StoredWill
  const address = Address.parse(stored.address)
  if (address instanceof BrokerError) return undefined
  const { qos, retain, delayMs } = stored
  const properties = Buffer.from(stored.properties, 'base64')
  return { address, qos, retain, delayMs, properties, payload: Buffer.from(stored.payload, 'base64') }
}
