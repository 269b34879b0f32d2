import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { serve } from './serve.js'

/** Runs stompjs in a page of Debian's Chromium. */
const page = `<!doctype html>
<meta charset="utf-8">
<title>stompjs</title>
<script type="importmap">{"imports":{"@stomp/stompjs":"/node_modules/@stomp/stompjs/esm6/index.js"}}</script>
<script type="module">
  import { answering } from '/answers.js'
  import { StompjsConnection, webSocket } from '/stompjs-connection.js'
  window.answer = answering((request) => new StompjsConnection(request, webSocket).open())
</script>`

const files = createServer(async ({ url }, response) => {
  const path = new URL(url, 'http://127.0.0.1').pathname
  try {
    const text = path === '/' ? page : await readFile(fileURLToPath(new URL(`.${path}`, import.meta.url)))
    response.writeHead(200, { 'content-type': path.endsWith('.js') ? 'text/javascript' : 'text/html' }).end(text)
  } catch {
    response.writeHead(404).end()
  }
})
await new Promise((resolve) => files.listen(0, '127.0.0.1', resolve))
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
const tab = await browser.newPage()
tab.on('pageerror', (error) => console.error(error))
await tab.goto(`http://127.0.0.1:${files.address().port}/`)
await tab.waitForFunction('window.answer !== undefined')
process.stdin.once('close', () => browser.close())
serve((request) => tab.evaluate((given) => window.answer(given), request))
