import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const lane = new URL('../../dist/src/store/log/worker-lane.js', import.meta.url).href

test('a commit is done while nothing in libuv’s pool gets on', () => {
  const folder = mkdtempSync(join(tmpdir(), 'manifoldmq-lane-'))
  const script = `
    import { execFileSync } from 'node:child_process'
    import { closeSync, open, openSync, stat } from 'node:fs'
    const { WorkerLane } = await import(${JSON.stringify(lane)})
    const [folder] = process.argv.slice(2)
    const lane = new WorkerLane()
    const memory = lane.allocate(4096)
    const fd = openSync(folder + '/frames', 'w')
    const commit = (at) => new Promise((resolve) => lane.commit(fd, memory, 4096, at * 4096, resolve))
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
  const file = join(folder, 'script.mjs')
  writeFileSync(file, script)
  try {
    const environment = { ...process.env, UV_THREADPOOL_SIZE: '4' }
    const run = spawnSync(process.execPath, [file, folder], { encoding: 'utf8', timeout: 20_000, env: environment })
    expect(run).toMatchObject({ stdout: 'committed false\n', stderr: '', status: 0 })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a lane that is closed while its thread is at work closes, and the process lives to see it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'manifoldmq-lane-'))
  const script = `
    import { openSync } from 'node:fs'
    const { WorkerLane } = await import(${JSON.stringify(lane)})
    const lane = new WorkerLane()
    const memory = lane.allocate(4 * 1024 * 1024)
    const fd = openSync(${JSON.stringify(join(folder, 'frames'))}, 'w')
    await new Promise((resolve) => lane.commit(fd, memory, 1, 0, resolve))
    lane.commit(fd, memory, memory.length, 0, () => {})
    await lane.close()
    console.log('closed')
  `
  const file = join(folder, 'script.mjs')
  writeFileSync(file, script)
  try {
    const run = spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 20_000 })
    expect(run).toMatchObject({ stdout: 'closed\n', stderr: '', status: 0 })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a commit that is done is heard of at once by asking, and once only', () => {
  const folder = mkdtempSync(join(tmpdir(), 'manifoldmq-lane-'))
  const script = `
    import { openSync, readFileSync } from 'node:fs'
    const { WorkerLane } = await import(${JSON.stringify(lane)})
    const [file] = process.argv.slice(2)
    const lane = new WorkerLane()
    const memory = lane.allocate(4)
    const fd = openSync(file, 'w')
    lane.poll()
    let heard = 0
    // Each is asked about until it is done, without a return to the event loop; every third one the event loop tells of.
    for (let count = 1; count <= 300; count += 1) {
      memory.writeUInt32LE(count)
      if (count % 3 === 0) await new Promise((resolve) => lane.commit(fd, memory, 4, 0, () => resolve((heard += 1))))
      else {
        lane.commit(fd, memory, 4, 0, () => { heard += 1 })
        if (heard !== count - 1) throw new Error('told before commit had returned')
        while (heard < count) lane.poll()
      }
      if (readFileSync(file).readUInt32LE() !== count) throw new Error('not written')
    }
    await new Promise((resolve) => setImmediate(resolve))
    console.log('heard', heard)
    await lane.close()
  `
  const file = join(folder, 'script.mjs')
  writeFileSync(file, script)
  try {
    const run = spawnSync(process.execPath, [file, join(folder, 'frames')], { encoding: 'utf8', timeout: 20_000 })
    expect(run).toMatchObject({ stdout: 'heard 300\n', stderr: '', status: 0 })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
