import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StandaloneBroker } from './broker.ts'
import { python, run } from './clients.ts'
import { RawConnection } from './raw.ts'

/** A small complete program that the README shows. */
export interface Sample {
  /** The client of the table under which it is run. */
  readonly client: string
  /** The path from the folder of the repository. */
  readonly path: string
  /** The word behind the three backticks. */
  readonly fence: string
  readonly interpreter: (root: string) => string
  /** How the program names its client library. */
  readonly library: RegExp
  readonly port: (broker: StandaloneBroker) => number
}

const stompPort = ({ port }: StandaloneBroker): number => port

export const samples: readonly Sample[] = [
  {
    client: 'stomp.py',
    path: 'interop/samples/python/orders.py',
    fence: 'python',
    interpreter: python,
    library: /^import stomp\b/m,
    port: stompPort,
  },
  {
    client: 'stompit',
    path: 'interop/samples/node/orders.js',
    fence: 'js',
    interpreter: () => process.execPath,
    library: /['"]stompit['"]/,
    port: stompPort,
  },
  {
    client: 'paho-mqtt/5',
    path: 'interop/samples/python/orders_mqtt.py',
    fence: 'python',
    interpreter: python,
    library: /^import paho\b/m,
    port: ({ mqttPort }) => mqttPort,
  },
  {
    client: 'qpid-proton',
    path: 'interop/samples/python/orders_amqp.py',
    fence: 'python',
    interpreter: python,
    library: /^from proton\b/m,
    port: ({ amqpPort }) => amqpPort,
  },
]

const sampleMsMax = 20_000

/** Runs a sample against a broker of its own: it must print what it received, and have acknowledged it. */
export async function runSample(sample: Sample, root: string): Promise<void> {
  const broker = await StandaloneBroker.start(root)
  try {
    const args = [join(root, sample.path), String(sample.port(broker))]
    const printed = await run(sample.interpreter(root), args, { msMax: sampleMsMax })
    assert.match(printed, /^received two espressos$/m)
    const raw = await RawConnection.open(broker.port)
    await raw.sure('SUBSCRIBE', ['destination:/queue/orders', 'id:1', 'browser:true'])
    assert.ok((await raw.next('MESSAGE')).lines.includes('browser:end'), 'the sample left its message unacknowledged')
    raw.close()
  } finally {
    await broker.remove()
  }
}

export type Inclusion = 'verbatim' | 'different' | 'absent'

/**
 * How a README shows a sample: `verbatim`, in a code fence; `different`, in a fence of its language that names its client
 * library but has another text; or it is `absent`.
 */
export function inclusion(readme: string, sample: Sample, text: string): Inclusion {
  const fences = [...readme.matchAll(/^```(\w*)[^\n]*\n(.*?)^```/gms)].map(([, fence = '', code = '']) => ({
    fence,
    code,
  }))
  if (fences.some(({ code }) => code.trim() === text.trim())) return 'verbatim'
  const words: Readonly<Record<string, readonly string[]>> = {
    python: ['python', 'py'],
    js: ['js', 'javascript', 'mjs'],
  }
  const isShown = fences.some(({ fence, code }) => words[sample.fence]?.includes(fence) && sample.library.test(code))
  return isShown ? 'different' : 'absent'
}

/** The text of a sample. */
export function sampleText(sample: Sample, root: string): Promise<string> {
  return readFile(join(root, sample.path), 'utf8')
}
