/** The packets that clients write and servers do not, of MQTT 5 only. */
import { type ByteSink, idBytes, withLength, writePacket } from './encoder.ts'
import { PacketType } from './packet.ts'

export interface ConnectFields {
  /** Empty: the server makes one up. */
  readonly clientId: string
  readonly user: string | undefined
  readonly password: string | undefined
  readonly keepAliveSeconds: number
  readonly properties: Uint8Array
}

/** Bits of CONNECT's flags (3.1.2.3). */
const cleanStart = 0x02
const hasPassword = 0x40
const hasUser = 0x80

/** Writes a CONNECT of a session that ends with its connection, and has no will. */
export function writeConnect(sink: ByteSink, fields: ConnectFields): void {
  const { clientId, user, password, keepAliveSeconds, properties } = fields
  const flags = cleanStart | (user === undefined ? 0 : hasUser) | (password === undefined ? 0 : hasPassword)
  const head = [text('MQTT'), Uint8Array.of(5, flags), idBytes(keepAliveSeconds), withLength(properties)]
  const named = [user, password].filter((one) => one !== undefined)
  writePacket(sink, PacketType.connect << 4, [...head, text(clientId), ...named.map(text)])
}

/** Writes a SUBSCRIBE with one filter. */
export function writeSubscribe(sink: ByteSink, id: number, filter: string, qos: number, properties: Uint8Array): void {
  const parts = [idBytes(id), withLength(properties), text(filter), Uint8Array.of(qos)]
  writePacket(sink, (PacketType.subscribe << 4) | 2, parts)
}

export function writePingRequest(sink: ByteSink): void {
  writePacket(sink, PacketType.pingreq << 4, [])
}

/** Writes the DISCONNECT of a client that leaves as it should (3.14.2.1). */
export function writeGoodbye(sink: ByteSink): void {
  writePacket(sink, PacketType.disconnect << 4, [])
}

/** A topic as {@link OutgoingPublish} has it, and any other string: behind its length. */
export function text(value: string): Uint8Array {
  const bytes = Buffer.from(value)
  return Buffer.concat([idBytes(bytes.length), bytes])
}
