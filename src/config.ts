import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { check } from './config/check.ts'
import { Layers } from './config/layers.ts'
import { listenerNames } from './config/listeners.ts'
import { ConfigError, type Problem } from './config/problems.ts'
import type { Config, GivenConfig } from './config/schema.ts'
import { type Environment, fileVariable, flagOrder, readEnvironment, readFlags } from './config/texts.ts'

export type {
  AmqpFrameLimits,
  AmqpListenerConfig,
  ListenerConfig,
  ListenerName,
  ListenersConfig,
  ProtocolName,
  StompFrameLimits,
  StompListenerConfig,
  WebSocketListenerConfig,
} from './config/listeners.ts'
export { ConfigError, type Problem, problemLine } from './config/problems.ts'
export type { Config, Given, GivenConfig, LogFormat, LogLevel } from './config/schema.ts'

/** The file that is read if it is there and no other is named. */
const defaultFile = 'manifoldmq.yaml'

export interface ConfigSources {
  /** A file that must exist; without it `manifoldmq.yaml` in `folder` is read if it is there. */
  readonly file?: string | undefined
  /** Default: the working folder. */
  readonly folder?: string
  /** Default: that of the process. */
  readonly environment?: Environment
  /** Each as `path=value`, the last one wins. */
  readonly set?: readonly string[]
  /** The folder named with `--data`. */
  readonly data?: string | undefined
}

export interface LoadedConfig {
  readonly config: Config
  /** The file that was read. */
  readonly file: string | undefined
  /** Where the value of `listeners.stomp.port` was written; undefined: it is the default. */
  origin(path: string): string | undefined
}

/**
 * Loads the configuration of a broker process: flags over environment over file over defaults, every known listener on.
 * Throws a {@link ConfigError} with everything that is wrong. The result is frozen.
 */
export async function loadConfig(sources: ConfigSources = {}): Promise<LoadedConfig> {
  const environment = sources.environment ?? process.env
  const layers = new Layers()
  const file = await findFile(sources, environment)
  const problems: Problem[] = []
  if (file !== undefined) {
    const { readYaml } = await import('./config/yaml-file.ts')
    problems.push(...readYaml(file.text, file.name, layers))
    // Without the file's values the rest cannot be judged.
    if (problems.length > 0 && Object.keys(layers.tree).length === 0) throw new ConfigError(problems)
  }
  problems.push(...(await readEnvironment(environment, layers)))
  problems.push(...(await readFlags(sources.set ?? [], layers)))
  if (sources.data !== undefined) layers.set(['data'], sources.data, { text: '--data', order: flagOrder * 2 })
  for (const name of listenerNames) {
    if (layers.at(['listeners', name]) === undefined) layers.set(['listeners', name], {}, { text: '', order: 0 })
  }
  const checked = check(layers)
  if (isProblems(checked)) problems.push(...checked)
  if (problems.length > 0 || isProblems(checked)) throw new ConfigError(problems)
  return {
    config: checked,
    file: file?.name,
    origin: (path) => {
      const keys = path.split('.')
      return layers.at(keys) === undefined ? undefined : layers.placeOf(keys)?.text
    },
  }
}

/**
 * Checks the options of an embedded broker: the same shape as the file, already an object; only the listeners that are
 * given are opened. Throws a {@link ConfigError} that names the paths. Reads neither files nor the environment.
 */
export function checkOptions(options: GivenConfig): Config {
  const layers = new Layers()
  layers.fill({ ...options })
  const checked = check(layers)
  if (isProblems(checked)) throw new ConfigError(checked)
  return checked
}

/** The default configuration of a broker process. */
export function defaultConfig(): Config {
  return checkOptions({ listeners: Object.fromEntries(listenerNames.map((name) => [name, {}])) })
}

interface FoundFile {
  readonly name: string
  readonly text: string
}

async function findFile(sources: ConfigSources, environment: Environment): Promise<FoundFile | undefined> {
  const flagged = sources.file
  const name = flagged ?? environment[fileVariable]
  const path = join(sources.folder ?? '.', defaultFile)
  try {
    return { name: name ?? defaultFile, text: await readFile(name ?? path, 'utf8') }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (name === undefined && code === 'ENOENT') return undefined
    const reason = code === 'ENOENT' ? 'there is no such file' : `cannot be read: ${(error as Error).message}`
    const place = flagged === undefined && name !== undefined ? `${fileVariable} ${name}` : (name ?? defaultFile)
    throw new ConfigError([{ place, path: '', reason }])
  }
}

function isProblems(checked: Config | readonly Problem[]): checked is readonly Problem[] {
  return Array.isArray(checked)
}
