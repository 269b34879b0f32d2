import type { BrokerError, ErrorCode } from '../../src/core.ts'
import { type MqttFault, Reason } from './packet.ts'

/** The reason code of each of the core's errors. */
const reasons: Readonly<Record<ErrorCode, number>> = {
  'not-authenticated': Reason.badUserNameOrPassword,
  'not-authorised': Reason.notAuthorized,
  'not-found': Reason.topicNameInvalid,
  'invalid-destination': Reason.topicNameInvalid,
  'invalid-selector': Reason.implementationSpecific,
  'invalid-request': Reason.implementationSpecific,
  'invalid-transaction': Reason.implementationSpecific,
  'already-exists': Reason.implementationSpecific,
  'in-use': Reason.implementationSpecific,
  'limit-exceeded': Reason.quotaExceeded,
  'message-too-large': Reason.packetTooLarge,
  'resource-exhausted': Reason.quotaExceeded,
  'store-locked': Reason.serverUnavailable,
  'store-failed': Reason.serverUnavailable,
  'slow-consumer': Reason.quotaExceeded,
  'shutting-down': Reason.serverShuttingDown,
  'taken-over': Reason.sessionTakenOver,
  deleted: Reason.topicFilterInvalid,
  'protocol-error': Reason.protocolError,
  'timed-out': Reason.keepAliveTimeout,
}

export function faultOf(error: BrokerError): MqttFault {
  return { reason: reasons[error.code], sentence: error.message }
}

/** Reasons that a PUBACK or PUBREC may have (3.4.2.1); any other error is unspecified there. */
const ofPublish: ReadonlySet<number> = new Set([
  Reason.implementationSpecific,
  Reason.notAuthorized,
  Reason.topicNameInvalid,
  Reason.quotaExceeded,
])

export function publishReason(error: BrokerError): number {
  const reason = reasons[error.code]
  return ofPublish.has(reason) ? reason : Reason.unspecified
}

/** Reasons that a SUBACK may have (3.9.3). */
const ofSubscribe: ReadonlySet<number> = new Set([
  Reason.implementationSpecific,
  Reason.notAuthorized,
  Reason.topicFilterInvalid,
  Reason.quotaExceeded,
])

export function subscribeReason(error: BrokerError): number {
  const reason = error.code === 'invalid-destination' ? Reason.topicFilterInvalid : reasons[error.code]
  return ofSubscribe.has(reason) ? reason : Reason.unspecified
}

/** Return codes of a CONNACK before MQTT 5 (3.1.1, 3.2.2.3); undefined: there is none, the connection is just closed. */
export function returnCode(reason: number): number | undefined {
  switch (reason) {
    case Reason.unsupportedProtocolVersion:
      return 1
    case Reason.clientIdNotValid:
      return 2
    case Reason.badUserNameOrPassword:
      return 4
    case Reason.notAuthorized:
      return 5
    case Reason.serverUnavailable:
    case Reason.serverBusy:
    case Reason.serverShuttingDown:
    case Reason.quotaExceeded:
      return 3
    default:
      return undefined
  }
}
