/** Reads what rhea has decoded, with the types that it came with: nothing is taken for what it is not. */

/** rhea's form of an encoded value: for lists, maps and arrays `value` holds such values again. */
export interface Typed {
  readonly type: { readonly typecode: number }
  readonly value: unknown
  readonly descriptor?: Typed | undefined
  readonly array_constructor?: unknown
}

const booleanCodes = new Set([0x41, 0x42, 0x56])
const uintCodes = new Set([0x43, 0x52, 0x70])
const ushortCodes = new Set([0x60])
const ubyteCodes = new Set([0x50])
const ulongCodes = new Set([0x44, 0x53, 0x80])
const stringCodes = new Set([0xa1, 0xb1])
const symbolCodes = new Set([0xa3, 0xb3])
const listCodes = new Set([0x45, 0xc0, 0xd0])
const mapCodes = new Set([0xc1, 0xd1])
const arrayCodes = new Set([0xe0, 0xf0])
const binaryCodes = new Set([0xa0, 0xb0])

/** A field has another type than the standard gives it: `amqp:decode-error`. */
export class FieldFault extends Error {
  override readonly name = 'FieldFault'
}

/** The fields of a performative or another composite, by index; each of them may be absent. */
export class Fields {
  readonly #values: readonly Typed[]
  readonly #name: string

  /** `name` is for errors. `values` as rhea keeps them: a list's items. */
  constructor(values: unknown, name: string) {
    this.#values = Array.isArray(values) ? (values as readonly Typed[]) : []
    this.#name = name
  }

  /** The value of a field as it came; undefined if it is absent or null. */
  raw(index: number): Typed | undefined {
    const value = this.#values[index]
    return value === undefined || value === null || value.type.typecode === 0x40 ? undefined : value
  }

  boolean(index: number): boolean {
    const value = this.#as(index, booleanCodes)?.value
    return value === true || value === 1
  }

  uint(index: number): number | undefined {
    return this.#as(index, uintCodes)?.value as number | undefined
  }

  ushort(index: number): number | undefined {
    return this.#as(index, ushortCodes)?.value as number | undefined
  }

  ubyte(index: number): number | undefined {
    return this.#as(index, ubyteCodes)?.value as number | undefined
  }

  /** A ulong; those beyond what a number can be are infinite. */
  ulong(index: number): number | undefined {
    const value = this.#as(index, ulongCodes)?.value
    return value === undefined ? undefined : typeof value === 'number' ? value : Number.POSITIVE_INFINITY
  }

  string(index: number): string | undefined {
    return this.#as(index, stringCodes)?.value as string | undefined
  }

  symbol(index: number): string | undefined {
    return this.#as(index, symbolCodes)?.value as string | undefined
  }

  /** One symbol or an array of them: a field that is `multiple` (part 1, section 1.4). */
  symbols(index: number): readonly string[] {
    const value = this.raw(index)
    if (value === undefined) return []
    if (symbolCodes.has(value.type.typecode)) return [value.value as string]
    if (!arrayCodes.has(value.type.typecode)) throw this.#fault(index)
    const items = value.value as readonly Typed[]
    if (items.some((item) => !symbolCodes.has(item.type.typecode))) throw this.#fault(index)
    return items.map((item) => item.value as string)
  }

  /** A map by its keys, which are symbols or strings; undefined if it is absent. */
  map(index: number): ReadonlyMap<string, Typed> | undefined {
    const value = this.#as(index, mapCodes)
    return value === undefined ? undefined : entriesOf(value)
  }

  /** Whether the field is a map, whatever its keys are. */
  hasMap(index: number): boolean {
    return this.#as(index, mapCodes) !== undefined
  }

  #as(index: number, codes: ReadonlySet<number>): Typed | undefined {
    const value = this.raw(index)
    if (value !== undefined && !codes.has(value.type.typecode)) throw this.#fault(index)
    return value
  }

  #fault(index: number): FieldFault {
    return new FieldFault(`field ${index} of ${this.#name} has the wrong type`)
  }
}

/** Entries of a map whose keys are symbols or strings; the last of equal keys counts. */
export function entriesOf(map: Typed): ReadonlyMap<string, Typed> {
  const items = map.value as readonly Typed[]
  const entries = new Map<string, Typed>()
  for (let index = 0; index + 1 < items.length; index += 2) {
    const key = textOf(items[index])
    const item = items[index + 1]
    if (key !== undefined && item !== undefined) entries.set(key, item)
  }
  return entries
}

/** The text of a string or symbol. */
export function textOf(value: Typed | undefined): string | undefined {
  if (value === undefined) return undefined
  const code = value.type.typecode
  return stringCodes.has(code) || symbolCodes.has(code) ? (value.value as string) : undefined
}

/** The fields of a described list, if it has one of these descriptors: a number or its symbol. */
export function composite(value: Typed | undefined, code: number, name: string): Fields | undefined {
  if (value === undefined || !isDescribedAs(value, code, name)) return undefined
  if (!listCodes.has(value.type.typecode)) throw new FieldFault(`${name} is no list`)
  return new Fields(value.value, name)
}

export function isDescribedAs(value: Typed, code: number, name: string): boolean {
  const descriptor = value.descriptor
  return descriptor !== undefined && (descriptor.value === code || descriptor.value === name)
}

/** True for a binary. */
export function isBinary(value: Typed): boolean {
  return binaryCodes.has(value.type.typecode)
}
