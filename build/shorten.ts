/** Short names for members: the private ones by what the language says of them, the others unless they are to be kept. */
import {
  type AnyNode,
  type BlockStatement,
  type ClassBody,
  type Identifier,
  type MethodDefinition,
  type PrivateIdentifier,
  parse,
  type VariableDeclaration,
} from 'acorn'
import { childrenOf } from './nodes.ts'

interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

interface PrivateName {
  readonly name: string
  count: number
  readonly classes: Set<ClassBody>
}

const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_$'

/**
 * The code with short members. A private one becomes a plain one that no other member of its class is called; the same letter
 * serves in many classes, since only their own code can have named it. One that is not private has the same name everywhere.
 */
export function shortened(code: string, keptAnyway: ReadonlySet<string>): string {
  const found = new Found(parse(code, { ecmaVersion: 2022, sourceType: 'module' }))
  // What a program also says in a string it may look up by it.
  const kept = new Set(['constructor', ...keptAnyway, ...found.strings])
  const lettersOfPrivate = new Map<string, string>()
  const taken = new Map<ClassBody, Set<string>>()
  for (const { name, classes } of byCount(found.privateNames.values())) {
    const isTaken = (letter: string) => [...classes].some((body) => taken.get(body)?.has(letter))
    const letter = [...letters].find((one) => !kept.has(one) && !isTaken(one))
    if (letter === undefined) throw new Error(`no letter is left for #${name}`)
    lettersOfPrivate.set(name, letter)
    for (const body of classes) taken.set(body, (taken.get(body) ?? new Set()).add(letter))
  }
  const free = shortNames(new Set([...kept, ...found.names.keys(), ...lettersOfPrivate.values()]))
  const others = new Map<string, string>()
  for (const { name } of byCount(found.names.values())) {
    if (!kept.has(name)) others.set(name, free.next().value)
  }
  // What nobody calls by its name, and nobody outside knows, is not called.
  const uncalled = found.methods.filter(({ key }) => {
    return key.type === 'Identifier' && !kept.has(key.name) && found.names.get(key.name)?.count === 1
  })
  const edits: Edit[] = [...found.dropped, ...uncalled].map(({ start, end }) => ({ start, end, text: '' }))
  for (const { name, start, end } of found.privateUses) {
    edits.push({ start, end, text: lettersOfPrivate.get(name) ?? '' })
  }
  for (const { start } of found.constants) edits.push({ start, end: start + 'const'.length, text: 'let' })
  for (const { node, isShorthand } of found.uses) {
    const text = others.get(node.name)
    if (text === undefined) continue
    if (isShorthand) edits.push({ start: node.start, end: node.start, text: `${text}:` })
    else edits.push({ start: node.start, end: node.end, text })
  }
  return edited(code, edits)
}

/** What a program says of members. */
class Found {
  readonly privateNames: Map<string, PrivateName>
  readonly privateUses: PrivateIdentifier[]
  readonly names: Map<string, { readonly name: string; count: number }>
  readonly uses: { readonly node: Identifier; readonly isShorthand: boolean }[]
  readonly methods: MethodDefinition[]
  readonly strings: string[]
  /** Declarations of private fields, and statements of constructors, that say nothing any more. */
  readonly dropped: { readonly start: number; readonly end: number }[]
  /** Declarations that may as well be those of variables, of which one word is enough. */
  readonly constants: VariableDeclaration[]

  constructor(program: AnyNode) {
    this.privateNames = new Map()
    this.privateUses = []
    this.names = new Map()
    this.uses = []
    this.methods = []
    this.strings = []
    this.dropped = []
    this.constants = []
    this.#visit(program, undefined)
  }

  #visit(node: AnyNode, body: ClassBody | undefined): void {
    if (node.type === 'PrivateIdentifier' && body !== undefined) this.#addPrivate(node, body)
    else if (node.type === 'MemberExpression' && !node.computed) this.#add(node.property, false)
    else if (node.type === 'Property' && !node.computed) this.#add(node.key, node.shorthand)
    else if (node.type === 'MethodDefinition' || node.type === 'PropertyDefinition') {
      if (!node.computed) this.#add(node.key, false)
      // A plain field need not be declared.
      const isDeclaration = node.type === 'PropertyDefinition' && (node.value ?? undefined) === undefined
      if (isDeclaration && node.key.type === 'PrivateIdentifier') this.dropped.push(node)
    }
    if (node.type === 'Literal' && typeof node.value === 'string') this.strings.push(node.value)
    if (node.type === 'VariableDeclaration' && node.kind === 'const') this.constants.push(node)
    if (node.type === 'MethodDefinition' && node.kind === 'constructor') this.#dropUndefined(node.value.body)
    if (node.type === 'MethodDefinition') this.methods.push(node)
    const inner = node.type === 'ClassBody' ? node : body
    for (const child of childrenOf(node)) this.#visit(child, inner)
  }

  #add(node: AnyNode, isShorthand: boolean): void {
    if (node.type !== 'Identifier') return
    const known = this.names.get(node.name) ?? { name: node.name, count: 0 }
    known.count += 1
    this.names.set(node.name, known)
    this.uses.push({ node, isShorthand })
  }

  /** A field that nothing has been said of is undefined already. */
  #dropUndefined({ body }: BlockStatement): void {
    const mentioned = new Set<string>()
    for (const statement of body) {
      const name = undefinedField(statement)
      if (name !== undefined && !mentioned.has(name)) this.dropped.push(statement)
      // Whoever has the object may set its fields.
      if (givesAway(statement)) return
      privateNamesIn(statement, mentioned)
    }
  }

  #addPrivate(node: PrivateIdentifier, body: ClassBody): void {
    const known = this.privateNames.get(node.name) ?? { name: node.name, count: 0, classes: new Set() }
    known.count += 1
    known.classes.add(body)
    this.privateNames.set(node.name, known)
    this.privateUses.push(node)
  }
}

/** Its name, if the statement is `this.#name = undefined`. */
function undefinedField(statement: AnyNode): string | undefined {
  if (statement.type !== 'ExpressionStatement' || statement.expression.type !== 'AssignmentExpression') return undefined
  const { left, right } = statement.expression
  if (left.type !== 'MemberExpression' || left.object.type !== 'ThisExpression') return undefined
  const isUndefined = right.type === 'UnaryExpression' && right.operator === 'void'
  return isUndefined && left.property.type === 'PrivateIdentifier' ? left.property.name : undefined
}

/** Whether `this` is more than that of which a member is read or written: handed to somebody, or at work. */
function givesAway(node: AnyNode): boolean {
  if (node.type === 'ThisExpression') return true
  if (node.type === 'MemberExpression' && node.object.type === 'ThisExpression') return false
  if (node.type === 'CallExpression' && node.callee.type === 'MemberExpression') {
    return node.callee.object.type === 'ThisExpression' || childrenOf(node).some(givesAway)
  }
  return childrenOf(node).some(givesAway)
}

function privateNamesIn(node: AnyNode, names: Set<string>): void {
  if (node.type === 'PrivateIdentifier') names.add(node.name)
  for (const child of childrenOf(node)) privateNamesIn(child, names)
}

function byCount<T extends { readonly count: number }>(names: Iterable<T>): readonly T[] {
  return [...names].sort((one, other) => other.count - one.count)
}

/** Names of one character and then of two, without those that are taken. */
function* shortNames(taken: ReadonlySet<string>): Generator<string, never> {
  for (const prefix of ['', ...letters]) {
    for (const letter of letters) if (!taken.has(prefix + letter)) yield prefix + letter
  }
  throw new Error('no short name is left')
}

function edited(code: string, edits: readonly Edit[]): string {
  const pieces: string[] = []
  let at = 0
  for (const { start, end, text } of [...edits].sort((one, other) => one.start - other.start || other.end - one.end)) {
    // What lies in something that has been dropped.
    if (start < at) continue
    pieces.push(code.slice(at, start), text)
    at = end
  }
  return pieces.join('') + code.slice(at)
}
