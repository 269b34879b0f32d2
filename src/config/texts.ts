import type { ZodType } from 'zod'
import type { Layers, Path } from './layers.ts'
import { type Problem, plain, suggestion } from './problems.ts'
import { schema } from './schema.ts'

const environmentPrefix = 'MANIFOLDMQ_'
/** What Kubernetes puts into the environment of every container beside a service whose name begins with manifoldmq. */
const kubernetesVariable = /^MANIFOLDMQ_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/
/** Names the file; no setting of its own. */
export const fileVariable = 'MANIFOLDMQ_CONFIG'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Lays `MANIFOLDMQ_LISTENERS__STOMP__PORT=61613` over the layers: two underscores between names, and a single one
 * between the words of a name or none (`MEMORY_BYTES_MAX`, `MEMORYBYTESMAX`).
 */
export async function readEnvironment(environment: Environment, layers: Layers): Promise<readonly Problem[]> {
  const problems: Problem[] = []
  const names = Object.keys(environment).filter((name) => name.startsWith(environmentPrefix) && name !== fileVariable)
  for (const [index, name] of names.sort().entries()) {
    const value = environment[name]
    if (value === undefined || (!name.includes('__') && kubernetesVariable.test(name))) continue
    const words = name.slice(environmentPrefix.length).split('__')
    const resolved = resolve(words)
    const place = { text: name, order: environmentOrder + index }
    if (typeof resolved === 'string') {
      // A single word that is like none of ours is another program's.
      const isMeant = words.length > 1 || suggestion(words[0] ?? '', namesAt([]) ?? []) !== ''
      if (isMeant) problems.push({ place: name, path: '', reason: resolved })
    } else if (!layers.set(resolved, await readText(value), place, value)) problems.push(notInside(name, resolved))
  }
  return problems
}

/** Lays `listeners.stomp.port=61613`, as given with `--set`, over the layers. */
export async function readFlags(assignments: readonly string[], layers: Layers): Promise<readonly Problem[]> {
  const problems: Problem[] = []
  for (const [index, assignment] of assignments.entries()) {
    const sign = assignment.indexOf('=')
    const name = sign < 0 ? assignment : assignment.slice(0, sign)
    const place = { text: `--set ${name}`, order: flagOrder + index }
    const path = name.split('.').map((key) => key.trim())
    const value = assignment.slice(sign + 1)
    if (sign < 0 || path.includes('')) {
      problems.push({
        place: place.text,
        path: '',
        reason: 'must be written as path=value: --set listeners.stomp.port=61613',
      })
    } else if (!layers.set(path, await readText(value), place, value)) problems.push(notInside(place.text, path))
  }
  return problems
}

/** Places of the environment and the flags come after any position in a file. */
const environmentOrder = 2 ** 40
export const flagOrder = 2 ** 41

/** The names that may stand at a path; undefined if the path leads to no group. */
export function namesAt(path: Path): readonly string[] | undefined {
  let current: unknown = schema
  for (const key of path) {
    const group = open(current)
    current = group === undefined ? undefined : (group.element ?? group.shape?.[key])
  }
  const shape = open(current)?.shape
  return shape === undefined ? undefined : Object.keys(shape)
}

interface Group {
  readonly shape?: Readonly<Record<string, ZodType>>
  readonly element?: ZodType
}

/** The object or array inside defaults, options and transformations. */
function open(field: unknown): Group | undefined {
  let current = field as
    | (Group & { readonly def?: { readonly innerType?: unknown; readonly in?: unknown } })
    | undefined
  while (current !== undefined && current.shape === undefined && current.element === undefined) {
    current = (current.def?.innerType ?? current.def?.in) as typeof current
  }
  return current
}

function resolve(words: readonly string[]): Path | string {
  const path: string[] = []
  for (const word of words) {
    const names = namesAt(path)
    const isItem = names === undefined && /^\d+$/.test(word)
    const name = isItem ? word : names?.find((candidate) => plain(candidate) === plain(word))
    if (name === undefined) {
      const near = suggestion(word, names ?? [])
      return `unknown setting "${[...path, word.toLowerCase()].join('.')}"${near}`
    }
    path.push(name)
  }
  return path
}

function notInside(place: string, path: Path): Problem {
  return { place, path: path.join('.'), reason: 'is inside a value that holds no settings' }
}

/** A number, a truth value, or with brackets, braces or quotes whatever YAML makes of it; the text itself otherwise. */
async function readText(value: string): Promise<unknown> {
  const trimmed = value.trim()
  if (trimmed === 'true') return true
  if (trimmed === 'false') return false
  if (/^-?\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed)
  if (!/^[[{"']/.test(trimmed)) return value
  const { parse } = await import('yaml')
  try {
    return parse(trimmed)
  } catch {
    return value
  }
}
