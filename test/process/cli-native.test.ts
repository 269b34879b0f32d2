import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Running, run, startAlone } from '../support/command-line.ts'

let broker: Running
let url: string

beforeAll(async () => {
  const native = ['--set', 'listeners.native.enabled=true', '--set', 'listeners.native.port=0']
  broker = new Running([...startAlone, ...native])
  await broker.until('ready native')
  url = /ready native (\S+)/.exec(broker.stdout)?.[1] ?? ''
})

afterAll(async () => {
  broker.signal('SIGKILL')
  await broker.ended()
})

const produce = (...args: string[]) => run('produce', '--url', url, ...args)
const consume = (...args: string[]) => run('consume', '--url', url, ...args)
const port = (): string => new URL(url).port

describe('over the native protocol', () => {
  test('produce sends what consume prints', async () => {
    expect((await produce('queue://hello', '--message', 'hi')).stdout).toMatch(/^sent 1 message to queue:\/\/hello/)
    expect(await consume('queue://hello', '--count', '1')).toMatchObject({ code: 0, stdout: 'hi\n', stderr: '' })
  })

  test('options and properties go with the message', async () => {
    const options = ['--property', 'color=blue', '--priority', '9', '--persistent', '--ttl', '1h']
    await produce('queue://options', '--message', 'é', ...options)
    const { stdout } = await consume('queue://options', '--count', '1', '--json')
    const message = JSON.parse(stdout)
    expect(message.body).toBe('é')
    expect(message.headers).toMatchObject({ color: 'blue', priority: '9', persistent: 'true' })
    expect(Number(message.headers.expires)).toBeGreaterThan(Date.now() + 3_500_000)
  })

  test('consume takes no more than it was asked for, and says if it got less', async () => {
    await produce('queue://some', '--count', '1500')
    expect((await consume('queue://some', '--count', '1200')).stdout.trim().split('\n')).toHaveLength(1200)
    const rest = await consume('queue://some', '--count', '301', '--timeout', '200ms')
    expect(rest.stdout.trim().split('\n').at(-1)).toBe('message 1500')
    expect(rest.stderr).toContain('300 of 301 messages')
  })

  test('browse prints a queue and leaves it there', async () => {
    await produce('queue://seen', '--count', '3')
    const browse = () => run('browse', '--url', url, 'queue://seen')
    expect(await browse()).toMatchObject({ code: 0, stdout: 'message 1\nmessage 2\nmessage 3\n' })
    expect((await browse()).stdout).toBe('message 1\nmessage 2\nmessage 3\n')
  })

  test('a broker that is not there is named, with what to do', async () => {
    const { code, stderr } = await run('produce', '--url', 'tcp://127.0.0.1:1', 'queue://x')
    expect(code).toBe(1)
    expect(stderr).toContain('no broker listens at tcp://127.0.0.1:1; start one with: manifoldmq start')
  })

  test('a refusal is told in the words of the broker', async () => {
    const { code, stderr } = await produce('topic://a.*', '--message', 'x')
    expect(code).toBe(1)
    expect(stderr).toContain('is a pattern')
  })
})

describe('pub and sub', () => {
  test("publish and print with mosquitto's flags", async () => {
    await run('pub', '-p', port(), '-t', 'sensors/kitchen/temperature', '-m', '21', '-r', '-q', '1')
    const got = await run('sub', '-p', port(), '-t', 'sensors/+/temperature', '-C', '1', '-v')
    expect(got).toMatchObject({ code: 0, stdout: 'sensors/kitchen/temperature 21\n' })
  })

  test('sub ends when its time is over', async () => {
    expect(await run('sub', '-p', port(), '-t', 'nothing/#', '-W', '1')).toMatchObject({ code: 0, stdout: '' })
  })

  test('pub without a message says what it needs', async () => {
    expect((await run('pub', '-p', port(), '-t', 'a')).stderr).toContain('-m <message>')
  })
})

test('bench prints rates and leaves nothing behind', async () => {
  const { code, stdout } = await run('bench', '--url', url, '--duration', '300ms', '--size', '100', '--json')
  expect(code).toBe(0)
  const figures = JSON.parse(stdout)
  expect(figures.sent).toBeGreaterThan(100)
  expect(figures.perSecond).toBeGreaterThan(100)
})
