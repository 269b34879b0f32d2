import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { listenerNames } from '../../src/config/listeners.ts'

/** Tests that run side by side cannot all have the same port; those that want one of these protocols ask for it. */
const stompOnly = { MANIFOLDMQ_LISTENERS__MQTT__ENABLED: 'false', MANIFOLDMQ_LISTENERS__NATIVE__ENABLED: 'false' }
const main = resolve('dist/src/main.js')

export interface RunOptions {
  readonly environment?: Readonly<Record<string, string>>
  /** The working folder; default: an empty one. */
  readonly folder?: string
  /** Arguments for Node itself. */
  readonly node?: readonly string[]
  /** The most that any file it writes may grow to, blocks of 512 bytes: past that a write fails, also for root. */
  readonly fileBlocksMax?: number
}

/** A process of the built program, and what it has printed so far. */
export class Running {
  readonly child: ChildProcess
  stdout: string
  stderr: string
  readonly #ended: Promise<unknown>

  constructor(args: readonly string[], options: RunOptions = {}) {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'manifoldmq-run-'))
    const { PATH = '', HOME = '' } = process.env
    const command = [process.execPath, ...(options.node ?? []), main, ...args]
    const limit = options.fileBlocksMax
    const limited = limit === undefined ? command : ['sh', '-c', `ulimit -f ${limit}; exec "$@"`, 'sh', ...command]
    this.child = spawn(limited[0] as string, limited.slice(1), {
      cwd: folder,
      env: { PATH, HOME, ...stompOnly, ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.stdout = ''
    this.stderr = ''
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.#ended = once(this.child, 'close')
    if (options.folder === undefined) void this.#ended.then(() => rmSync(folder, { recursive: true, force: true }))
  }

  /** Waits until it has printed this to standard output. */
  async until(text: string): Promise<void> {
    while (!this.stdout.includes(text)) {
      if (this.child.exitCode !== null)
        throw new Error(`it ended without printing "${text}":\n${this.stdout}${this.stderr}`)
      await Promise.race([once(this.child.stdout as NodeJS.ReadableStream, 'data'), this.#ended])
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Waits for the end and returns the exit code. */
  async ended(): Promise<number | null> {
    await this.#ended
    return this.child.exitCode
  }
}

/** Runs a command to its end. */
export async function run(
  ...args: string[]
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const running = new Running(args)
  const code = await running.ended()
  return { code, stdout: running.stdout, stderr: running.stderr }
}

/** On a free port, and on no port that another broker may have. */
export const startAlone: readonly string[] = [
  'start',
  ...[
    'listeners.stomp.port=0',
    ...listenerNames.filter((name) => name !== 'stomp').map((name) => `listeners.${name}.enabled=false`),
  ].flatMap((setting) => ['--set', setting]),
]

/** Starts a broker on a free port. */
export async function startBroker(
  args: readonly string[] = [],
  options: RunOptions = {},
): Promise<{ readonly broker: Running; readonly url: string }> {
  const broker = new Running([...startAlone, ...args], options)
  await broker.until('\n')
  return { broker, url: /ready stomp (\S+)/.exec(broker.stdout)?.[1] ?? '' }
}
