import { spawn } from 'node:child_process'
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { StandaloneBroker } from './broker.ts'
import { Driver, type Version } from './driver.ts'

/** What a library itself does not do by the specification; the steps keep clear of it. Each is a fact of that release. */
export interface Traits {
  /** Versions in which the library escapes header values, and takes escapes back; the specification: 1.1 and 1.2. */
  readonly escapes: readonly Version[]
  /** Whether it takes back escapes in header names. */
  readonly unescapesNames: boolean
  /** Whether it takes back a backslash before n, r or c rightly: `\\n` is a backslash and an n. */
  readonly unescapesInOrder: boolean
  /** Whether it can send a header name twice. */
  readonly repeats: boolean
}

export type Carrier = 'tcp' | 'ws'

/** A client library: how it is brought here and started. */
export interface Client {
  readonly name: string
  /** The language's own program that must be there. */
  readonly interpreter: string
  /** What it talks over to the broker. */
  readonly carrier: Carrier
  readonly traits: Traits
  /** Installs or builds what is missing; throws if that cannot be done. Returns the library's version. */
  readonly install: (root: string) => Promise<string>
  readonly start: (root: string) => Driver
}

const upright: Traits = {
  escapes: ['1.1', '1.2'],
  unescapesNames: true,
  unescapesInOrder: true,
  repeats: false,
}

/** 7.5.0: hdrValueEscape only once 1.2 is agreed, hdrValueUnEscape replaces `\r`, `\n`, `\c` before `\\`, names untouched. */
const stompjsTraits: Traits = { ...upright, escapes: ['1.2'], unescapesNames: false, unescapesInOrder: false }

/** The port that a client of this kind is to be sent to. */
export function portOf(broker: StandaloneBroker, carrier: Carrier): number {
  return carrier === 'ws' ? broker.webSocketPort : broker.port
}

export const clients: readonly Client[] = [
  {
    name: 'stomp.py',
    interpreter: 'python3',
    carrier: 'tcp',
    traits: upright,
    install: (root) => installPython(root, 'stomp.py'),
    start: (root) => new Driver(python(root), [join(root, 'interop/python/driver.py')], root),
  },
  {
    name: 'stompit',
    interpreter: 'node',
    carrier: 'tcp',
    traits: upright,
    install: async (root) => versionOf(join(root, 'node_modules/stompit')),
    start: (root) => new Driver(process.execPath, [join(root, 'interop/node/stompit.js')], root),
  },
  {
    name: 'stompjs',
    interpreter: 'npm',
    carrier: 'tcp',
    traits: stompjsTraits,
    install: installStompjs,
    start: (root) => new Driver(process.execPath, [join(root, 'interop/node/stompjs.js'), 'tcp'], root),
  },
  {
    name: 'stompjs/ws',
    interpreter: 'npm',
    carrier: 'ws',
    traits: stompjsTraits,
    install: installStompjs,
    start: (root) => new Driver(process.execPath, [join(root, 'interop/node/stompjs.js'), 'ws'], root),
  },
  {
    name: 'Chromium',
    interpreter: 'chromium',
    carrier: 'ws',
    traits: stompjsTraits,
    install: async (root) => {
      await installStompjs(root)
      return (await run('chromium', ['--version'])).replace(/^\D*([\d.]+).*$/s, '$1')
    },
    start: (root) => new Driver(process.execPath, [join(root, 'interop/node/chromium.js')], root),
  },
  {
    name: 'go-stomp',
    interpreter: 'go',
    carrier: 'tcp',
    traits: { ...upright, repeats: true },
    install: installGo,
    start: (root) => new Driver(goProgram(root), [], root),
  },
]

/** The interpreter of {@link installPython}'s environment, for programs that use its packages. */
export function python(root: string): string {
  return join(root, 'interop/.venv/bin/python')
}

/** Makes an environment with all that requirements.txt names; returns the version of one package. */
export async function installPython(root: string, name: string): Promise<string> {
  const folder = join(root, 'interop/.venv')
  const requirements = await readFile(join(root, 'interop/python/requirements.txt'), 'utf8')
  const mark = join(folder, 'requirements.txt')
  if ((await readFile(mark, 'utf8').catch(() => '')) !== requirements) {
    await run('python3', ['-m', 'venv', '--clear', folder])
    await run(python(root), [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--requirement',
      join(root, 'interop/python/requirements.txt'),
    ])
    await writeFile(mark, requirements)
  }
  return run(python(root), ['-c', `from importlib.metadata import version; print(version("${name}"))`])
}

async function installStompjs(root: string): Promise<string> {
  const folder = join(root, 'interop/node')
  const { dependencies } = await packageOf(folder)
  for (const [name, wanted] of Object.entries(dependencies)) {
    const found = await versionOf(join(folder, 'node_modules', name)).catch(() => 'none')
    if (found === wanted) continue
    await run('npm', ['ci', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund'])
    break
  }
  return versionOf(join(folder, 'node_modules/@stomp/stompjs'))
}

async function installGo(root: string): Promise<string> {
  const folder = join(root, 'interop/go')
  await mkdir(join(root, 'dist/interop'), { recursive: true })
  await run('go', ['build', '-o', goProgram(root), '.'], { cwd: folder })
  await access(goProgram(root))
  const list = ['list', '-m', '-f', '{{.Version}}', 'github.com/go-stomp/stomp/v3']
  return (await run('go', list, { cwd: folder })).replace(/^v/, '')
}

function goProgram(root: string): string {
  return join(root, 'dist/interop/go-stomp')
}

interface Package {
  readonly version: string
  readonly dependencies: Readonly<Record<string, string>>
}

/** The version of an installed package. */
export async function versionOf(folder: string): Promise<string> {
  return (await packageOf(folder)).version
}

async function packageOf(folder: string): Promise<Package> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Package
}

/** Runs a program to its end and resolves to what it printed; rejects, with its complaints, if it fails or is not there. */
export function run(
  command: string,
  args: readonly string[],
  { cwd, msMax = 300_000 }: { readonly cwd?: string; readonly msMax?: number } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: msMax })
    let out = ''
    let complaints = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints += text
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve(out.trim())
      else
        reject(new Error(`${command} ${args.join(' ')} failed (${code ?? signal}): ${complaints.trim()} ${out.trim()}`))
    })
  })
}
