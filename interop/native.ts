import { join } from 'node:path'
import type { StandaloneBroker } from './broker.ts'
import { run } from './clients.ts'

/** A program that runs all its steps by itself, and prints `ok NAME` or `not ok NAME: REASON` for each. */
export interface NativeProgram {
  readonly name: string
  readonly interpreter: string
  /** Steps it must print; fewer are a failure. */
  readonly stepCount: number
  /** The program and its arguments. */
  readonly command: (root: string, broker: StandaloneBroker) => readonly [string, ...string[]]
}

const programMsMax = 90_000

export const nativePrograms: readonly NativeProgram[] = [
  {
    name: 'SPEC.md in Python',
    interpreter: 'python3',
    stepCount: 9,
    command: (root, { nativePort }) => ['python3', join(root, 'interop/python/mnp_check.py'), String(nativePort)],
  },
  {
    name: 'client in Chromium',
    interpreter: 'chromium',
    stepCount: 5,
    command: (root, { webSocketPort }) => [
      process.execPath,
      join(root, 'interop/node/native-page.js'),
      String(webSocketPort),
    ],
  },
  {
    name: 'MQTT.js in Chromium',
    interpreter: 'chromium',
    stepCount: 6,
    command: (root, { webSocketPort }) => [
      process.execPath,
      join(root, 'interop/node/mqtt-page.js'),
      String(webSocketPort),
    ],
  },
  {
    name: 'README sample',
    interpreter: 'node',
    stepCount: 1,
    command: (root, { nativePort }) => [
      process.execPath,
      join(root, 'interop/samples/node/native.js'),
      `tcp://127.0.0.1:${nativePort}`,
    ],
  },
]

/** Runs one program to its end; what it does not print has failed. */
export async function runNativeProgram(
  program: NativeProgram,
  root: string,
  broker: StandaloneBroker,
): Promise<readonly { readonly step: string; readonly failure: string | undefined }[]> {
  const [command, ...args] = program.command(root, broker)
  const printed = await run(command, args, { msMax: programMsMax })
  const results = printed.split('\n').flatMap((line) => {
    const [, not, step, reason] = /^(not )?ok ([^:]+)(?:: (.*))?$/.exec(line) ?? []
    return step === undefined ? [] : [{ step, failure: not === undefined ? undefined : (reason ?? line) }]
  })
  if (results.length === program.stepCount) return results
  const sentence = `${results.length} steps were reported, not ${program.stepCount}: ${printed.slice(-500)}`
  return [...results, { step: 'all steps', failure: sentence }]
}
