import { CommandError } from '../failure.ts'
import type { Approach } from './client.ts'
import { type ClientProtocol, defaultUrls } from './protocols.ts'

/** How long a broker may take to let a command in. */
export const connectMsMax = 5_000

/** Where a broker is, and as whom to come. */
export interface Place {
  readonly host: string
  readonly port: number
  readonly user: string | undefined
  readonly password: string | undefined
}

/** Reads `tcp://user:password@host:port`; the protocol's own name in place of `tcp` means the same. */
export function placeOf({ url: text, user, password }: Approach, protocol: ClientProtocol): Place {
  const usual = defaultUrls[protocol]
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new CommandError(`"${text}" is no URL; it must look like ${usual}`)
  }
  if (url.protocol !== 'tcp:' && url.protocol !== `${protocol}:`) {
    throw new CommandError(`this command speaks ${protocol.toUpperCase()} over tcp:// only, not ${url.protocol}//`)
  }
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port === '' ? new URL(usual).port : url.port),
    user: user ?? decoded(url.username),
    password: password ?? decoded(url.password),
  }
}

/** What to tell of a connection that could not be made. */
export function notConnected(error: { readonly code?: string; readonly message: string }, url: string): CommandError {
  const place = withoutPassword(url)
  switch (error.code) {
    case 'ECONNREFUSED':
      return new CommandError(`no broker listens at ${place}; start one with: manifoldmq start`)
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new CommandError(`${place}: nobody knows this host name`)
    default:
      return new CommandError(`cannot connect to ${place}: ${error.message}`)
  }
}

export function notLetIn(said: string, url: string): CommandError {
  return new CommandError(`the broker at ${withoutPassword(url)} refuses: ${said}`)
}

export function lost(said: string, url: string): CommandError {
  return new CommandError(`the connection to ${withoutPassword(url)} is lost: ${said}`)
}

export function endedByBroker(said: string): CommandError {
  return new CommandError(`the broker has ended the connection: ${said}`)
}

export function refused(said: string): CommandError {
  return new CommandError(`the broker refuses: ${said}`)
}

function decoded(text: string): string | undefined {
  return text === '' ? undefined : decodeURIComponent(text)
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//')
}
