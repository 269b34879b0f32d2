import { Address } from '../address.ts'
import { BrokerError } from '../errors.ts'
import type { Context, Death } from './context.ts'
import type { QueuedDelivery } from './delivery.ts'
import type { Queue } from './queue.ts'

/** Names of what a dead letter says of its death, among its annotations. */
export const deathAnnotations = {
  address: 'dead-letter-address',
  /** The durable or shared subscription it died in; absent if it died in a queue. */
  subscription: 'dead-letter-subscription',
  reason: 'dead-letter-reason',
  count: 'dead-letter-count',
  time: 'dead-letter-time',
} as const

/** True for a queue of the dead: messages stay there whatever consumers say of them. */
export function isGrave({ kind, levels }: Address): boolean {
  return kind === 'queue' && (levels[0] === 'DLQ' || levels[0] === 'ExpiryQueue')
}

/**
 * Gives a dead message to `DLQ.<name>` or `ExpiryQueue.<name>`, where `<name>` is the address that it was sent to, with where
 * it was, why, after how many deliveries and when as annotations; to `DLQ` or `ExpiryQueue` if that name would be too long.
 * It does not expire there.
 */
export function bury(
  context: Context,
  queueOf: (address: Address) => Queue,
  delivery: QueuedDelivery,
  death: Death,
): void {
  const { message } = delivery
  const { subscription } = delivery.queue
  const named = Address.of('queue', `${death.grave}.${message.address.name}`)
  const address = named instanceof BrokerError ? Address.must('queue', death.grave) : named
  const dead = message.with({
    address,
    expiresAt: 0,
    deliverAt: 0,
    annotations: {
      ...message.annotations,
      [deathAnnotations.address]: message.address.toString(),
      ...(subscription === undefined ? {} : { [deathAnnotations.subscription]: subscription }),
      [deathAnnotations.reason]: death.reason,
      [deathAnnotations.count]: delivery.deliveryCount,
      [deathAnnotations.time]: context.clock.now(),
    },
  })
  context.received?.(dead)
  queueOf(address).adopt(dead, delivery)
}

/**
 * Sends up to `count` dead letters back to where they died: the queue, or the one subscription. Those whose place has gone
 * stay. Returns how many went.
 */
export async function sendBack(
  dead: Queue,
  placeOf: (origin: Address, subscription: string | undefined) => Queue | undefined,
  count: number,
): Promise<number> {
  let moved = 0
  await dead.walk((delivery) => {
    if (moved >= count) return 'stop'
    const {
      [deathAnnotations.address]: address,
      [deathAnnotations.subscription]: subscription,
      [deathAnnotations.reason]: _reason,
      [deathAnnotations.count]: _count,
      [deathAnnotations.time]: _time,
      ...rest
    } = delivery.message.annotations ?? {}
    const origin = typeof address === 'string' ? Address.parse(address) : undefined
    if (origin === undefined || origin instanceof BrokerError) return 'leave'
    const place = placeOf(origin, typeof subscription === 'string' ? subscription : undefined)
    if (place === undefined) return 'leave'
    place.adopt(delivery.message.with({ address: origin, annotations: rest }), delivery)
    moved += 1
    return 'take'
  })
  return moved
}
