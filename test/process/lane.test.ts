import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/** What every script begins with: `frame` makes a frame of so many bytes, to be sealed, in memory of a lane. */
const prelude = `
    import { endBlock, isFrameIntact, readFrameHeader, writeFrameHeader } from ${moduleOf('frame.js')}
    import { WorkerLane } from ${moduleOf('log/worker-lane.js')}
    const frame = (memory, bytes, number) => {
      writeFrameHeader(memory, { bytes, recordCount: 0, epoch: 1, segment: 1, number, continues: false })
      if (bytes > 40) endBlock(memory, 40, bytes)
    }`

function moduleOf(file: string): string {
  return JSON.stringify(new URL(`../../dist/src/store/${file}`, import.meta.url).href)
}

/** Runs a script, which is told an empty folder, in a process of its own; it must say just that, and end by itself. */
function expectOf(script: string, said: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'manifoldmq-lane-'))
  const file = join(folder, 'script.mjs')
  writeFileSync(file, prelude + script)
  try {
    const environment = { ...process.env, UV_THREADPOOL_SIZE: '4' }
    const run = spawnSync(process.execPath, [file, folder], { encoding: 'utf8', timeout: 20_000, env: environment })
    expect(run).toMatchObject({ stdout: said, stderr: '', status: 0 })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('a commit is done while nothing in libuv’s pool gets on', () => {
  const script = `
    import { execFileSync } from 'node:child_process'
    import { closeSync, open, openSync, stat } from 'node:fs'
    const [folder] = process.argv.slice(2)
    const lane = new WorkerLane()
    const memory = lane.allocate(4096)
    const fd = openSync(folder + '/frames', 'w')
    const commit = (at) => new Promise((resolve) => {
      frame(memory, 4096, at)
      lane.commit(fd, memory, 4096, at * 4096, true, resolve)
    })
    // The thread is there.
    await commit(0)
    // To open a pipe takes its thread until somebody opens the other end.
    const pipes = [1, 2, 3, 4].map((number) => folder + '/pipe-' + number)
    execFileSync('mkfifo', pipes)
    const opened = pipes.map((pipe) => new Promise((resolve) => open(pipe, 'r', (_, fd) => resolve(fd))))
    let isPoolFree = false
    stat(folder, () => { isPoolFree = true })
    for (let count = 0; count < 100; count += 1) await commit(count)
    console.log('committed', isPoolFree)
    for (const pipe of pipes) closeSync(openSync(pipe, 'w'))
    for (const fd of await Promise.all(opened)) closeSync(fd)
    await lane.close()
  `
  expectOf(script, 'committed false\n')
})

test('a lane that is closed while its thread is at work closes, and the process lives to see it', () => {
  const script = `
    import { openSync } from 'node:fs'
    const lane = new WorkerLane()
    const memory = lane.allocate(4 * 1024 * 1024)
    const fd = openSync(process.argv[2] + '/frames', 'w')
    frame(memory, 40, 1)
    await new Promise((resolve) => lane.commit(fd, memory, 40, 0, false, resolve))
    frame(memory, memory.length, 2)
    lane.commit(fd, memory, memory.length, 0, false, () => {})
    await lane.close()
    console.log('closed')
  `
  expectOf(script, 'closed\n')
})

test('a commit that is done is heard of at once by asking, and once only', () => {
  const script = `
    import { openSync, readFileSync } from 'node:fs'
    const file = process.argv[2] + '/frames'
    const lane = new WorkerLane()
    const memory = lane.allocate(64)
    const fd = openSync(file, 'w')
    lane.poll()
    let heard = 0
    // Each is asked about until it is done, without a return to the event loop; every third one the event loop tells of.
    for (let count = 1; count <= 300; count += 1) {
      frame(memory, 64, count)
      if (count % 3 === 0) await new Promise((resolve) => lane.commit(fd, memory, 64, 0, false, () => resolve((heard += 1))))
      else {
        lane.commit(fd, memory, 64, 0, false, () => { heard += 1 })
        if (heard !== count - 1) throw new Error('told before commit had returned')
        while (heard < count) lane.poll()
      }
      const written = readFileSync(file)
      const header = readFrameHeader(written, 0)
      if (header?.number !== count || !isFrameIntact(written, 0, header)) throw new Error('not written, or not sealed')
    }
    await new Promise((resolve) => setImmediate(resolve))
    console.log('heard', heard)
    await lane.close()
  `
  expectOf(script, 'heard 300\n')
})
