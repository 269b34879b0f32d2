import type { Address } from '../address.ts'
import type { BrokerError } from '../errors.ts'

/** What a client presented of itself, before anybody checked it. */
export interface Login {
  readonly user: string | undefined
  readonly password: string | undefined
  readonly clientId: string | undefined
  readonly protocol: string
  readonly remote: string
  /** True if the peer is on this machine. */
  readonly isLocal: boolean
}

/** Who a session acts for. */
export interface Identity {
  readonly principal: string
  readonly clientId: string | undefined
}

export type Action = 'send' | 'receive' | 'browse' | 'administer'

/** What is kept of a password for SCRAM-SHA-256 (RFC 5802, section 3): enough to check that a client knows it, too little to be one. */
export interface ScramVerifier {
  readonly salt: Uint8Array
  readonly iterations: number
  /** 32 bytes. */
  readonly storedKey: Uint8Array
  /** 32 bytes. */
  readonly serverKey: Uint8Array
}

/** What is said of users that do not exist: a salt of 16 bytes that is always the same, so that they look like others. */
export interface ScramDecoy {
  /** What the salts come from: 32 random bytes, to be kept as long as the users are. */
  readonly secret: Uint8Array
  /** As in the verifiers of those that exist: whose verifier has another number stands out. */
  readonly iterations: number
}

/** The users that may come in by SCRAM-SHA-256. */
export interface ScramUsers {
  readonly decoy: ScramDecoy
  /** The verifier of `login.user`, undefined if there is no such user; an error ends the login. Answers once, perhaps later. */
  verifier(login: Login, answer: (found: ScramVerifier | BrokerError | undefined) => void): void
  /** Told what a login has come to; there is no `user` in it if the client did not get as far as to say it. */
  concluded?(login: Login, result: Identity | BrokerError): void
}

/** Who may come in and do what. Users and permissions come from an implementation of this. */
export interface Access {
  /** Without it SCRAM is not offered. */
  readonly scram?: ScramUsers | undefined
  /** Checks a login and answers once, perhaps later. */
  authenticate(login: Login, answer: (result: Identity | BrokerError) => void): void
  /** Asked on each first use of an address by a session; the answer is kept for the session. */
  authorise(identity: Identity, action: Action, address: Address): BrokerError | undefined
}

/** Lets everybody in and do everything; for loopback listeners, embedded brokers and tests. */
export const openAccess: Access = {
  authenticate(login, answer) {
    answer({ principal: login.user ?? 'anonymous', clientId: login.clientId })
  },
  authorise: () => undefined,
}
