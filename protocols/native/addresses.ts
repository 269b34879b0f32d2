import { Address, BrokerError } from '../../src/core.ts'

const cachedMax = 1024

/** Addresses by their text, so that those that are used often are parsed once. */
export class Addresses {
  readonly #known: Map<string, Address>

  constructor() {
    this.#known = new Map()
  }

  /** `text`: what a link or a message says; undefined if neither does. */
  of(text: string | undefined): Address | BrokerError {
    if (text === undefined)
      return new BrokerError('invalid-destination', 'neither its link nor the message says where to')
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const address = Address.parse(text)
    if (address instanceof BrokerError) return address
    if (this.#known.size >= cachedMax) this.#known.clear()
    this.#known.set(text, address)
    return address
  }
}
