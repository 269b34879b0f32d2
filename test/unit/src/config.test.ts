import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { defaultMqttOptions } from '../../../protocols/mqtt/limits.ts'
import { defaultStompOptions } from '../../../protocols/stomp/limits.ts'
import { defaultDocument, schemaDocument } from '../../../src/config/documents.ts'
import { portClashes } from '../../../src/config/listeners.ts'
import { formatSize, formatTime, parseSize, parseTime } from '../../../src/config/units.ts'
import {
  type Config,
  ConfigError,
  type ConfigSources,
  checkOptions,
  defaultConfig,
  type GivenConfig,
  loadConfig,
  problemLine,
} from '../../../src/config.ts'

const folder = mkdtempSync(join(tmpdir(), 'manifoldmq-config-'))
const file = join(folder, 'broker.yaml')
afterAll(() => rmSync(folder, { recursive: true }))

/** Loads a text as the file, with an empty environment unless one is given. */
async function load(text: string, sources: ConfigSources = {}): Promise<Config> {
  writeFileSync(file, text)
  return (await loadConfig({ file, environment: {}, ...sources })).config
}

async function problems(text: string, sources: ConfigSources = {}): Promise<string[]> {
  return linesOf(() => load(text, sources))
}

async function linesOf(attempt: () => unknown): Promise<string[]> {
  try {
    await attempt()
  } catch (error) {
    if (error instanceof ConfigError)
      return error.problems.map(problemLine).map((line) => line.replace(file, 'broker.yaml'))
    throw error
  }
  throw new Error('the configuration was accepted')
}

describe('sources', () => {
  test('gives the defaults, every listener on this machine only, when nothing is set', async () => {
    const { config, file: read } = await loadConfig({ folder, environment: {} })
    expect(read).toBeUndefined()
    expect(config).toEqual(defaultConfig())
    expect(config.listeners.stomp).toMatchObject({ enabled: true, host: '127.0.0.1', port: 61_613 })
    expect(config.data).toBe('./data')
  })

  test('puts flags over the environment over the file over the defaults', async () => {
    const text = 'name: file\ndata: file\nlog: { level: warn, format: json }\n'
    const environment = { MANIFOLDMQ_NAME: 'environment', MANIFOLDMQ_LOG__LEVEL: 'debug' }
    const config = await load(text, { environment, set: ['name=flag', 'listeners.stomp.port=1234'], data: '/srv' })
    expect(config).toMatchObject({ name: 'flag', data: '/srv', log: { level: 'debug', format: 'json' } })
    expect(config.listeners.stomp?.port).toBe(1234)
  })

  test('reads manifoldmq.yaml in the working folder without being told', async () => {
    const own = mkdtempSync(join(folder, 'own-'))
    writeFileSync(join(own, 'manifoldmq.yaml'), 'name: found')
    const loaded = await loadConfig({ folder: own, environment: {} })
    expect(loaded.config.name).toBe('found')
    expect(loaded.file).toBe('manifoldmq.yaml')
  })

  test('reads the file that the environment names, unless a flag names another', async () => {
    const other = join(folder, 'other.yaml')
    writeFileSync(other, 'name: other')
    expect((await loadConfig({ folder, environment: { MANIFOLDMQ_CONFIG: other } })).config.name).toBe('other')
    expect((await load('name: flagged', { environment: { MANIFOLDMQ_CONFIG: other } })).name).toBe('flagged')
  })

  test('accepts the words of a name in the environment with and without underscores', async () => {
    const config = await load('', {
      environment: { MANIFOLDMQ_LIMITS__MEMORY_BYTES_MAX: '64MiB', MANIFOLDMQ_LIMITS__DRAINMSMAX: '2s' },
    })
    expect(config.limits).toMatchObject({ memoryBytesMax: 64 * 2 ** 20, drainMsMax: 2000 })
  })

  test('sets single settings of a list, and whole lists', async () => {
    const set = ['destinations=[{match: "topic://a.*", overflow: reject}]', 'destinations.0.messagesMax=4']
    const [rule] = (await load('', { set })).destinations
    expect(rule?.match.toString()).toBe('topic://a.*')
    expect(rule?.set).toEqual({ overflow: 'reject', messagesMax: 4 })
    expect((await load('', { set: ['destinations.0.match=a'] })).destinations).toHaveLength(1)
  })

  test('takes a number for a text where a text is wanted', async () => {
    expect((await load('', { set: ['name=2024'] })).name).toBe('2024')
    expect((await load('', { environment: { MANIFOLDMQ_NAME: 'true' } })).name).toBe('true')
  })

  test('ignores the variables that Kubernetes sets for a service of this name', async () => {
    const environment = {
      MANIFOLDMQ_SERVICE_HOST: '10.0.0.1',
      MANIFOLDMQ_DIR: '/opt/manifoldmq',
      MANIFOLDMQ_PROTOCOLS: 'stomp',
      MANIFOLDMQ_SERVICE_PORT_STOMP: '61613',
      MANIFOLDMQ_PORT: 'tcp://10.0.0.1:61613',
      MANIFOLDMQ_PORT_61613_TCP_ADDR: '10.0.0.1',
      MANIFOLDMQ_STOMP_SERVICE_HOST: '10.0.0.1',
    }
    expect(await load('', { environment })).toEqual(defaultConfig())
  })

  test('says where each value comes from', async () => {
    writeFileSync(file, 'name: a\nlisteners:\n  stomp:\n    port: 1\n')
    const loaded = await loadConfig({ file, environment: { MANIFOLDMQ_DATA: '/x' }, set: ['log.level=warn'] })
    expect(loaded.origin('listeners.stomp.port')).toBe(`${file}:4:11`)
    expect(loaded.origin('data')).toBe('MANIFOLDMQ_DATA')
    expect(loaded.origin('log.level')).toBe('--set log.level')
    expect(loaded.origin('log.format')).toBeUndefined()
  })

  test('freezes the configuration', async () => {
    const config = await load('destinations: [{ match: a, deliveriesMax: 2 }]')
    for (const part of [
      config,
      config.limits,
      config.listeners.stomp,
      config.destinations,
      config.destinations[0]?.set,
    ]) {
      expect(Object.isFrozen(part)).toBe(true)
    }
  })

  test('takes a group whose settings are all commented out as empty', async () => {
    expect(await load('listeners:\n  stomp:\n    # port: 5\nlimits:\ndestinations:\n')).toEqual(defaultConfig())
  })

  test('follows anchors', async () => {
    const config = await load('destinations:\n  - &a { match: a, overflow: reject }\n  - *a\n')
    expect(config.destinations).toHaveLength(2)
  })
})

describe('origins of WebSockets', () => {
  test('are those of this machine unless others are named', async () => {
    expect((await load('')).listeners.ws?.origins).toEqual(['loopback'])
    const set = ['listeners.ws.origins=[loopback, "https://app.example.com"]']
    expect((await load('', { set })).listeners.ws?.origins).toEqual(['loopback', 'https://app.example.com'])
  })

  test('that no browser would send are refused', async () => {
    expect(await problems('listeners: { ws: { origins: ["https://app.example.com/path"] } }')).toEqual([
      expect.stringMatching(/^broker.yaml:1:30 listeners.ws.origins.0 must be an origin as browsers send it/),
    ])
  })
})

describe('errors', () => {
  test('come all at once, in the order of the file, then the environment, then the flags', async () => {
    const text = [
      'name: a b',
      'listeners:',
      '  stomp:',
      '    prot: 5',
      '    port: 70000',
      'limitz: 5',
      'limits:',
      '  stalledMsMax: 40 parsecs',
      'destinations:',
      '  - match: ftp://x',
      '    deliveriesMax: 0',
      '  - deliveriesMax: unlimited',
      '    overflow: blok',
    ].join('\n')
    const environment = { MANIFOLDMQ_LOG__FORMAT: 'xml' }
    expect(await problems(text, { environment, set: ['limits.connectionsMax=no'] })).toEqual([
      'broker.yaml:1:7 name must be 1 to 64 letters, digits, dots, dashes or underscores',
      'broker.yaml:4:5 listeners.stomp.prot unknown setting (did you mean "port"?)',
      'broker.yaml:5:11 listeners.stomp.port must lie between 0 and 65535; is 70000',
      'broker.yaml:6:1 limitz unknown setting (did you mean "limits"?)',
      'broker.yaml:8:17 limits.stalledMsMax must be a time such as 30s, 500ms or a number of milliseconds; is "40 parsecs"',
      'broker.yaml:10:12 destinations.0.match "ftp://x" is neither queue://name nor topic://name',
      'broker.yaml:11:20 destinations.0.deliveriesMax must lie between 1 and 2147483647 or "unlimited"; is 0',
      'broker.yaml:12:5 destinations.1.match is missing',
      'broker.yaml:13:15 destinations.1.overflow must be one of block, reject, drop-oldest; is "blok" (did you mean "block"?)',
      'MANIFOLDMQ_LOG__FORMAT log.format must be one of auto, pretty, json; is "xml"',
      '--set limits.connectionsMax must be a number; is "no"',
    ])
  })

  test.each([
    ['listeners: [1\nname: x', 'broker.yaml:2:1 is not YAML: '],
    ['listeners:\n\tstomp: 1', 'broker.yaml:2:1 is not YAML: tabs are not allowed as indentation'],
    ['- 1', 'broker.yaml:1:1 the file must consist of settings'],
    ['name: a\ndata: b\nname: c', 'broker.yaml:3:1 this setting is given twice'],
    ['name: a\n---\nname: b', 'broker.yaml:2:1 is not YAML: '],
    ['name: *nobody', 'broker.yaml:1:7 is not YAML: there is no anchor &nobody'],
    ['a: &a [*a]', 'broker.yaml:1:8 the file holds too much'],
  ])('names the place of what is no YAML: %j', async (text, expected) => {
    expect((await problems(text))[0]).toContain(expected)
  })

  test('reports a repeated setting beside what else is wrong', async () => {
    expect(await problems('name: a\nname: b\nlog: 5')).toEqual([
      'broker.yaml:2:1 this setting is given twice',
      'broker.yaml:3:6 log must be a group of settings; is 5',
    ])
  })

  test('are not fooled by names that every object has', async () => {
    expect(await problems('__proto__: { name: x }\nconstructor: 1\n')).toEqual([
      'broker.yaml:1:1 __proto__ unknown setting',
      'broker.yaml:2:1 constructor unknown setting',
    ])
    expect(await problems('', { set: ['__proto__.x=1', 'listeners.stomp.__proto__.port=1'] })).toHaveLength(2)
    expect(Object.prototype).not.toHaveProperty('x')
  })

  test('name unknown variables and misshapen flags', async () => {
    const environment = { MANIFOLDMQ_LISTENERS__STOM__PORT: '1', MANIFOLDMQ_DATAA: 'x' }
    expect(await problems('', { environment, set: ['port', 'log=debug', 'name.x=1'] })).toEqual([
      'MANIFOLDMQ_DATAA unknown setting "dataa" (did you mean "data"?)',
      'MANIFOLDMQ_LISTENERS__STOM__PORT unknown setting "listeners.stom" (did you mean "stomp"?)',
      '--set port must be written as path=value: --set listeners.stomp.port=61613',
      '--set log must be a group of settings; is "debug"',
      '--set name.x name must be a text; is a group of settings',
    ])
  })

  test('say which named file is not there', async () => {
    expect(await linesOf(() => loadConfig({ file: 'nowhere.yaml', environment: {} }))).toEqual([
      'nowhere.yaml there is no such file',
    ])
    expect(await linesOf(() => loadConfig({ environment: { MANIFOLDMQ_CONFIG: 'nowhere.yaml' } }))).toEqual([
      'MANIFOLDMQ_CONFIG nowhere.yaml there is no such file',
    ])
    expect((await linesOf(() => loadConfig({ file: folder, environment: {} })))[0]).toContain('cannot be read')
  })

  test('refuse to let strangers in, and say how to allow it', async () => {
    for (const host of ['0.0.0.0', '::', '192.168.1.4', 'broker.example']) {
      const [line] = await problems(`listeners: { stomp: { host: "${host}" } }`)
      expect(line).toContain('--set security.anonymous=anyone')
    }
    for (const host of ['127.0.0.1', '127.8.8.8', '::1', 'localhost']) {
      expect((await load(`listeners: { stomp: { host: "${host}" } }`)).listeners.stomp?.host).toBe(host)
    }
    const set = ['listeners.stomp.host=0.0.0.0', 'security.anonymous=anyone']
    expect((await load('', { set })).listeners.stomp?.host).toBe('0.0.0.0')
    expect((await load('', { set: ['listeners.stomp.host=::', 'listeners.stomp.enabled=false'] })).name).toBe(
      'manifoldmq',
    )
  })

  test('between settings are told together with those of other settings', async () => {
    const text = 'listeners: { stomp: { host: 0.0.0.0, prot: 1 } }\nlog: 5\ndestinations: [{}]'
    const lines = await problems(text)
    expect(lines).toHaveLength(4)
    expect(lines[0]).toContain('security.anonymous')
  })

  test('keep one message within the memory for all', async () => {
    expect(await problems('limits: { memoryBytesMax: 64MiB, messageBytesMax: 65MiB }')).toEqual([
      'broker.yaml:1:51 limits.messageBytesMax must not exceed limits.memoryBytesMax, which is 67108864',
    ])
    expect((await load('limits: { memoryBytesMax: 64MiB }')).limits.messageBytesMax).toBe(64 * 2 ** 20)
  })
})

test('gives MQTT listeners the defaults of the adapter', () => {
  expect(defaultConfig().listeners.mqtt).toMatchObject(defaultMqttOptions)
})

test('gives STOMP listeners the defaults of the adapter', () => {
  expect(defaultConfig().listeners.stomp).toMatchObject(defaultStompOptions)
})

test('finds listeners that want the same port', () => {
  const listener = { enabled: true, host: '127.0.0.1', port: 5, backlog: 1 }
  expect(portClashes({ a: listener, b: listener })).toEqual([['a', 'b']])
  expect(portClashes({ a: listener, b: { ...listener, host: '::' } })).toEqual([['a', 'b']])
  expect(portClashes({ a: { ...listener, host: '0.0.0.0' }, b: listener })).toEqual([['a', 'b']])
  expect(portClashes({ a: listener, b: { ...listener, host: '127.0.0.2' } })).toEqual([])
  expect(portClashes({ a: listener, b: { ...listener, enabled: false } })).toEqual([])
  expect(portClashes({ a: { ...listener, port: 0 }, b: { ...listener, port: 0 } })).toEqual([])
})

describe('amounts', () => {
  test.each([
    ['64MiB', 67_108_864],
    ['10kB', 10_000],
    ['10 KB', 10_000],
    ['1.5GiB', 1_610_612_736],
    ['4096', 4096],
    ['1_000B', 1000],
    ['64M', undefined],
    ['-1', undefined],
    ['', undefined],
    ['MiB', undefined],
  ])('reads the size %j as %j', (text, bytes) => expect(parseSize(text)).toBe(bytes))

  test.each([
    ['30s', 30_000],
    ['500ms', 500],
    ['1.5h', 5_400_000],
    ['2d', 172_800_000],
    ['250', 250],
    ['1 week', undefined],
  ])('reads the time %j as %j', (text, ms) => expect(parseTime(text)).toBe(ms))

  test.each([0, 1, 1000, 1024, 1025, 16_384, 100 * 2 ** 20, 2 ** 40, 2_607_179_366])(
    'writes %d so that it is read back',
    (amount) => {
      expect(parseSize(formatSize(amount))).toBe(amount)
      expect(parseTime(formatTime(amount))).toBe(amount)
    },
  )

  test('refuses what is no whole number, and not a number at all', async () => {
    expect(
      await problems('limits: { connectionsMax: 1.5, drainMsMax: .nan, hardLimitFactor: .inf, destinationsMax: [] }'),
    ).toHaveLength(4)
    expect((await load('limits: { hardLimitFactor: 1.5 }')).limits.hardLimitFactor).toBe(1.5)
  })

  test('writes no end as unlimited', async () => {
    const config = await load('destinations: [{ match: a, bytesMax: unlimited, idleMsMax: 5m }]')
    expect(config.destinations[0]?.set).toEqual({ bytesMax: Number.POSITIVE_INFINITY, idleMsMax: 300_000 })
    expect(
      checkOptions({ destinations: [{ match: 'a', bytesMax: Number.POSITIVE_INFINITY }] }).destinations[0]?.set,
    ).toEqual({
      bytesMax: Number.POSITIVE_INFINITY,
    })
  })
})

describe('options of an embedded broker', () => {
  test('open only the listeners they name', () => {
    expect(checkOptions({}).listeners).toEqual({})
    expect(checkOptions({ listeners: { stomp: { port: 0 } } }).listeners.stomp).toMatchObject({
      port: 0,
      host: '127.0.0.1',
    })
  })

  test('are refused by path', async () => {
    expect(await linesOf(() => checkOptions({ nam: 1, listeners: { stomp: { port: '-1' } } } as GivenConfig))).toEqual([
      'listeners.stomp.port must be a number; is "-1"',
      'nam unknown setting (did you mean "name"?)',
    ])
  })

  test('may hold anything where nothing belongs', async () => {
    const options = { onMessage: () => 1, log: { level: Symbol('x') } } as unknown as GivenConfig
    expect(await linesOf(() => checkOptions(options))).toEqual([
      'log.level must be one of trace, debug, info, warn, error, fatal, silent; is Symbol(x)',
      'onMessage unknown setting',
    ])
  })

  test('are not changed and may be frozen', () => {
    const options = Object.freeze({ limits: Object.freeze({ memoryBytesMax: '64MiB' }) })
    expect(checkOptions(options).limits.memoryBytesMax).toBe(2 ** 26)
    expect(options).toEqual({ limits: { memoryBytesMax: '64MiB' } })
  })
})

describe('config/', () => {
  test('manifoldmq.yaml is fresh (npm run config:schema)', () => {
    expect(readFileSync('config/manifoldmq.yaml', 'utf8')).toBe(defaultDocument())
  })

  test('manifoldmq.yaml says exactly the defaults', async () => {
    expect(await load(readFileSync('config/manifoldmq.yaml', 'utf8'))).toEqual(defaultConfig())
  })

  test('schema.json is fresh (npm run config:schema) and describes every setting', () => {
    const committed = readFileSync('config/schema.json', 'utf8')
    expect(JSON.parse(committed)).toEqual(JSON.parse(JSON.stringify(schemaDocument())))
    expect(undescribed(JSON.parse(committed), 'root')).toEqual([])
  })

  test.each(readdirSync('config/examples'))('examples/%s loads', async (name) => {
    const config = await load(readFileSync(join('config/examples', name), 'utf8'))
    expect(config).not.toEqual(defaultConfig())
  })
})

interface SchemaNode {
  readonly description?: string
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly items?: SchemaNode
}

function undescribed(node: SchemaNode, path: string): string[] {
  const parts = Object.entries({ ...node.properties, ...node.items?.properties })
  const missing = path === 'root' || typeof node.description === 'string' ? [] : [path]
  return [...missing, ...parts.flatMap(([name, part]) => undescribed(part, `${path}.${name}`))]
}
