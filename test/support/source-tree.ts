import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

/** One file of the project. */
export interface SourceFile {
  /** From the root. */
  readonly path: string
  readonly text: string
  /** The text without comments. */
  readonly code: string
  readonly lines: number
}

/** One import, re-export, dynamic import or require. */
export interface Import {
  /** A path from the root for files of the project; otherwise as written: `node:net`, `pino`. */
  readonly target: string
  /** Erased by the compiler. */
  readonly isType: boolean
  /** Loaded later, when the code comes to it. */
  readonly isDynamic: boolean
}

/** Every TypeScript file below some folders. */
export function readSources(...folders: readonly string[]): SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.includes('node_modules'))
      .sort()
      .map((name) =>
        sourceFile(posix.join(folder, name.replaceAll('\\', '/')), readFileSync(join(folder, name), 'utf8')),
      ),
  )
}

export function sourceFile(path: string, text: string): SourceFile {
  return { path, text, code: withoutComments(text), lines: text.split('\n').length - 1 }
}

/** What a file imports. */
export function importsOf({ path, code }: SourceFile): Import[] {
  const imports: Import[] = []
  const add = (target: string, isType: boolean, isDynamic: boolean) => {
    const isFile = target.startsWith('.')
    imports.push({ target: isFile ? posix.join(posix.dirname(path), target) : target, isType, isDynamic })
  }
  for (const match of code.matchAll(/^\s*(?:import|export)\s+(type\s+)?(?:([^'";()]*?)\s*from\s*)?'([^']+)'/gm)) {
    const [, type, names = '', target = ''] = match
    add(target, type !== undefined || areTypes(names), false)
  }
  for (const [, target = ''] of code.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g)) add(target, false, true)
  for (const [, target = ''] of code.matchAll(/require(?:\([^()]*\))?\(\s*'([^']+)'\s*\)/gi)) add(target, false, true)
  return imports
}

/** True for `{ type A, type B }`. */
function areTypes(names: string): boolean {
  const inner = /^\s*\{([^}]*)\}\s*$/.exec(names)?.[1]
  if (inner === undefined) return false
  const parts = inner.split(',').map((part) => part.trim())
  return parts.filter((part) => part !== '').every((part) => part.startsWith('type '))
}

/** Blanks out comments, keeping line breaks; text in quotes is left as it is. */
function withoutComments(text: string): string {
  let code = ''
  let at = 0
  while (at < text.length) {
    const end = tokenEnd(text, at)
    const token = text.slice(at, end)
    code += /^\/[/*]/.test(token) ? token.replaceAll(/[^\n]/g, ' ') : token
    at = end
  }
  return code
}

/** The end of the comment, the quoted text, the escape or the single character that begins at `start`. */
function tokenEnd(text: string, start: number): number {
  const character = text[start]
  const next = text[start + 1]
  if (character === '\\') return start + 2
  if (character === '/' && next === '/') return ends(text.indexOf('\n', start), text)
  if (character === '/' && next === '*') return ends(text.indexOf('*/', start) + 2, text)
  if (character !== "'" && character !== '"') return start + 1
  for (let at = start + 1; at < text.length && text[at] !== '\n'; at += text[at] === '\\' ? 2 : 1) {
    if (text[at] === character) return at + 1
  }
  return start + 1
}

function ends(at: number, text: string): number {
  return at <= 1 ? text.length : at
}
