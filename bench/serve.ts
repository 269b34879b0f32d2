import { systemClock } from '../src/clock.ts'
import { defaultLimits } from '../src/limits.ts'
import { SlabPool } from '../src/transport/slab-pool.ts'
import { listenTcp } from '../src/transport/tcp.ts'
import type { Wire, WireServices } from '../src/transport/wire.ts'
import { Turn } from '../src/turn.ts'

/** Opens a port as the broker does and says so as the broker does; ends on SIGTERM, so that a profile is written. */
export async function serve(name: string, accept: (wire: Wire) => unknown): Promise<void> {
  const services: WireServices = { clock: systemClock, turn: new Turn(), slabs: new SlabPool(), limits: defaultLimits }
  const options = { host: '127.0.0.1', port: 0, backlog: 1024, setting: name }
  const listener = await listenTcp(options, services, {
    accepted: accept,
    closed: () => undefined,
    troubled: (error) => console.error(`${name}: ${error.message}`),
  })
  process.on('SIGTERM', () => process.exit(0))
  console.log(`ready stomp ${listener.url}`)
}
