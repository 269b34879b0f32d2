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

/** Who may come in and do what. Users and permissions come from an implementation of this. */
export interface Access {
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
