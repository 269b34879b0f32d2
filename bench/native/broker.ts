import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from '../../src/client.ts'
import type { Served } from '../measure.ts'
import { programFile } from '../processes.ts'
import { type Usage, usageOf } from '../usage.ts'
import type { Place } from './flow.ts'
import type { Way } from './lane.ts'
import { NativeLane } from './native-lane.ts'
import { paced } from './paced.ts'
import type { OwnPlace } from './rows.ts'

/** A broker in a process of its own. */
export class BenchBroker implements Served {
  readonly #urls: Map<string, string>
  readonly #child: ChildProcess
  readonly #folder: string

  private constructor(child: ChildProcess, folder: string) {
    this.#urls = new Map()
    this.#child = child
    this.#folder = folder
  }

  /** `parent`: where its folder is made; what is stored is stored there. */
  static async start(parent: string, ...more: readonly string[]): Promise<BenchBroker> {
    const folder = await mkdtemp(join(parent, 'manifoldmq-bench-'))
    const off = ['mqtt', 'amqp'].map((name) => `listeners.${name}.enabled=false`)
    const on = ['native', 'ws', 'stomp'].map((name) => `listeners.${name}.port=0`)
    const settings = [...on, ...off, 'log.level=warn', `data=${folder}`, ...more]
    const args = [programFile('../src/main.js'), 'start', ...settings.flatMap((setting) => ['--set', setting])]
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
    const broker = new BenchBroker(child, folder)
    await new Promise<void>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`the broker ended with ${code}`)))
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        for (const [, name = '', url = ''] of text.matchAll(/^ready (\w+) (\S+)$/gm)) broker.#urls.set(name, url)
        if (broker.#urls.size >= on.length) resolve()
      })
    })
    return broker
  }

  /** Of its STOMP listener. */
  get port(): number {
    return Number(new URL(this.#urls.get('stomp') ?? '').port)
  }

  usage(): Usage {
    return usageOf(this.#child.pid ?? 0)
  }

  place(subject: OwnPlace): Place {
    const url = this.#urlOf(subject)
    const isWithin = url.startsWith('vm:')
    return {
      open: (way: Way) => NativeLane.open(url, way),
      cpuMs: () => (isWithin ? undefined : this.usage().cpuSeconds * 1000),
    }
  }

  /** Messages a second that have been answered for as safe as the broker is told to make them. */
  async stored(ms: number, atOnce: number, bodyBytes: number): Promise<number> {
    const client = await connect(this.#urlOf('tcp'))
    const queue = client.queue('stored')
    const body = new Uint8Array(bodyBytes).fill(120)
    const perSecond = await paced(ms, atOnce, () => queue.send(body))
    await queue.purge()
    await client.close()
    return perSecond
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGTERM')
    await ended
    await rm(this.#folder, { recursive: true, force: true })
  }

  #urlOf(subject: OwnPlace): string {
    switch (subject) {
      case 'tcp':
        return this.#urls.get('native') ?? ''
      case 'ws':
        return this.#urls.get('ws') ?? ''
      case 'vm-value':
        return 'vm://bench?create=true'
      case 'vm-reference':
        return 'vm://bench?create=true&pass=reference'
      default:
        return subject satisfies never
    }
  }
}
