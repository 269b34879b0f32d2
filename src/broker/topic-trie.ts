import { isHidden } from '../address.ts'

interface Node<T> {
  readonly children: Map<string, Node<T>>
  readonly values: Set<T>
}

function nodeOf<T>(): Node<T> {
  return { children: new Map(), values: new Set() }
}

/**
 * Values by their levels, found from both sides: the values filed under patterns that cover a name, and the values filed
 * under names that a pattern covers. `*` stands for one level, a last `>` for one or more, a last `#` for any
 * number; none of them for a first level that begins with `$`.
 */
export class TopicTrie<T> {
  readonly #root: Node<T>

  constructor() {
    this.#root = nodeOf<T>()
  }

  add(levels: readonly string[], value: T): void {
    let node = this.#root
    for (const level of levels) {
      let child = node.children.get(level)
      if (child === undefined) {
        child = nodeOf<T>()
        node.children.set(level, child)
      }
      node = child
    }
    node.values.add(value)
  }

  remove(levels: readonly string[], value: T): void {
    const path: Node<T>[] = [this.#root]
    for (const level of levels) {
      const child = path.at(-1)?.children.get(level)
      if (child === undefined) return
      path.push(child)
    }
    path.at(-1)?.values.delete(value)
    for (let depth = levels.length; depth > 0; depth -= 1) {
      const node = path[depth]
      if (node === undefined || node.values.size > 0 || node.children.size > 0) return
      path[depth - 1]?.children.delete(levels[depth - 1] as string)
    }
  }

  /** Everything filed under a pattern that covers the name. */
  covering(levels: readonly string[]): T[] {
    const found: T[] = []
    collectCovering(this.#root, levels, 0, found)
    return found
  }

  /** Everything filed under a name that the pattern covers. */
  coveredBy(pattern: readonly string[]): T[] {
    const found: T[] = []
    collectCovered(this.#root, pattern, 0, found)
    return found
  }
}

function collectCovering<T>(node: Node<T>, levels: readonly string[], depth: number, found: T[]): void {
  const level = levels[depth]
  const all = depth > 0 || !isHidden(level) ? node.children.get('#') : undefined
  if (all !== undefined) take(all.values, found)
  if (level === undefined) {
    take(node.values, found)
    return
  }
  if (depth > 0 || !isHidden(level)) {
    const rest = node.children.get('>')
    if (rest !== undefined) take(rest.values, found)
    const one = node.children.get('*')
    if (one !== undefined) collectCovering(one, levels, depth + 1, found)
  }
  // The name is no pattern, but may have `>` or `#` as a level that is not the last.
  const exact = node.children.get(level)
  if (exact !== undefined) collectCovering(exact, levels, depth + 1, found)
}

function collectCovered<T>(node: Node<T>, pattern: readonly string[], depth: number, found: T[]): void {
  const level = pattern[depth]
  if (level === undefined) {
    take(node.values, found)
    return
  }
  const isLast = depth === pattern.length - 1
  if (isLast && level === '#' && depth > 0) take(node.values, found)
  if (isLast && (level === '>' || level === '#')) {
    for (const [name, child] of node.children) if (depth > 0 || !isHidden(name)) collectAll(child, found)
  } else if (level === '*') {
    for (const [name, child] of node.children) {
      if (depth > 0 || !isHidden(name)) collectCovered(child, pattern, depth + 1, found)
    }
  } else {
    const child = node.children.get(level)
    if (child !== undefined) collectCovered(child, pattern, depth + 1, found)
  }
}

function collectAll<T>(node: Node<T>, found: T[]): void {
  take(node.values, found)
  for (const child of node.children.values()) collectAll(child, found)
}

function take<T>(values: Iterable<T>, found: T[]): void {
  for (const value of values) found.push(value)
}
