/** Where a value was written, and where that stands among all others. */
export interface Place {
  readonly text: string
  /** Ascending: position in the file, then the environment, then the flags. */
  readonly order: number
}

export type Path = readonly string[]

/** Below a setting's path, stands for the name of the setting itself. */
export const keyMark = '\0key'

/**
 * Values from several sources in one tree, later ones on top, each with the place it came from. Keys are kept as they
 * are; objects have no prototype, so that no key is special.
 */
export class Layers {
  readonly tree: Record<string, unknown>
  readonly #places: Map<string, Place>
  /** Values that came as text: they are read as numbers or truth values where the schema wants them so. */
  readonly #texts: Map<string, string>

  constructor() {
    this.tree = Object.create(null)
    this.#places = new Map()
    this.#texts = new Map()
  }

  /** Puts a value at a path, over what was there. False if something that is no group of settings is on the way. */
  set(path: Path, value: unknown, place: Place, text?: string): boolean {
    const last = path.at(-1)
    let parent: unknown = this.tree
    for (const [index, key] of path.slice(0, -1).entries()) {
      if (!isGroup(parent)) return false
      parent[key] ??= /^\d+$/.test(path[index + 1] ?? '') ? [] : Object.create(null)
      parent = parent[key]
    }
    if (last === undefined || !isGroup(parent)) return false
    this.#forget(path)
    parent[last] = value
    this.place(path, place)
    if (text !== undefined) this.#texts.set(path.join('\0'), text)
    return true
  }

  /** Notes where a value that is already in the tree was written. */
  place(path: Path, place: Place): void {
    this.#places.set(path.join('\0'), place)
  }

  /** Lays a whole tree of values below everything that is set; for options that come as an object. */
  fill(values: Readonly<Record<string, unknown>>): void {
    for (const [key, value] of Object.entries(values)) this.tree[key] ??= value
  }

  /** The place of a setting; without one, of a part of it or of the nearest setting that contains it. */
  placeOf(path: Path): Place | undefined {
    const exact = this.#places.get(path.join('\0'))
    if (exact !== undefined) return exact
    for (const [key, place] of this.#places) {
      if (key.startsWith(`${path.join('\0')}\0`)) return place
    }
    for (let length = path.length - 1; length > 0; length -= 1) {
      const place = this.#places.get(path.slice(0, length).join('\0'))
      if (place !== undefined) return place
    }
    return undefined
  }

  /** Makes a value that came as text and was read as something else a text again. False if it is none. */
  restoreText(path: Path): boolean {
    const key = path.join('\0')
    const text = this.#texts.get(key)
    const place = this.#places.get(key)
    if (text === undefined || place === undefined) return false
    this.#texts.delete(key)
    return this.set(path, text, place)
  }

  /** The value at a path. */
  at(path: Path): unknown {
    let value: unknown = this.tree
    for (const key of path) {
      if (!isGroup(value)) return undefined
      value = value[key]
    }
    return value
  }

  #forget(path: Path): void {
    const key = path.join('\0')
    for (const other of this.#places.keys()) {
      if (other === key || other.startsWith(`${key}\0`)) this.#places.delete(other)
    }
    this.#texts.delete(key)
  }
}

function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
