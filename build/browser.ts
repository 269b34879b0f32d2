/**
 * Builds the client for browsers as one small module: node dist/build/browser.js, after tsc.
 *
 * esbuild bundles it, `shortened` gives every member that nobody outside can name a short name, terser does the rest, and
 * `ordered` puts methods where they compress best.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { minify } from 'terser'
import { platformNames, publicNames } from './names.ts'
import { ordered } from './order.ts'
import { shortened } from './shorten.ts'

/** The fields of HELLO, PRODUCER, CONSUMER and DEST, as SPEC.md has them. */
const wireFields = [
  ...['product', 'clientId', 'heartBeatMs', 'frameBytesMax', 'mechanism', 'initialResponse'],
  ...['destination', 'confirm', 'name', 'instance'],
  ...['source', 'selector', 'ack', 'noLocal', 'exclusive', 'priority', 'browse', 'durable', 'shared', 'retained'],
  ...['op', 'kind', 'address'],
]

/** The module's text. `folder`: where tsc has put the client. */
export async function browserModule(folder: string): Promise<string> {
  const bundle = await build({
    entryPoints: [join(folder, 'browser.js')],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    // What a browser never has.
    define: { 'globalThis.Buffer': 'undefined', 'globalThis.setImmediate': 'undefined' },
    write: false,
  })
  const kept = new Set([
    ...platformNames(),
    ...wireFields,
    ...publicNames('browser', (module) => readFileSync(join(folder, `${module}.d.ts`), 'utf8')),
  ])
  const { code = '' } = await minify(shortened(bundle.outputFiles[0]?.text ?? '', kept), {
    module: true,
    ecma: 2020,
    compress: {
      passes: 4,
      unsafe_arrows: true,
      sequences: false,
      lhs_constants: false,
      inline: 1,
    },
    format: { comments: false },
  })
  return ordered(code)
}

const script = fileURLToPath(import.meta.url)
if (process.argv[1] === script) {
  const folder = join(dirname(script), '../protocols/native/client')
  writeFileSync(join(folder, 'browser.min.js'), await browserModule(folder))
}
