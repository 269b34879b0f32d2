import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { monotonicMs } from './monotonic.ts'
import type { Answer, Order } from './plan.ts'
import { type Usage, usageOf } from './usage.ts'

const startMsMax = 30_000
const stopMsMax = 15_000
/** As many files as may be: each connection needs one. */
const openFiles = 'ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec "$@"'

/** The file of a program beside this one, as it was built. */
export function programFile(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

/** What the processes of one run share: a folder for what they tell each other, and an end. */
export class Workplace {
  readonly folder: string
  readonly #children: Set<ChildProcess>

  /** `parent`: where the folder is made; what is stored is stored there. */
  constructor(parent: string) {
    this.folder = mkdtempSync(join(parent, 'manifoldmq-bench-'))
    this.#children = new Set()
  }

  file(name: string): string {
    return join(this.folder, name)
  }

  /** Runs `node` with these arguments and as many open files as it may have. */
  node(args: readonly string[], stdio: StdioOptions): ChildProcess {
    const child = spawn('sh', ['-c', openFiles, 'sh', process.execPath, ...args], { stdio })
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  /** Removes the folder, and ends what should have ended. Synchronous, for the end of the process. */
  remove(): void {
    for (const child of this.#children) child.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** A server under test, in a process of its own. */
export class Program {
  readonly name: string
  readonly pid: number
  readonly port: number
  /** From the start of the process to its first `ready` line. */
  readonly startMs: number
  readonly #child: ChildProcess

  private constructor(name: string, child: ChildProcess, port: number, startMs: number) {
    this.name = name
    this.pid = child.pid ?? 0
    this.port = port
    this.startMs = startMs
    this.#child = child
  }

  /** Runs `node` with these arguments and waits until it says `ready PROTOCOL tcp://host:port`. */
  static async start(workplace: Workplace, name: string, args: readonly string[]): Promise<Program> {
    const startedMs = monotonicMs()
    const child = workplace.node(args, ['ignore', 'pipe', 'inherit'])
    const port = await portOf(name, child)
    return new Program(name, child, port, monotonicMs() - startedMs)
  }

  usage(): Usage {
    return usageOf(this.pid)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Ends it as a power cut would, but for what the operating system has in memory. */
  async kill(): Promise<void> {
    await ended(this.#child, () => this.#child.kill('SIGKILL'))
  }

  /** Asks it to end, so that it can write what it has to write, and makes it after a while. */
  async stop(): Promise<void> {
    await ended(this.#child, () => this.#child.kill('SIGTERM'))
  }
}

/** A process of {@link ./generator.ts}. */
export class Generator {
  readonly #child: ChildProcess
  readonly #name: string

  constructor(workplace: Workplace, name: string) {
    this.#name = name
    this.#child = workplace.node([programFile('generator.js')], ['ignore', 'inherit', 'inherit', 'ipc'])
  }

  usage(): Usage {
    return usageOf(this.#child.pid ?? 0)
  }

  /** Gives one order and waits for its answer, which must be of that kind. */
  async ask<Kind extends Answer['kind']>(order: Order, kind: Kind): Promise<Extract<Answer, { readonly kind: Kind }>> {
    const child = this.#child
    const answer = await new Promise<Answer>((resolve, reject) => {
      const onExit = (code: number | null): void => {
        child.removeListener('message', onMessage)
        reject(new Error(`the ${this.#name} process has ended with ${code}`))
      }
      const onMessage = (message: unknown): void => {
        child.removeListener('exit', onExit)
        resolve(message as Answer)
      }
      child.once('exit', onExit)
      child.once('message', onMessage)
      child.send(order)
    })
    if (answer.kind === 'failed') throw new Error(`${this.#name}: ${answer.message}`)
    if (answer.kind !== kind) throw new Error(`${this.#name}: ${answer.kind} instead of ${kind}`)
    return answer as Extract<Answer, { readonly kind: Kind }>
  }

  async stop(): Promise<void> {
    await ended(this.#child, () => this.#child.disconnect())
  }
}

/** Reads the longest pause of a program that runs with the pause probe, and has it measure anew. */
export class PauseReader {
  readonly #program: Program
  readonly #file: string
  #reading: number

  constructor(program: Program, file: string) {
    this.#program = program
    this.#file = file
    this.#reading = 0
  }

  /** Arguments for `node` that preload the probe. */
  static probe(file: string): readonly string[] {
    return ['--import', `${new URL('pause-probe.js', import.meta.url).href}?file=${encodeURIComponent(file)}`]
  }

  async longestMs(): Promise<number> {
    this.#reading += 1
    this.#program.signal('SIGUSR2')
    for (let waitedMs = 0; waitedMs < startMsMax; waitedMs += 10) {
      await delay(10)
      const found = this.#read()
      if (found?.reading === this.#reading) return found.longestMs
    }
    throw new Error(`${this.#program.name} does not tell its pauses`)
  }

  #read(): { readonly reading: number; readonly longestMs: number } | undefined {
    try {
      return JSON.parse(readFileSync(this.#file, 'utf8'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }
}

function portOf(name: string, child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = ''
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${name} is not ready after ${startMsMax} ms`))
    }, startMsMax)
    child.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`${name} has ended with ${code} before it was ready`))
    })
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      text = (text + part).slice(-4096)
      const found = /^ready \w+ tcp:\/\/.*:(\d+)$/m.exec(text)
      if (found === null) return
      clearTimeout(timer)
      resolve(Number(found[1]))
    })
  })
}

async function ended(child: ChildProcess, ask: () => void): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
  ask()
  await exited
  clearTimeout(timer)
}
