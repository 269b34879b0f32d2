/** The keys under which one session is kept with the broker. The client id comes last, since it may hold anything. */
export class SessionKeys {
  readonly clientId: string

  constructor(clientId: string) {
    this.clientId = clientId
  }

  get session(): string {
    return `${keyPrefix}session/0/${this.clientId}`
  }

  /** One subscription, by a number that the session gives it. */
  filter(number: number): string {
    return `${keyPrefix}filter/${number}/${this.clientId}`
  }

  /** A packet id of QoS 2 that the client has sent and not released. */
  received(id: number): string {
    return `${keyPrefix}received/${id}/${this.clientId}`
  }

  /** A packet id on its way to the client: its QoS and which delivery it is, or that the client has received it. */
  sent(id: number): string {
    return `${keyPrefix}sent/${id}/${this.clientId}`
  }
}

export const keyPrefix = 'mqtt/'

export interface ReadKey {
  readonly kind: string
  readonly number: number
  readonly clientId: string
}

/** Reads a key back. */
export function readKey(key: string): ReadKey {
  const [, kind = '', number = ''] = key.split('/', 3)
  return { kind, number: Number(number), clientId: key.slice(keyPrefix.length + kind.length + number.length + 2) }
}
