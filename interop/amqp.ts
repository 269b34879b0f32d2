import { access, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { OtherSide } from './amqp/other.ts'
import type { StandaloneBroker } from './broker.ts'
import { installPython, python, run, versionOf } from './clients.ts'
import { RawConnection } from './raw.ts'
import { ScramBroker } from './scram.ts'

/**
 * An AMQP client library behind a program of its language, which runs all its steps against the broker on the port that it is
 * given, and prints a line for each: `ok NAME` or `not ok NAME: REASON`.
 */
export interface AmqpClient {
  readonly name: string
  /** The language's own program that must be there. */
  readonly interpreter: string
  /** Steps it must print; fewer are a failure. */
  readonly stepCount: number
  /** Steps it must print against a broker that takes SCRAM-SHA-256 only, told so by a second argument; none if absent. */
  readonly scramStepCount?: number
  /** Installs or builds what is missing; returns the library's version. */
  readonly install: (root: string) => Promise<string>
  /** The program and its arguments before the port. */
  readonly command: (root: string) => readonly [string, ...string[]]
}

export interface AmqpResult {
  readonly step: string
  /** Undefined: passed. */
  readonly failure: string | undefined
}

const programMsMax = 300_000

export const amqpClients: readonly AmqpClient[] = [
  {
    name: 'qpid-proton',
    interpreter: 'python3',
    stepCount: 14,
    install: (root) => installPython(root, 'python-qpid-proton'),
    command: (root) => [python(root), join(root, 'interop/amqp/python/steps.py')],
  },
  {
    name: 'qpid-jms',
    interpreter: 'mvn',
    stepCount: 13,
    scramStepCount: 3,
    install: installJava,
    command: (root) => ['java', '-cp', `${javaFolder(root)}/classes:${javaFolder(root)}/lib/*`, 'Steps'],
  },
  {
    name: 'go-amqp',
    interpreter: 'go',
    stepCount: 12,
    install: installGo,
    command: (root) => [goProgram(root)],
  },
  {
    name: 'rhea',
    interpreter: 'node',
    stepCount: 9,
    install: (root) => versionOf(join(root, 'node_modules/rhea')),
    command: (root) => [process.execPath, join(root, 'interop/amqp/node/steps.js')],
  },
]

/** Runs one program to its end; what it does not print has failed. */
export async function runAmqpClient(client: AmqpClient, root: string, broker: StandaloneBroker): Promise<AmqpResult[]> {
  const results = await runSteps(client, root, [String(broker.amqpPort)], client.stepCount)
  if (client.scramStepCount === undefined) return results
  const guarded = await ScramBroker.start()
  try {
    return [...results, ...(await runSteps(client, root, [String(guarded.amqpPort), 'scram'], client.scramStepCount))]
  } finally {
    await guarded.stop()
  }
}

/** Runs one program with all these clients of other protocols, which do their part; a line for each. */
export async function runCrossed(
  client: AmqpClient,
  root: string,
  broker: StandaloneBroker,
  others: readonly OtherSide[],
): Promise<AmqpResult[]> {
  const pairs = others.map(({ word, talents }) => `${word}:${talents}`).join(',')
  const results = await runSteps(client, root, [String(broker.amqpPort), pairs], others.length)
  const names = new Map(others.map(({ word, name }) => [`crossed with ${word}`, `crossed with ${name}`]))
  return results.map(({ step, failure }) => ({ step: names.get(step) ?? step, failure }))
}

async function runSteps(
  client: AmqpClient,
  root: string,
  more: readonly string[],
  stepCount: number,
): Promise<AmqpResult[]> {
  const [command, ...args] = client.command(root)
  const printed = await run(command, [...args, ...more], { msMax: programMsMax })
  const results: AmqpResult[] = []
  for (const line of printed.split('\n')) {
    const [, not, step, reason] = /^(not )?ok ([^:]+(?:: [a-z0-9 ]+)?)(?:: (.*))?$/.exec(line) ?? []
    if (step !== undefined) results.push({ step, failure: not === undefined ? undefined : (reason ?? line) })
  }
  if (results.length !== stepCount) {
    const sentence = `${results.length} steps were reported, not ${stepCount}: ${printed.slice(-500)}`
    results.push({ step: 'all steps', failure: sentence })
  }
  return results
}

/** A STOMP client that answers what comes to `stomp.echo`: text and colour go to the reply-to. Ends with `stop`. */
export class StompEcho {
  readonly #connection: RawConnection

  private constructor(connection: RawConnection) {
    this.#connection = connection
  }

  static async start(port: number): Promise<StompEcho> {
    const connection = await RawConnection.open(port)
    await connection.sure('SUBSCRIBE', ['destination:/queue/stomp.echo', 'id:1', 'activemq.prefetchSize:100'])
    const echo = new StompEcho(connection)
    void echo.#serve()
    return echo
  }

  stop(): void {
    this.#connection.close()
  }

  async #serve(): Promise<void> {
    for (;;) {
      const request = await this.#connection.next('MESSAGE').catch(() => undefined)
      // Nothing for a while, or the end; `next` waits ten seconds at a time.
      if (request === undefined) {
        if (this.#connection.isClosed) return
        continue
      }
      const value = (name: string): string | undefined =>
        request.lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1)
      const lines = [`destination:${value('reply-to')}`, 'content-type:text/plain']
      for (const name of ['colour', 'correlation-id']) {
        const text = value(name)
        if (text !== undefined) lines.push(`${name}:${text}`)
      }
      this.#connection.write('SEND', lines, request.body)
    }
  }
}

async function installJava(root: string): Promise<string> {
  const folder = javaFolder(root)
  const source = join(root, 'interop/amqp/java')
  await mkdir(folder, { recursive: true })
  const libraries = join(folder, 'lib')
  const copy = [
    '-q',
    '-B',
    '-f',
    join(source, 'pom.xml'),
    'dependency:copy-dependencies',
    `-DoutputDirectory=${libraries}`,
  ]
  await access(libraries).catch(() => run('mvn', copy))
  await run('javac', ['-nowarn', '-cp', `${libraries}/*`, '-d', join(folder, 'classes'), join(source, 'Steps.java')])
  const listed = await run('ls', [libraries])
  return /qpid-jms-client-([\d.]+)\.jar/.exec(listed)?.[1] ?? 'unknown'
}

function javaFolder(root: string): string {
  return join(root, 'dist/interop/qpid-jms')
}

async function installGo(root: string): Promise<string> {
  const folder = join(root, 'interop/amqp/go')
  await mkdir(join(root, 'dist/interop'), { recursive: true })
  await run('go', ['build', '-o', goProgram(root), '.'], { cwd: folder })
  const list = ['list', '-m', '-f', '{{.Version}}', 'github.com/Azure/go-amqp']
  return (await run('go', list, { cwd: folder })).replace(/^v/, '')
}

function goProgram(root: string): string {
  return join(root, 'dist/interop/go-amqp')
}
