import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** The period of heart-beats that brokers under test offer. */
export const beatMs = 500
const startMsMax = 15_000

interface Ports {
  readonly stomp: number
  readonly mqtt: number
  readonly ws: number
  readonly amqp: number
  readonly native: number
}

/** A broker in a process of its own, as `manifoldmq start` runs it. */
export class StandaloneBroker {
  /** Of the STOMP listener, that of MQTT, the one for WebSockets, and that of AMQP. */
  readonly port: number
  readonly mqttPort: number
  readonly webSocketPort: number
  readonly amqpPort: number
  readonly nativePort: number
  readonly #child: ChildProcess
  readonly #root: string
  readonly #folder: string
  #complaints: string

  private constructor(child: ChildProcess, ports: Ports, root: string, folder: string) {
    this.port = ports.stomp
    this.mqttPort = ports.mqtt
    this.webSocketPort = ports.ws
    this.amqpPort = ports.amqp
    this.nativePort = ports.native
    this.#child = child
    this.#root = root
    this.#folder = folder
    this.#complaints = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints += text
      process.stderr.write(text)
    })
  }

  /**
   * Starts a broker on any free port, with its data in a folder of its own or in the one that is named. `root` is the folder of the
   * repository.
   */
  static async start(root: string, folder?: string): Promise<StandaloneBroker> {
    return StandaloneBroker.#start(
      root,
      { stomp: 0, mqtt: 0, ws: 0, amqp: 0, native: 0 },
      folder ?? (await mkdtemp(join(tmpdir(), 'manifoldmq-interop-'))),
    )
  }

  static async #start(root: string, ports: Ports, folder: string): Promise<StandaloneBroker> {
    const main = join(root, 'dist', 'src', 'main.js')
    const settings = [
      `listeners.stomp.port=${ports.stomp}`,
      `listeners.mqtt.port=${ports.mqtt}`,
      `listeners.native.port=${ports.native}`,
      `listeners.amqp.port=${ports.amqp}`,
      `listeners.stomp.heartBeatMs=${beatMs}ms`,
      `listeners.ws.port=${ports.ws}`,
      'log.level=error',
    ]
    const args = [main, 'start', ...settings.flatMap((setting) => ['--set', setting])]
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    return new StandaloneBroker(child, await readyPorts(child), root, folder)
  }

  /** Stops it as a service manager would, with SIGTERM, and waits for its end. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await exited
  }

  /** Waits for its end. Returns its exit code and what it has complained of. */
  async ended(): Promise<{ readonly code: number | null; readonly complaints: string }> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
    return { code: this.#child.exitCode, complaints: this.#complaints }
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

  /** Another broker on the same ports and with the same data, once this one has ended. */
  successor(): Promise<StandaloneBroker> {
    const { port: stomp, mqttPort: mqtt, webSocketPort: ws, amqpPort: amqp, nativePort: native } = this
    const ports = { stomp, mqtt, ws, amqp, native }
    return StandaloneBroker.#start(this.#root, ports, this.#folder)
  }

  /** Stops it and removes its data. */
  async remove(): Promise<void> {
    await this.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** The ports in the lines `ready stomp tcp://127.0.0.1:PORT`, `ready ws ws://127.0.0.1:PORT` and so on. */
function readyPorts(child: ChildProcess): Promise<Ports> {
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
    const ports = new Map<string, number>()
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, name = '', port] = /^ready (\w+) \w+:\/\/.*:(\d+)$/.exec(line) ?? []
      ports.set(name, Number(port))
      const [stomp, mqtt] = [ports.get('stomp'), ports.get('mqtt')]
      const [ws, amqp, native] = [ports.get('ws'), ports.get('amqp'), ports.get('native')]
      if (stomp === undefined || mqtt === undefined || ws === undefined) return
      if (amqp === undefined || native === undefined) return
      clearTimeout(timer)
      resolve({ stomp, mqtt, ws, amqp, native })
    })
  })
}
