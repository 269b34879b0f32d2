import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, connect as dial, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { afterEach, describe, expect, test } from 'vitest'
import { Running, type StartOptions, startAlone, startBroker } from '../support/command-line.ts'

const running: (Running | Socket)[] = []

afterEach(async () => {
  for (const one of running.splice(0)) {
    if (one instanceof Running) {
      one.signal('SIGKILL')
      await one.ended()
    } else one.destroy()
  }
})

async function start(args: readonly string[] = [], options: StartOptions = {}) {
  const started = await startBroker(args, options)
  running.push(started.broker)
  return started
}

/** A client that holds a message it has not acknowledged, so that the broker waits for it when it stops. */
async function holdMessage(port: number): Promise<Socket> {
  const client = dial(port, '127.0.0.1')
  running.push(client)
  client.on('error', () => undefined)
  client.write('CONNECT\naccept-version:1.2\nhost:x\n\n\0')
  client.write('SUBSCRIBE\ndestination:/queue/a\nid:1\nack:client\n\n\0SEND\ndestination:/queue/a\n\nhello\0')
  let text = ''
  while (!text.includes('hello')) text += String((await once(client, 'data'))[0])
  return client
}

test('prints a line for each listener that accepts, and nothing else, to standard output', async () => {
  const { broker, url, port } = await start()
  expect(broker.stdout).toBe(`ready stomp ${url}\n`)
  expect(url).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/)
  const client = dial(port, '127.0.0.1')
  running.push(client)
  // The broker is killed before the client is.
  client.on('error', () => undefined)
  await once(client, 'connect')
})

test('logs JSON lines to standard error when that is no terminal', async () => {
  const { broker } = await start()
  broker.signal('SIGTERM')
  await broker.ended()
  const lines = broker.stderr.trim().split('\n')
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['the journal is open', 'listening', 'closing', 'closed'])
})

describe('a signal', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s ends it with code 0', async (signal) => {
    const { broker } = await start()
    broker.signal(signal)
    expect(await broker.ended()).toBe(0)
  })

  test('lets it wait for its clients, who are told', async () => {
    const { broker, port } = await start(['--set', 'limits.drainMsMax=200ms'])
    const client = await holdMessage(port)
    let text = ''
    client.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    broker.signal('SIGTERM')
    expect(await broker.ended()).toBe(0)
    if (!client.closed) await once(client, 'close')
    expect(text).toContain('shutting down')
  })

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('%s a second time ends it at once with code %d', async (signal, code) => {
    const { broker, port } = await start(['--set', 'limits.drainMsMax=10m'])
    await holdMessage(port)
    broker.signal(signal)
    while (!broker.stderr.includes('"closing"')) await once(broker.child.stderr as NodeJS.ReadableStream, 'data')
    broker.signal(signal)
    expect(await broker.ended()).toBe(code)
  })
})

describe('the configuration', () => {
  test('is read from manifoldmq.yaml in the working folder, the environment and flags', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'manifoldmq-start-'))
    writeFileSync(join(folder, 'manifoldmq.yaml'), 'name: from-file\nlog: { level: debug }\n')
    const { broker } = await start([], { folder, environment: { MANIFOLDMQ_LOG__LEVEL: 'info' } })
    expect(JSON.parse(broker.stderr.split('\n')[0] ?? '')).toMatchObject({ broker: 'from-file', level: 'info' })
    rmSync(folder, { recursive: true })
  })

  test('that is wrong ends it with code 2 and every error, before anything is opened', async () => {
    const broker = new Running(['start', '--set', 'listeners.stomp.prot=1', '--set', 'listeners.stomp.host=0.0.0.0'])
    expect(await broker.ended()).toBe(2)
    expect(broker.stdout).toBe('')
    expect(broker.stderr.trim().split('\n')).toEqual([
      '--set listeners.stomp.prot unknown setting (did you mean "port"?)',
      expect.stringMatching(/^--set listeners\.stomp\.host .*--set security\.anonymous=anyone/),
    ])
  })

  test('without a listener ends it with code 2', async () => {
    const broker = new Running([...startAlone, '--set', 'listeners.stomp.enabled=false'])
    expect(await broker.ended()).toBe(2)
    expect(broker.stderr).toContain('listeners none is enabled')
  })

  test('that lets strangers in is obeyed when it says so', async () => {
    const { url } = await start(['--set', 'listeners.stomp.host=0.0.0.0', '--set', 'security.anonymous=anyone'])
    expect(url).toMatch(/^tcp:\/\/0\.0\.0\.0:\d+$/)
  })
})

test('a port in use ends it with code 1 and says which, and how to choose another', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  const broker = new Running([...startAlone, '--set', `listeners.stomp.port=${port}`])
  expect(await broker.ended()).toBe(1)
  expect(broker.stderr).toContain(`port ${port} is in use on 127.0.0.1`)
  expect(broker.stderr).toContain('--set listeners.stomp.port=')
  other.close()
})

test('an error that nobody expected is logged and ends it with code 1', async () => {
  const breaks = "data:text/javascript,process.on('SIGUSR2',()=>{throw new Error('broken invariant')})"
  const { broker } = await start([], { node: ['--import', breaks] })
  broker.signal('SIGUSR2')
  expect(await broker.ended()).toBe(1)
  const last = JSON.parse(broker.stderr.trim().split('\n').at(-1) ?? '')
  expect(last).toMatchObject({ level: 'error', error: { message: 'broken invariant' } })
})

describe('the data folder', () => {
  test('that cannot be used ends it with code 1 and says why', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'manifoldmq-start-'))
    writeFileSync(join(folder, 'file'), '')
    const broker = new Running([...startAlone, '--data', join(folder, 'file', 'data')])
    expect(await broker.ended()).toBe(1)
    expect(broker.stderr).toMatch(/^manifoldmq: the data folder .*file.data cannot be used: ENOTDIR: /m)
    rmSync(folder, { recursive: true })
  })

  test('that a broker has already ends a second one with code 3, who says whose it is; with --standby it waits its turn', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'manifoldmq-start-'))
    const { broker } = await start(['--data', folder])
    const second = new Running([...startAlone, '--data', folder])
    expect(await second.ended()).toBe(3)
    expect(second.stdout).toBe('')
    expect(second.stderr).toMatch(/^manifoldmq: the data folder .* is in use by the broker "\w+", process \d+ on /m)
    const standby = new Running([...startAlone, '--data', folder, '--standby'])
    running.push(standby)
    const ready = standby.ready('stomp')
    let isReady = false
    void ready.then(() => {
      isReady = true
    })
    const { port } = await start()
    const client = dial(port, '127.0.0.1')
    running.push(client)
    await once(client, 'connect')
    expect(isReady).toBe(false)
    broker.signal('SIGKILL')
    await ready
    standby.signal('SIGTERM')
    expect(await standby.ended()).toBe(0)
    rmSync(folder, { recursive: true })
  })

  test('that another broker has taken over ends it with code 1, busy or not', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'manifoldmq-start-'))
    const { broker } = await start(['--data', folder])
    writeFileSync(join(folder, 'journal', 'epoch'), '{"epoch":9,"id":"another"}\n')
    expect(await broker.ended()).toBe(1)
    expect(broker.stderr).toContain("the data folder is not this broker's any more")
    rmSync(folder, { recursive: true })
  })

  test('is served whatever protocol its messages came in, though that is spoken no more', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'manifoldmq-start-'))
    const { broker, url } = await start(['--data', folder], { listener: 'mqtt' })
    const publisher = await connectAsync(url.replace('tcp:', 'mqtt:'))
    await publisher.publishAsync('$queue/orders', 'from a sensor', { qos: 1 })
    await publisher.endAsync()
    broker.signal('SIGTERM')
    expect(await broker.ended()).toBe(0)
    const { port } = await start(['--data', folder])
    const client = dial(port, '127.0.0.1')
    running.push(client)
    client.write('CONNECT\naccept-version:1.2\nhost:x\n\n\0SUBSCRIBE\ndestination:/queue/orders\nid:1\n\n\0')
    let text = ''
    while (!text.includes('from a sensor')) text += String((await once(client, 'data'))[0])
    rmSync(folder, { recursive: true })
  })
})
