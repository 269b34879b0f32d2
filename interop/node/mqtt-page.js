import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { runInPage } from './page.js'

/** Runs MQTT.js in a page of Debian's Chromium: node mqtt-page.js PORT-OF-WEBSOCKETS */
const port = Number(process.argv[2])
const folder = dirname(createRequire(import.meta.url).resolve('mqtt/package.json'))

const steps = `
  import mqtt from '/mqtt.js'
  import { run } from '/run.js'
  const url = 'ws://127.0.0.1:${port}'

  /** Sends the bodies and compares what comes. */
  async function exchange(protocolVersion, qos) {
    const topic = 'page/' + protocolVersion + '/' + qos
    const client = await mqtt.connectAsync(url, { protocolVersion, connectTimeout: 10_000 })
    const bodies = ['h\u00e9\u20ac', 'x'.repeat(100_000), '']
    const received = []
    const all = new Promise((resolve) => client.on('message', (_topic, body) => {
      received.push(body.toString())
      if (received.length === bodies.length) resolve()
    }))
    await client.subscribeAsync(topic, { qos })
    for (const body of bodies) await client.publishAsync(topic, body, { qos })
    await all
    if (String(received) !== String(bodies)) throw new Error(received.map((body) => body.length).join())
    await client.endAsync()
  }

  const checks = {}
  for (const version of [4, 5]) for (const qos of [0, 1, 2]) {
    checks['MQTT level ' + version + ' with QoS ' + qos] = () => exchange(version, qos)
  }
  run(checks)`

await runInPage({ '/mqtt.js': await readFile(join(folder, 'dist/mqtt.esm.js'), 'utf8'), '/steps.js': steps })
