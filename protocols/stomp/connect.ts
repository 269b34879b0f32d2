import { BrokerError } from '../../src/core.ts'
import type { Frame } from './frame.ts'
import { Header, type Version } from './headers.ts'

/** What a CONNECT or STOMP frame asks for, agreed with what the server has. */
export interface Agreement {
  readonly version: Version
  readonly user: string | undefined
  readonly password: string | undefined
  readonly clientId: string | undefined
  /** What the client asked for, to be met by {@link heartBeats}. */
  readonly clientSendsMs: number
  readonly clientWantsMs: number
}

/** Versions in the order of preference. */
const versions: readonly Version[] = ['1.2', '1.1', '1.0']
export const supportedVersions = '1.0,1.1,1.2'
const heartBeatMsMax = 2 ** 31 - 1

/** Reads the first frame of a connection (STOMP 1.2 "Connecting", "Protocol Negotiation", "Heart-beating"). */
export function readConnect(frame: Frame): Agreement | BrokerError {
  const version = negotiate(frame.text(Header.acceptVersion))
  if (version === undefined) {
    return new BrokerError('protocol-error', `Supported protocol versions are ${supportedVersions}`)
  }
  const beats = readHeartBeat(frame.text(Header.heartBeat))
  if (beats === undefined) {
    return new BrokerError(
      'protocol-error',
      'the heart-beat header must be two numbers of milliseconds: heart-beat:10000,10000',
    )
  }
  return {
    version,
    user: frame.text(Header.login),
    password: frame.text(Header.passcode),
    clientId: frame.text(Header.clientId),
    clientSendsMs: beats[0],
    clientWantsMs: beats[1],
  }
}

/** Without accept-version the client speaks 1.0. */
function negotiate(accepted: string | undefined): Version | undefined {
  if (accepted === undefined) return '1.0'
  const wanted = accepted.split(',').map((version) => version.trim())
  return versions.find((version) => wanted.includes(version))
}

function readHeartBeat(text: string | undefined): readonly [sendsMs: number, wantsMs: number] | undefined {
  if (text === undefined) return [0, 0]
  const match = /^(\d{1,10}),(\d{1,10})$/.exec(text.replaceAll(' ', ''))
  if (match === null) return undefined
  return [Math.min(Number(match[1]), heartBeatMsMax), Math.min(Number(match[2]), heartBeatMsMax)]
}

/** How often each side sends at least; 0: never. The larger of what one can and the other wants. */
export function heartBeats(
  agreement: Agreement,
  offeredMs: number,
): { readonly sendMs: number; readonly receiveMs: number } {
  const { clientSendsMs, clientWantsMs } = agreement
  return {
    sendMs: offeredMs === 0 || clientWantsMs === 0 ? 0 : Math.max(offeredMs, clientWantsMs),
    receiveMs: offeredMs === 0 || clientSendsMs === 0 ? 0 : Math.max(offeredMs, clientSendsMs),
  }
}
