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
