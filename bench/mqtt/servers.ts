/** The servers that are held against each other: our broker over its journal, and the `mosquitto` of the machine. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Served } from '../measure.ts'
import { Program, programFile, type Workplace } from '../processes.ts'
import { usageOf } from '../usage.ts'

export interface Server extends Served {
  readonly name: string
  stop(): Promise<void>
}

const triesMax = 200

/** Starts both; mosquitto is left out, and that is said, if the machine has none. */
export async function openServers(workplace: Workplace): Promise<readonly Server[]> {
  const off = ['stomp', 'amqp', 'native', 'ws'].flatMap((name) => ['--set', `listeners.${name}.enabled=false`])
  const settings = ['--set', 'listeners.mqtt.port=0', '--set', 'log.level=warn', '--data', workplace.file('data')]
  const main = programFile('../src/main.js')
  const broker = await Program.start(workplace, 'manifoldmq', [main, 'start', ...off, ...settings])
  try {
    return [broker, await Mosquitto.start(workplace)]
  } catch (error) {
    console.error(`without mosquitto: ${error instanceof Error ? error.message : String(error)}`)
    return [broker]
  }
}

/** With a persistent store, which it writes now and then and at its end, and never flushes. */
class Mosquitto implements Server {
  readonly name = 'mosquitto'
  readonly port: number
  readonly #child: ChildProcess

  private constructor(port: number, child: ChildProcess) {
    this.port = port
    this.#child = child
  }

  static async start(workplace: Workplace): Promise<Mosquitto> {
    const folder = workplace.file('mosquitto')
    mkdirSync(folder)
    const port = await freePort()
    const lines = [
      `listener ${port} 127.0.0.1`,
      'allow_anonymous true',
      'persistence true',
      `persistence_location ${folder}/`,
      // By default it drops what is over a thousand.
      'max_queued_messages 0',
      `user ${process.env.USER ?? 'root'}`,
    ]
    writeFileSync(workplace.file('mosquitto.conf'), `${lines.join('\n')}\n`)
    const child = spawn('mosquitto', ['-c', workplace.file('mosquitto.conf')], { stdio: 'ignore' })
    process.on('exit', () => child.kill('SIGKILL'))
    const missing = new Promise<never>((_, reject) => {
      child.once('error', reject)
      child.once('exit', (code) => reject(new Error(`mosquitto has ended with ${code}`)))
    })
    await Promise.race([missing, opened(port)])
    return new Mosquitto(port, child)
  }

  usage(): ReturnType<Served['usage']> {
    return usageOf(this.#child.pid ?? 0)
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGTERM')
    await ended
  }
}

async function opened(port: number): Promise<void> {
  for (let tries = 0; tries < triesMax; tries += 1) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy()
        resolve(true)
      })
      socket.on('error', () => resolve(false))
    })
    if (isOpen) return
    await delay(25)
  }
  throw new Error('mosquitto does not open its port')
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}
