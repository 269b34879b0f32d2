import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { createLog, type Log, type LogOptions, silentLog } from '../../../src/log.ts'

/** The beginning of a script that logs. */
const createIn = `import { createLog } from './dist/src/log.js'
  const log = await createLog({ level: 'info', format: 'json' });`

/** Logs one line with `write` and returns what came out. */
async function logged(options: Partial<LogOptions>, write: (log: Log) => void, isTerminal = false): Promise<string> {
  let written = ''
  const destination = {
    isTerminal,
    write: (line: string) => {
      written += line
    },
  }
  write(await createLog({ level: 'info', format: 'auto', destination, ...options }))
  return written
}

test('writes JSON lines with the time, the level as a word and the broker', async () => {
  const line = await logged({ name: 'a' }, (log) => log.info({ port: 5 }, 'ready'))
  expect(line.endsWith('}\n')).toBe(true)
  expect(JSON.parse(line)).toEqual({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    broker: 'a',
    port: 5,
    msg: 'ready',
  })
})

test('writes for people on a terminal, and where it is told to', async () => {
  const write = (log: Log) => log.warn({ port: 5 }, 'taken')
  expect(await logged({}, write, true)).toMatch(/WARN.*taken.*"port":5/)
  expect(await logged({ format: 'pretty' }, write)).toMatch(/^\[\d\d:\d\d:\d\d\.\d+\] WARN: taken \{"port":5\}\n$/)
  expect(await logged({ format: 'json' }, write, true)).toMatch(/^\{/)
})

test('writes errors with their stack and cause', async () => {
  const error = new Error('outer', { cause: new Error('inner') })
  const line = await logged({}, (log) => log.error({ error }, 'failed'))
  expect(JSON.parse(line).error).toMatchObject({ type: 'Error', message: expect.stringContaining('outer') })
  expect(line).toContain('inner')
})

test('leaves out what is less important than its level', async () => {
  expect(await logged({}, (log) => log.debug({}, 'detail'))).toBe('')
  expect(await logged({ level: 'debug' }, (log) => log.debug({}, 'detail'))).not.toBe('')
})

test('is the silent log when nothing is to be written', async () => {
  const log = await createLog({ level: 'silent', format: 'auto' })
  expect(log).toBe(silentLog)
  for (const write of [log.debug, log.info, log.warn, log.error]) expect(write({}, 'x')).toBeUndefined()
})

test('accepts the console as a log', () => {
  const log: Log = console
  expect(log).toBe(console)
})

test('writes to standard error at once and keeps no process alive', () => {
  const script = `${createIn} log.info({ a: 1 }, 'hello'); process.on('exit', (code) => { process.exitCode = code + 3 })`
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 20_000 })
  expect(run.stdout).toBe('')
  expect(JSON.parse(run.stderr)).toMatchObject({ a: 1, msg: 'hello' })
  expect(run.status).toBe(3)
})

test('loses its lines, not the process, when nobody reads standard error any more', async () => {
  const script = `${createIn}
    process.stdin.once('data', () => { log.info({}, 'a'); log.info({}, 'b'); process.exit(4) })
    console.log('waiting')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script])
  await once(child.stdout, 'data')
  child.stderr.destroy()
  await once(child.stderr, 'close')
  child.stdin.end('go')
  expect((await once(child, 'exit'))[0]).toBe(4)
})
