/** Words of the wire: MQTT 5.0 chapters 2 and 3; 3.1.1 and 3.1 use a part of them. */

/** The protocol levels of CONNECT: 3.1, 3.1.1 and 5.0. */
export type Level = 3 | 4 | 5

/** Control packet types (2.1.2). */
export const PacketType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const

export type PacketType = (typeof PacketType)[keyof typeof PacketType]

/** Reason codes (2.4). Those below 0x80 say that something went well. */
export const Reason = {
  success: 0x00,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  continueAuthentication: 0x18,
  reAuthenticate: 0x19,
  unspecified: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  implementationSpecific: 0x83,
  unsupportedProtocolVersion: 0x84,
  clientIdNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdInUse: 0x91,
  packetIdNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
  payloadFormatInvalid: 0x99,
  useAnotherServer: 0x9c,
  sharedSubscriptionsNotSupported: 0x9e,
} as const

/** What is wrong with what a peer has sent: the reason code of MQTT 5, and a sentence for a person. */
export interface MqttFault {
  readonly reason: number
  readonly sentence: string
}

export function malformed(sentence: string): MqttFault {
  return { reason: Reason.malformedPacket, sentence }
}

export function protocolError(sentence: string): MqttFault {
  return { reason: Reason.protocolError, sentence }
}

const names = Object.fromEntries(Object.entries(PacketType).map(([name, type]) => [type, name.toUpperCase()]))

/** `PUBLISH` */
export function packetName(type: number): string {
  return names[type] ?? `packet of type ${type}`
}

/** The longest remaining length and variable byte integer (1.5.5). */
export const varintMax = 268_435_455

/** Bytes of a variable byte integer. */
export function varintBytes(value: number): number {
  if (value < 128) return 1
  if (value < 16_384) return 2
  return value < 2_097_152 ? 3 : 4
}
