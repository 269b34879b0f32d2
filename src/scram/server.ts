import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { Identity, Login, ScramUsers, ScramVerifier } from '../broker/access.ts'
import { BrokerError } from '../errors.ts'
import { type ClientFirst, readClientFinal, readClientFirst } from './messages.ts'
import { decoyOf, hmac, sha256 } from './verifier.ts'

/** As SASL and MQTT 5 name it. */
export const scramMechanism = 'SCRAM-SHA-256'

/** Who wants to come in, before he has said his name. */
export type ScramLogin = Omit<Login, 'user' | 'password'>

export interface ScramStep {
  /** For the client. */
  readonly data: Buffer
  /** Who the client is; undefined: it has to prove it yet. */
  readonly identity: Identity | undefined
}

type Answer = (result: ScramStep | BrokerError) => void

/** What has been said, and what the proof is checked against. */
interface Challenge {
  readonly first: ClientFirst
  readonly verifier: ScramVerifier
  /** False: it is a decoy. */
  readonly isKnown: boolean
  /** Our message. */
  readonly text: string
  /** The client's and ours. */
  readonly nonce: string
}

/**
 * The server's side of one exchange of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: two messages of the client,
 * and an answer to each. It ends with the first error; users that do not exist are asked for their proof like others.
 */
export class ScramServer {
  readonly #users: ScramUsers
  readonly #nonce: string
  #login: Login
  #state: 'first' | 'looking' | 'final' | 'over'
  #challenge: Challenge | undefined

  /** `nonce`: printable, without commas; never the same twice outside tests. */
  constructor(users: ScramUsers, login: ScramLogin, nonce: string = randomBytes(18).toString('base64')) {
    this.#users = users
    this.#nonce = nonce
    this.#login = { ...login, user: undefined, password: undefined }
    this.#state = 'first'
    this.#challenge = undefined
  }

  /** Takes a message of the client's and answers once: before it returns, or later if the verifier takes its time. */
  step(message: Uint8Array | undefined, answer: Answer): void {
    if (this.#state === 'first') this.#onFirst(message, answer)
    else if (this.#state === 'final') this.#onFinal(message, answer)
    else this.#fail(new BrokerError('not-authenticated', 'a message of SCRAM out of turn'), answer)
  }

  #onFirst(message: Uint8Array | undefined, answer: Answer): void {
    const first = readClientFirst(message)
    if (typeof first === 'string') {
      this.#fail(new BrokerError('not-authenticated', first), answer)
      return
    }
    this.#login = { ...this.#login, user: first.user }
    this.#state = 'looking'
    // Made for everybody: who does not exist must not be known by the time it takes.
    const decoy = decoyOf(this.#users.decoy, first.user)
    this.#users.verifier(this.#login, (found) => {
      if (found instanceof BrokerError) this.#fail(found, answer)
      else if (this.#state === 'looking') this.#challengeWith(first, found ?? decoy, found !== undefined, answer)
      else answer(new BrokerError('not-authenticated', 'the exchange is over'))
    })
  }

  #challengeWith(first: ClientFirst, verifier: ScramVerifier, isKnown: boolean, answer: Answer): void {
    const nonce = first.nonce + this.#nonce
    const text = `r=${nonce},s=${Buffer.from(verifier.salt).toString('base64')},i=${verifier.iterations}`
    this.#challenge = { first, verifier, isKnown, text, nonce }
    this.#state = 'final'
    answer({ data: Buffer.from(text), identity: undefined })
  }

  #onFinal(message: Uint8Array | undefined, answer: Answer): void {
    const challenge = this.#challenge
    const final = readClientFinal(message)
    if (challenge === undefined || final === undefined) {
      this.#fail(new BrokerError('not-authenticated', 'the second message of SCRAM is malformed'), answer)
      return
    }
    const { first, verifier, nonce, text } = challenge
    if (final.nonce !== nonce || final.binding !== Buffer.from(first.header).toString('base64')) {
      this.#fail(new BrokerError('not-authenticated', 'nonce or channel binding are not those agreed on'), answer)
      return
    }
    const signed = `${first.bare},${text},${final.withoutProof}`
    const signature = hmac(verifier.storedKey, signed)
    const clientKey = final.proof.map((byte, index) => byte ^ (signature[index] as number))
    const isRight = equal(sha256(clientKey), verifier.storedKey)
    if (!isRight || !challenge.isKnown) {
      this.#fail(new BrokerError('not-authenticated', 'no such user, or another password'), answer)
      return
    }
    this.#state = 'over'
    const identity = { principal: first.user, clientId: this.#login.clientId }
    this.#users.concluded?.(this.#login, identity)
    answer({ data: Buffer.from(`v=${hmac(verifier.serverKey, signed).toString('base64')}`), identity })
  }

  #fail(error: BrokerError, answer: Answer): void {
    const isOver = this.#state === 'over'
    this.#state = 'over'
    if (!isOver) this.#users.concluded?.(this.#login, error)
    answer(error)
  }
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other)
}
