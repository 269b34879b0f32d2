import { BrokerError } from './errors.ts'

export type AddressKind = 'queue' | 'topic'

/** The first level of every temporary destination's name; such names are made by the broker only. */
export const temporaryPrefix = '$temp.'
const oneLevel = '*'
const rest = '>'
/** As `rest`, and the levels before it alone, too. */
const all = '#'

/**
 * A destination, or in a subscription a pattern over destinations. The name is levels joined by `.`; in a pattern the
 * level `*` stands for one level, a last level `>` for one or more and a last level `#` for any number, none too. Protocols write addresses in their own
 * way and map them to this one reversibly (DESIGN §2).
 *
 * Immutable. Adapters keep the objects they made, so that the same name is parsed once.
 */
export class Address {
  readonly kind: AddressKind
  readonly name: string
  readonly isPattern: boolean
  #levels: readonly string[] | undefined

  private constructor(kind: AddressKind, name: string, isPattern: boolean) {
    this.kind = kind
    this.name = name
    this.isPattern = isPattern
    this.#levels = undefined
  }

  /** Checks and makes an address. A refused name comes back as the error that says why. */
  static of(kind: AddressKind, name: string): Address | BrokerError {
    const fault = nameFault(name)
    if (fault !== undefined) return new BrokerError('invalid-destination', `${kind} name "${excerpt(name)}" ${fault}`)
    return new Address(kind, name, hasWildcard(name))
  }

  /** As {@link of}, for names known to be right; throws the error otherwise. */
  static must(kind: AddressKind, name: string): Address {
    const address = Address.of(kind, name)
    if (address instanceof BrokerError) throw address
    return address
  }

  /** Reads `queue://name` or `topic://name`; a name alone is a queue. */
  static parse(text: string): Address | BrokerError {
    if (text.startsWith('queue://')) return Address.of('queue', text.slice(8))
    if (text.startsWith('topic://')) return Address.of('topic', text.slice(8))
    const scheme = text.indexOf('://')
    if (scheme >= 0) {
      return new BrokerError('invalid-destination', `"${excerpt(text)}" is neither queue://name nor topic://name`)
    }
    return Address.of('queue', text)
  }

  get levels(): readonly string[] {
    this.#levels ??= this.name.split('.')
    return this.#levels
  }

  get isTemporary(): boolean {
    return this.name.startsWith(temporaryPrefix)
  }

  equals(other: Address): boolean {
    return this === other || (this.kind === other.kind && this.name === other.name)
  }

  /** `queue://name` or `topic://name`, which {@link parse} reads back. */
  toString(): string {
    return `${this.kind}://${this.name}`
  }
}

/**
 * True if the concrete `levels` are covered by the pattern's levels. A first level that begins with `$` (temporary and system
 * destinations) is covered only by itself, as MQTT has it for topics [MQTT-4.7.2-1].
 */
export function covers(pattern: readonly string[], levels: readonly string[]): boolean {
  if (isHidden(levels[0]) && pattern[0] !== levels[0]) return false
  for (let index = 0; index < pattern.length; index += 1) {
    const level = pattern[index]
    if (index === pattern.length - 1) {
      if (level === rest) return levels.length > index
      if (level === all) return levels.length >= index
    }
    if (index >= levels.length) return false
    if (level !== oneLevel && level !== levels[index]) return false
  }
  return pattern.length === levels.length
}

/** True for a first level that wildcards do not cover. */
export function isHidden(level: string | undefined): boolean {
  return level?.startsWith('$') ?? false
}

/** Bytes of the longest name, in UTF-8. */
const nameBytesMax = 4096
const levelsMax = 128

function nameFault(name: string): string | undefined {
  if (name.length === 0) return 'is empty'
  if (name.length > nameBytesMax || Buffer.byteLength(name) > nameBytesMax) {
    return `is longer than ${nameBytesMax} bytes`
  }
  let levels = 1
  for (let index = 0; index < name.length; index += 1) {
    const unit = name.charCodeAt(index)
    if (unit === 0x2e) levels += 1
    if (unit < 0x20 || unit === 0x7f) return 'contains a control character'
  }
  if (levels > levelsMax) return `has more than ${levelsMax} levels`
  return undefined
}

function hasWildcard(name: string): boolean {
  if (!name.includes(oneLevel) && !name.includes(rest) && !name.includes(all)) return false
  const levels = name.split('.')
  const last = levels.at(-1)
  return levels.includes(oneLevel) || last === rest || last === all
}

function excerpt(text: string): string {
  return text.length > 120 ? `${text.slice(0, 117)}...` : text
}
