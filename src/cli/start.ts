import { resolve } from 'node:path'
import { ConfigError } from '../config/problems.ts'
import { type LoadedConfig, loadConfig } from '../config.ts'
import { createLog, type Log } from '../log.ts'
import { Server } from '../server.ts'
import { version } from '../version.ts'
import { defaultUrls } from './clients/protocols.ts'
import { ExitCode, tell } from './failure.ts'

export interface StartOptions {
  readonly config?: string
  readonly data?: string
  readonly set?: readonly string[]
  readonly standby?: boolean
}

/** What a shell expects of a process that a signal has ended. */
const signalBase = 128
const signals = { SIGINT: 2, SIGTERM: 15 } as const

/** Runs a broker until it is told to stop. Ends the process. */
export async function start(options: StartOptions): Promise<never> {
  const stopped = onFirstSignal()
  const loaded = await loadConfig({ file: options.config, data: options.data, set: options.set ?? [] })
  if (!Object.values(loaded.config.listeners).some((listener) => listener.enabled)) {
    const reason = 'none is enabled: nobody could reach the broker'
    throw new ConfigError([{ place: '', path: 'listeners', reason }])
  }
  const log = await createLog({ ...loaded.config.log, name: loaded.config.name })
  process.on('uncaughtException', (error) => endWith(log, error))
  const server = await Server.open(loaded.config, log, { waits: options.standby === true })
  if (process.stderr.isTTY) for (const line of banner(loaded, server)) tell(line)
  for (const { protocol, url } of server.listeners) process.stdout.write(`ready ${protocol} ${url}\n`)
  await Promise.race([stopped, server.closed])
  await server.close()
  process.exit((await server.closed) === undefined ? ExitCode.done : ExitCode.failed)
}

/** Resolves at the first signal to stop; at the second the process ends at once. */
function onFirstSignal(): Promise<void> {
  return new Promise((resolve) => {
    let count = 0
    for (const [signal, number] of Object.entries(signals)) {
      process.on(signal, () => {
        count += 1
        if (count > 1) process.exit(signalBase + number)
        if (process.stderr.isTTY) tell('stopping; once more to stop at once')
        resolve()
      })
    }
  })
}

/** A broken invariant: better to end than to deliver wrongly. */
function endWith(log: Log, error: Error): never {
  log.error({ error }, 'the process ends because of an error that nobody expected')
  process.exit(ExitCode.failed)
}

function banner({ config, file }: LoadedConfig, server: Server): string[] {
  return [
    '',
    `  ManifoldMQ ${version}   Node ${process.versions.node}   process ${process.pid}`,
    '',
    `  config   ${file === undefined ? 'defaults; manifoldmq.yaml is not there' : resolve(file)}`,
    `  data     ${config.store === 'memory' ? 'in memory only' : resolve(config.data)}`,
    ...server.listeners.map(({ protocol, url }) => `  ${protocol.padEnd(8)} ${url}`),
    '',
    ...examples(server),
  ]
}

/** What to try first, if a client of this program can reach the broker. */
function examples(server: Server): string[] {
  const url = server.listeners.find(({ protocol }) => protocol === 'native')?.url
  if (url === undefined) return []
  const where = url === defaultUrls.native ? '' : ` --url ${url}`
  return [
    `  try      manifoldmq consume queue://hello${where}`,
    `           manifoldmq produce queue://hello --message hi${where}`,
    '',
  ]
}
