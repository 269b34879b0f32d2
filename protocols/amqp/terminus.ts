import type { AddressKind, Outcome } from '../../src/core.ts'
import { wrap } from './control.ts'
import { State } from './frame.ts'
import type { Expiry } from './resume.ts'
import { composite, FieldFault, type Fields, isDescribedAs, type Typed, textOf } from './typed.ts'

/** A source or target (part 3, sections 3.5.3 and 3.5.4) as a peer asks for it. */
export interface Terminus {
  /** Undefined: none; a dynamic one, or the anonymous relay. */
  readonly address: string | undefined
  /** 0: none, 1: its configuration, 2: its unsettled state too. */
  readonly durable: number
  readonly policy: string
  /** Seconds. */
  readonly timeout: number
  readonly dynamic: boolean
  readonly capabilities: readonly string[]
}

export interface Source extends Terminus {
  readonly distributionMode: string | undefined
  /** By the name that the client has chosen, which tells nothing. */
  readonly filters: ReadonlyMap<string, Typed>
  readonly defaultOutcome: Typed | undefined
  readonly outcomes: readonly string[]
}

const sourceFields = { filters: 7, defaultOutcome: 8, outcomes: 9, capabilities: 10 } as const
const targetCapabilities = 6
const coordinatorName = 'amqp:coordinator:list'
const coordinatorCode = 0x30

/** Reads the source of an attach; undefined if it is null. */
export function readSource(value: Typed | undefined): Source | undefined {
  const fields = terminusFields(value, 0x28, 'amqp:source:list')
  if (fields === undefined) return undefined
  return {
    ...common(fields),
    distributionMode: fields.symbol(6),
    filters: fields.map(sourceFields.filters) ?? new Map(),
    defaultOutcome: fields.raw(sourceFields.defaultOutcome),
    outcomes: fields.symbols(sourceFields.outcomes),
    capabilities: fields.symbols(sourceFields.capabilities),
  }
}

/** Reads the target of an attach: a node, the coordinator of transactions, or undefined if it is null. */
export function readTarget(value: Typed | undefined): Terminus | 'coordinator' | undefined {
  if (value !== undefined && isDescribedAs(value, coordinatorCode, coordinatorName)) return 'coordinator'
  const fields = terminusFields(value, 0x29, 'amqp:target:list')
  return fields === undefined ? undefined : { ...common(fields), capabilities: fields.symbols(targetCapabilities) }
}

function terminusFields(value: Typed | undefined, code: number, name: string): Fields | undefined {
  if (value === undefined) return undefined
  const fields = composite(value, code, name)
  if (fields === undefined) throw new FieldFault(`a terminus that is no ${name}`)
  return fields
}

function common(fields: Fields): Omit<Terminus, 'capabilities'> {
  return {
    address: fields.string(0),
    durable: fields.uint(1) ?? 0,
    policy: fields.symbol(2) ?? 'session-end',
    timeout: fields.uint(3) ?? 0,
    dynamic: fields.boolean(4),
  }
}

const selectorCode = 0x468c00000004
const noLocalCode = 0x468c00000003

/** The filters that are understood, and those of the client's map that ask for them, to be named in the answer. */
export interface Filters {
  readonly selector: string | undefined
  readonly noLocal: boolean
  readonly applied: Readonly<Record<string, Typed>>
}

/** Finds the filters by their descriptors, as registered by Apache, for clients choose the names themselves. */
export function readFilters(filters: ReadonlyMap<string, Typed>): Filters {
  let selector: string | undefined
  let noLocal = false
  const applied: Record<string, Typed> = Object.create(null)
  for (const [name, filter] of filters) {
    if (isDescribedAs(filter, selectorCode, 'apache.org:selector-filter:string')) {
      selector = textOf(filter)
      if (selector === undefined) throw new FieldFault('a selector filter that is no string')
      applied[name] = filter
    } else if (isDescribedAs(filter, noLocalCode, 'apache.org:no-local-filter:list')) {
      noLocal = true
      applied[name] = wrap.empty(noLocalCode)
    }
  }
  return { selector, noLocal, applied }
}

const outcomesByDescriptor: readonly (readonly [code: number, name: string, outcome: Outcome])[] = [
  [State.accepted, 'amqp:accepted:list', { kind: 'accepted' }],
  [State.rejected, 'amqp:rejected:list', { kind: 'rejected', reason: 'rejected by its consumer' }],
  [State.released, 'amqp:released:list', { kind: 'released' }],
  [State.modified, 'amqp:modified:list', { kind: 'modified' }],
]

/** The outcomes that receivers may choose, by name. */
export const outcomeNames: readonly string[] = outcomesByDescriptor.map(([, name]) => name)

/**
 * What becomes of a delivery that its receiver settles without an outcome: the source's default outcome (part 3, section 3.5.3);
 * without one a failed delivery, so that it cannot come back for ever.
 */
export function defaultOutcome(value: Typed | undefined): Outcome {
  const found = outcomesByDescriptor.find(([code, name]) => value !== undefined && isDescribedAs(value, code, name))
  return found === undefined ? { kind: 'modified' } : found[2]
}

/** Whether a sender's source has `rejected` among its outcomes; one that names none takes what comes. */
export function takesRejected(source: Typed | undefined): boolean {
  const outcomes = readSource(source)?.outcomes ?? []
  return outcomes.length === 0 || outcomes.includes('amqp:rejected:list')
}

const understoodCapabilities = new Set(['queue', 'topic', 'temporary-queue', 'temporary-topic', 'shared', 'global'])

/** How a terminus is written in the answer to an attach. */
export interface AnsweredTerminus {
  readonly address: string | undefined
  readonly isDurable: boolean
  readonly dynamicKind: AddressKind | undefined
}

/** The fields of a terminus as it really is (part 2, section 2.6.3), for rhea to write. */
export function answer(
  asked: Terminus,
  { address, isDurable, dynamicKind }: AnsweredTerminus,
  expiry: Expiry,
): Record<string, unknown> {
  const capabilities = asked.capabilities.filter((capability) => understoodCapabilities.has(capability))
  return {
    ...(address === undefined ? {} : { address }),
    durable: isDurable ? asked.durable || 1 : 0,
    expiry_policy: expiry.policy,
    timeout: expiry.timeout,
    dynamic: dynamicKind !== undefined,
    ...(dynamicKind === undefined ? {} : { dynamic_node_properties: { 'lifetime-policy': wrap.empty(deleteOnClose) } }),
    ...(capabilities.length === 0 ? {} : { capabilities }),
  }
}

/** Part 3, section 3.5.10: a dynamic node goes with the link that made it. */
const deleteOnClose = 0x2b
