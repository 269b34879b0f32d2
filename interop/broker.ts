import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** The period of heart-beats that brokers under test offer. */
export const beatMs = 500
const startMsMax = 15_000

/** A broker in a process of its own, as `manifoldmq start` runs it. */
export class StandaloneBroker {
  readonly port: number
  readonly #child: ChildProcess
  readonly #root: string
  readonly #folder: string

  private constructor(child: ChildProcess, port: number, root: string, folder: string) {
    this.port = port
    this.#child = child
    this.#root = root
    this.#folder = folder
  }

  /** Starts a broker on any free port, with a data folder of its own. `root` is the folder of the repository. */
  static async start(root: string): Promise<StandaloneBroker> {
    return StandaloneBroker.#start(root, 0, await mkdtemp(join(tmpdir(), 'manifoldmq-interop-')))
  }

  static async #start(root: string, port: number, folder: string): Promise<StandaloneBroker> {
    const main = join(root, 'dist', 'src', 'main.js')
    const settings = [
      `listeners.stomp.port=${port}`,
      'listeners.mqtt.port=0',
      'listeners.native.port=0',
      'listeners.amqp.port=0',
      `listeners.stomp.heartBeatMs=${beatMs}ms`,
      'listeners.ws.port=0',
      'log.level=error',
    ]
    const args = [main, 'start', ...settings.flatMap((setting) => ['--set', setting])]
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
    return new StandaloneBroker(child, await readyPort(child), root, folder)
  }

  /** Stops it as a service manager would, with SIGTERM, and waits for its end. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await exited
  }

  /** Ends it as a crash would, and waits for its end. */
  async kill(): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }

  /** A second broker beside this one. */
  another(): Promise<StandaloneBroker> {
    return StandaloneBroker.start(this.#root)
  }

  /** Another broker on the same port and with the same data, once this one has ended. */
  successor(): Promise<StandaloneBroker> {
    return StandaloneBroker.#start(this.#root, this.port, this.#folder)
  }

  /** Stops it and removes its data. */
  async remove(): Promise<void> {
    await this.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** The port in the line `ready stomp tcp://127.0.0.1:PORT`. */
function readyPort(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(`the broker was not ready within ${startMsMax} ms`), startMsMax)
    const fail = (reason: string): void => {
      clearTimeout(timer)
      child.kill('SIGKILL')
      reject(new Error(reason))
    }
    child.on('error', (error) => fail(error.message))
    child.on('exit', (code, signal) => fail(`the broker has ended (${code ?? signal}) before it was ready`))
    if (child.stdout === null) return
    createInterface({ input: child.stdout }).on('line', (line) => {
      const match = /^ready stomp tcp:\/\/.*:(\d+)$/.exec(line)
      if (match === null) return
      clearTimeout(timer)
      resolve(Number(match[1]))
    })
  })
}
