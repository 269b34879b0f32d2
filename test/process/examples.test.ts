import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const folder = 'docs/examples'
const names = readdirSync(folder)

test('docs/testing.md shows every example as it is', () => {
  const page = readFileSync('docs/testing.md', 'utf8')
  for (const name of names) expect(page).toContain(`\`\`\`js\n${readFileSync(`${folder}/${name}`, 'utf8')}\`\`\``)
})

describe('node --test passes', () => {
  // Those of vitest are run by vitest.config.ts.
  test.each(names.filter((name) => name.endsWith('.node.test.js')))('%s', async (name) => {
    const child = spawn(process.execPath, ['--test', `${folder}/${name}`], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    const [code] = await once(child, 'exit')
    expect(code, output).toBe(0)
    expect(output).toMatch(/^# pass [1-9]/m)
  })
})
