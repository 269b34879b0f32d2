import { isHidden } from '../address.ts'

/** One level of the names that values are filed under. Most have one value or a few children: tables are made when needed. */
class Node<T> {
  children: Map<string, Node<T>> | undefined
  /** The only value, or all of them. */
  first: T | undefined
  values: Set<T> | undefined

  constructor() {
    this.children = undefined
    this.first = undefined
    this.values = undefined
  }

  get hasValues(): boolean {
    return this.first !== undefined || this.values !== undefined
  }

  add(value: T): void {
    if (this.values !== undefined) this.values.add(value)
    else if (this.first === undefined || this.first === value) this.first = value
    else {
      this.values = new Set([this.first, value])
      this.first = undefined
    }
  }

  remove(value: T): void {
    if (this.first === value) this.first = undefined
    this.values?.delete(value)
    if (this.values?.size === 0) this.values = undefined
  }

  /** Adds its values to those that have been found. */
  take(found: T[]): void {
    if (this.first !== undefined) found.push(this.first)
    if (this.values !== undefined) for (const value of this.values) found.push(value)
  }
}

/**
 * Values by their levels, found from both sides: the values filed under patterns that cover a name, and the values filed
 * under names that a pattern covers. `*` stands for one level, a last `>` for one or more, a last `#` for any
 * number; none of them for a first level that begins with `$`.
 */
export class TopicTrie<T> {
  readonly #root: Node<T>

  constructor() {
    this.#root = new Node()
  }

  add(levels: readonly string[], value: T): void {
    let node = this.#root
    for (const level of levels) {
      let child = node.children?.get(level)
      if (child === undefined) {
        child = new Node()
        node.children ??= new Map()
        node.children.set(level, child)
      }
      node = child
    }
    node.add(value)
  }

  remove(levels: readonly string[], value: T): void {
    const path: Node<T>[] = [this.#root]
    for (const level of levels) {
      const child = path.at(-1)?.children?.get(level)
      if (child === undefined) return
      path.push(child)
    }
    path.at(-1)?.remove(value)
    for (let depth = levels.length; depth > 0; depth -= 1) {
      const node = path[depth]
      if (node === undefined || node.hasValues || node.children !== undefined) return
      const parent = path[depth - 1]
      parent?.children?.delete(levels[depth - 1] as string)
      if (parent?.children?.size === 0) parent.children = undefined
    }
  }

  /** True if something is filed under a pattern that covers the name. */
  isCovered(levels: readonly string[]): boolean {
    return covers(this.#root, levels, 0)
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

function covers<T>(node: Node<T>, levels: readonly string[], depth: number): boolean {
  const level = levels[depth]
  const { children } = node
  const takesWildcards = depth > 0 || !isHidden(level)
  if (takesWildcards && children?.get('#')?.hasValues === true) return true
  if (level === undefined) return node.hasValues
  if (children === undefined) return false
  if (takesWildcards) {
    if (children.get('>')?.hasValues === true) return true
    const one = children.get('*')
    if (one !== undefined && covers(one, levels, depth + 1)) return true
  }
  const exact = children.get(level)
  return exact !== undefined && covers(exact, levels, depth + 1)
}

function collectCovering<T>(node: Node<T>, levels: readonly string[], depth: number, found: T[]): void {
  const level = levels[depth]
  const { children } = node
  const takesWildcards = depth > 0 || !isHidden(level)
  if (takesWildcards) children?.get('#')?.take(found)
  if (level === undefined) {
    node.take(found)
    return
  }
  if (children === undefined) return
  if (takesWildcards) {
    children.get('>')?.take(found)
    const one = children.get('*')
    if (one !== undefined) collectCovering(one, levels, depth + 1, found)
  }
  // The name is no pattern, but may have `>` or `#` as a level that is not the last.
  const exact = children.get(level)
  if (exact !== undefined) collectCovering(exact, levels, depth + 1, found)
}

function collectCovered<T>(node: Node<T>, pattern: readonly string[], depth: number, found: T[]): void {
  const level = pattern[depth]
  if (level === undefined) {
    node.take(found)
    return
  }
  const isLast = depth === pattern.length - 1
  if (isLast && level === '#' && depth > 0) node.take(found)
  if (node.children === undefined) return
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
  node.take(found)
  for (const child of node.children?.values() ?? []) collectAll(child, found)
}
