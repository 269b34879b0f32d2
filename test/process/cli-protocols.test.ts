import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Running, run, startWith } from '../support/command-line.ts'

const protocols = ['native', 'stomp', 'amqp', 'mqtt'] as const
type Protocol = (typeof protocols)[number]

let broker: Running
const urls = new Map<string, string>()

beforeAll(async () => {
  broker = new Running(startWith(...protocols))
  for (const protocol of protocols) urls.set(protocol, await broker.ready(protocol))
})

afterAll(async () => {
  broker.signal('SIGKILL')
  await broker.ended()
})

const reach = (protocol: Protocol): string[] => ['--protocol', protocol, '--url', urls.get(protocol) ?? '']
const port = (protocol: Protocol): string => new URL(urls.get(protocol) ?? '').port

describe.each(protocols)('over %s', (protocol) => {
  const produce = (...args: string[]) => run('produce', ...reach(protocol), ...args)
  const consume = (...args: string[]) => run('consume', ...reach(protocol), ...args)
  const queue = (name: string): string => `queue://${protocol}.${name}`

  test('produce sends what consume prints', async () => {
    const sent = await produce(queue('hello'), '--message', 'hi é')
    expect(sent).toMatchObject({ code: 0, stderr: '' })
    expect(sent.stdout).toMatch(/^sent 1 message to queue:\/\//)
    expect(await consume(queue('hello'), '--count', '1')).toMatchObject({ code: 0, stdout: 'hi é\n', stderr: '' })
  })

  test('properties, priority, lifetime and persistence go with the message', async () => {
    const options = ['--property', 'color=blue', '--priority', '9', '--persistent', '--ttl', '1h']
    await produce(queue('options'), '--message', 'é', ...options)
    const { stdout } = await consume(queue('options'), '--count', '1', '--json')
    const { body, headers } = JSON.parse(stdout)
    expect(body).toBe('é')
    expect(headers).toMatchObject({ color: 'blue', priority: '9', persistent: 'true' })
    expect(headers.destination).toMatch(new RegExp(`queue.+${protocol}\\.options$`))
    expect(Number(headers.expires)).toBeGreaterThan(Date.now() + 3_500_000)
  })

  test.each([
    ['kept on disk', ['--persistent']],
    ['not kept', []],
  ])('more messages than may wait for their confirm arrive in order: %s', async (name, options) => {
    const many = queue(`many.${options.length}`)
    expect((await produce(many, '--count', '2500', ...options)).code, name).toBe(0)
    const first = (await consume(many, '--count', '1200')).stdout.trim().split('\n')
    const rest = (await consume(many, '--count', '1300')).stdout.trim().split('\n')
    expect([...first, ...rest]).toEqual(Array.from({ length: 2500 }, (_, index) => `message ${index + 1}`))
  })

  test('consume says that it got less than it was asked for', async () => {
    await produce(queue('few'), '--count', '2')
    const { code, stdout, stderr } = await consume(queue('few'), '--count', '3', '--timeout', '300ms')
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'message 1\nmessage 2\n' })
    expect(stderr).toContain('2 of 3 messages had come when none came for 300ms')
  })

  test('consume takes only what its selector is true of', async () => {
    await produce(queue('picked'), '--message', 'red', '--property', 'color=red')
    await produce(queue('picked'), '--message', 'blue', '--property', 'color=blue')
    const { stdout } = await consume(queue('picked'), '--count', '1', '--selector', "color = 'blue'")
    expect(stdout).toBe('blue\n')
  })

  test('consume takes a topic, and leaves nothing unacknowledged that it has printed', async () => {
    const topic = `topic://${protocol}.news`
    const consumer = new Running(['consume', ...reach(protocol), topic, '--count', '1'])
    while (consumer.stdout === '' && consumer.child.exitCode === null) await produce(topic, '--message', 'extra')
    expect(await consumer.ended()).toBe(0)
    expect(consumer.stdout).toBe('extra\n')
  })

  test('a broker that is not there is named, with what to do', async () => {
    const { code, stderr } = await run('produce', '--protocol', protocol, '--url', 'tcp://127.0.0.1:1', 'queue://x')
    expect(code).toBe(1)
    expect(stderr).toBe('manifoldmq: no broker listens at tcp://127.0.0.1:1; start one with: manifoldmq start\n')
  })

  test('a refusal is told in a sentence', async () => {
    const { code, stderr } = await produce('topic://a.*', '--message', 'x', '--persistent')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^manifoldmq: .*a\.\*.* is a pattern.*\n$/)
  })

  test('bench prints rates', async () => {
    const options = [
      '--duration',
      '300ms',
      '--size',
      '100',
      '--producers',
      '2',
      '--consumers',
      '2',
      '--persistent',
      '--json',
    ]
    const { code, stdout } = await run('bench', ...reach(protocol), queue('bench'), ...options)
    expect(code).toBe(0)
    const figures = JSON.parse(stdout)
    expect(figures.sent).toBeGreaterThan(100)
    expect(figures.received).toBeGreaterThan(100)
  })

  test("pub and sub have mosquitto's flags", async () => {
    const to = ['--protocol', protocol, '-p', port(protocol)]
    await run('pub', ...to, '-t', `sensors/${protocol}/temperature`, '-m', '21', '-r', '-q', '1')
    const printed = await run('sub', ...to, '-t', `sensors/${protocol}/#`, '-C', '1', '-i', 'me', '-v')
    expect(printed).toMatchObject({ code: 0, stdout: `sensors/${protocol}/temperature 21\n`, stderr: '' })
    expect(await run('sub', ...to, '-t', 'nothing/#', '-W', '1')).toMatchObject({ code: 0, stdout: '' })
  })
})

describe('browse', () => {
  test.each(['native', 'stomp', 'amqp'] as const)('prints a queue and leaves it there, over %s', async (protocol) => {
    const queue = `queue://${protocol}.seen`
    const seen = Array.from({ length: 1100 }, (_, index) => `message ${index + 1}\n`).join('')
    await run('produce', ...reach(protocol), queue, '--count', '1100')
    const browse = () => run('browse', ...reach(protocol), queue)
    expect(await browse()).toMatchObject({ code: 0, stdout: seen, stderr: '' })
    expect((await browse()).stdout).toBe(seen)
  })

  test('cannot be done over MQTT, which is told with who can', async () => {
    const { code, stdout, stderr } = await run('browse', ...reach('mqtt'), 'queue://x')
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('MQTT cannot show messages without taking them; --protocol native, stomp or amqp can')
  })
})

test('every protocol takes what every other has sent', async () => {
  for (const from of protocols) {
    for (const to of protocols) {
      const queue = `queue://${from}.to.${to}`
      await run('produce', ...reach(from), queue, '--message', from, '--property', 'color=blue')
      const { stdout } = await run('consume', ...reach(to), queue, '--count', '1', '--json')
      expect(JSON.parse(stdout), queue).toMatchObject({ body: from, headers: { color: 'blue' } })
    }
  }
}, 60_000)

test.each(['stomp', 'amqp', 'mqtt'] as const)('the URL %s:// says what to speak', async (protocol) => {
  const url = (urls.get(protocol) ?? '').replace('tcp:', `${protocol}:`)
  await run('produce', '--url', url, `queue://url.${protocol}`, '--message', 'x')
  expect((await run('consume', '--url', url, `queue://url.${protocol}`, '--count', '1')).stdout).toBe('x\n')
  const other = await run('produce', '--protocol', protocol, '--url', 'http://127.0.0.1', 'queue://x')
  expect(other.stderr).toContain(`speaks ${protocol.toUpperCase()} over tcp:// only, not http://`)
})

test('pub without a message says what it needs', async () => {
  expect((await run('pub', '-t', 'a')).stderr).toContain('-m <message>')
})
