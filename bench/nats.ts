/** The same through a NATS server of the machine, with its own client, if there is one. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { paced } from './paced.ts'

const windowMax = 3000

/** Lines for the report. */
export async function natsFigures(ms: number): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'manifoldmq-nats-'))
  const port = await freePort()
  const server = spawn('nats-server', ['-js', '-sd', folder, '-a', '127.0.0.1', '-p', String(port)], {
    stdio: 'ignore',
  })
  const missing = new Promise<Error>((resolve) => server.once('error', resolve))
  try {
    const first = await Promise.race([missing, connected(port)])
    if (first instanceof Error) return [`NATS: there is no nats-server (${first.message})`]
    const lines: string[] = []
    for (const bytes of [64, 1024])
      lines.push(`NATS core, ${bytes} B            ${figure(await through(first, bytes, ms))}/s`)
    await (await jetstreamManager(first)).streams.add({ name: 'bench', subjects: ['stored'] })
    const stream = jetstream(first)
    const body = new Uint8Array(1024).fill(120)
    const publish = async (): Promise<void> => {
      await stream.publish('stored', body)
    }
    lines.push(`JetStream, 1 KiB, 256 at a time ${figure(await paced(ms, 256, publish))}/s`)
    lines.push(`JetStream, 1 KiB, one at a time ${figure(await paced(ms, 1, publish))}/s`)
    await first.close()
    return lines
  } finally {
    server.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  }
}

async function connected(port: number): Promise<NatsConnection> {
  for (;;) {
    const made = await connect({ port, timeout: 1000 }).catch(() => undefined)
    if (made !== undefined) return made
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** One publisher, one subscriber, and no more than a window between them. */
async function through(nats: NatsConnection, bytes: number, ms: number): Promise<number> {
  const body = new Uint8Array(bytes).fill(120)
  const until = performance.now() + ms
  let sent = 0
  let received = 0
  let wake: (() => void) | undefined
  const subscription = nats.subscribe('through', {
    callback: () => {
      received += 1
      if (sent - received < windowMax / 2) wake?.()
    },
  })
  const start = performance.now()
  while (performance.now() < until) {
    for (let some = 0; some < 64 && sent - received < windowMax; some += 1) {
      sent += 1
      nats.publish('through', body)
    }
    if (sent - received >= windowMax) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  subscription.unsubscribe()
  return (received / (performance.now() - start)) * 1000
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}

function figure(perSecond: number): string {
  return Math.round(perSecond).toLocaleString('en').padStart(7)
}
