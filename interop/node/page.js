import { createServer } from 'node:http'
import { chromium } from 'playwright-core'

/** In the page: carries out the checks one after the other. */
const run = `
  export async function run(checks) {
    const results = []
    for (const [name, check] of Object.entries(checks)) {
      results.push(await check().then(() => 'ok ' + name, (error) => 'not ok ' + name + ': ' + error))
    }
    window.results = results
  }`

/** Runs the module `/steps.js` of the given files in a page of Debian's Chromium, and prints what came of its checks. */
export async function runInPage(given) {
  const files = { '/run.js': run, ...given }
  const server = createServer(({ url }, response) => {
    const page =
      '<!doctype html><meta charset="utf-8"><title>client</title><script type="module" src="/steps.js"></script>'
    const type = url in files ? 'text/javascript' : 'text/html'
    response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(files[url] ?? page)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
  const tab = await browser.newPage()
  tab.on('pageerror', (error) => console.error(error))
  await tab.goto(`http://127.0.0.1:${server.address().port}/`)
  await tab.waitForFunction('window.results !== undefined', undefined, { timeout: 60_000 })
  for (const line of await tab.evaluate('window.results')) console.log(line)
  await browser.close()
  server.close()
}
