import { readFileSync } from 'node:fs'
import { runInPage } from './page.js'

/** Runs the client's build for browsers in a page of Debian's Chromium: node native-page.js PORT-OF-WEBSOCKETS */
const port = Number(process.argv[2])

const client = readFileSync(new URL('../../dist/protocols/native/client/browser.min.js', import.meta.url), 'utf8')

const steps = `
  import { connect, t } from '/client.js'
  import { run } from '/run.js'
  const url = 'ws://127.0.0.1:${port}'
  const checks = {
    async 'sends and receives'() {
      const client = await connect(url)
      const queue = client.queue('page.bodies')
      const bodies = ['hé€😀', { a: [1] }, new Uint8Array([0, 255]), new Map([['n', 1]])]
      for (const body of bodies) await queue.send(body, { properties: { n: t.short(5) } })
      for await (const message of queue.consume()) {
        const body = bodies.shift()
        if (String(message.body) !== String(body) || message.properties.n !== 5) throw new Error(String(message.body))
        await message.accept()
        if (bodies.length === 0) break
      }
      await client.close()
    },
    async 'sends in parts'() {
      const client = await connect(url)
      const body = new Uint8Array(3_000_000).fill(7)
      await client.queue('page.parts').send(body)
      const message = await client.queue('page.parts').receive()
      if (message.bytes.length !== body.length || message.bytes[2_999_999] !== 7) throw new Error(String(message.bytes.length))
      await message.accept({ confirm: true })
      await client.close()
    },
    async 'asks and answers'() {
      const client = await connect(url)
      client.queue('page.double').process((message) => ({ twice: message.json().n * 2 }))
      const answer = await client.queue('page.double').request({ n: 21 }, { timeout: 5000 })
      if (answer.json().twice !== 42) throw new Error(answer.text)
      await client.close()
    },
    async 'transacts'() {
      const client = await connect(url)
      await client.queue('page.in').send('x')
      await client.transaction(async (tx) => tx.send('page.out', (await tx.receive('page.in')).text + '!'))
      if ((await client.queue('page.out').receive()).text !== 'x!') throw new Error('it is not there')
      await client.close()
    },
    async 'is pipelined'() {
      const client = await connect(url)
      const queue = client.queue('page.many')
      await Promise.all(Array.from({ length: 5000 }, (_, index) => queue.send(String(index), { persistent: false })))
      let count = 0
      for await (const message of queue.consume({ ack: 'none' })) {
        if (message.text !== String(count)) throw new Error(message.text + ' instead of ' + count)
        count += 1
        if (count === 5000) break
      }
      await client.close()
    },
  }
  run(checks)`

await runInPage({ '/client.js': client, '/steps.js': steps })
