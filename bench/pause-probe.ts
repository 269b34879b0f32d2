/**
 * Preloaded into a broker (`node --import .../pause-probe.js?file=/tmp/pause.json ...`): on SIGUSR2 it writes the longest time
 * for which the event loop has stood still since the last SIGUSR2, and starts anew.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

/** How often the loop is looked at; a pause is what is over this. */
const resolutionMs = 5

const file = new URL(import.meta.url).searchParams.get('file')
if (file === null) throw new Error('pause-probe: no ?file=')
const delays = monitorEventLoopDelay({ resolution: resolutionMs })
let reading = 0
delays.enable()
process.on('SIGUSR2', () => {
  reading += 1
  const longestMs = Math.max(0, delays.max / 1e6 - resolutionMs)
  delays.reset()
  writeFileSync(`${file}.new`, JSON.stringify({ reading, longestMs }))
  renameSync(`${file}.new`, file)
})
