import { brokerProperty } from './content.ts'
import type { FilterOptions } from './filters.ts'
import { type Level, type MqttFault, malformed, PacketType, packetName, protocolError } from './packet.ts'
import { type Properties, Property } from './properties.ts'
import { Reader } from './reader.ts'

/** SUBSCRIBE (3.8) and UNSUBSCRIBE (3.10) as they have come in. */
interface FiltersPacket<Filter> {
  readonly id: number
  readonly filters: readonly Filter[]
}

/** Reads the variable header and payload of a SUBSCRIBE, bytes `start` to `end`. `properties`: to read them into. */
export function readSubscribe(
  bytes: Buffer,
  start: number,
  end: number,
  { level, properties }: { readonly level: Level; readonly properties: Properties },
): FiltersPacket<FilterOptions> | MqttFault {
  const reader = new Reader(bytes, start, end)
  const id = readHeader(reader, PacketType.subscribe, level, properties)
  const subscriptionId = properties.number(Property.subscriptionId, 0)
  const selector = properties.userProperties().find(([name]) => name === brokerProperty.selector)?.[1]
  const filters: FilterOptions[] = []
  while (!reader.isAtEnd) filters.push(readOptions(reader, level, subscriptionId, selector))
  // [MQTT-3.8.3-2]
  if (filters.length === 0) reader.fail(protocolError('SUBSCRIBE without a topic filter'))
  return reader.fault ?? { id, filters }
}

/** As {@link readSubscribe}, for UNSUBSCRIBE. */
export function readUnsubscribe(
  bytes: Buffer,
  start: number,
  end: number,
  { level, properties }: { readonly level: Level; readonly properties: Properties },
): FiltersPacket<string> | MqttFault {
  const reader = new Reader(bytes, start, end)
  const id = readHeader(reader, PacketType.unsubscribe, level, properties)
  const filters: string[] = []
  while (!reader.isAtEnd) filters.push(reader.text())
  // [MQTT-3.10.3-2]
  if (filters.length === 0) reader.fail(protocolError('UNSUBSCRIBE without a topic filter'))
  return reader.fault ?? { id, filters }
}

/** Packet id and properties. Returns the id. */
function readHeader(reader: Reader, type: PacketType, level: Level, properties: Properties): number {
  properties.clear()
  const id = reader.short()
  if (id === 0) reader.fail(malformed(`${packetName(type)} with the packet id 0 [MQTT-2.2.1-3]`))
  if (level < 5 || reader.fault !== undefined) return id
  const fault = properties.read(reader.bytes, reader.at, reader.end, type)
  if (fault === undefined) reader.at = properties.end
  else reader.fail(fault)
  return id
}

/** One topic filter and its options (3.8.3.1); before MQTT 5 the options are a QoS. */
function readOptions(reader: Reader, level: Level, id: number, selector: string | undefined): FilterOptions {
  const text = reader.text()
  const bits = reader.byte()
  const qos = bits & 3
  const retainHandling = (bits >> 4) & 3
  // [MQTT-3.8.3-5], and before MQTT 5 [MQTT-3-8.3-4]: reserved bits.
  if (qos === 3 || (level < 5 ? bits > 2 : bits > 0x3f)) reader.fail(malformed('the options of a topic filter'))
  if (retainHandling === 3) reader.fail(protocolError('the retain handling 3'))
  return { text, qos, noLocal: (bits & 4) !== 0, retainAsPublished: (bits & 8) !== 0, retainHandling, id, selector }
}
