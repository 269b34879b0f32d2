import { Address, covers } from '../address.ts'
import { BrokerError } from '../errors.ts'
import { MessageSource } from '../message.ts'
import type { NamedSubscriptionInfo, SubscribeRequest } from '../session.ts'
import type { OwnerRecord, OwnerSpec } from '../store/store.ts'
import type { Context } from './context.ts'
import { Coverage, type CoverageHost, coveragePrefix } from './coverage.ts'
import { ListenerHold, NamedHold, type NamedSubscription, PatternHold } from './holds.ts'
import type { Policies } from './policy.ts'
import { Queue } from './queue.ts'
import { Feed } from './rotation.ts'
import type { QueuePattern, Router } from './router.ts'
import { compileSelector, type Selector } from './selector/selector.ts'
import type { BrokerSession } from './session.ts'
import { BrokerSubscription } from './subscription.ts'
import type { Binding } from './topic.ts'

/** Everything that consumers hold: makes subscriptions, and keeps the named ones between connections. */
export class Subscriptions {
  readonly #context: Context
  readonly #router: Router
  readonly #policies: Policies
  readonly #coverageHost: CoverageHost
  readonly #named: Map<string, NamedSubscription>
  /** The same, by whose they are. */
  readonly #byClient: Map<string | undefined, Set<NamedSubscription>>

  constructor(context: Context, policies: Policies, coverageHost: CoverageHost) {
    this.#context = context
    this.#router = coverageHost.router
    this.#policies = policies
    this.#coverageHost = coverageHost
    this.#named = new Map()
    this.#byClient = new Map()
  }

  subscribe(session: BrokerSession, request: SubscribeRequest): BrokerSubscription | BrokerError {
    const selector = this.#selectorOf(request.selector)
    if (selector instanceof BrokerError) return selector
    if (!this.#router.mayConsume(session, request.address)) {
      return new BrokerError('not-authorised', `${request.address} belongs to another connection, or has ended`)
    }
    if (request.address.kind === 'queue') return this.#consume(session, request, selector)
    if (request.name !== undefined) return this.#joinNamed(session, request, request.name, selector)
    return this.#listen(session, request, selector)
  }

  /** The queues of the durable and shared subscriptions. */
  get queues(): Iterable<Queue> {
    return [...this.#named.values()].map(({ binding }) => binding.queue)
  }

  /** The queue of a durable or shared subscription, by the name that dead letters carry. */
  queueOf(key: string): Queue | undefined {
    return this.#named.get(key)?.binding.queue
  }

  queueOfClient(clientId: string, name: string): Queue | undefined {
    return this.#find(clientId, name)?.binding.queue
  }

  /** A client's named subscription. */
  find(clientId: string | undefined, name: string): NamedSubscriptionInfo | undefined {
    const named = this.#find(clientId, name)
    return named === undefined ? undefined : infoOf(named)
  }

  /** All named subscriptions of a client, or, without one, those that belong to no client. */
  namedOf(clientId: string | undefined): readonly NamedSubscriptionInfo[] {
    const named = this.#byClient.get(clientId)
    return named === undefined ? [] : [...named].map(infoOf)
  }

  /** Removes a named subscription with all it has collected. */
  remove(clientId: string | undefined, name: string): BrokerError | undefined {
    const named = this.#find(clientId, name)
    if (named === undefined) return new BrokerError('not-found', `there is no durable subscription "${name}"`)
    if (named.consumerCount > 0) return new BrokerError('in-use', `the durable subscription "${name}" is in use`)
    this.#drop(named)
    return undefined
  }

  /** A consumer of a named subscription has gone: one that is not durable goes with the last of them. */
  left(named: NamedSubscription): void {
    named.consumerCount -= 1
    if (named.consumerCount === 0 && !named.isDurable) this.#drop(named)
  }

  /** Makes a durable subscription that the store has kept; its queue is filled by the caller. */
  restore(record: OwnerRecord): Queue | undefined {
    const { settings, name: key } = record.spec
    const address = Address.of('topic', String(settings.filter))
    const selector = this.#selectorOf(String(settings.selector))
    if (address instanceof BrokerError || selector instanceof BrokerError) return undefined
    const clientId = typeof settings.clientId === 'string' ? settings.clientId : undefined
    const named = this.#makeNamed({
      key,
      clientId,
      name: key.slice(keyOf(kindOf(true, settings.shared === true), clientId, '').length),
      filter: address,
      selector,
      selectorText: String(settings.selector),
      isDurable: true,
      isShared: settings.shared === true,
      noLocal: settings.noLocal === true ? new MessageSource('', clientId, '') : undefined,
    })
    return named.binding.queue
  }

  /** Takes in the filters of durable subscriptions, once those have been restored. */
  restoreCoverage(states: Iterable<readonly [key: string, value: Uint8Array]>): void {
    for (const [key, value] of states) {
      const slash = key.indexOf('/', coveragePrefix.length)
      const named = this.#named.get(key.slice(slash + 1))
      const own = new MessageSource('', named?.clientId, '')
      named?.coverage.restore(Number(key.slice(coveragePrefix.length, slash)), value, own)
    }
  }

  #consume(
    session: BrokerSession,
    request: SubscribeRequest,
    selector: Selector | undefined,
  ): BrokerSubscription | BrokerError {
    const { address, priority, exclusive, browse = false } = request
    const presettled = request.presettled || browse
    const subscription = new BrokerSubscription(session, request.consumer, {
      presettled,
      isPattern: address.isPattern,
    })
    const attach = (queue: Queue): void => {
      const feed = new Feed(subscription, { selector, priority, exclusive, browse })
      subscription.join(queue, feed)
      queue.attach(feed)
    }
    if (!address.isPattern) {
      const destination = this.#router.destination(address)
      if (destination instanceof BrokerError) return destination
      if (destination instanceof Queue) attach(destination)
      return subscription
    }
    if (browse) return new BrokerError('invalid-destination', `${address} is a pattern; only one queue can be browsed`)
    for (const queue of this.#router.queues) if (covers(address.levels, queue.address.levels)) attach(queue)
    const pattern: QueuePattern = { levels: address.levels, attach }
    this.#router.patterns.add(pattern)
    subscription.hold = new PatternHold(this.#router.patterns, pattern)
    return subscription
  }

  /** An unnamed topic subscriber: a queue of its own that goes when it goes. */
  #listen(
    session: BrokerSession,
    request: SubscribeRequest,
    selector: Selector | undefined,
  ): BrokerSubscription | BrokerError {
    const { address } = request
    if (!address.isPattern) {
      const topic = this.#router.destination(address)
      if (topic instanceof BrokerError) return topic
    }
    const policy = this.#policies.ofSubscriber(address)
    const queue = new Queue(this.#context, {
      address,
      policy,
      spec: undefined,
      isShared: false,
      subscription: undefined,
    })
    const subscription = new BrokerSubscription(session, request.consumer, {
      presettled: request.presettled,
      isPattern: false,
    })
    const binding: Binding = {
      filter: address,
      queue,
      selector,
      noLocal: request.noLocal === true ? session.source : undefined,
      slow: policy.slowConsumer,
      subscriber: subscription,
    }
    const coverage = new Coverage(this.#coverageHost, binding, undefined)
    if (request.retained !== 'none') coverage.recall(address)
    this.#feed(subscription, queue, request)
    subscription.hold = new ListenerHold(coverage, binding)
    return subscription
  }

  #joinNamed(
    session: BrokerSession,
    request: SubscribeRequest,
    name: string,
    selector: Selector | undefined,
  ): BrokerSubscription | BrokerError {
    const { durable = false, shared = false, isGlobal = false } = request
    if (!durable && !shared)
      return new BrokerError('invalid-request', `subscription "${name}" is neither durable nor shared`)
    if (durable && !shared && session.clientId === undefined) {
      return new BrokerError('invalid-request', `the durable subscription "${name}" needs a client id`)
    }
    if (isGlobal && !shared) {
      return new BrokerError('invalid-request', `the subscription "${name}" belongs to a client unless it is shared`)
    }
    const clientId = isGlobal ? undefined : session.clientId
    const key = keyOf(kindOf(durable, shared), clientId, name)
    const found = this.#current(key, request)
    if (found instanceof BrokerError) return found
    const named =
      found ??
      this.#makeNamed({
        key,
        clientId,
        name,
        filter: request.address,
        selector,
        selectorText: request.selector ?? '',
        isDurable: durable,
        isShared: shared,
        noLocal: request.noLocal === true ? session.source : undefined,
      })
    const isNew = found === undefined
    if (isNew && durable) named.binding.queue.ownerId()
    if (isNew ? request.retained !== 'none' : request.retained === 'send') named.coverage.recall(request.address)
    const subscription = new BrokerSubscription(session, request.consumer, {
      presettled: request.presettled,
      isPattern: false,
    })
    named.consumerCount += 1
    this.#feed(subscription, named.binding.queue, request)
    subscription.hold = new NamedHold(this, named)
    return subscription
  }

  /**
   * The subscription of that key if it can be joined. One with another filter, selector or no-local is replaced, what it has
   * collected is dropped, as Jakarta Messaging has it for durable subscriptions (3.1, section 8.3.3); not while others use it.
   */
  #current(key: string, request: SubscribeRequest): NamedSubscription | BrokerError | undefined {
    const named = this.#named.get(key)
    if (named === undefined) return undefined
    const isSame =
      named.binding.filter.equals(request.address) &&
      named.selectorText === (request.selector ?? '') &&
      named.isNoLocal === (request.noLocal === true)
    if (named.consumerCount > 0 && (!named.isShared || !isSame)) {
      return new BrokerError('in-use', `the subscription "${request.name}" is in use by another consumer`)
    }
    if (isSame) return named
    this.#drop(named)
    return undefined
  }

  #makeNamed(init: NamedInit): NamedSubscription {
    const spec: OwnerSpec | undefined = init.isDurable
      ? { kind: 'subscription', name: init.key, settings: settingsOf(init) }
      : undefined
    const queue = new Queue(this.#context, {
      address: init.filter,
      policy: this.#policies.of(init.filter),
      spec,
      isShared: init.isShared,
      subscription: init.key,
    })
    const { filter, selector, noLocal } = init
    const binding: Binding = { filter, queue, selector, noLocal, slow: undefined, subscriber: undefined }
    const { key, clientId, name, isDurable, isShared, selectorText } = init
    const isNoLocal = noLocal !== undefined
    const coverage = new Coverage(this.#coverageHost, binding, isDurable ? key : undefined)
    const named: NamedSubscription = {
      key,
      clientId,
      name,
      isDurable,
      isShared,
      selectorText,
      isNoLocal,
      binding,
      coverage,
      consumerCount: 0,
    }
    this.#named.set(key, named)
    const ofClient = this.#byClient.get(clientId) ?? new Set()
    this.#byClient.set(clientId, ofClient.add(named))
    return named
  }

  #find(clientId: string | undefined, name: string): NamedSubscription | undefined {
    if (!this.#byClient.has(clientId)) return undefined
    for (const kind of ['own', 'shared', 'shared-live'] as const) {
      const named = this.#named.get(keyOf(kind, clientId, name))
      if (named !== undefined) return named
    }
    return undefined
  }

  #drop(named: NamedSubscription): void {
    this.#named.delete(named.key)
    const ofClient = this.#byClient.get(named.clientId)
    ofClient?.delete(named)
    if (ofClient?.size === 0) this.#byClient.delete(named.clientId)
    named.coverage.clear()
    named.binding.queue.delete()
  }

  #feed(subscription: BrokerSubscription, queue: Queue, request: SubscribeRequest): void {
    const feed = new Feed(subscription, { priority: request.priority })
    subscription.join(queue, feed)
    queue.attach(feed)
  }

  #selectorOf(text: string | undefined): Selector | BrokerError | undefined {
    if (text === undefined || text === '') return undefined
    return compileSelector(text, this.#context.limits.selectorCharactersMax)
  }
}

interface NamedInit {
  readonly key: string
  readonly clientId: string | undefined
  readonly name: string
  readonly filter: Address
  readonly selector: Selector | undefined
  readonly selectorText: string
  readonly isDurable: boolean
  readonly isShared: boolean
  readonly noLocal: MessageSource | undefined
}

function settingsOf(init: NamedInit): OwnerSpec['settings'] {
  const settings: Record<string, string | boolean> = {
    filter: init.filter.name,
    selector: init.selectorText,
    shared: init.isShared,
    noLocal: init.noLocal !== undefined,
  }
  if (init.clientId !== undefined) settings.clientId = init.clientId
  return settings
}

function infoOf(named: NamedSubscription): NamedSubscriptionInfo {
  const { name, isDurable, isShared, selectorText, consumerCount, binding } = named
  const { filter: address, queue } = binding
  return { name, address, selector: selectorText, isDurable, isShared, consumerCount, messageCount: queue.count }
}

type SubscriptionKind = 'own' | 'shared' | 'shared-live'

function kindOf(isDurable: boolean, isShared: boolean): SubscriptionKind {
  if (!isShared) return 'own'
  return isDurable ? 'shared' : 'shared-live'
}

/**
 * A shared subscription that is durable is not the one of the same name that is not (Jakarta Messaging 3.1, section 8.3).
 * Lengths are written out, so that no two pairs of client id and name share a key.
 */
function keyOf(kind: SubscriptionKind, clientId: string | undefined, name: string): string {
  const owner = clientId === undefined ? '-' : `${clientId.length}:${clientId}`
  return `${kind}/${owner}/${name}`
}
