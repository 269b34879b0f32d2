import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const lane = new URL('../../dist/src/store/log/worker-lane.js', import.meta.url).href

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
