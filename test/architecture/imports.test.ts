import { describe, expect, test } from 'vitest'
import { importsOf, readSources, sourceFile } from '../support/source-tree.ts'
import { violations } from './rooms.ts'

test('the sources keep to the table of STYLE §1.3', () => {
  expect(violations(readSources('src', 'protocols'))).toEqual([])
})

describe('the checker', () => {
  test.each([
    ['protocols/stomp/decoder.ts', "import { BrokerError } from '../../src/core.ts'"],
    ['protocols/stomp/decoder.ts', "import { Readable } from 'node:stream'"],
    ['protocols/stomp/protocol.ts', "import type { Queue } from '../../src/broker/queue.ts'"],
    ['protocols/stomp/protocol.ts', "import { x } from '../mqtt/protocol.ts'"],
    ['src/broker/queue.ts', "import { connect } from 'node:net'"],
    ['src/broker/queue.ts', "import type { Wire } from '../transport/wire.ts'"],
    ['src/broker/queue.ts', "import { MemoryStore } from '../store/memory-store.ts'"],
    ['src/broker/queue.ts', "import { emptyBatch } from '../store/store.ts'"],
    ['src/store/memory-store.ts', "import type { Queue } from '../broker/queue.ts'"],
    ['src/store/memory-store.ts', "import 'node:http'"],
    ['src/transport/tcp.ts', "export { Queue } from '../broker/queue.ts'"],
    ['src/config.ts', "import { Server } from './server.ts'"],
    ['src/address.ts', "import { log } from './log.ts'"],
    ['src/broker/queue.ts', "import { pino } from 'pino'"],
    ['src/server.ts', "const { WebSocket } = await import('ws')"],
    ['src/server.ts', "const stompit = createRequire(import.meta.url)('stompit')"],
    ['src/server.ts', "import { unknown } from 'left-pad/sub'"],
    ['src/cli/consume.ts', "import { program } from '../main.ts'"],
    ['src/cli/produce.ts', "import { Server } from '../server.ts'"],
    ['src/server.ts', 'const now = Date.now()'],
    ['src/server.ts', 'const home = process.env.HOME'],
    ['src/server.ts', "export * from './core.ts'"],
    ['src/helpers.ts', ''],
  ])('finds what is planted in %s: %s', (path, text) => {
    const found = violations([sourceFile(path, text)])
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(path)
  })

  test.each([
    ['src/broker/queue.ts', "import type { MessageStore } from '../store/store.ts'"],
    ['src/broker/queue.ts', "import { type MessageStore, type WriteBatch } from '../store/store.ts'"],
    ['protocols/stomp/decoder.ts', "import type { BrokerError } from '../../src/core.ts'"],
    ['protocols/amqp/connection.ts', "import rhea from 'rhea'"],
    ['src/server.ts', "// Date.now() and process.env stay where they are; import { pino } from 'pino'"],
    ['src/server.ts', "/* import { pino } from 'pino' */ const url = 'http://x'"],
    ['src/cli/start.ts', "import { Server } from '../server.ts'"],
  ])('leaves alone what is right in %s: %s', (path, text) => {
    expect(violations([sourceFile(path, text)])).toEqual([])
  })

  test('finds cycles, but not those of types or of code that is loaded later', () => {
    const pair = (back: string) => [
      sourceFile('src/broker/a.ts', "import { b } from './b.ts'"),
      sourceFile('src/broker/b.ts', back),
    ]
    expect(violations(pair("import { a } from './a.ts'"))).toEqual([
      'cycle: src/broker/a.ts -> src/broker/b.ts -> src/broker/a.ts',
    ])
    expect(violations(pair("import type { a } from './a.ts'"))).toEqual([])
    expect(violations(pair("const { a } = await import('./a.ts')"))).toEqual([])
  })

  test('reads imports that go over several lines', () => {
    const text = "import {\n  type A,\n  b,\n} from './b.ts'\nexport {\n  c\n} from \"./c.ts\"\nimport './d.ts'"
    const targets = importsOf(sourceFile('src/a.ts', text.replaceAll('"', "'")))
    expect(targets.map(({ target, isType }) => [target, isType])).toEqual([
      ['src/b.ts', false],
      ['src/c.ts', false],
      ['src/d.ts', false],
    ])
  })
})
