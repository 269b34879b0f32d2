import { BrokerError } from '../../src/core.ts'
import type { FieldMap } from './fields.ts'
import { readText } from './text.ts'

/** What a HELLO asks for. */
export interface Hello {
  readonly user: string | undefined
  readonly password: string | undefined
  readonly clientId: string | undefined
  readonly heartBeatMs: number
  readonly frameBytesMax: number
}

const frameBytesDefault = 1024 * 1024
const heartBeatMsMax = 2 ** 31 - 1

export function readHello(fields: FieldMap): Hello | BrokerError {
  const login = readLogin(fields.text('mechanism') ?? 'ANONYMOUS', fields.block('initialResponse'))
  if (login instanceof BrokerError) return login
  return {
    ...login,
    clientId: fields.text('clientId'),
    heartBeatMs: Math.min(fields.number('heartBeatMs') ?? 0, heartBeatMsMax),
    frameBytesMax: fields.number('frameBytesMax') ?? frameBytesDefault,
  }
}

/** SASL in one step: ANONYMOUS (RFC 4505), or PLAIN (RFC 4616) as authorisation id NUL user NUL password. */
function readLogin(
  mechanism: string,
  response: Uint8Array | undefined,
): Pick<Hello, 'user' | 'password'> | BrokerError {
  if (mechanism === 'ANONYMOUS') return { user: undefined, password: undefined }
  if (mechanism !== 'PLAIN') {
    return new BrokerError('not-authenticated', `the mechanisms are PLAIN and ANONYMOUS, not "${mechanism}"`)
  }
  const [, user, password] = readText(response ?? new Uint8Array(0), 0, response?.length ?? 0).split('\0')
  if (user === undefined || password === undefined) {
    return new BrokerError('not-authenticated', 'PLAIN needs an initial response: NUL user NUL password')
  }
  return { user, password }
}
