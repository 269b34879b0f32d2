import type { Policy } from '../../src/broker/policy.ts'
import type { Outcome } from '../../src/session.ts'

/** What has become of a message that is not there any more. */
export type Fate = 'accepted' | 'expired' | 'dropped' | 'purged' | 'deleted'

/** The settings of a queue that the model knows about. */
export type ModelPolicy = Pick<
  Policy,
  'deliveriesMax' | 'redeliveryDelayMs' | 'redeliveryBackoff' | 'redeliveryDelayMsMax' | 'messagesMax' | 'overflow'
>

export interface MessageFacts {
  readonly text: string
  readonly durable: boolean
  readonly priority: number
  readonly color: string
  readonly groupId: string | undefined
  readonly expiresAt: number
  readonly deliverAt: number
}

/** One message and where it is. */
export interface ModelMessage extends MessageFacts {
  queue: ModelQueue
  state: 'ready' | 'delayed' | 'unsettled' | Fate
  /** When it came to its queue, and its place there among those of its priority. */
  sequence: number
  order: number
  until: number
  seen: boolean
  /** Seen before its last delivery. */
  seenBefore: boolean
  count: number
  canExpire: boolean
  holder: ModelConsumer | undefined
  transaction: ModelTransaction | undefined
}

export interface ModelQueue {
  readonly name: string
  readonly policy: ModelPolicy
  readonly messages: Set<ModelMessage>
  /** In the order in which they came. */
  readonly consumers: ModelConsumer[]
  readonly groups: Map<string, ModelConsumer>
  readonly held: Set<ModelSession>
  isPaused: boolean
  isDeleted: boolean
  /** Messages whose time was over while they waited, and those of them that were purged or deleted before they were found. */
  expiredCount: number
  expiredButPurgedCount: number
  acceptedCount: number
  deadCount: number
  droppedCount: number
}

export interface ModelSession {
  readonly consumers: ModelConsumer[]
  readonly transactions: ModelTransaction[]
  isSuspended: boolean
  isClosed: boolean
}

export interface ModelConsumer {
  readonly session: ModelSession
  /** The queue's name, or a pattern `q.*`. */
  readonly address: string
  readonly color: string | undefined
  readonly priority: number
  readonly isExclusive: boolean
  readonly isPresettled: boolean
  readonly isBrowser: boolean
  credit: number
  isClosed: boolean
  readonly unsettled: ModelMessage[]
  /** For a browser: what it must have been shown in the end, and what it has been shown. */
  readonly expected: Set<ModelMessage>
  readonly shown: Set<ModelMessage>
}

export interface ModelTransaction {
  readonly session: ModelSession
  readonly sends: { readonly facts: MessageFacts; readonly to: string }[]
  readonly settlements: { readonly message: ModelMessage; readonly outcome: Outcome }[]
}

export function sessionOf(): ModelSession {
  return { consumers: [], transactions: [], isSuspended: false, isClosed: false }
}

function fault(what: string): never {
  throw new Error(what)
}

/**
 * What queues are to do, said in the simplest way: sets of messages that are searched from end to end. It does not say who
 * gets the next message; it says whether that delivery was right.
 */
export class Model {
  now: number
  readonly queues: Map<string, ModelQueue>
  readonly messages: ModelMessage[]
  readonly patterns: ModelConsumer[]
  readonly browsers: Set<ModelConsumer>
  readonly #policyOf: (name: string) => ModelPolicy
  #order: number

  constructor(now: number, policyOf: (name: string) => ModelPolicy) {
    this.now = now
    this.queues = new Map()
    this.messages = []
    this.patterns = []
    this.browsers = new Set()
    this.#policyOf = policyOf
    this.#order = 0
  }

  queue(name: string): ModelQueue {
    const found = this.queues.get(name)
    if (found !== undefined) return found
    const queue: ModelQueue = {
      name,
      policy: this.#policyOf(name),
      messages: new Set(),
      consumers: this.patterns.filter((consumer) => covers(consumer.address, name)),
      groups: new Map(),
      held: new Set(),
      isPaused: false,
      isDeleted: false,
      expiredCount: 0,
      expiredButPurgedCount: 0,
      acceptedCount: 0,
      deadCount: 0,
      droppedCount: 0,
    }
    this.queues.set(name, queue)
    return queue
  }

  count(queue: ModelQueue, ...states: readonly ModelMessage['state'][]): number {
    let count = 0
    for (const message of queue.messages) if (states.includes(message.state)) count += 1
    return count
  }

  /** True if a gate holds the session. */
  isBlocked(session: ModelSession): boolean {
    return [...this.queues.values()].some((queue) => queue.held.has(session))
  }

  /** Whether one more message fits, with `ahead` to be put before it. */
  admit(queue: ModelQueue, ahead = 0): 'take' | 'hold' | 'refuse' {
    const { messagesMax, overflow } = queue.policy
    const count = queue.messages.size + ahead
    if (count < messagesMax || overflow === 'drop-oldest') return 'take'
    return overflow === 'block' && count < messagesMax * 1.25 ? 'hold' : 'refuse'
  }

  put(facts: MessageFacts, to: string, session: ModelSession): ModelMessage {
    const queue = this.queue(to)
    if (this.admit(queue) === 'hold') queue.held.add(session)
    if (queue.policy.overflow === 'drop-oldest') this.#makeRoom(queue)
    const order = this.#next()
    const message: ModelMessage = {
      ...facts,
      queue,
      state: 'ready',
      sequence: order,
      order,
      until: 0,
      seen: false,
      seenBefore: false,
      count: 0,
      canExpire: facts.expiresAt > 0,
      holder: undefined,
      transaction: undefined,
    }
    this.messages.push(message)
    queue.messages.add(message)
    if (facts.deliverAt > this.now) {
      message.state = 'delayed'
      message.until = facts.deliverAt
    } else this.#expire(message)
    return message
  }

  subscribe(consumer: ModelConsumer): void {
    consumer.session.consumers.push(consumer)
    if (consumer.isBrowser) {
      this.browsers.add(consumer)
      for (const message of this.queue(consumer.address).messages) {
        if (message.state === 'ready' && selects(consumer, message)) consumer.expected.add(message)
      }
      return
    }
    if (consumer.address.endsWith('*')) {
      for (const queue of this.queues.values()) if (covers(consumer.address, queue.name)) queue.consumers.push(consumer)
      this.patterns.push(consumer)
    } else this.queue(consumer.address).consumers.push(consumer)
  }

  /** A consumer was given a message: checks that it could be, and that no other should have come before. */
  deliver(consumer: ModelConsumer, text: string, facts: { redelivered: boolean; deliveryCount: number }): void {
    const message = this.#find(text, consumer)
    this.#checkReady(consumer, message)
    const { queue } = message
    if (queue.isPaused) fault(`${text}: given from a paused queue`)
    if (!mayTake(consumer, message)) fault(`${text}: of a group that another consumer serves, or not selected`)
    const exclusive = exclusiveOf(queue)
    if (exclusive !== undefined && exclusive !== consumer) fault(`${text}: given past the exclusive consumer`)
    if (facts.redelivered !== message.seen) fault(`${text}: redelivered is ${facts.redelivered}, seen ${message.seen}`)
    if (facts.deliveryCount !== message.count) {
      fault(`${text}: delivery count ${facts.deliveryCount} instead of ${message.count}`)
    }
    const first = this.#firstFor(consumer, queue)
    if (first !== message) fault(`${text}: given before ${first?.text}`)
    for (const other of exclusive === undefined ? queue.consumers : []) {
      if (other.priority > consumer.priority && canTakeNow(other) && mayTake(other, message)) {
        fault(`${text}: given past a consumer of higher priority`)
      }
    }
    consumer.credit -= 1
    if (message.groupId !== undefined) queue.groups.set(message.groupId, consumer)
    message.seenBefore = message.seen
    message.seen = true
    this.#hide(message)
    if (consumer.isPresettled) {
      queue.acceptedCount += 1
      this.#leave(message, 'accepted')
      return
    }
    message.state = 'unsettled'
    message.holder = consumer
    consumer.unsettled.push(message)
  }

  /** A browser was shown a message. */
  show(consumer: ModelConsumer, text: string): void {
    const message = this.#find(text, consumer)
    this.#checkReady(consumer, message)
    if (!selects(consumer, message)) fault(`${text}: shown although not selected`)
    if (consumer.shown.has(message)) fault(`${text}: shown twice`)
    consumer.credit -= 1
    consumer.shown.add(message)
    consumer.expected.delete(message)
  }

  /** A browser says that it has shown everything. */
  ended(consumer: ModelConsumer): void {
    if (consumer.isClosed) fault('a browser ended after it was closed')
    for (const message of consumer.expected) fault(`${message.text}: never shown`)
    this.closeConsumer(consumer, 'clean')
  }

  /** Settles what the consumer has and no transaction holds. */
  settle(messages: readonly ModelMessage[], outcome: Outcome, transaction: ModelTransaction | undefined): void {
    for (const message of messages) {
      if (message.state !== 'unsettled' || message.transaction !== undefined) continue
      if (transaction === undefined) this.apply(message, outcome)
      else {
        message.transaction = transaction
        transaction.settlements.push({ message, outcome })
      }
    }
  }

  /** Says whether the commit is accepted. */
  commit(transaction: ModelTransaction): boolean {
    remove(transaction.session.transactions, transaction)
    const ahead = new Map<string, number>()
    for (const { to } of transaction.sends) {
      const before = ahead.get(to) ?? 0
      if (this.admit(this.queue(to), before) === 'refuse') {
        this.#undo(transaction)
        return false
      }
      ahead.set(to, before + 1)
    }
    for (const { facts, to } of transaction.sends) this.put(facts, to, transaction.session)
    for (const { message, outcome } of transaction.settlements) this.apply(message, outcome)
    return true
  }

  abort(transaction: ModelTransaction): void {
    remove(transaction.session.transactions, transaction)
    this.#undo(transaction)
  }

  apply(message: ModelMessage, outcome: Outcome): void {
    const { queue, holder } = message
    message.transaction = undefined
    message.holder = undefined
    if (holder !== undefined) remove(holder.unsettled, message)
    if (queue.isDeleted) {
      this.#leave(message, 'deleted')
      return
    }
    const isGrave = queue.name.startsWith('DLQ.')
    if (outcome.kind === 'modified') message.count += 1
    if (outcome.kind === 'accepted') {
      queue.acceptedCount += 1
      this.#leave(message, 'accepted')
    } else if (outcome.kind === 'rejected' && !isGrave) this.#bury(message)
    else if (outcome.kind !== 'modified') this.#makeReady(message)
    else if (message.count >= queue.policy.deliveriesMax && !isGrave) this.#bury(message)
    else {
      const { redeliveryDelayMs, redeliveryBackoff, redeliveryDelayMsMax } = queue.policy
      const delay =
        outcome.delayMs ?? Math.min(redeliveryDelayMs * redeliveryBackoff ** (message.count - 1), redeliveryDelayMsMax)
      if (delay === 0) this.#makeReady(message)
      else {
        message.state = 'delayed'
        message.until = this.now + delay
      }
    }
  }

  closeConsumer(consumer: ModelConsumer, how: 'clean' | 'lost'): void {
    consumer.isClosed = true
    remove(consumer.session.consumers, consumer)
    remove(this.patterns, consumer)
    this.browsers.delete(consumer)
    for (const message of consumer.unsettled.slice()) {
      if (message.transaction === undefined) this.apply(message, { kind: how === 'lost' ? 'modified' : 'released' })
    }
    for (const queue of this.queues.values()) {
      remove(queue.consumers, consumer)
      for (const [group, holder] of queue.groups) if (holder === consumer) queue.groups.delete(group)
    }
  }

  closeSession(session: ModelSession, how: 'clean' | 'lost'): void {
    session.isClosed = true
    for (const transaction of session.transactions.slice()) this.abort(transaction)
    for (const consumer of session.consumers.slice()) this.closeConsumer(consumer, how)
    for (const queue of this.queues.values()) queue.held.delete(session)
  }

  /** Returns how many messages that have not expired went, and how many expired ones may have. */
  purge(queue: ModelQueue, fate: 'purged' | 'deleted', foundExpired: number): number {
    const expired = queue.expiredCount - queue.expiredButPurgedCount - foundExpired
    queue.expiredButPurgedCount += expired
    let count = expired
    for (const message of [...queue.messages]) {
      if (message.state !== 'ready' && message.state !== 'delayed') continue
      this.#leave(message, fate)
      count += 1
    }
    return count
  }

  /** Returns the consumers that are ended. */
  delete(queue: ModelQueue, foundExpired: number): ModelConsumer[] {
    this.purge(queue, 'deleted', foundExpired)
    queue.isDeleted = true
    queue.held.clear()
    this.queues.delete(queue.name)
    const ended = [...queue.consumers, ...this.browsers].filter((consumer) => consumer.address === queue.name)
    for (const consumer of ended) this.closeConsumer(consumer, 'clean')
    return ended
  }

  advance(ms: number): void {
    this.now += ms
    const due = this.messages.filter((message) => message.state === 'delayed' && message.until <= this.now)
    due.sort((left, right) => left.until - right.until || left.sequence - right.sequence)
    for (const message of due) {
      if (!message.seen) message.order = this.#next()
      this.#makeReady(message)
    }
    for (const message of this.messages) if (message.state === 'ready') this.#expire(message)
  }

  /** What a queue has waiting, in the order in which it is to be handed out. */
  waiting(queue: ModelQueue): ModelMessage[] {
    const ready = [...queue.messages].filter((message) => message.state === 'ready')
    return ready.sort((left, right) => right.priority - left.priority || left.order - right.order)
  }

  /** A message that the consumer could be given if it had credit. */
  availableTo(consumer: ModelConsumer): ModelMessage | undefined {
    for (const queue of this.queues.values()) {
      const exclusive = exclusiveOf(queue)
      if (queue.isPaused || !queue.consumers.includes(consumer)) continue
      if (exclusive !== undefined && exclusive !== consumer) continue
      const first = this.#firstFor(consumer, queue)
      if (first !== undefined) return first
    }
    return undefined
  }

  /** A message that somebody could have been given and was not. */
  overlooked(): string | undefined {
    for (const queue of this.queues.values()) {
      if (queue.isPaused) continue
      const exclusive = exclusiveOf(queue)
      for (const consumer of exclusive === undefined ? queue.consumers : [exclusive]) {
        const first = canTakeNow(consumer) ? this.#firstFor(consumer, queue) : undefined
        if (first !== undefined) return `${first.text} in ${queue.name} waits although a consumer could take it`
      }
    }
    return undefined
  }

  #undo(transaction: ModelTransaction): void {
    for (const { message } of transaction.settlements) {
      message.transaction = undefined
      if (message.holder?.isClosed === true) this.apply(message, { kind: 'released' })
    }
  }

  #makeReady(message: ModelMessage): void {
    message.state = 'ready'
    this.#expire(message)
  }

  #expire(message: ModelMessage): void {
    if (!message.canExpire || message.expiresAt > this.now) return
    message.queue.expiredCount += 1
    this.#leave(message, 'expired')
  }

  #bury(message: ModelMessage): void {
    const from = message.queue
    from.deadCount += 1
    from.messages.delete(message)
    this.#open(from)
    const queue = this.queue(`DLQ.${from.name}`)
    message.queue = queue
    message.sequence = this.#next()
    message.order = message.sequence
    message.seen = message.seenBefore
    message.count = 0
    message.canExpire = false
    message.state = 'ready'
    queue.messages.add(message)
  }

  #makeRoom(queue: ModelQueue): void {
    while (queue.messages.size >= queue.policy.messagesMax) {
      const waiting = this.waiting(queue)
      const lowest = waiting.at(-1)?.priority
      const oldest = waiting.find((message) => message.priority === lowest)
      if (oldest === undefined) return
      queue.droppedCount += 1
      this.#leave(oldest, 'dropped')
    }
  }

  #leave(message: ModelMessage, fate: Fate): void {
    message.state = fate
    message.queue.messages.delete(message)
    this.#hide(message)
    this.#open(message.queue)
  }

  /** It waits no more: a browser need not have been shown it. */
  #hide(message: ModelMessage): void {
    for (const browser of this.browsers) browser.expected.delete(message)
  }

  #open(queue: ModelQueue): void {
    if (queue.messages.size <= queue.policy.messagesMax * 0.9) queue.held.clear()
  }

  #find(text: string, consumer: ModelConsumer): ModelMessage {
    const message = this.messages.find((candidate) => candidate.text === text)
    if (message === undefined) fault(`${text}: never sent`)
    if (!covers(consumer.address, message.queue.name)) fault(`${text}: given from ${message.queue.name}`)
    return message
  }

  #checkReady(consumer: ModelConsumer, message: ModelMessage): void {
    if (consumer.isClosed || consumer.session.isClosed) fault(`${message.text}: given to a closed consumer`)
    if (consumer.session.isSuspended) fault(`${message.text}: given to a suspended session`)
    if (consumer.credit <= 0) fault(`${message.text}: given without credit`)
    if (message.state !== 'ready') fault(`${message.text}: given although ${message.state}`)
  }

  #firstFor(consumer: ModelConsumer, queue: ModelQueue): ModelMessage | undefined {
    return this.waiting(queue).find((message) => mayTake(consumer, message))
  }

  #next(): number {
    this.#order += 1
    return this.#order
  }
}

function canTakeNow(consumer: ModelConsumer): boolean {
  return consumer.credit > 0 && !consumer.isClosed && !consumer.session.isSuspended
}

function selects(consumer: ModelConsumer, message: ModelMessage): boolean {
  return consumer.color === undefined || consumer.color === message.color
}

function mayTake(consumer: ModelConsumer, message: ModelMessage): boolean {
  if (!selects(consumer, message)) return false
  const holder = message.groupId === undefined ? undefined : message.queue.groups.get(message.groupId)
  return holder === undefined || holder === consumer
}

function exclusiveOf(queue: ModelQueue): ModelConsumer | undefined {
  let chosen: ModelConsumer | undefined
  for (const consumer of queue.consumers) {
    if (consumer.isExclusive && (chosen === undefined || consumer.priority > chosen.priority)) chosen = consumer
  }
  return chosen
}

function covers(address: string, name: string): boolean {
  return address === name || (address === 'q.*' && name.startsWith('q.'))
}

function remove<T>(items: T[], item: T): void {
  const index = items.indexOf(item)
  if (index >= 0) items.splice(index, 1)
}
