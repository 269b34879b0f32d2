import type { Message, MessageView } from '../../message.ts'
import { type Term, termOf } from './term.ts'

/** What one evaluation reads: the message, and its canonical form, asked for once and only if something needs it. */
export class Facts {
  readonly message: Message
  #view: MessageView | undefined

  constructor(message: Message) {
    this.message = message
    this.#view = undefined
  }

  get view(): MessageView {
    this.#view ??= this.message.view()
    return this.#view
  }
}

/** Reads the value of one identifier. */
export type Reader = (facts: Facts) => Term

/**
 * The names that stand for something other than a property (3.8.1.1). All but the first six read the canonical form.
 * JMSDestination, JMSReplyTo, JMSExpiration, which the specification leaves out, are there as in ActiveMQ: addresses as
 * `queue://name`, times in milliseconds since the epoch, 0 for a message that never expires.
 */
const headers: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['JMSPriority', ({ message }) => message.priority],
  ['JMSTimestamp', ({ message }) => message.timestamp],
  ['JMSDeliveryMode', ({ message }) => (message.durable ? 'PERSISTENT' : 'NON_PERSISTENT')],
  ['JMSExpiration', ({ message }) => message.expiresAt],
  ['JMSXGroupID', ({ message }) => message.groupId],
  ['JMSDestination', ({ message }) => message.address.toString()],
  ['JMSMessageID', (facts) => facts.view.messageId ?? facts.message.id],
  ['JMSCorrelationID', (facts) => termOf(facts.view.correlationId)],
  ['JMSType', (facts) => facts.view.subject],
  ['JMSReplyTo', (facts) => facts.view.replyTo?.toString()],
  ['JMSXUserID', (facts) => facts.view.userId],
])

/**
 * How to read an identifier, found once for a selector: a header field, or else the first property of that name. Delivery facts
 * (JMSRedelivered, JMSXDeliveryCount) are none of the message's and are looked for among its properties.
 */
export function readerOf(name: string): Reader {
  return headers.get(name) ?? propertyReader(name)
}

function propertyReader(name: string): Reader {
  return (facts) => {
    const { properties } = facts.view
    for (let index = 0; index < properties.length; index += 1) {
      const property = properties[index]
      if (property !== undefined && property[0] === name) return termOf(property[1])
    }
    return undefined
  }
}
