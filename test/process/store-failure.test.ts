import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Running, type RunOptions, startAlone, startBroker } from '../support/command-line.ts'
import { StompTestClient } from '../support/stomp-client.ts'

const queue = '/queue/orders'

let folder: string
let brokers: Running[]
let clients: StompTestClient[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-failure-'))
  brokers = []
  clients = []
})

afterEach(async () => {
  for (const client of clients) client.close()
  for (const broker of brokers) {
    broker.signal('SIGKILL')
    await broker.ended()
  }
  rmSync(folder, { recursive: true, force: true })
})

/** A broker on the folder, and a client of it. */
async function start(options: RunOptions = {}): Promise<{ broker: Running; client: StompTestClient }> {
  const { broker, url } = await startBroker(['--data', join(folder, 'data')], options)
  brokers.push(broker)
  const client = new StompTestClient(connect(Number(new URL(url).port), '127.0.0.1'))
  clients.push(client)
  await client.connect()
  return { broker, client }
}

/** Starts a broker that is expected not to. Returns how it ended, and what it said. */
async function refused(options: RunOptions = {}): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const broker = new Running([...startAlone, '--data', join(folder, 'data')], options)
  brokers.push(broker)
  const code = await broker.ended()
  const { stdout, stderr } = broker
  return { code, stdout, stderr }
}

/**
 * Sends numbered messages until the connection ends. Returns the numbers of those that were confirmed. `began` is called when the
 * first one is.
 */
async function sendUntilItEnds(client: StompTestClient, bodyBytes: number, began = (): void => undefined) {
  const confirmed: number[] = []
  for (let number = 0; ; number += 1) {
    const body = `${number} ${'x'.repeat(bodyBytes)}`
    client.send('send', { destination: queue, persistent: 'true', receipt: `${number}` }, body)
    try {
      const { headers } = await client.next('RECEIPT')
      confirmed.push(Number(headers['receipt-id']))
      if (confirmed.length === 1) began()
    } catch {
      return confirmed
    }
  }
}

/** The numbers of the messages that are there, in the order in which they come. */
async function numbersOf(client: StompTestClient, count: number): Promise<number[]> {
  client.send('subscribe', { id: '1', destination: queue, ack: 'auto' })
  const found: number[] = []
  while (found.length < count) found.push(Number.parseInt((await client.next('MESSAGE')).body, 10))
  return found
}

describe('a broker whose journal can be written no more', () => {
  test('says why, ends with 1, and has everything that it confirmed when it is started again', async () => {
    const { broker, client } = await start({ fileBlocksMax: 2048 })
    const confirmed = await sendUntilItEnds(client, 4000)
    expect(await broker.ended()).toBe(1)
    expect(broker.stderr + broker.stdout).toContain('EFBIG')
    expect(confirmed.length).toBeGreaterThan(100)
    expect(confirmed.length).toBeLessThan(300)
    const again = await start()
    expect(await numbersOf(again.client, confirmed.length)).toEqual(confirmed)
  })

  test('because its folder has gone ends likewise, and finds everything when the folder is back', async () => {
    const { broker, client } = await start()
    const confirmed = await sendUntilItEnds(client, 100, () => {
      renameSync(join(folder, 'data'), join(folder, 'away'))
      writeFileSync(join(folder, 'data'), 'nothing is mounted here')
    })
    expect(await broker.ended()).toBe(1)
    expect(broker.stderr + broker.stdout).toContain('the data folder')
    rmSync(join(folder, 'data'))
    renameSync(join(folder, 'away'), join(folder, 'data'))
    const again = await start()
    expect(await numbersOf(again.client, confirmed.length)).toEqual(confirmed)
  })
})

describe('a broker does not start, but says why and ends with 1,', () => {
  test('where nothing can be written', async () => {
    const { code, stdout, stderr } = await refused({ fileBlocksMax: 0 })
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain('EFBIG')
    expect(stderr).toContain(join(folder, 'data'))
  })

  test('where nothing can be written to what is there, and changes none of it', async () => {
    const { broker, client } = await start()
    client.send('send', { destination: queue, persistent: 'true', receipt: 'kept' }, '7 kept')
    await client.next('RECEIPT')
    broker.signal('SIGKILL')
    await broker.ended()
    const { code, stderr } = await refused({ fileBlocksMax: 0 })
    expect(code).toBe(1)
    expect(stderr).toContain('EFBIG')
    const again = await start()
    expect(await numbersOf(again.client, 1)).toEqual([7])
  })

  test('where its folder should be but is none', async () => {
    writeFileSync(join(folder, 'data'), 'a file')
    const { code, stdout, stderr } = await refused()
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain(`the data folder ${join(folder, 'data')} cannot be used`)
  })

  test('where a folder is in the place of a segment', async () => {
    mkdirSync(join(folder, 'data', 'journal', 'seg-1'), { recursive: true })
    const { code, stdout, stderr } = await refused()
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain('EISDIR')
    expect(readdirSync(join(folder, 'data', 'journal'))).toContain('seg-1')
  })
})

describe('a broker that cannot have a thread for its journal', () => {
  const none = `import threads from 'node:worker_threads'
    import { syncBuiltinESMExports } from 'node:module'
    threads.Worker = class { constructor() { throw new Error('no threads left') } }
    syncBuiltinESMExports()`
  const broken = `import { isMainThread } from 'node:worker_threads'
    if (!isMainThread) throw new Error('the thread breaks')`

  test.each([
    ['because the system has none left', none, 'no threads left'],
    ['because it does not come up', broken, 'the thread breaks'],
  ])('%s says so, and keeps what it confirms over kill -9', async (_why, preloaded, reason) => {
    const node = ['--import', `data:text/javascript,${encodeURIComponent(preloaded)}`]
    const { broker, client } = await start({ node })
    const bodies = Array.from({ length: 200 }, (_, number) => `${number} ${'x'.repeat(number * 20)}`)
    for (const body of bodies) client.send('send', { destination: queue, persistent: 'true' }, body)
    client.send('send', { destination: queue, persistent: 'true', receipt: 'all' }, '200 last')
    await client.next('RECEIPT')
    broker.signal('SIGKILL')
    await broker.ended()
    expect(broker.stderr).toContain('no thread of its own')
    expect(broker.stderr).toContain(reason)
    const again = await start({ node })
    expect(await numbersOf(again.client, 201)).toEqual(Array.from({ length: 201 }, (_, number) => number))
  })
})
