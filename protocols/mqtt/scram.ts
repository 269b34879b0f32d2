import { type Access, ScramServer, scramMechanism } from '../../src/core.ts'
import type { AuthMethod } from './auth.ts'

/** The method of this name that users of `access` may come in by (4.12, RFC 5802); undefined: there is none. */
export function scramMethod(name: string, { scram }: Access): AuthMethod | undefined {
  if (scram === undefined || name !== scramMechanism) return undefined
  return {
    begin: ({ clientId, remote, isLocal }) => new ScramServer(scram, { clientId, remote, isLocal, protocol: 'mqtt' }),
  }
}
