import type { Server } from './server.ts'

/** The brokers of this process by name, for `vm://name`. */
const running = new Map<string, Server>()

/** Notes a broker that has started; one that has the name already keeps it. */
export function announce(server: Server): void {
  if (!running.has(server.name)) running.set(server.name, server)
  void server.closed.then(() => {
    if (running.get(server.name) === server) running.delete(server.name)
  })
}

/** The broker of that name that runs in this process. */
export function runningServer(name: string): Server | undefined {
  return running.get(name)
}
