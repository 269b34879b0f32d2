import type { Environment } from '../../protocols/native/client/environment.ts'
import { ManifoldError } from '../../protocols/native/client/errors.ts'
import type { Dialled, PeerEvents } from '../../protocols/native/client/peer.ts'
import type { HelloOptions } from '../../protocols/native/client/wire-peer.ts'
import { runningServer } from '../running.ts'
import { Server, type ServerOptions } from '../server.ts'
import { type Pass, VmPeer } from './vm-peer.ts'

interface VmOptions {
  readonly create: boolean
  readonly pass: Pass
  readonly persistent: boolean
  readonly data: string | undefined
}

/** A broker that a connection has made: it stops with the last of them. */
interface Made {
  readonly server: Promise<Server>
  connections: number
}

const made = new Map<string, Made>()
/** Those that have lost their last connection and are not gone yet. */
const closing = new Map<string, Promise<void>>()

/** Attaches to the broker of that name in this process, or makes it with `?create=true`. */
export async function dialVm(
  url: URL,
  given: { readonly hello: HelloOptions; readonly environment: Environment },
  events: PeerEvents,
): Promise<Dialled> {
  const name = decodeURIComponent(url.hostname)
  const options = optionsOf(url)
  await closing.get(name)
  const own = made.get(name)
  const server = own === undefined ? runningServer(name) : await own.server
  if (server !== undefined && own === undefined)
    return attach(server, { options, ...given, onOver: () => undefined }, events)
  if (own === undefined && !options.create) {
    const sentence = `no broker named "${name}" runs in this process: start one with Broker.start({ name: '${name}' }), or connect to vm://${name}?create=true`
    throw new ManifoldError('connection-refused', sentence, { retryable: true })
  }
  const holding = own ?? create(name, options)
  holding.connections += 1
  try {
    return await attach(await holding.server, { options, ...given, onOver: () => leave(name, holding) }, events)
  } catch (error) {
    await leave(name, holding)
    throw error
  }
}

function attach(
  server: Server,
  given: {
    readonly options: VmOptions
    readonly hello: HelloOptions
    readonly environment: Environment
    readonly onOver: () => Promise<void> | undefined
  },
  events: PeerEvents,
): Promise<Dialled> {
  const { options, ...rest } = given
  return VmPeer.dial(server.core, events, { pass: options.pass, ...rest })
}

function create(name: string, options: VmOptions): Made {
  const settings: ServerOptions = {
    name,
    log: false,
    ...(options.persistent || options.data !== undefined ? { data: options.data ?? './data' } : {}),
  }
  const holding: Made = { server: Server.start(settings), connections: 0 }
  made.set(name, holding)
  return holding
}

/** One connection less; the last one stops the broker, and waits until it has. */
function leave(name: string, holding: Made): Promise<void> | undefined {
  holding.connections -= 1
  if (holding.connections > 0) return undefined
  if (made.get(name) === holding) made.delete(name)
  const closed = holding.server.then(
    (server) => server.close(),
    () => undefined,
  )
  closing.set(name, closed)
  return closed.then(() => {
    if (closing.get(name) === closed) closing.delete(name)
  })
}

function optionsOf(url: URL): VmOptions {
  const { searchParams: given } = url
  const known = ['create', 'pass', 'persistent', 'data']
  for (const name of given.keys()) {
    if (!known.includes(name)) throw wrong(`vm:// has no option "${name}"; it has ${known.join(', ')}`)
  }
  const pass = given.get('pass') ?? 'value'
  if (pass !== 'value' && pass !== 'reference') throw wrong(`the option pass is value or reference, not "${pass}"`)
  return {
    create: given.get('create') === 'true',
    pass,
    persistent: given.get('persistent') === 'true',
    data: given.get('data') ?? undefined,
  }
}

function wrong(sentence: string): ManifoldError {
  return new ManifoldError('invalid-request', sentence)
}
