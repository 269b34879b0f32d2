import { ManifoldError } from './errors.ts'

/** One broker's address. */
export interface Endpoint {
  /** `tcp`, `tls`, `unix`, `ws`, `wss` or `vm`. */
  readonly scheme: string
  /** As it was given, without a password. */
  readonly text: string
  readonly url: URL
}

/** How a lost connection is tried again. Names and defaults are ActiveMQ's; full jitter is ours. Times in milliseconds. */
export interface ReconnectOptions {
  readonly initialReconnectDelay: number
  readonly maxReconnectDelay: number
  readonly useExponentialBackOff: boolean
  readonly backOffMultiplier: number
  /** Attempts before it is given up; -1: never. */
  readonly maxReconnectAttempts: number
  /** The same for the first connection; -1: as `maxReconnectAttempts`. */
  readonly startupMaxReconnectAttempts: number
  /** Whether the brokers are tried in random order. */
  readonly randomize: boolean
  /** How long a send may take if it does not say, waiting for a connection too; -1: for ever. */
  readonly timeout: number
  /** Whether each delay is drawn from between 0 and what it would be. */
  readonly jitter: boolean
}

export const defaultReconnect: ReconnectOptions = {
  initialReconnectDelay: 10,
  maxReconnectDelay: 30_000,
  useExponentialBackOff: true,
  backOffMultiplier: 2,
  maxReconnectAttempts: -1,
  startupMaxReconnectAttempts: -1,
  randomize: true,
  timeout: -1,
  jitter: true,
}

export interface Target<Options extends ReconnectOptions = ReconnectOptions> {
  readonly endpoints: readonly Endpoint[]
  readonly reconnect: Options
  /** True for `failover:(…)`: the first connection is tried again too. */
  readonly isFailover: boolean
}

/** Where a client of some kind finds brokers. */
export interface Reach {
  /** By the schemes that URLs may have, which of an {@link Endpoint} they are. */
  readonly schemes: ReadonlyMap<string, string>
  /** What a URL looks like. */
  readonly example: string
}

/**
 * Reads `tcp://host:port`, `ws://…`, `vm://name`, `unix:///path` or `failover:(url,url)?option=value`. Options that the URL does not
 * have are those of `defaults`, of which the types of their values are taken too. Throws a ManifoldError.
 */
export function parseTarget<Options extends ReconnectOptions>(
  text: string,
  defaults: Options,
  reach: Reach,
): Target<Options> {
  if (!text.startsWith('failover:')) {
    return { endpoints: [parseEndpoint(text, reach)], reconnect: defaults, isFailover: false }
  }
  const match = /^failover:(?:\/\/)?(?:\(([^)]*)\)|([^?]*))(?:\?(.*))?$/.exec(text)
  const urls = (match?.[1] ?? match?.[2] ?? '').split(',').filter((url) => url.trim() !== '')
  if (match === null || urls.length === 0) {
    throw bad(`"${text}" names no broker; it must look like failover:(${reach.example},…)?randomize=false`)
  }
  const endpoints = urls.map((url) => parseEndpoint(url.trim(), reach))
  return { endpoints, reconnect: parseOptions(match[3] ?? '', defaults), isFailover: true }
}

/** Reads the URL of one broker. Throws a ManifoldError. */
export function parseEndpoint(text: string, { schemes, example }: Reach): Endpoint {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw bad(`"${text}" is no URL; it must look like ${example}`)
  }
  const scheme = schemes.get(url.protocol.slice(0, -1))
  if (scheme === undefined) throw bad(`"${url.protocol}" is none of ${[...schemes.keys()].join(': ')}:`)
  return { scheme, text: text.replace(/\/\/[^@/]*@/, '//'), url }
}

function parseOptions<Options extends ReconnectOptions>(text: string, defaults: Options): Options {
  const options = { ...defaults } as unknown as Record<string, unknown>
  for (const [name, value] of new URLSearchParams(text)) {
    const before = options[name]
    if (before === undefined) throw bad(`failover has no option "${name}"; it has ${Object.keys(options).join(', ')}`)
    const given = typeof before === 'string' ? value : typeof before === 'boolean' ? flagOf(value) : Number(value)
    if (given === undefined || Number.isNaN(given)) throw bad(`failover option ${name} cannot be "${value}"`)
    options[name] = given
  }
  return options as unknown as Options
}

function flagOf(text: string): boolean | undefined {
  return text === 'true' ? true : text === 'false' ? false : undefined
}

function bad(sentence: string): ManifoldError {
  return new ManifoldError('invalid-request', sentence)
}
