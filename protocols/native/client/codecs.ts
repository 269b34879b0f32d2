import { Kind } from '../section.ts'
import { Encoded, type Payload } from './body.ts'
import { ManifoldError } from './errors.ts'
import type { Message } from './message.ts'
import type { Plain, Properties, PropertyInput } from './values.ts'

/** How values of a program become bodies and back. `decode` may throw: the message is then failed by `process`. */
export interface Codec<T> {
  encode(value: T): Payload | Encoded
  decode(message: Message<unknown>): T
}

/** The part of a Standard Schema (standardschema.dev) that is used here. */
export interface StandardSchema<T> {
  readonly '~standard': {
    readonly validate: (value: unknown) => StandardResult<T> | Promise<StandardResult<T>>
  }
}

type StandardResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string }[] }

/** JSON, checked against a schema if one is given: `json<Order>()`, `json(orderSchema)`. */
export function json<T>(schema?: StandardSchema<T>): Codec<T> {
  return {
    encode: (value) => new Encoded(Kind.json, value),
    decode(message) {
      const value = message.json()
      return schema === undefined ? (value as T) : checked(schema, value)
    },
  }
}

function checked<T>(schema: StandardSchema<T>, value: unknown): T {
  const result = schema['~standard'].validate(value)
  if (result instanceof Promise) throw new TypeError('a schema that checks asynchronously cannot be used here')
  if (result.issues === undefined) return result.value
  const reasons = result.issues.map(({ message }) => message).join('; ')
  throw new ManifoldError('invalid-request', `the body does not match its schema: ${reasons}`)
}

export const text: Codec<string> = {
  encode: (value) => value,
  decode: (message) => message.text,
}

export const bytes: Codec<Uint8Array> = {
  encode: (value) => value,
  decode: (message) => message.bytes,
}

/** Named values that keep their types. */
export const map: Codec<Properties | ReadonlyMap<string, Plain>> = {
  encode: (value) => new Encoded(Kind.map, value),
  decode: (message) => message.map,
}

/** Values in a row that keep their types. */
export const list: Codec<readonly PropertyInput[] | readonly Plain[]> = {
  encode: (value) => new Encoded(Kind.list, value),
  decode: (message) => message.list,
}
