import { brokerProperty } from '../../../protocols/mqtt/content.ts'
import { type Properties, Property, PropertyWriter } from '../../../protocols/mqtt/properties.ts'
import { readTopicName, writeTopicName } from '../../../protocols/mqtt/topics.ts'
import { Address } from '../../address.ts'
import { BrokerError } from '../../errors.ts'
import { CommandError } from '../failure.ts'
import { headersOf, type Outgoing, type Received } from './client.ts'

const expirySecondsMax = 0xffff_ffff

/** The topic name of `queue://a.b` or `topic://a.b`: `$queue/a/b` or `a/b`. */
export function topicOf(destination: string): string {
  const address = addressOf(destination)
  if (address.isPattern) throw new CommandError(`${destination} is a pattern; messages are sent to one name`)
  return writeTopicName(address)
}

/** The same for what is subscribed to: `topic://prices.*.>` is `prices/+/#`. */
export function filterOf(destination: string): string {
  const address = addressOf(destination)
  if (!address.isPattern) return writeTopicName(address)
  const levels = address.levels.map((level) => (level === '*' ? '+' : level))
  const last = levels.length - 1
  // Every # of MQTT covers the levels before it as well; that nobody has asked for.
  if (levels[last] === '>') levels.splice(last, 1, '+', '#')
  const plain = levels.map((level) =>
    level === '+' || level === '#' ? level : writeTopicName(Address.must('topic', level)),
  )
  return `${address.kind === 'queue' ? '$queue/' : ''}${plain.join('/')}`
}

function addressOf(destination: string): Address {
  const address = Address.parse(destination.replace(/^\/(queue|topic)\//, '$1://'))
  if (address instanceof BrokerError) throw new CommandError(address.message)
  return address
}

/** What MQTT has no word for goes as properties that only this broker knows. */
export function publishProperties({ isText, priority, ttlMs, properties }: Outgoing): Uint8Array {
  const writer = new PropertyWriter()
  if (isText) writer.byte(Property.payloadFormat, 1)
  if (ttlMs !== undefined) {
    writer.long(Property.messageExpiry, Math.min(Math.ceil(ttlMs / 1000), expirySecondsMax))
    writer.pair(brokerProperty.ttl, String(ttlMs))
  }
  if (priority !== undefined) writer.pair(brokerProperty.priority, String(priority))
  for (const [name, value] of Object.entries(properties)) writer.pair(name, value)
  return writer.bytes
}

export function selectorProperties(selector: string | undefined): Uint8Array {
  const writer = new PropertyWriter()
  if (selector !== undefined) writer.pair(brokerProperty.selector, selector)
  return writer.bytes
}

/** A PUBLISH as it was read; the properties are a view. */
interface Publish {
  readonly first: number
  readonly topic: string
  readonly properties: Properties
  readonly body: Buffer
  readonly accept: () => void
}

export function receivedOf({ first, topic, properties, body, accept }: Publish): Received {
  const found = readTopicName(topic)
  const address = found instanceof BrokerError ? topic : found.toString()
  const users = properties.userProperties()
  const user = (name: string): string | undefined => users.find(([one]) => one === name)?.[1]
  const known = new Set<string>(Object.values(brokerProperty))
  const seconds = properties.number(Property.messageExpiry, -1)
  const headers = {
    destination: address,
    priority: user(brokerProperty.priority) ?? '4',
    // A QoS above 0 says that it is kept, unless the subscription has made less of it.
    persistent: (first & 6) > 0 || undefined,
    redelivered: (first & 8) > 0 || undefined,
    retained: (first & 1) > 0 || undefined,
    expires: seconds < 0 ? undefined : Math.round(performance.timeOrigin + performance.now() + seconds * 1000),
    'correlation-id': properties.binary(Property.correlationData)?.toString(),
    'reply-to': properties.text(Property.responseTopic),
    type: user(brokerProperty.subject),
    'content-type': properties.text(Property.contentType),
    ...Object.fromEntries(users.filter(([name]) => !known.has(name))),
  }
  return { address, body, headers: () => headersOf(headers), accept }
}
