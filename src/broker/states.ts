import { BrokerError } from '../errors.ts'
import { stateBytesMax, stateKeyBytesMax } from '../limits.ts'
import type { Context } from './context.ts'

/** Bytes a state costs beside its key and value. Counted against memory limits. */
const overheadBytes = 200

/** A change of one state; without a value the key goes. */
export interface StateChange {
  readonly key: string
  readonly value: Uint8Array | undefined
}

/** What protocol adapters keep with the broker: a value for each key, durable with the batch of the turn it was put in. */
export class States {
  readonly #context: Context
  readonly #values: Map<string, Uint8Array>
  #bytes: number

  constructor(context: Context) {
    this.#context = context
    this.#values = new Map()
    this.#bytes = 0
  }

  /** What they count as memory. */
  get bytes(): number {
    return this.#bytes
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key)
  }

  /** Those whose key begins with the prefix. Looks at every state there is. */
  *startingWith(prefix: string): Generator<readonly [key: string, value: Uint8Array]> {
    for (const entry of this.#values) if (entry[0].startsWith(prefix)) yield entry
  }

  /** Why a change cannot be taken, if it cannot. */
  refusal({ key, value }: StateChange): BrokerError | undefined {
    if (key.length === 0 || Buffer.byteLength(key) > stateKeyBytesMax) {
      return new BrokerError('invalid-request', `the key of a state has 1 to ${stateKeyBytesMax} bytes`)
    }
    if (value !== undefined && value.length > stateBytesMax) {
      return new BrokerError('limit-exceeded', `a state of ${value.length} bytes is over the limit of ${stateBytesMax}`)
    }
    const { statesMax } = this.#context.limits
    if (value !== undefined && !this.#values.has(key) && this.#values.size >= statesMax) {
      return new BrokerError('limit-exceeded', `more than ${statesMax} states of protocols`)
    }
    return undefined
  }

  /** Takes a change that is not refused; the bytes are copied. False if there is nothing to change. */
  put({ key, value }: StateChange): boolean {
    const before = this.#values.get(key)
    if (value === undefined && before === undefined) return false
    if (value === undefined) this.#values.delete(key)
    else this.#set(key, Uint8Array.from(value))
    this.#context.batch().state(key, this.#values.get(key))
    // Last, because it may free a sender who at once sends the next message.
    if (before !== undefined) {
      this.#bytes -= costOf(key, before)
      this.#context.memory.subtract(costOf(key, before))
    }
    return true
  }

  /** Takes in what the store has kept. */
  restore(states: ReadonlyMap<string, Uint8Array>): void {
    for (const [key, value] of states) this.#set(key, value)
  }

  #set(key: string, value: Uint8Array): void {
    this.#values.set(key, value)
    this.#bytes += costOf(key, value)
    this.#context.memory.add(costOf(key, value))
  }
}

function costOf(key: string, value: Uint8Array): number {
  return key.length + value.length + overheadBytes
}
