import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type ListenerName, listenerNames } from '../../src/config/listeners.ts'

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
    while (!this.stdout.includes(text)) await this.#printed(text)
  }

  /** The URL of a listener that is ready; undefined if it is not yet. */
  url(listener: ListenerName): string | undefined {
    return new RegExp(`^ready ${listener} (\\S+)\n`, 'm').exec(this.stdout)?.[1]
  }

  /** Waits until a listener is ready, and returns its URL. */
  async ready(listener: ListenerName): Promise<string> {
    for (;;) {
      const url = this.url(listener)
      if (url !== undefined) return url
      await this.#printed(`ready ${listener}`)
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

  /** Waits until it has printed more; rejects if it will not. */
  async #printed(wanted: string): Promise<void> {
    if (this.child.exitCode !== null) {
      throw new Error(`it ended without printing "${wanted}":\n${this.stdout}${this.stderr}`)
    }
    await Promise.race([once(this.child.stdout as NodeJS.ReadableStream, 'data'), this.#ended])
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

/** Starts a broker with these listeners, on free ports, and with no other, so that none needs a port that another broker has. */
export function startWith(...listeners: readonly ListenerName[]): readonly string[] {
  const settings = listenerNames.flatMap((name) =>
    listeners.includes(name)
      ? [`listeners.${name}.enabled=true`, `listeners.${name}.port=0`]
      : [`listeners.${name}.enabled=false`],
  )
  return ['start', ...settings.flatMap((setting) => ['--set', setting])]
}

export const startAlone = startWith('stomp')

export interface StartOptions extends RunOptions {
  /** Default: STOMP. */
  readonly listener?: ListenerName
}

/** Starts a broker with one listener and waits until that is ready. */
export async function startBroker(
  args: readonly string[] = [],
  { listener = 'stomp', ...options }: StartOptions = {},
): Promise<{ readonly broker: Running; readonly url: string; readonly port: number }> {
  const broker = new Running([...startWith(listener), ...args], options)
  const url = await broker.ready(listener)
  return { broker, url, port: Number(new URL(url).port) }
}
