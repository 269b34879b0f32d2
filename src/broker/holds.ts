import type { Coverage } from './coverage.ts'
import type { QueuePattern } from './router.ts'
import type { Hold } from './subscription.ts'
import type { Binding } from './topic.ts'

/** A durable or shared subscription: it has a name, and its queue outlives any one consumer. */
export interface NamedSubscription {
  readonly key: string
  /** Whose it is; undefined: no client's. */
  readonly clientId: string | undefined
  readonly name: string
  readonly isDurable: boolean
  readonly isShared: boolean
  readonly selectorText: string
  /** Whether the filter it was made with leaves out its client's messages. */
  readonly isNoLocal: boolean
  readonly binding: Binding
  readonly coverage: Coverage
  consumerCount: number
}

/** Told when a consumer of a named subscription goes. */
interface NamedHost {
  left(named: NamedSubscription): void
}

/** An unnamed topic subscriber: its queue goes when it goes. */
export class ListenerHold implements Hold {
  readonly coverage: Coverage
  readonly #first: Binding

  constructor(coverage: Coverage, first: Binding) {
    this.coverage = coverage
    this.#first = first
  }

  recall(): void {
    this.coverage.recall(this.#first.filter)
  }

  end(): void {
    this.coverage.clear()
    this.#first.queue.delete()
  }
}

/** One consumer of a named subscription. */
export class NamedHold implements Hold {
  readonly #host: NamedHost
  readonly #named: NamedSubscription

  constructor(host: NamedHost, named: NamedSubscription) {
    this.#host = host
    this.#named = named
  }

  get coverage(): Coverage | undefined {
    return this.#named.isShared ? undefined : this.#named.coverage
  }

  recall(): void {
    this.#named.coverage.recall(this.#named.binding.filter)
  }

  end(): void {
    this.#host.left(this.#named)
  }
}

/** A consumer of all queues that a pattern covers. */
export class PatternHold implements Hold {
  readonly #patterns: Set<QueuePattern>
  readonly #pattern: QueuePattern

  constructor(patterns: Set<QueuePattern>, pattern: QueuePattern) {
    this.#patterns = patterns
    this.#pattern = pattern
  }

  end(): void {
    this.#patterns.delete(this.#pattern)
  }
}
