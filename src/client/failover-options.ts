import {
  defaultReconnect,
  type Endpoint,
  everywhere,
  ManifoldError,
  parseEndpoint,
  parseTarget,
  type ReconnectOptions,
  type Target,
} from '../../protocols/native/client/index.ts'

/** What `failover:` does beyond trying again. Names and defaults are ActiveMQ's. */
export interface FailoverOptions extends ReconnectOptions {
  /** Keeps connections to other brokers ready, so that a lost one is made up for at once. */
  readonly backup: boolean
  /** How many. */
  readonly backupPoolSize: number
  /** Goes back to a preferred broker once it is there again. */
  readonly priorityBackup: boolean
  /** The URLs of the preferred brokers, with commas; empty: the first of the list. */
  readonly priorityURIs: string
  /** Warns each time so many rounds have failed; 0: never. */
  readonly warnAfterReconnectAttempts: number
}

export interface FailoverTarget extends Target<FailoverOptions> {
  /** Brokers that are gone back to; none without `priorityBackup`. */
  readonly preferred: readonly Endpoint[]
}

export const defaultFailover: FailoverOptions = {
  ...defaultReconnect,
  backup: false,
  backupPoolSize: 1,
  priorityBackup: false,
  priorityURIs: '',
  warnAfterReconnectAttempts: 10,
}

/** ActiveMQ reads the one, and its documents tell of the other. */
const otherNames: Readonly<Record<string, string>> = { reconnectDelayExponent: 'backOffMultiplier' }
const nestedPrefix = 'nested.'

/** Reads a URL as `parseTarget` does, with all options of `failover:`; `nested.` ones go to the URL of every broker. */
export function parseFailover(
  text: string,
  given: Partial<FailoverOptions> | false | undefined,
  random: () => number = Math.random,
): FailoverTarget {
  const { plain, nested } = splitOptions(text)
  const target = parseTarget(plain, { ...defaultFailover, ...given }, everywhere)
  const { priorityBackup, priorityURIs, randomize } = target.reconnect
  const named = priorityURIs.split(',').filter((url) => url.trim() !== '')
  if (!priorityBackup || !target.isFailover) {
    return { ...target, endpoints: target.endpoints.map((one) => withOptions(one, nested)), preferred: [] }
  }
  const preferred =
    named.length > 0 ? named.map((url) => parseEndpoint(url.trim(), everywhere)) : target.endpoints.slice(0, 1)
  const others = target.endpoints.filter(({ text: other }) => preferred.every((one) => one.text !== other))
  // The preferred ones are tried first, whatever comes after them.
  const ordered = [...preferred, ...(randomize ? shuffled(others, random) : others)]
  const endpoints = ordered.map((one) => withOptions(one, nested))
  const reconnect = { ...target.reconnect, randomize: false }
  return { ...target, reconnect, endpoints, preferred: endpoints.slice(0, preferred.length) }
}

/** Takes out of the options of `failover:` what is not for it, and gives the rest the names it knows. */
function splitOptions(text: string): { readonly plain: string; readonly nested: URLSearchParams } {
  const nested = new URLSearchParams()
  const list = /^(failover:(?:\/\/)?(?:\([^)]*\)|[^(?][^?]*))\?(.*)$/.exec(text)
  if (list === null) return { plain: text, nested }
  const own = new URLSearchParams()
  for (const [name, value] of new URLSearchParams(list[2])) {
    if (name.startsWith(nestedPrefix)) nested.append(name.slice(nestedPrefix.length), value)
    else if (name === 'updateURIsSupported') refuseUpdates(value)
    else own.append(otherNames[name] ?? name, value)
  }
  return { plain: `${list[1]}?${own}`, nested }
}

function refuseUpdates(value: string): void {
  if (value === 'false') return
  const sentence = 'failover option updateURIsSupported can only be false: brokers do not tell clients of other brokers'
  throw new ManifoldError('invalid-request', sentence)
}

function withOptions(endpoint: Endpoint, options: URLSearchParams): Endpoint {
  const url = new URL(endpoint.url)
  for (const [name, value] of options) url.searchParams.append(name, value)
  return { ...endpoint, url }
}

function shuffled<T>(list: readonly T[], random: () => number): T[] {
  const drawn = list.map((one) => ({ one, place: random() }))
  return drawn.sort((left, right) => left.place - right.place).map(({ one }) => one)
}
