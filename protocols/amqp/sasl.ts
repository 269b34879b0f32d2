import { type BrokerError, type Identity, type ScramServer, type ScramStep, scramMechanism } from '../../src/core.ts'
import type { Mechanism, Mechanisms } from './control.ts'

/** Asks the broker whether somebody may come in; answers once. */
export type Authenticate = (
  user: string | undefined,
  password: string | undefined,
  answer: (result: Identity | BrokerError) => void,
) => void

/** What mechanisms tell the connection: who has come in. */
export type Admit = (identity: Identity) => void

/** Bytes of a name or a password in PLAIN (RFC 4616, section 2). */
const plainBytesMax = 1024

/** The mechanisms that are offered, the strongest first; SCRAM if there is somebody to serve it. */
export function mechanismsFor(authenticate: Authenticate, admit: Admit, scram: ScramServer | undefined): Mechanisms {
  const mechanisms: Mechanisms = Object.create(null)
  if (scram !== undefined) mechanisms[scramMechanism] = () => new Scram(scram, admit)
  mechanisms.PLAIN = () => new Plain(authenticate, admit)
  mechanisms.ANONYMOUS = () => new Anonymous(authenticate, admit)
  return mechanisms
}

/** RFC 4505: what the client says of itself is not looked at. */
class Anonymous implements Mechanism {
  outcome: boolean | undefined
  readonly username: string | undefined
  readonly #authenticate: Authenticate
  readonly #admit: Admit

  constructor(authenticate: Authenticate, admit: Admit) {
    this.outcome = undefined
    this.username = undefined
    this.#authenticate = authenticate
    this.#admit = admit
  }

  async start(): Promise<undefined> {
    this.outcome = await asked(this.#authenticate, undefined, undefined, this.#admit)
  }

  async step(): Promise<undefined> {
    this.outcome = false
  }
}

/** RFC 4616: `[authzid] NUL authcid NUL passwd`. Nobody may act for somebody else. */
class Plain implements Mechanism {
  outcome: boolean | undefined
  username: string | undefined
  readonly #authenticate: Authenticate
  readonly #admit: Admit

  constructor(authenticate: Authenticate, admit: Admit) {
    this.outcome = undefined
    this.username = undefined
    this.#authenticate = authenticate
    this.#admit = admit
  }

  /** Without an initial response the empty challenge asks for it. */
  async start(response: unknown): Promise<Buffer | undefined> {
    if (response === null || response === undefined) return Buffer.alloc(0)
    return this.step(response)
  }

  async step(response: unknown): Promise<undefined> {
    const credentials = readPlain(response)
    if (credentials === undefined) {
      this.outcome = false
      return
    }
    this.username = credentials.user
    this.outcome = await asked(this.#authenticate, credentials.user, credentials.password, this.#admit)
  }
}

/** RFC 5802. What proves the server to the client is a last challenge, as rhea's outcome has no room for it (RFC 4422, section 3.6). */
class Scram implements Mechanism {
  outcome: boolean | undefined
  username: string | undefined
  readonly #server: ScramServer
  readonly #admit: Admit
  #identity: Identity | undefined

  constructor(server: ScramServer, admit: Admit) {
    this.outcome = undefined
    this.username = undefined
    this.#server = server
    this.#admit = admit
    this.#identity = undefined
  }

  /** Without an initial response the empty challenge asks for it. */
  async start(response: unknown): Promise<Buffer | undefined> {
    if (response === null || response === undefined) return Buffer.alloc(0)
    return this.step(response)
  }

  async step(response: unknown): Promise<Buffer | undefined> {
    const message = Buffer.isBuffer(response) ? response : undefined
    if (this.#identity !== undefined) {
      this.outcome = message?.length === 0
      if (this.outcome) this.#admit(this.#identity)
      return undefined
    }
    const result = await new Promise<ScramStep | BrokerError>((resolve) => this.#server.step(message, resolve))
    if (result instanceof Error) {
      this.outcome = false
      return undefined
    }
    this.#identity = result.identity
    this.username = result.identity?.principal
    return result.data
  }
}

function readPlain(response: unknown): { readonly user: string; readonly password: string } | undefined {
  if (!Buffer.isBuffer(response)) return undefined
  const parts = response.toString().split('\0')
  const [role = '', user = '', password = ''] = parts
  if (parts.length !== 3 || user === '' || (role !== '' && role !== user)) return undefined
  if (user.length > plainBytesMax || password.length > plainBytesMax) return undefined
  return { user, password }
}

function asked(
  authenticate: Authenticate,
  user: string | undefined,
  password: string | undefined,
  admit: Admit,
): Promise<boolean> {
  return new Promise((resolve) => {
    authenticate(user, password, (result) => {
      if (!(result instanceof Error)) admit(result)
      resolve(!(result instanceof Error))
    })
  })
}
