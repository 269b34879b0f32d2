import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Running, type RunOptions, run, startBroker } from '../support/command-line.ts'
import { StompTestClient } from '../support/stomp-client.ts'

let folder: string
let brokers: Running[]
let clients: StompTestClient[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-data-test-'))
  brokers = []
  clients = []
})

afterEach(async () => {
  for (const client of clients) client.close()
  for (const broker of brokers) broker.signal('SIGKILL')
  await Promise.all(brokers.map((broker) => broker.ended()))
  rmSync(folder, { recursive: true, force: true })
})

const at = (name: string): string => join(folder, name)
const data = (...args: string[]) => run('data', ...args)

interface Started {
  readonly broker: Running
  client(headers?: Record<string, string>): Promise<StompTestClient>
}

async function start(name: string): Promise<Started> {
  const { broker, url } = await startBroker(['--data', at(name)])
  brokers.push(broker)
  const port = Number(new URL(url).port)
  return {
    broker,
    async client(headers = {}) {
      const made = new StompTestClient(connect(port, '127.0.0.1'))
      clients.push(made)
      await made.connect(headers)
      return made
    },
  }
}

async function stop({ broker }: Started, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  broker.signal(signal)
  await broker.ended()
}

const persistent = { persistent: 'true' }

/** A store with one of everything that is kept. */
async function fill(name: string): Promise<void> {
  const started = await start(name)
  const client = await started.client({ 'client-id': 'c' })
  const text = { destination: '/queue/orders', ...persistent, 'content-type': 'text/plain' }
  await client.sure('send', { ...text, color: 'blue', 'correlation-id': 'k' }, 'first é')
  await client.sure('send', { ...text, priority: '9', JMSXGroupID: 'g' }, 'urgent')
  await client.sure('send', { destination: '/queue/orders', ...persistent }, Buffer.from([0xff, 0x00, 0x80]))
  await client.sure('send', { ...text, AMQ_SCHEDULED_DELAY: '3600000' }, 'later')
  await client.sure('send', { ...text, expires: '4102444800000' }, 'expiring')
  client.send('subscribe', {
    destination: '/topic/t',
    id: 'd',
    'durable-subscription-name': 'd',
    selector: "color = 'red'",
  })
  await client.sure('unsubscribe', { id: 'd' })
  await client.sure('send', { destination: '/topic/t', color: 'red', ...persistent }, 'collected')
  await client.sure('send', { destination: '/topic/r', retain: 'true', ...persistent }, 'retained')
  await client.sure('send', { destination: '/queue/dying', ...persistent }, 'dead')
  await client.sure('send', { destination: '/queue/failing', ...persistent }, 'failed once')
  for (const queue of ['dying', 'failing']) {
    client.send('subscribe', { destination: `/queue/${queue}`, id: queue, ack: 'client-individual' })
    const { headers } = await client.next('MESSAGE')
    const id = headers.ack as string
    await client.sure('nack', queue === 'dying' ? { id, requeue: 'false' } : { id })
  }
  await client.next('MESSAGE')
  await client.sure('disconnect')
  await stop(started)
}

describe('while a broker is running', () => {
  test.each([
    ['print', []],
    ['export', []],
    ['why', ['1']],
    ['compact', []],
  ])('%s ends with 3 and says who has the folder', async (command, args) => {
    await start('data')
    const { code, stdout, stderr } = await data(command, ...args, '--data', at('data'))
    expect(code).toBe(3)
    expect(stdout).toBe('')
    expect(stderr).toMatch(
      /^manifoldmq: the data folder .* is in use by the broker "manifoldmq", process \d+ on .*; stop it first\n$/,
    )
  })

  test('import ends with 3 once its file has been found right', async () => {
    await start('data')
    writeFileSync(
      at('x'),
      '{"kind":"manifoldmq-export","version":1}\n{"kind":"end","owners":0,"messages":0,"states":0}\n',
    )
    expect(await data('import', at('x'), '--data', at('data'))).toMatchObject({ code: 3 })
  })

  test('verify reads what is there, and leaves it alone', async () => {
    const started = await start('data')
    const client = await started.client()
    for (let index = 0; index < 20; index += 1)
      await client.sure('send', { destination: '/queue/q', ...persistent }, `${index}`)
    const { code, stdout, stderr } = await data('verify', '--data', at('data'), '--json')
    expect([code, stderr]).toEqual([0, expect.stringContaining('is sound')])
    expect(JSON.parse(stdout)).toMatchObject({ messages: 20, owners: 1, isLive: true, findings: [] })
    await client.sure('send', { destination: '/queue/q', ...persistent }, '20')
    client.send('subscribe', { destination: '/queue/q', id: '1' })
    expect((await client.messages(21)).map(({ body }) => Number(body))).toEqual(
      Array.from({ length: 21 }, (_, index) => index),
    )
  })

  test('a backup has everything that was confirmed before it, nothing twice, and in order', {
    timeout: 120_000,
  }, async () => {
    const started = await start('data')
    const producer = await started.client()
    const consumer = await started.client()
    const filler = 'x'.repeat(5_000)
    const confirmed: number[] = []
    let sent = 0
    let isRunning = true
    const produce = async (): Promise<void> => {
      while (isRunning) {
        for (let count = 0; count < 64; count += 1) {
          sent += 1
          producer.send('send', { destination: '/queue/q', ...persistent, receipt: String(sent) }, `${sent} ${filler}`)
        }
        for (let count = 0; count < 64; count += 1)
          confirmed.push(Number((await producer.next('RECEIPT')).headers['receipt-id']))
      }
    }
    const taken = new Set<number>()
    const consume = async (): Promise<void> => {
      consumer.send('subscribe', { destination: '/queue/q', id: '1', ack: 'client-individual', 'prefetch-count': '10' })
      for (;;) {
        const { body, headers } = await consumer.next('MESSAGE')
        taken.add(Number.parseInt(body, 10))
        consumer.send('ack', { id: headers.ack as string })
      }
    }
    const producing = produce()
    const consuming = consume().catch((error: Error) => expect(error.message).toContain('closed while waiting'))
    while (confirmed.length < 2000) await new Promise((resolve) => setTimeout(resolve, 10))
    const takenBefore = new Set(taken)
    const before = confirmed.length
    const { code, stderr } = await data('backup', at('copy'), '--data', at('data'))
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^[\d,]+ messages of 1 owners, .* are backed up in /)])
    expect(confirmed.length).toBeGreaterThan(before)
    isRunning = false
    await producing
    await stop(started, 'SIGKILL')
    await consuming
    expect(await data('verify', '--data', at('copy'))).toMatchObject({ code: 0 })
    const copy = await start('copy')
    const reader = await copy.client()
    reader.send('subscribe', {
      destination: '/queue/q',
      id: '1',
      browser: 'true',
      ack: 'auto',
      'prefetch-count': '100000',
    })
    const found: number[] = []
    for (;;) {
      const { body, headers } = await reader.next('MESSAGE')
      if (headers.browser === 'end') break
      found.push(Number.parseInt(body, 10))
    }
    const there = new Set(found)
    expect(there.size).toBe(found.length)
    expect(found).toEqual([...found].sort((left, right) => left - right))
    expect(confirmed.slice(0, before).filter((number) => !there.has(number) && !taken.has(number))).toEqual([])
    expect(takenBefore.size).toBeGreaterThan(0)
  })
})

describe('a backup', () => {
  test('of a stopped broker is a data folder with the same in it', async () => {
    await fill('data')
    expect(await data('backup', at('copy'), '--data', at('data'))).toMatchObject({ code: 0, stdout: '' })
    await data('export', at('a'), '--data', at('data'))
    await data('export', at('b'), '--data', at('copy'))
    expect(readFileSync(at('b'), 'utf8')).toBe(readFileSync(at('a'), 'utf8'))
    expect(readdirSync(folder).sort()).toEqual(['a', 'b', 'copy', 'data'])
  })

  test('is not put where something is', async () => {
    await fill('data')
    const { code, stderr } = await data('backup', at('data'), '--data', at('data'))
    expect(code).toBe(1)
    expect(stderr).toMatch(/is not empty; a backup needs a folder of its own\n$/)
  })
})

describe('an export', () => {
  test('that is imported and exported again is the same', async () => {
    await fill('data')
    const exported = await data('export', at('a'), '--data', at('data'))
    expect(exported).toMatchObject({ code: 0, stdout: '' })
    expect(exported.stderr).toMatch(/^exported 9 messages of 6 owners to /)
    const imported = await data('import', at('a'), '--data', at('other'))
    expect([imported.code, imported.stderr]).toEqual([
      0,
      expect.stringMatching(/^imported 9 messages of 6 owners into /),
    ])
    const { code, stdout } = await data('export', '--data', at('other'))
    expect(code).toBe(0)
    expect(stdout).toBe(readFileSync(at('a'), 'utf8'))
  })

  test('keeps what the broker remembers of a queue with that queue, whatever number it gets', async () => {
    await fill('data')
    await data('export', at('a'), '--data', at('data'))
    const lines = readFileSync(at('a'), 'utf8')
      .replaceAll('"id":1,', '"id":71,')
      .replaceAll('"owner":1,', '"owner":71,')
    writeFileSync(at('b'), lines.replace('broker/may-expire/1"', 'broker/may-expire/71"'))
    expect(readFileSync(at('b'), 'utf8')).toContain('"broker/may-expire/71"')
    expect(await data('import', at('b'), '--data', at('other'))).toMatchObject({ code: 0 })
    expect((await data('export', '--data', at('other'))).stdout).toBe(readFileSync(at('a'), 'utf8'))
  })

  test('says what each message is to whoever does not know its format', async () => {
    await fill('data')
    const { stdout } = await data('export', '--data', at('data'))
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const messages = lines.filter(({ kind }) => kind === 'message').map(({ message }) => message)
    expect(messages.find(({ body }) => body === 'first é')).toMatchObject({
      address: 'queue://orders',
      format: 'stomp-1.2',
      priority: 4,
      durable: true,
      properties: { color: 'blue', correlationId: 'k', contentType: 'text/plain' },
    })
    expect(messages.find(({ groupId }) => groupId === 'g')).toMatchObject({ body: 'urgent', priority: 9 })
    expect(messages.find(({ bodyBase64 }) => bodyBase64 !== undefined)?.bodyBase64).toBe('/wCA')
    expect(lines[0]).toEqual({ kind: 'manifoldmq-export', version: 1 })
    expect(lines.at(-1)).toEqual({ kind: 'end', owners: 6, messages: 9, states: 1 })
  })

  test('brings everything to a broker that is started on it', async () => {
    await fill('data')
    await data('export', at('a'), '--data', at('data'))
    await data('import', at('a'), '--data', at('other'))
    const client = await (await start('other')).client({ 'client-id': 'c' })
    client.send('subscribe', { destination: '/queue/orders', id: 'o', ack: 'client-individual' })
    const orders = await client.messages(4)
    expect(orders.map(({ body }) => body)).toEqual([
      'urgent',
      'first é',
      Buffer.from([0xff, 0x00, 0x80]).toString(),
      'expiring',
    ])
    expect(orders.map(({ headers }) => headers.redelivered)).toEqual([undefined, undefined, undefined, undefined])
    expect(orders[1]?.headers).toMatchObject({ color: 'blue', 'correlation-id': 'k' })
    client.send('subscribe', { destination: '/queue/failing', id: 'f', ack: 'client-individual' })
    expect(await client.next('MESSAGE')).toMatchObject({
      body: 'failed once',
      headers: { redelivered: 'true', 'delivery-count': '1' },
    })
    client.send('subscribe', { destination: '/queue/DLQ.dying', id: 'x' })
    expect(await client.next('MESSAGE')).toMatchObject({
      body: 'dead',
      headers: { 'dead-letter-address': 'queue://dying' },
    })
    client.send('subscribe', { destination: '/topic/r', id: 'r' })
    expect(await client.next('MESSAGE')).toMatchObject({ body: 'retained', headers: { retained: 'true' } })
    client.send('subscribe', {
      destination: '/topic/t',
      id: 'd',
      'durable-subscription-name': 'd',
      selector: "color = 'red'",
    })
    expect((await client.next('MESSAGE')).body).toBe('collected')
  })

  test('that is interrupted leaves no file', async () => {
    await fill('data')
    expect(await data('export', join(at('nowhere'), 'x'), '--data', at('data'))).toMatchObject({ code: 1 })
    expect(readdirSync(folder)).toEqual(['data'])
  })
})

describe('an import', () => {
  const owner = '{"kind":"owner","id":1,"spec":{"kind":"queue","name":"q","settings":{}},"lastSequence":1}'
  const head = '{"kind":"manifoldmq-export","version":1}'
  const end = (messages: number) => `{"kind":"end","owners":1,"messages":${messages},"states":0}`
  const message = (fields = '') =>
    `{"kind":"message","owner":1,"sequence":1,"deliveryCount":0,"redelivered":false,"notBefore":0,"message":{"id":"x1","address":"queue://q","format":"stomp-1.2","headerBase64":"","body":"hi","durable":true,"priority":4,"expiresAt":0,"deliverAt":0,"timestamp":0,"retain":false,"source":{"idPrefix":"x","principal":"p"},"number":1${fields}}}`

  test.each([
    ['nothing', [], 'has no end: the export was cut short'],
    ['something else', ['{"kind":"end","owners":0,"messages":0,"states":0}'], 'is no export of manifoldmq'],
    [
      'a later version',
      ['{"kind":"manifoldmq-export","version":2}'],
      'has version 2; this program reads versions up to 1',
    ],
    ['a file that was cut short', [head, owner, message()], 'has no end: the export was cut short'],
    ['a line that is cut', [head, owner, '{"kind":"mess'], ':3: it is not JSON'],
    ['a message too few', [head, owner, end(1)], 'is not whole: it ends with 1 messages and has 0'],
    ['an owner that is not known', [head, message(), end(1)], ':2: its owner 1 has not come before it'],
    ['an owner twice', [head, owner, owner, end(0)], ':3: the owner queue://q comes twice'],
    [
      'a number that is none',
      [head, owner.replace('"id":1', '"id":"1"'), end(0)],
      ':2: "id" must be a number from 0 on',
    ],
    ['an address that is none', [head, owner, message().replace('queue://q', 'queue://')], ':3: queue name ""'],
    [
      'a priority that is none',
      [head, owner, message().replace('"priority":4', '"priority":10')],
      ':3: its priority 10 is none',
    ],
    [
      'a part of a number',
      [head, owner, message().replace('"sequence":1', '"sequence":1.5')],
      ':3: "sequence" must be whole',
    ],
    [
      'a sequence that is none',
      [head, owner, message().replace('"sequence":1', '"sequence":0')],
      ':3: its sequence 0 is out of order',
    ],
    ['a sequence twice', [head, owner, message(), message(), end(2)], ':4: its sequence 1 is out of order'],
    [
      'a header that is cut',
      [head, owner, message().replace('Base64":"', 'Base64":"x')],
      ':3: "headerBase64" is not base64',
    ],
    ['a state that is cut', [head, '{"kind":"state","key":"k","value":"x"}'], ':2: "value" is not base64'],
    ['a state without a key', [head, '{"kind":"state","key":"","value":""}'], ':2: its key or value is too long'],
    [
      'annotations that are none',
      [head, owner, message(',"annotations":{"x":{}}')],
      ':3: "x" of "annotations" is of a kind',
    ],
    ['a kind that is none', [head, '{"kind":"x"}'], ':2: its kind "x" is unknown'],
  ])('of %s says what is wrong and changes nothing', async (_name, lines, words) => {
    writeFileSync(at('x'), lines.map((line) => `${line}\n`).join(''))
    const { code, stderr } = await data('import', at('x'), '--data', at('data'))
    expect(code).toBe(1)
    expect(stderr).toContain(words)
    expect(existsSync(at('data'))).toBe(false)
  })

  test('of a file that is not there says so', async () => {
    const { code, stderr } = await data('import', at('x'), '--data', at('data'))
    expect([code, stderr]).toEqual([1, `manifoldmq: there is no file ${at('x')}\n`])
  })

  test('into a store that is not empty is refused, and with --merge goes behind what is there', async () => {
    await fill('data')
    await data('export', at('a'), '--data', at('data'))
    await data('import', at('a'), '--data', at('other'))
    const refused = await data('import', at('a'), '--data', at('other'))
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(/: 9 messages of 6 owners are in .* already; --merge puts the import behind them/)
    expect(await data('import', at('a'), '--data', at('other'), '--merge')).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('behind what was there'),
    })
    const { stdout } = await data('print', '--json', '--data', at('other'))
    const counts = Object.fromEntries(
      JSON.parse(stdout).owners.map((one: { name: string; messages: number }) => [one.name, one.messages]),
    )
    expect(counts).toMatchObject({ 'queue://orders': 10, 'queue://failing': 2, 'queue://DLQ.dying': 2, retained: 1 })
    const client = await (await start('other')).client()
    client.send('subscribe', { destination: '/queue/orders', id: 'o', ack: 'client-individual' })
    const bodies = (await client.messages(8)).map(({ body }) => body)
    expect(bodies.slice(0, 5)).toEqual(['urgent', 'urgent', 'first é', bodies[3], 'expiring'])
    expect(bodies.slice(5)).toEqual(['first é', bodies[3], 'expiring'])
  })

  test('with --merge goes on where it was interrupted, as often as that is: nothing is missing, and nothing there twice', async () => {
    const started = await start('data')
    const client = await started.client()
    const bodies = Array.from({ length: 1500 }, (_, index) => `${index} ${'x'.repeat(1500)}`)
    for (const [index, body] of bodies.entries()) {
      const destination = index % 3 === 0 ? '/queue/new' : '/queue/old'
      client.send('send', { destination, ...persistent, priority: index % 5 === 0 ? '7' : '4' }, body)
    }
    await client.sure('disconnect')
    await stop(started)
    await data('export', at('file'), '--data', at('data'))
    const other = await start('other')
    const sender = await other.client()
    for (const body of ['first', 'second'])
      await sender.sure('send', { destination: '/queue/old', ...persistent }, body)
    await sender.sure('disconnect')
    await stop(other)
    const ends: (number | null)[] = []
    const said: string[] = []
    do {
      // No file may grow beyond so much: a few batches, then writing fails.
      const args = ['data', 'import', at('file'), '--data', at('other'), '--merge']
      const running = new Running(args, { fileBlocksMax: 1200 })
      ends.push(await running.ended())
      said.push(running.stderr)
      if (ends.length === 2) {
        const between = await start('other')
        await (await between.client()).sure('send', { destination: '/queue/old', ...persistent }, 'between')
        await stop(between)
      }
    } while (ends.at(-1) !== 0 && ends.length < 20)
    expect(ends.length).toBeGreaterThan(3)
    expect(ends.slice(0, -1).every((code) => code === 1)).toBe(true)
    expect(said[0]).toContain('EFBIG')
    for (const text of said.slice(1))
      expect(text).toMatch(/an import of this file was interrupted: [\d,]+ messages are in/)
    const { stdout } = await data('export', '--data', at('other'))
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.filter(({ kind }) => kind === 'state').map(({ key }) => key)).toEqual([])
    const reader = await (await start('other')).client()
    const found: Record<string, string[]> = {}
    for (const [queue, count] of [
      ['new', 500],
      ['old', 1003],
    ] as const) {
      reader.send('subscribe', { destination: `/queue/${queue}`, id: queue, ack: 'auto' })
      found[queue] = (await reader.messages(count)).map(({ body }) => body)
    }
    const inOrder = (rest: number): string[] => {
      const own = bodies.filter((_, index) => (rest === 0 ? index % 3 === 0 : index % 3 !== 0))
      const isUrgent = (body: string): boolean => Number.parseInt(body, 10) % 5 === 0
      return [...own.filter(isUrgent), ...own.filter((body) => !isUrgent(body))]
    }
    expect(found.new).toEqual(inOrder(0))
    const [first, second, between] = ['first', 'second', 'between'].map((body) => found.old?.indexOf(body) ?? -1)
    expect(found.old?.filter((body) => /^\d/.test(body))).toEqual(inOrder(1))
    expect([second, between].every((index) => (index ?? -1) > (first ?? 0))).toBe(true)
  }, 60_000)

  test('that is killed in its last moment has changed nothing; what it leaves everybody says, and it goes with the next or compact', async () => {
    await fill('data')
    await data('export', at('file'), '--data', at('data'))
    const killed = `import fs from 'node:fs/promises'
      import { syncBuiltinESMExports } from 'node:module'
      const { rename } = fs
      fs.rename = (from, to) => from.endsWith('journal.importing') ? process.kill(process.pid, 'SIGKILL') : rename(from, to)
      syncBuiltinESMExports()`
    const node = ['--import', `data:text/javascript,${encodeURIComponent(killed)}`]
    const importing = async (options: RunOptions = {}): Promise<number | null> =>
      await new Running(['data', 'import', at('file'), '--data', at('other')], options).ended()
    expect(await importing({ node })).toBeNull()
    expect(readdirSync(at('other')).sort()).toEqual(['journal.importing', 'lock'])
    const started = await start('other')
    await (await started.client()).sure('send', { destination: '/queue/new', ...persistent }, 'sent meanwhile')
    await stop(started)
    const sentence = 'was interrupted, and nothing of it is in the store; journal.importing is what it has left'
    expect(started.broker.stderr).toContain(sentence)
    for (const command of ['print', 'verify', 'export']) {
      const { code, stderr } = await data(command, '--data', at('other'))
      expect([command, code, stderr.includes(sentence)]).toEqual([command, 0, true])
    }
    const compacted = await data('compact', '--data', at('other'))
    expect(compacted.stderr).toContain(
      'journal.importing, which an import had left when it was interrupted, is removed',
    )
    expect(readdirSync(at('other')).sort()).toEqual(['journal', 'lock'])
    expect((await data('print', '--data', at('other'))).stdout).toContain('queue://new: 1 message')
    rmSync(at('other'), { recursive: true })
    expect(await importing({ node })).toBeNull()
    expect(await importing()).toBe(0)
    expect(readdirSync(at('other')).sort()).toEqual(['journal', 'lock'])
    const [here, there] = [await data('export', '--data', at('data')), await data('export', '--data', at('other'))]
    expect(there.stdout).toBe(here.stdout)
  })

  test('does not mix subscriptions of one name that want different messages', async () => {
    await fill('data')
    await data('export', at('a'), '--data', at('data'))
    await data('import', at('a'), '--data', at('other'))
    writeFileSync(at('b'), readFileSync(at('a'), 'utf8').replace("color = 'red'", "color = 'green'"))
    const before = (await data('export', '--data', at('other'))).stdout
    const { code, stderr } = await data('import', at('b'), '--data', at('other'), '--merge')
    expect(code).toBe(1)
    expect(stderr).toMatch(/subscription:\/\/.* is there with other settings/)
    expect((await data('export', '--data', at('other'))).stdout).toBe(before)
  })
})

describe('print', () => {
  test('says who holds how much, for people and for programs', async () => {
    await fill('data')
    const { stdout } = await data('print', '--data', at('data'))
    expect(stdout).toContain('closed in order')
    expect(stdout).toMatch(
      /^owner {4}queue:\/\/orders: 5 messages \(priority 4: 4, priority 9: 1\), 0\.0 MiB, last sequence 5$/m,
    )
    expect(stdout).toMatch(/^owner {4}subscription:\/\/.*: 1 message, .* selector=color = 'red'/m)
    const json = JSON.parse((await data('print', '--json', '--data', at('data'))).stdout)
    expect(json).toMatchObject({ wasClean: true, damages: [] })
    expect(json.owners[0]).toMatchObject({ name: 'queue://orders', messages: 5, byPriority: { 4: 4, 9: 1 } })
  })

  test('lists the messages of one owner', async () => {
    await fill('data')
    const { stdout } = await data('print', '--messages', 'queue://orders', '--data', at('data'))
    const lines = stdout.trim().split('\n')
    expect(lines).toHaveLength(5)
    expect(lines[0]).toMatch(/^1 {2}id \S+, 8 bytes, priority 4, taken in \d{4}-/)
    expect(lines[2]).toMatch(/, not before \d{4}-/)
    const failing = await data('print', '--messages', 'queue://failing', '--json', '--data', at('data'))
    expect(JSON.parse(failing.stdout)).toMatchObject({ deliveryCount: 1, redelivered: true, bodyBytes: 11 })
    const wrong = await data('print', '--messages', 'queue://x', '--data', at('data'))
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toContain('there is no queue://x in')
    expect(wrong.stderr).toContain('there are queue://orders,')
  })

  test('shows frames with their records', async () => {
    await fill('data')
    const { stdout } = await data('print', '--frames', '0', '--data', at('data'))
    expect(stdout).toMatch(/^seg-1 at 0: frame 1 of epoch 1, \d+ bytes, \d+ records$/m)
    expect(stdout).toMatch(/^ {2}put owner 1 priority 4 sequence 1, \d+ bytes$/m)
    const [first] = (await data('print', '--frames', '0', '--json', '--data', at('data'))).stdout.split('\n')
    expect(JSON.parse(first ?? '')).toMatchObject({
      segment: 1,
      offset: 0,
      frame: 1,
      epoch: 1,
      records: [{ type: 'epoch' }],
    })
  })

  test('says of a store that was not closed that it was not', async () => {
    const started = await start('data')
    const client = await started.client()
    await client.sure('send', { destination: '/queue/q', ...persistent }, 'x')
    await stop(started, 'SIGKILL')
    const before = readdirSync(join(at('data'), 'journal'))
    for (let again = 0; again < 2; again += 1) {
      const { stdout } = await data('print', '--data', at('data'))
      expect(stdout).toMatch(/not closed in order, [1-9]\d* frames after the checkpoint/)
    }
    expect(readdirSync(join(at('data'), 'journal'))).toEqual(before)
  })
})

describe('why', () => {
  test('names who keeps a segment, how many and the oldest', async () => {
    await fill('data')
    const { code, stdout } = await data('why', 'seg-1', '--data', at('data'))
    expect(code).toBe(0)
    expect(stdout).toMatch(/^seg-1: 0\.0 MiB of 0\.0 MiB written are alive$/m)
    expect(stdout).toMatch(
      /^ {2}queue:\/\/orders: 5 messages, [\d,]+ bytes\n {4}oldest: sequence 1, priority 4, id ID:\S+, taken in \d{4}-/m,
    )
    const json = JSON.parse((await data('why', '1', '--json', '--data', at('data'))).stdout)
    const orders = json.keepers.find(({ owner }: { owner: string }) => owner === 'queue://orders')
    expect(orders).toMatchObject({ count: 5, oldest: { sequence: 1, priority: 4 } })
  })

  test.each([
    ['99', 'there is no segment 99 in'],
    ['free-1', '"free-1" is no segment'],
  ])('of %s says that it is none', async (segment, words) => {
    await fill('data')
    const { code, stderr } = await data('why', segment, '--data', at('data'))
    expect([code, stderr]).toEqual([1, expect.stringContaining(words)])
  })
})

test('compact leaves little of a store that one forgotten message is left in', async () => {
  const started = await start('data')
  const client = await started.client()
  const body = 'x'.repeat(1_000_000)
  for (let index = 0; index < 100; index += 1) {
    await client.sure('send', { destination: `/queue/${index % 30 === 0 ? 'kept' : 'taken'}`, ...persistent }, body)
  }
  client.send('subscribe', { destination: '/queue/taken', id: '1', ack: 'client-individual' })
  for (const { headers } of await client.messages(96)) client.send('ack', { id: headers.ack as string })
  await client.sure('disconnect')
  await stop(started)
  const { code, stdout } = await data('compact', '--json', '--data', at('data'))
  expect(code).toBe(0)
  const { bytesBefore, bytesAfter } = JSON.parse(stdout)
  expect(bytesBefore).toBeGreaterThan(90_000_000)
  expect(bytesAfter).toBeLessThan(20_000_000)
  const left = await (await start('data')).client()
  left.send('subscribe', { destination: '/queue/kept', id: '1' })
  expect((await left.messages(4)).every((one) => one.body === body)).toBe(true)
})

describe('verify', () => {
  test('finds a flipped bit, says where, and ends with 1', async () => {
    await fill('data')
    const path = join(at('data'), 'journal', 'seg-1')
    const found = readFileSync(path).indexOf('urgent')
    const file = openSync(path, 'r+')
    const byte = Buffer.alloc(1)
    readSync(file, byte, 0, 1, found)
    writeSync(file, Buffer.from([(byte[0] as number) ^ 1]), 0, 1, found)
    closeSync(file)
    const { code, stdout, stderr } = await data('verify', '--data', at('data'))
    expect(code).toBe(1)
    expect(stdout).toMatch(/^seg-1: only [\d,]+ of [\d,]+ bytes are whole frames/)
    expect(stdout).toMatch(/^queue:\/\/orders: the message with sequence 2 is not what was written$/m)
    expect(stderr).toMatch(/is damaged in \d places; .*manifoldmq data export saves it/)
    const exported = await data('export', at('a'), '--data', at('data'))
    expect(exported.code).toBe(1)
    expect(exported.stderr).toMatch(/^queue:\/\/orders: the message with sequence 2 cannot be read and is left out$/m)
    expect(exported.stderr).toMatch(/could not be read and are not in the export\n$/)
    expect(await data('import', at('a'), '--data', at('other'))).toMatchObject({ code: 0 })
    const { code: again } = await data('verify', '--data', at('other'))
    expect(again).toBe(0)
  })

  test('says of a sound store that it is sound, and how much was read', async () => {
    await fill('data')
    const { code, stdout, stderr } = await data('verify', '--data', at('data'))
    expect([code, stdout]).toEqual([0, ''])
    expect(stderr).toMatch(/ is sound: 9 messages of 6 owners, [\d.]+ MiB of journal\n$/)
  })
})

describe('any of them', () => {
  test.each(['print', 'export', 'verify', 'compact'])(
    '%s says when there is no store, and makes none',
    async (command) => {
      const { code, stderr } = await data(command, '--data', at('data'))
      expect([code, stderr]).toEqual([
        1,
        `manifoldmq: there is no store in ${at('data')}; name the data folder with --data\n`,
      ])
      expect(existsSync(at('data'))).toBe(false)
    },
  )

  test('refuses a store of a newer format in one sentence, as start does, and changes nothing', async () => {
    await fill('data')
    const journal = join(at('data'), 'journal')
    const path = join(journal, readdirSync(journal).find((name) => name.startsWith('ckpt-')) ?? '')
    const bytes = readFileSync(path)
    bytes.writeUInt32LE(99, 8)
    bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4)
    writeFileSync(path, bytes)
    const before = readdirSync(journal)
    const commands = [
      ['start', '--set', 'listeners.stomp.port=0'],
      ['data', 'print'],
      ['data', 'backup', at('copy')],
    ]
    for (const command of commands) {
      const { code, stderr } = await run(...command, '--data', at('data'))
      expect([code, stderr.trim().split('\n')]).toEqual([
        1,
        [expect.stringMatching(/^manifoldmq: the store has format 99; /)],
      ])
    }
    expect(readdirSync(journal)).toEqual(before)
    expect(readdirSync(folder)).toEqual(['data'])
  })

  test.each([[['data', 'why']], [['data', 'import']], [['data', 'backup']], [['data', 'print', '--frames', 'x']]])(
    '%j ends with code 2',
    async (args) => {
      expect((await run(...args)).code).toBe(2)
    },
  )

  test('is in the help', async () => {
    const { stdout } = await run('data', '--help')
    for (const command of ['verify', 'print', 'export', 'import', 'backup', 'compact', 'why'])
      expect(stdout).toContain(`  ${command} `)
  })
})
