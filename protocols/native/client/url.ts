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

const schemes = ['tcp', 'tls', 'ssl', 'unix', 'ws', 'wss', 'vm', 'mnp']

/**
 * Reads `tcp://host:port`, `ws://…`, `vm://name`, `unix:///path` or `failover:(url,url)?option=value`. Options that the URL does not
 * have are those of `defaults`, of which the types of their values are taken too. Throws a ManifoldError.
 */
export function parseTarget<Options extends ReconnectOptions>(text: string, defaults: Options): Target<Options> {
  if (!text.startsWith('failover:')) {
    return { endpoints: [parseEndpoint(text)], reconnect: defaults, isFailover: false }
  }
  const match = /^failover:(?:\/\/)?(?:\(([^)]*)\)|([^?]*))(?:\?(.*))?$/.exec(text)
  const urls = (match?.[1] ?? match?.[2] ?? '').split(',').filter((url) => url.trim() !== '')
  if (match === null || urls.length === 0) {
    throw bad(`"${text}" names no broker; it must look like failover:(tcp://a:61616,tcp://b:61616)?randomize=false`)
  }
  const endpoints = urls.map((url) => parseEndpoint(url.trim()))
  return { endpoints, reconnect: parseOptions(match[3] ?? '', defaults), isFailover: true }
}

/** Reads the URL of one broker. Throws a ManifoldError. */
export function parseEndpoint(text: string): Endpoint {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw bad(`"${text}" is no URL; it must look like tcp://127.0.0.1:61616`)
  }
  const scheme = url.protocol.slice(0, -1)
  if (!schemes.includes(scheme)) throw bad(`"${scheme}:" is none of ${schemes.map((one) => `${one}:`).join(' ')}`)
  const known = scheme === 'mnp' ? 'tcp' : scheme === 'ssl' ? 'tls' : scheme
  return { scheme: known, text: text.replace(/\/\/[^@/]*@/, '//'), url }
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
