import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { expect, test } from 'vitest'

const gzipBytesMax = 20_800

test(`the client for browsers has nothing of Node in it and at most ${gzipBytesMax} bytes, compressed`, async () => {
  const { outputFiles, metafile } = await build({
    entryPoints: ['protocols/native/client/browser.ts'],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    write: false,
    metafile: true,
    logLevel: 'silent',
  })
  const [file] = outputFiles
  const size = gzipSync(file?.contents ?? '').length
  const sources = Object.keys(metafile.inputs)
  expect(sources.filter((path) => !path.startsWith('protocols/native/'))).toEqual([])
  expect(size).toBeLessThanOrEqual(gzipBytesMax)
  expect(size).toBeGreaterThan(1000)
})
