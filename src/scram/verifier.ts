import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import type { ScramDecoy, ScramVerifier } from '../broker/access.ts'
import { BrokerError } from '../errors.ts'
import { prepared } from './prepare.ts'

/** How dear it is made to guess a password. */
export interface ScramCost {
  /** Default: 16 random bytes. */
  readonly salt?: Uint8Array
  /**
   * From 4096 (RFC 7677, section 4) to 10,000,000. Default 100,000, a good tenth of a second of a client's time for each login;
   * small devices want less.
   */
  readonly iterations?: number
}

/** Of a decoy's salt, and of others unless they are given. */
const saltBytes = 16
const iterationsMin = 4096
const iterationsMax = 10_000_000
const iterationsDefault = 100_000

const derive = promisify(pbkdf2)

/** What to keep of a password. Throws a BrokerError if it is empty, has control characters, or the cost is out of range. */
export async function scramVerifierOf(password: string, cost: ScramCost = {}): Promise<ScramVerifier> {
  const { salt = randomBytes(saltBytes), iterations = iterationsDefault } = cost
  const secret = prepared(password)
  if (secret === undefined) {
    throw new BrokerError('invalid-request', 'the password is empty or has characters that it may not have')
  }
  if (!Number.isInteger(iterations) || iterations < iterationsMin || iterations > iterationsMax) {
    throw new BrokerError(
      'invalid-request',
      `${iterations} iterations; from ${iterationsMin} to ${iterationsMax} may be`,
    )
  }
  if (salt.length === 0) throw new BrokerError('invalid-request', 'the salt is empty')
  const salted = await derive(secret, salt, iterations, 32, 'sha256')
  const storedKey = sha256(hmac(salted, 'Client Key'))
  return { salt, iterations, storedKey, serverKey: hmac(salted, 'Server Key') }
}

/** The verifier of somebody who does not exist, always the same. Nobody knows what would fit it. */
export function decoyOf({ secret, iterations }: ScramDecoy, user: string): ScramVerifier {
  const salt = hmac(secret, `salt ${user}`).subarray(0, saltBytes)
  return { salt, iterations, storedKey: hmac(secret, `stored ${user}`), serverKey: hmac(secret, `server ${user}`) }
}

export function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
