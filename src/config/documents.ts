import { z } from 'zod'
import { schema } from './schema.ts'

/** A part of the JSON Schema, as far as it is read here. */
interface Node {
  readonly description?: string
  readonly default?: unknown
  readonly type?: string
  readonly properties?: Readonly<Record<string, Node>>
  readonly items?: Node
}

/** Defaults of `limits` that depend on the machine: no document states them, but for an example. */
const machineDefaults: Readonly<Record<string, string>> = { memoryBytesMax: '2GiB' }

const lineWidth = 110

/** The JSON Schema of the configuration file, for editors; `config/schema.json`. */
export function schemaDocument(): object {
  const { $schema, ...document } = z.toJSONSchema(schema, {
    io: 'input',
    target: 'draft-7',
    override: ({ jsonSchema, path }) => {
      if (path.at(-3) === 'limits' && String(path.at(-1)) in machineDefaults) delete jsonSchema.default
    },
  })
  return { $schema, title: 'ManifoldMQ configuration', ...document }
}

/** The commented default configuration; `config/manifoldmq.yaml`. */
export function defaultDocument(): string {
  const lines = [
    '# yaml-language-server: $schema=./schema.json',
    '#',
    '# The configuration of ManifoldMQ with its defaults: what you do not change you may leave out.',
    '# A broker reads manifoldmq.yaml in its working folder, or the file named with --config.',
    '# Over the file go environment variables (MANIFOLDMQ_LISTENERS__STOMP__PORT=61613), and over these',
    '# flags (--set listeners.stomp.port=61613). Check with `manifoldmq config check`.',
    '#',
    '# Sizes: 4096, 10kB (10,000), 64MiB. Times: 500ms, 30s, 5m, 1h, 2d; without a unit milliseconds.',
    '',
  ]
  const document = schemaDocument() as Node
  for (const [name, node] of Object.entries(document.properties ?? {})) {
    lines.push(...(node.items === undefined ? settingLines(name, node, 0) : listLines(name, node)), '')
  }
  return `${lines.join('\n').trimEnd()}\n`
}

function settingLines(name: string, node: Node, depth: number): string[] {
  const indent = '  '.repeat(depth)
  const lines = commentLines(node.description ?? '', indent)
  if (node.properties !== undefined) {
    lines.push(`${indent}${name}:`)
    for (const [key, part] of Object.entries(node.properties)) lines.push(...settingLines(key, part, depth + 1))
  } else if (node.default === undefined) lines.push(`${indent}# ${name}: ${machineDefaults[name] ?? ''}`.trimEnd())
  else if (Array.isArray(node.default)) lines.push(`${indent}${name}: [${node.default.join(', ')}]`)
  else lines.push(`${indent}${name}: ${node.default === '' ? '""' : String(node.default)}`)
  return lines
}

/** A list is empty by default: its settings are shown as a comment. */
function listLines(name: string, node: Node): string[] {
  const lines = [...commentLines(node.description ?? '', ''), `${name}: []`, `# ${name}:`]
  for (const [index, [key, part]] of Object.entries(node.items?.properties ?? {}).entries()) {
    const bullet = index === 0 ? '- ' : '  '
    lines.push(
      ...commentLines(part.description ?? '', '#     '),
      `#   ${bullet}${key}: ${index === 0 ? 'queue://orders.>' : ''}`.trimEnd(),
    )
  }
  return lines
}

function commentLines(text: string, indent: string): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line.length > 0 && indent.length + line.length + word.length + 3 > lineWidth) {
      lines.push(`${indent}# ${line}`)
      line = ''
    }
    line = line.length === 0 ? word : `${line} ${word}`
  }
  return line.length === 0 ? lines : [...lines, `${indent}# ${line}`]
}
