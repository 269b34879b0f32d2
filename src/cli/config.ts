import { formatSize, formatTime } from '../config/units.ts'
import type { LoadedConfig } from '../config.ts'
import { loadConfig } from '../config.ts'

export interface ConfigOptions {
  readonly config?: string
  readonly data?: string
  readonly set?: readonly string[]
  readonly json?: boolean
}

/** Says whether a broker would start with this configuration. */
export async function check(options: ConfigOptions): Promise<void> {
  const { file } = await load(options)
  print(`${file ?? 'the configuration'} is fine`)
}

/** Prints every setting as it is in effect, and where those that are not defaults come from. */
export async function show(options: ConfigOptions): Promise<void> {
  const loaded = await load(options)
  const settings = flatten(loaded)
  if (options.json === true)
    print(JSON.stringify(Object.fromEntries(settings.map(({ path, value }) => [path, value])), null, 2))
  else
    for (const { path, value, origin } of settings)
      print(origin === undefined ? `${path}: ${value}` : `${path}: ${value}   # ${origin}`)
}

/** Prints the commented default configuration. */
export async function printDefault(): Promise<void> {
  const { defaultDocument } = await import('../config/documents.ts')
  process.stdout.write(defaultDocument())
}

/** Prints the JSON Schema of the configuration file. */
export async function printSchema(): Promise<void> {
  const { schemaDocument } = await import('../config/documents.ts')
  print(JSON.stringify(schemaDocument(), null, 2))
}

function load(options: ConfigOptions): Promise<LoadedConfig> {
  return loadConfig({ file: options.config, data: options.data, set: options.set ?? [] })
}

interface Setting {
  readonly path: string
  readonly value: string | number | boolean
  readonly origin: string | undefined
}

function flatten(loaded: LoadedConfig): Setting[] {
  const { destinations, ...rest } = loaded.config
  const rules = destinations.map(({ match, set }) => ({ match: match.toString(), ...set }))
  return leaves({ ...rest, destinations: rules }, '').map(([path, value]) => ({
    path,
    value: written(path, value),
    origin: loaded.origin(path),
  }))
}

function leaves(value: unknown, path: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null) return [[path, value]]
  return Object.entries(value).flatMap(([key, part]) => leaves(part, path === '' ? key : `${path}.${key}`))
}

/** Amounts as a person would write them. */
function written(path: string, value: unknown): string | number | boolean {
  if (value === Number.POSITIVE_INFINITY) return 'unlimited'
  if (typeof value === 'number' && /Bytes(Max|High)$/.test(path)) return formatSize(value)
  if (typeof value === 'number' && /Ms(Max)?$/.test(path)) return formatTime(value)
  return typeof value === 'number' || typeof value === 'boolean' ? value : String(value)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
