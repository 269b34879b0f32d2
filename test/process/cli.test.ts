import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer, connect as dial } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Running, run, startBroker } from '../support/command-line.ts'

let broker: Running
let url: string

beforeAll(async () => {
  const started = await startBroker()
  broker = started.broker
  url = started.url
})

afterAll(async () => {
  broker.signal('SIGKILL')
  await broker.ended()
})

const produce = (...args: string[]) => run('produce', '--protocol', 'stomp', '--url', url, ...args)
const consume = (...args: string[]) => run('consume', '--protocol', 'stomp', '--url', url, ...args)
const browse = (...args: string[]) => run('browse', '--protocol', 'stomp', '--url', url, ...args)

describe('produce', () => {
  test('sends a message that consume prints', async () => {
    const sent = await produce('queue://hello', '--message', 'hi')
    expect(sent).toMatchObject({ code: 0, stderr: '' })
    expect(sent.stdout).toMatch(/^sent 1 message to queue:\/\/hello in \d+ ms\n$/)
    expect(await consume('queue://hello', '--count', '1')).toMatchObject({ code: 0, stdout: 'hi\n', stderr: '' })
  })

  test('sends what the options say', async () => {
    await produce(
      '--destination',
      'queue://options',
      '--message',
      'é',
      '--property',
      'color=blue',
      '--property',
      'a=b=c',
      '--priority',
      '9',
      '--persistent',
      '--ttl',
      '1h',
    )
    const { stdout } = await consume('--destination', 'queue://options', '--count', '1', '--json')
    const message = JSON.parse(stdout)
    expect(message.body).toBe('é')
    expect(message.headers).toMatchObject({ color: 'blue', a: 'b=c', priority: '9', persistent: 'true' })
    expect(Number(message.headers.expires)).toBeGreaterThan(Date.now() + 3_500_000)
  })

  test('numbers messages that have no body, and says in JSON what it has done', async () => {
    const { stdout } = await produce('queue://many', '--count', '3', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ destination: 'queue://many', sent: 3 })
    expect((await consume('queue://many', '--count', '3')).stdout).toBe('message 1\nmessage 2\nmessage 3\n')
  })

  test('fills a size and keeps to a rate', async () => {
    const { stdout } = await produce('queue://sized', '--size', '1kB', '--count', '11', '--rate', '100', '--json')
    expect(JSON.parse(stdout).ms).toBeGreaterThanOrEqual(90)
    const lines = (await consume('queue://sized', '--count', '11')).stdout.trim().split('\n')
    expect(lines).toEqual(Array.from({ length: 11 }, () => 'x'.repeat(1000)))
  })

  test('has every message confirmed, past its window', async () => {
    expect((await produce('queue://window', '--count', '5000')).code).toBe(0)
    const { stdout } = await consume('queue://window', '--count', '5000')
    expect(stdout.trim().split('\n').at(-1)).toBe('message 5000')
  })
})

describe('consume', () => {
  test('takes no more than it was asked for', async () => {
    await produce('queue://some', '--count', '1500')
    expect((await consume('queue://some', '--count', '1200')).stdout.trim().split('\n')).toHaveLength(1200)
    const rest = (await consume('queue://some', '--count', '300')).stdout.trim().split('\n')
    expect(rest).toEqual(Array.from({ length: 300 }, (_, index) => `message ${index + 1201}`))
  })

  test('ends when none comes any more, with code 1 if it wanted more', async () => {
    await produce('queue://few', '--count', '2')
    const wanted = await consume('queue://few', '--count', '3', '--timeout', '150ms')
    expect(wanted.code).toBe(1)
    expect(wanted.stdout).toBe('message 1\nmessage 2\n')
    expect(wanted.stderr).toContain('2 of 3 messages had come when none came for 150ms')
    expect(await consume('queue://few', '--timeout', '150ms')).toMatchObject({ code: 0, stdout: '' })
  })

  test('takes only what its selector is true of', async () => {
    await produce('queue://picked', '--message', 'red', '--property', 'color=red')
    await produce('queue://picked', '--message', 'blue', '--property', 'color=blue')
    expect((await consume('queue://picked', '--count', '1', '--selector', "color = 'blue'")).stdout).toBe('blue\n')
  })

  test('prints bytes as they are, and as base64 in JSON', async () => {
    const bytes = Buffer.from([0xff, 0x00, 0x80])
    const socket = dial(Number(new URL(url).port), '127.0.0.1')
    socket.write('CONNECT\naccept-version:1.2\nhost:x\n\n\0')
    for (let index = 0; index < 2; index += 1) {
      socket.write('SEND\ndestination:queue://bytes\ncontent-length:3\n\n')
      socket.write(Buffer.concat([bytes, Buffer.alloc(1)]))
    }
    const json = await consume('queue://bytes', '--count', '1', '--json')
    socket.destroy()
    expect(JSON.parse(json.stdout).bodyBase64).toBe(bytes.toString('base64'))
    const plain = new Running(['consume', 'queue://bytes', '--protocol', 'stomp', '--url', url, '--count', '1'])
    const chunks: Buffer[] = []
    plain.child.stdout?.setEncoding('latin1').on('data', (text: string) => chunks.push(Buffer.from(text, 'latin1')))
    expect(await plain.ended()).toBe(0)
    expect(Buffer.concat(chunks)).toEqual(Buffer.concat([bytes, Buffer.from('\n')]))
  })

  test('ends well when it is interrupted, and leaves nothing unacknowledged that it has printed', async () => {
    await produce('queue://interrupted', '--message', 'hi')
    const consumer = new Running(['consume', 'queue://interrupted', '--protocol', 'stomp', '--url', url])
    await consumer.until('hi')
    consumer.signal('SIGINT')
    expect(await consumer.ended()).toBe(0)
    expect((await consume('queue://interrupted', '--timeout', '150ms')).stdout).toBe('')
  })

  test('receives what is published while it is subscribed to a topic', async () => {
    const consumer = new Running(['consume', 'topic://news', '--protocol', 'stomp', '--url', url, '--count', '1'])
    while (consumer.stdout === '' && consumer.child.exitCode === null) {
      await produce('topic://news', '--message', 'extra')
    }
    expect(await consumer.ended()).toBe(0)
    expect(consumer.stdout).toBe('extra\n')
  })
})

describe('browse', () => {
  test('prints the messages of a queue, leaves them there and ends', async () => {
    await produce('queue://seen', '--count', '3')
    expect((await browse('queue://seen')).stdout).toBe('message 1\nmessage 2\nmessage 3\n')
    expect((await browse('queue://seen', '--count', '2')).stdout).toBe('message 1\nmessage 2\n')
    expect((await consume('queue://seen', '--count', '3')).stdout).toBe('message 1\nmessage 2\nmessage 3\n')
    expect(await browse('queue://seen')).toMatchObject({ code: 0, stdout: '' })
  })

  test('refuses a topic', async () => {
    const { code, stderr } = await browse('topic://news')
    expect(code).toBe(1)
    expect(stderr).toContain('topic://news is a topic')
  })
})

describe('what goes wrong', () => {
  test('is explained when no broker is there', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    await new Promise((resolve) => server.close(resolve))
    const { code, stdout, stderr } = await run('produce', 'queue://a', '--url', `tcp://user:secret@127.0.0.1:${port}`)
    expect(code).toBe(1)
    expect(stdout).toBe('')
    expect(stderr).toBe(`manifoldmq: no broker listens at tcp://127.0.0.1:${port}; start one with: manifoldmq start\n`)
  })

  test('is told in the words of the broker', async () => {
    const { code, stderr } = await consume('queue://a', '--selector', 'color = ')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^manifoldmq: the broker has ended the connection: selector at character \d+.*\n$/)
  })

  test.each([
    [['produce'], 'which destination?'],
    [['produce', 'queue://a', '--count', '0'], 'It must be a whole number from 1 on.'],
    [['produce', 'queue://a', '--size', '10 parsecs'], 'It must be a size such as'],
    [['produce', 'queue://a', '--property', 'x'], 'It must be written as name=value.'],
    [['produce', 'queue://a', '--priority', '10'], 'It must be a whole number between 0 and 9.'],
    [['produce', 'queue://a', '--rate', '0'], 'It must be a number above 0.'],
    [['consume', 'queue://a', '--timeout', 'soon'], 'It must be a time such as'],
    [['explode'], "unknown command 'explode'"],
    [['start', '--prot', '1'], "unknown option '--prot'"],
  ])('ends %j with code 2', async (args, words) => {
    const { code, stdout, stderr } = await run(...args)
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toContain(words)
  })

  test.each([
    ['localhost', 'is no URL'],
    ['http://localhost', 'speaks STOMP over tcp:// only'],
  ])('names the URL %s', async (wrong, words) => {
    const { code, stderr } = await run('consume', 'queue://a', '--protocol', 'stomp', '--url', wrong)
    expect(code).toBe(1)
    expect(stderr).toContain(words)
  })
})

describe('config', () => {
  test('check says that a configuration is fine, or everything that is wrong', async () => {
    expect(await run('config', 'check')).toMatchObject({ code: 0, stdout: 'the configuration is fine\n' })
    const file = join(mkdtempSync(join(tmpdir(), 'manifoldmq-cli-')), 'x.yaml')
    writeFileSync(file, 'name: a b\nlog: 5\n')
    const { code, stderr } = await run('config', 'check', '--config', file)
    expect(code).toBe(2)
    expect(
      stderr
        .trim()
        .split('\n')
        .map((line) => line.slice(file.length)),
    ).toEqual([
      ':1:7 name must be 1 to 64 letters, digits, dots, dashes or underscores',
      ':2:6 log must be a group of settings; is 5',
    ])
  })

  test('show prints every setting and where it comes from', async () => {
    const args = ['--set', 'limits.drainMsMax=90s', '--set', 'destinations=[{match: orders, messagesMax: unlimited}]']
    const { stdout } = await run('config', 'show', ...args)
    expect(stdout).toContain('listeners.stomp.port: 61613\n')
    expect(stdout).toContain('limits.drainMsMax: 90s   # --set limits.drainMsMax\n')
    expect(stdout).toContain('destinations.0.match: queue://orders   # --set destinations\n')
    expect(JSON.parse((await run('config', 'show', '--json', ...args)).stdout)).toMatchObject({
      'limits.drainMsMax': '90s',
      'destinations.0.messagesMax': 'unlimited',
    })
  })
})

test('tells its version and its commands', async () => {
  expect((await run('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  const { code, stdout } = await run('--help')
  expect(code).toBe(0)
  for (const command of ['start', 'config', 'produce', 'consume', 'browse']) expect(stdout).toContain(`\n  ${command} `)
})
