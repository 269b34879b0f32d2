import { z } from 'zod'
import { Address } from '../address.ts'
import { defaultQueuePolicy, defaultTopicPolicy, type Policy, type PolicyRule } from '../broker/policy.ts'
import { BrokerError } from '../errors.ts'
import { defaultLimits, type Limits } from '../limits.ts'
import { choice, count, flag, size, text, time } from './fields.ts'
import { type ListenersConfig, listeners } from './listeners.ts'
import { formatSize } from './units.ts'

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]
export const logFormats = ['auto', 'pretty', 'json'] as const
export type LogFormat = (typeof logFormats)[number]

/** The whole configuration, checked: every amount is a number in the unit its name says. */
export interface Config {
  readonly name: string
  readonly data: string
  /** `journal`: durable messages are kept in the data folder; `memory`: nothing outlives the process. */
  readonly store: 'journal' | 'memory'
  readonly sync: 'always' | 'interval'
  readonly syncMs: number
  /** The longest that what comes in fast waits, before it is written, for consumers that accept it at once. */
  readonly patienceMs: number
  readonly listeners: ListenersConfig
  readonly security: { readonly anonymous: 'local' | 'anyone' }
  readonly limits: Limits
  /** Applied in order to the destinations they match. */
  readonly destinations: readonly PolicyRule[]
  readonly log: { readonly level: LogLevel; readonly format: LogFormat }
}

/** Settings as they may be given: any part of them, amounts as numbers or with a unit. */
export type Given<T> = {
  readonly [Key in keyof T]?: T[Key] extends number | undefined
    ? number | string
    : T[Key] extends object | undefined
      ? Given<T[Key]>
      : T[Key]
}

/** The configuration as it may be given: the shape of `manifoldmq.yaml`. */
export interface GivenConfig extends Given<Omit<Config, 'destinations'>> {
  readonly destinations?: readonly (Given<Policy> & {
    /** `queue://name` or `topic://name`, with `*` for one level and `>` for the rest. */
    readonly match: string
  })[]
}

const year = 365 * 86_400_000
const many = 2 ** 31 - 1
const terabyte = 2 ** 40

const limits = z
  .strictObject({
    memoryBytesMax: size(
      "Memory for messages, all destinations together; past it producers are blocked. Default: half of the machine's memory or three fifths of Node's heap limit, whichever is less.",
      { min: 2 ** 20, max: terabyte, default: defaultLimits.memoryBytesMax },
    ),
    hardLimitFactor: count(
      "Past this multiple of a soft limit (memory, or a destination's own) a send is refused instead of blocked.",
      { min: 1, max: 100, default: defaultLimits.hardLimitFactor, whole: false },
    ),
    messageBytesMax: size('Content of one message.', {
      min: 1024,
      max: 2 ** 30,
      default: defaultLimits.messageBytesMax,
    }),
    connectionsMax: count('Connections at the same time.', {
      min: 1,
      max: many,
      default: defaultLimits.connectionsMax,
    }),
    subscriptionsPerSessionMax: count('Subscriptions of one session.', {
      min: 1,
      max: many,
      default: defaultLimits.subscriptionsPerSessionMax,
    }),
    temporaryDestinationsPerSessionMax: count('Temporary destinations of one session.', {
      min: 0,
      max: many,
      default: defaultLimits.temporaryDestinationsPerSessionMax,
    }),
    transactionsPerSessionMax: count('Open transactions of one session.', {
      min: 0,
      max: many,
      default: defaultLimits.transactionsPerSessionMax,
    }),
    transactionOperationsMax: count('Sends, settlements and states of one transaction.', {
      min: 1,
      max: many,
      default: defaultLimits.transactionOperationsMax,
    }),
    destinationsMax: count('Queues and topics.', { min: 1, max: many, default: defaultLimits.destinationsMax }),
    retainedMessagesMax: count('Retained messages, one a topic.', {
      min: 0,
      max: many,
      default: defaultLimits.retainedMessagesMax,
    }),
    statesMax: count('States that protocols keep for their sessions, packet ids among them.', {
      min: 0,
      max: many,
      default: defaultLimits.statesMax,
    }),
    selectorCharactersMax: count('Length of a selector.', {
      min: 1,
      max: 2 ** 20,
      default: defaultLimits.selectorCharactersMax,
    }),
    outputBytesHigh: size('Unread output of one connection above which nothing more is delivered to it.', {
      min: 4096,
      max: 2 ** 30,
      default: defaultLimits.outputBytesHigh,
    }),
    stalledMsMax: time('How long a connection may read nothing while output waits for it, until it is closed.', {
      min: 1000,
      max: year,
      default: defaultLimits.stalledMsMax,
    }),
    drainMsMax: time('How long a stopping broker waits for its clients to settle what they have.', {
      min: 0,
      max: 3_600_000,
      default: defaultLimits.drainMsMax,
    }),
  } satisfies Record<keyof Limits, z.ZodType>)
  .describe("Everything has a limit; these are the broker's own.")
  .prefault({})

const queue = defaultQueuePolicy
const topicIdleSeconds = defaultTopicPolicy.idleMsMax / 1000

const policy = {
  deliveriesMax: count(`Deliveries of one message before it is dead-lettered. Default ${queue.deliveriesMax}.`, {
    min: 1,
    max: many,
    unlimited: true,
  }),
  redeliveryDelayMs: time('Delay before the first redelivery. Default 0.', { min: 0, max: year }),
  redeliveryBackoff: count('Factor by which each further delay grows; 1, the default: constant.', {
    min: 1,
    max: 1000,
    whole: false,
  }),
  redeliveryDelayMsMax: time('The longest such delay. Default 1h.', { min: 0, max: year }),
  deadLetter: choice('Where rejected and too often delivered messages go: DLQ.<name> (the default), or nowhere.', [
    'queue',
    'drop',
  ]).optional(),
  expired: choice('Where expired messages go: ExpiryQueue.<name>, or nowhere (the default).', [
    'queue',
    'drop',
  ]).optional(),
  messagesMax: count('Messages the destination holds. Default unlimited.', { min: 1, max: many, unlimited: true }),
  bytesMax: size('Bytes the destination holds. Default unlimited.', { min: 1024, max: terabyte, unlimited: true }),
  overflow: choice(
    'What a full destination does with one more message: block its sender (the default), reject it, or drop the oldest.',
    ['block', 'reject', 'drop-oldest'],
  ).optional(),
  subscriberMessagesMax: count(
    `Messages a non-durable topic subscriber may have waiting. Default ${queue.subscriberMessagesMax}.`,
    { min: 1, max: many, unlimited: true },
  ),
  subscriberBytesMax: size(
    `Bytes a non-durable topic subscriber may have waiting. Default ${formatSize(queue.subscriberBytesMax)}.`,
    { min: 1024, max: terabyte, unlimited: true },
  ),
  slowConsumer: choice(
    'What a topic does when that many wait: drop the oldest (the default) or newest, or disconnect.',
    ['drop-oldest', 'drop-newest', 'disconnect'],
  ).optional(),
  idleMsMax: time(
    `Empty and unused for this long, the destination is deleted. Default unlimited for queues, ${topicIdleSeconds}s for topics.`,
    { min: 1000, max: year, unlimited: true },
  ),
  autoCreate: flag(
    'False: a send or subscription to a destination that does not exist is refused. Default true.',
  ).optional(),
  persistent: choice('Whether messages are kept on disk: as each was sent (the default), always or never.', [
    'always',
    'as-sent',
    'never',
  ]).optional(),
} satisfies Record<keyof Policy, z.ZodType>

const destination = z
  .strictObject({
    match: text(
      'Which destinations: queue://name or topic://name, with * for one level and > for the rest.',
      (value) => {
        const address = Address.parse(value)
        return address instanceof BrokerError ? address.message : undefined
      },
    ),
    ...policy,
  })
  .transform(({ match, ...set }): PolicyRule => {
    const given = Object.entries(set).filter(([, value]) => value !== undefined)
    const address = Address.parse(match)
    // A refused name has been reported above; zod does not come here then.
    if (address instanceof BrokerError) throw address
    return { match: address, set: Object.fromEntries(given) as Partial<Policy> }
  })

/** The schema of everything that can be set. Its input is what a person writes, its output a {@link Config}. */
export const schema = z.strictObject({
  name: text('Name of this broker, in logs and towards clients.', (value) =>
    /^[\w.-]{1,64}$/.test(value) ? undefined : 'must be 1 to 64 letters, digits, dots, dashes or underscores',
  ).default('manifoldmq'),
  data: text('Folder for stored messages; made if it is not there. One broker at a time can use it.', (value) =>
    value.length > 0 ? undefined : 'must not be empty',
  ).default('./data'),
  store: choice('Where durable messages are kept: in a journal in the data folder, or in memory only.', [
    'journal',
    'memory',
  ]).default('journal'),
  sync: choice(
    'When what was written is flushed to the disk. always: before it is confirmed, so that nothing confirmed is lost even when the power is. interval: every syncMs, so that a power loss may cost what was confirmed since; a crash of the broker alone costs nothing.',
    ['always', 'interval'],
  ).default('always'),
  syncMs: time('How long after it was written it is flushed, with sync: interval.', { min: 1, max: 60_000 }).default(
    1_000,
  ),
  patienceMs: time(
    'How long durable messages that come in fast may wait, before they are written and confirmed, for consumers that accept messages at once: what is accepted meanwhile is confirmed without being written. 0: they do not.',
    { min: 0, max: 1_000 },
  ).default(30),
  listeners,
  security: z
    .strictObject({
      anonymous: choice(
        'Who may come in without a login: clients of this machine only, or anyone that reaches a listener.',
        ['local', 'anyone'],
      ).default('local'),
    })
    .describe('Who may do what.')
    .prefault({}),
  limits,
  destinations: z
    .array(destination)
    .describe('How destinations behave; every entry that matches one applies, in order.')
    .prefault([]),
  log: z
    .strictObject({
      level: choice('The least important lines that are written.', logLevels).default('info'),
      format: choice(
        'Lines for people, or JSON for machines; auto: people on a terminal, JSON otherwise.',
        logFormats,
      ).default('auto'),
    })
    .describe('What is written to standard error.')
    .prefault({}),
})
