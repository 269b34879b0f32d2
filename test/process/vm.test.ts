import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'

test.each(['value', 'reference'])(
  'a persistent message sent by %s survives the restart of a broker that vm:// has made',
  async (pass) => {
    const client: typeof import('../../src/client.ts') = await import(pathToFileURL(resolve('dist/src/client.js')).href)
    const data = mkdtempSync(join(tmpdir(), 'manifoldmq-vm-'))
    try {
      const url = `vm://kept-${pass}?create=true&pass=${pass}&persistent=true&data=${encodeURIComponent(data)}`
      const first = await client.connect(url)
      await first.queue('q').send({ a: [1, 2] }, { correlationId: 'c' })
      await first.close()
      const second = await client.connect(`failover:(${url})`)
      const message = await second.queue('q').receive()
      expect(message?.body).toEqual({ a: [1, 2] })
      expect(message?.correlationId).toBe('c')
      await second.close()
    } finally {
      rmSync(data, { recursive: true, force: true })
    }
  },
)
