import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
} from 'yaml'
import { keyMark, type Layers, type Path, type Place } from './layers.ts'
import type { Problem } from './problems.ts'

/** Nodes of one file, aliases followed; a file of settings has some hundreds. */
const nodesMax = 100_000
const depthMax = 32

/** Reads a YAML text into the layers, each value with its `file:line:col`. Returns what is wrong with its writing. */
export function readYaml(source: string, file: string, layers: Layers): readonly Problem[] {
  const lines = new LineCounter()
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false, strict: true, stringKeys: false })
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { text: `${file}:${line}:${col}`, order: offset }
  }
  const problems = document.errors.map((error) => ({
    place: placeAt(error.pos[0]).text,
    path: '',
    reason: sentence(error.code, error.message),
  }))
  // Nothing but a repeated key leaves a tree that is worth a second look.
  if (document.errors.some((error) => error.code !== 'DUPLICATE_KEY')) return problems
  return [...problems, ...new Reader(document, placeAt, layers).read()]
}

class Reader {
  readonly #document: Document.Parsed
  readonly #placeAt: (offset: number) => Place
  readonly #layers: Layers
  readonly #problems: Problem[]
  #nodes: number

  constructor(document: Document.Parsed, placeAt: (offset: number) => Place, layers: Layers) {
    this.#document = document
    this.#placeAt = placeAt
    this.#layers = layers
    this.#problems = []
    this.#nodes = 0
  }

  read(): readonly Problem[] {
    const root = this.#document.contents
    if (root === null || (isScalar(root) && root.value === null)) return []
    if (!isMap(root)) {
      this.#refuse(root, 'the file must consist of settings, each `name: value`')
      return this.#problems
    }
    Object.assign(this.#layers.tree, this.#plain(root, []))
    return this.#problems
  }

  /** The plain value of a node; null counts as absent, so that a group whose settings are all commented out is empty. */
  #plain(node: unknown, path: Path): unknown {
    this.#nodes += 1
    if (this.#nodes > nodesMax || path.length > depthMax) {
      if (this.#nodes !== Number.POSITIVE_INFINITY) this.#refuse(node, 'the file holds too much')
      this.#nodes = Number.POSITIVE_INFINITY
      return undefined
    }
    if (isAlias(node)) return this.#aliased(node, path)
    if (isScalar(node)) return node.value ?? undefined
    if (isSeq(node)) {
      return node.items.map((item, index) => {
        const itemPath = [...path, String(index)]
        this.#place(itemPath, item)
        return this.#plain(item, itemPath)
      })
    }
    if (!isMap(node)) return undefined
    const group: Record<string, unknown> = Object.create(null)
    for (const pair of node.items) {
      const key = isScalar(pair.key) ? String(pair.key.value) : ''
      const keyPath = [...path, key]
      // A wrong value is shown where it begins, an unknown name or an empty value where the name is.
      this.#place(keyPath, isEmpty(pair.value) || isMap(pair.value) || isSeq(pair.value) ? pair.key : pair.value)
      group[key] = this.#plain(pair.value, keyPath)
      this.#layers.place([...keyPath, keyMark], this.#placeAt(start(pair.key)))
    }
    return group
  }

  #aliased(alias: Alias, path: Path): unknown {
    const target = alias.resolve(this.#document)
    if (target === undefined) this.#refuse(alias, `is not YAML: there is no anchor &${alias.source}`)
    return this.#plain(target, path)
  }

  #place(path: Path, node: unknown): void {
    this.#layers.place(path, this.#placeAt(start(node)))
  }

  #refuse(node: unknown, reason: string): void {
    this.#problems.push({ place: this.#placeAt(start(node)).text, path: '', reason })
  }
}

function start(node: unknown): number {
  return (node as ParsedNode | undefined)?.range?.[0] ?? 0
}

function isEmpty(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null)
}

function sentence(code: string, message: string): string {
  if (code === 'DUPLICATE_KEY') return 'this setting is given twice'
  const [first = message] = message.split('\n')
  return `is not YAML: ${first.charAt(0).toLowerCase()}${first.slice(1).replace(/:$/, '')}`
}
