import type { z } from 'zod'
import { describe } from './fields.ts'
import { keyMark, type Layers, type Path, type Place } from './layers.ts'
import { isLoopback, portClashes } from './listeners.ts'
import { type Problem, suggestion } from './problems.ts'
import { type Config, schema } from './schema.ts'
import { namesAt } from './texts.ts'

/** A problem that still knows where it stands among the others. */
interface PlacedProblem extends Problem {
  readonly order: number
}

/** Checks the layers against the schema and the relations between settings: the configuration, or all that is wrong. */
export function check(layers: Layers): Config | readonly Problem[] {
  let result = schema.safeParse(layers.tree)
  if (!result.success && restoreTexts(result.error.issues, layers)) result = schema.safeParse(layers.tree)
  const problems = result.success
    ? relations(result.data as Config, layers)
    : [
        ...result.error.issues.flatMap((issue) => fromIssue(issue, layers)),
        ...restRelations(result.error.issues, layers),
      ]
  if (problems.length > 0) return problems.sort((left, right) => left.order - right.order)
  return result.success ? settle(result.data as Config, layers) : []
}

/** What is wrong between the settings that are right by themselves. */
function restRelations(issues: readonly z.core.$ZodIssue[], layers: Layers): PlacedProblem[] {
  const rest = copied(layers.tree) as Record<string, unknown>
  for (const issue of issues) {
    const path = issue.path.map(String)
    const wrong = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...path, key]) : [path]
    // One setting of a list cannot be left out by itself.
    for (const one of wrong) remove(rest, one[0] === 'destinations' ? one.slice(0, 1) : one)
  }
  const result = schema.safeParse(rest)
  return result.success ? relations(result.data as Config, layers) : []
}

/** A copy of groups and lists; options may hold anything else, even functions. */
function copied(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copied)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, copied(part)]))
}

function remove(tree: Record<string, unknown>, path: Path): void {
  const parent = path
    .slice(0, -1)
    .reduce<unknown>((group, key) => (group as Record<string, unknown> | undefined)?.[key], tree)
  const last = path.at(-1)
  if (last !== undefined && typeof parent === 'object' && parent !== null)
    delete (parent as Record<string, unknown>)[last]
}

/** `--set name=123` is meant as a text although it looks like a number. */
function restoreTexts(issues: readonly z.core.$ZodIssue[], layers: Layers): boolean {
  const wantText = issues.filter((issue) => issue.code === 'invalid_type' && issue.expected === 'string')
  return wantText.map((issue) => layers.restoreText(issue.path.map(String))).includes(true)
}

function fromIssue(issue: z.core.$ZodIssue, layers: Layers): PlacedProblem[] {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const place = layers.placeOf([...path, key, keyMark])
      return problem([...path, key], `unknown setting${suggestion(key, namesAt(path) ?? [])}`, place)
    })
  }
  const value = layers.at(path)
  if (issue.code === 'invalid_type' && value === undefined) return [problem(path, 'is missing', layers.placeOf(path))]
  return [problem(path, reasonOf(issue, value), layers.placeOf(path))]
}

function reasonOf(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code !== 'invalid_type') return issue.message
  const wanted: Record<string, string> = {
    object: 'a group of settings',
    array: 'a list',
    string: 'a text',
    boolean: 'true or false',
  }
  return `must be ${wanted[issue.expected] ?? issue.expected}; is ${describe(value)}`
}

function problem(path: Path, reason: string, place: Place | undefined): PlacedProblem {
  return { place: place?.text ?? '', path: path.join('.'), reason, order: place?.order ?? 0 }
}

function relations(config: Config, layers: Layers): PlacedProblem[] {
  const problems: PlacedProblem[] = []
  const refuse = (path: Path, reason: string) => problems.push(problem(path, reason, layers.placeOf(path)))
  for (const [name, listener] of Object.entries(config.listeners)) {
    if (!listener.enabled || isLoopback(listener.host) || config.security.anonymous === 'anyone') continue
    refuse(
      ['listeners', name, 'host'],
      `"${listener.host}" lets other machines in and no user is set up to keep strangers out: listen on 127.0.0.1, or accept strangers with security.anonymous: anyone (--set security.anonymous=anyone)`,
    )
  }
  for (const [first, second] of portClashes({ ...config.listeners })) {
    const path = ['listeners', second, 'port']
    refuse(path, `the port is taken by listeners.${first} as well`)
  }
  const { memoryBytesMax, messageBytesMax } = config.limits
  const messagePath = ['limits', 'messageBytesMax']
  if (messageBytesMax > memoryBytesMax && layers.at(messagePath) !== undefined) {
    refuse(messagePath, `must not exceed limits.memoryBytesMax, which is ${memoryBytesMax}`)
  }
  return problems
}

/** Values that follow from others where nothing was given, and no change any more. */
function settle(config: Config, layers: Layers): Config {
  const { memoryBytesMax, messageBytesMax } = config.limits
  const follows = layers.at(['limits', 'messageBytesMax']) === undefined
  const limits = follows
    ? { ...config.limits, messageBytesMax: Math.min(messageBytesMax, memoryBytesMax) }
    : config.limits
  return freeze({ ...config, limits })
}

function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  // An Address keeps what it has computed; it is immutable anyway.
  if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) return value
  for (const part of Object.values(value)) freeze(part)
  return Object.freeze(value)
}
