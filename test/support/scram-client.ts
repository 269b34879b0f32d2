import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import type { Access, Login, ScramUsers, ScramVerifier } from '../../src/broker/access.ts'
import { BrokerError } from '../../src/errors.ts'
import { scramVerifierOf } from '../../src/scram/verifier.ts'

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

/** The client's side of SCRAM-SHA-256, written from RFC 5802 and apart from the server's. */
export class ScramClient {
  readonly header: string
  readonly bare: string
  readonly password: string
  #signature: string

  /** `name`: as on the wire, with its escapes. */
  constructor(name: string, password: string, options: { readonly nonce?: string; readonly header?: string } = {}) {
    this.header = options.header ?? 'n,,'
    this.bare = `n=${name},r=${options.nonce ?? randomBytes(12).toString('hex')}`
    this.password = password
    this.#signature = ''
  }

  get first(): Buffer {
    return Buffer.from(this.header + this.bare)
  }

  /** The answer to the server's first message. */
  final(serverFirst: string | Buffer): Buffer {
    const text = String(serverFirst)
    const [, nonce = '', salt = '', iterations = ''] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(text) ?? []
    const salted = pbkdf2Sync(this.password, Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256')
    const clientKey = hmac(salted, 'Client Key')
    const withoutProof = `c=${Buffer.from(this.header).toString('base64')},r=${nonce}`
    const signed = `${this.bare},${text},${withoutProof}`
    const mask = hmac(createHash('sha256').update(clientKey).digest(), signed)
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (mask[index] as number)))
    this.#signature = `v=${hmac(hmac(salted, 'Server Key'), signed).toString('base64')}`
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`)
  }

  /** Whether the server's last message shows that it knows us. */
  trusts(serverFinal: string | Buffer): boolean {
    return this.#signature !== '' && String(serverFinal) === this.#signature
  }
}

/** Users by name, as in a file of them; asked for at once, or in the next turn of the loop. */
export class ScramPeople implements ScramUsers {
  readonly decoy = { secret: Buffer.alloc(32, 7), iterations: 4096 }
  readonly concludedWith: string[]
  readonly #verifiers: ReadonlyMap<string, ScramVerifier>
  readonly #isLate: boolean

  constructor(verifiers: ReadonlyMap<string, ScramVerifier>, isLate = false) {
    this.concludedWith = []
    this.#verifiers = verifiers
    this.#isLate = isLate
  }

  static async of(passwords: Readonly<Record<string, string>>, isLate = false): Promise<ScramPeople> {
    const verifiers = new Map<string, ScramVerifier>()
    for (const [user, password] of Object.entries(passwords)) {
      verifiers.set(user, await scramVerifierOf(password, { iterations: 4096 }))
    }
    return new ScramPeople(verifiers, isLate)
  }

  verifier({ user = '' }: Login, answer: Parameters<ScramUsers['verifier']>[1]): void {
    if (this.#isLate) setImmediate(() => answer(this.#verifiers.get(user)))
    else answer(this.#verifiers.get(user))
  }

  concluded({ user }: Login, result: object): void {
    this.concludedWith.push(result instanceof BrokerError ? `${user}: ${result.message}` : `${user}: in`)
  }

  /** Lets these users in, and nobody by another way. */
  get access(): Access {
    return {
      authenticate: (_, answer) => answer(new BrokerError('not-authenticated', 'by SCRAM only')),
      authorise: () => undefined,
      scram: this,
    }
  }
}
