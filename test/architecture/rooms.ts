import { type Import, importsOf, type SourceFile } from '../support/source-tree.ts'

/** One row of the table of STYLE §1.3: which files it is about and what they may import. */
interface Room {
  readonly name: string
  readonly files: RegExp
  /** Files of the project. */
  readonly may: readonly RegExp[]
  /** Files of which only types may be imported. */
  readonly mayTypes?: readonly RegExp[]
  /** Modules of Node. */
  readonly node: RegExp
}

const nothing = /^$/
const anything = /./
/** What everything else is built of; knows nothing but itself. */
const foundation =
  /^src\/(address|clock|embedded-format|errors|limits|message|reading|session|small-map|turn|value|value-codec|version)\.ts$/
const noNetwork = /^node:(?!net$|tls$|http$|https$|http2$|dgram$)/

/** The first row that matches a file holds for it. */
const rooms: readonly Room[] = [
  {
    name: 'native codec',
    files: /^protocols\/native\/(frame|limits|text|writer|cursor|values|section|decoder|encoder|fields|incoming)\.ts$/,
    may: [/^protocols\/native\/(frame|limits|text|writer|cursor|values|section|decoder|encoder|fields|incoming)\.ts$/],
    mayTypes: [/^src\/core\.ts$/],
    node: nothing,
  },
  {
    name: 'native client',
    files: /^protocols\/native\/client\//,
    may: [
      /^protocols\/native\/(frame|limits|text|writer|cursor|values|section|decoder|encoder|fields|incoming)\.ts$/,
      /^protocols\/native\/client\//,
    ],
    mayTypes: [/^src\/core\.ts$/],
    node: nothing,
  },
  {
    name: 'client for Node',
    files: /^src\/client(\.ts|\/)/,
    may: [
      foundation,
      /^protocols\/native\//,
      /^src\/client\//,
      /^src\/(server|running|core)\.ts$/,
      /^src\/transport\//,
    ],
    mayTypes: [/^src\/broker\/broker\.ts$/],
    node: /^node:(net|tls|http|https|crypto|stream)$/,
  },
  {
    name: 'codec of a protocol',
    files:
      /^protocols\/[^/]+\/(frame|cut-frame|headers|octets|packet|properties|reader|utf8|limits|decoder|encoder|client-packets)\.ts$/,
    may: [
      /^protocols\/$same\/(frame|cut-frame|headers|octets|packet|properties|reader|utf8|limits|decoder|encoder)\.ts$/,
    ],
    mayTypes: [/^src\/core\.ts$/],
    node: nothing,
  },
  {
    name: 'table of protocols',
    files: /^protocols\/(index|formats)\.ts$/,
    may: [/^protocols\//],
    mayTypes: [/^src\/core\.ts$/],
    node: nothing,
  },
  { name: 'protocol', files: /^protocols\/[^/]+\//, may: [/^src\/core\.ts$/, /^protocols\/$same\//], node: nothing },
  {
    name: 'src/broker',
    files: /^src\/broker\//,
    may: [foundation, /^src\/broker\//],
    mayTypes: [/^src\/store\/store\.ts$/],
    node: nothing,
  },
  {
    name: 'src/scram',
    files: /^src\/scram\//,
    may: [foundation, /^src\/scram\//],
    mayTypes: [/^src\/broker\/access\.ts$/],
    node: /^node:(crypto|util)$/,
  },
  { name: 'src/store', files: /^src\/store\//, may: [foundation, /^src\/store\//], node: noNetwork },
  {
    name: 'src/transport',
    files: /^src\/transport\//,
    may: [foundation, /^src\/transport\//],
    node: /^node:(buffer|crypto|net|tls|http|https|stream|fs)$/,
  },
  {
    name: 'src/cluster, src/admin',
    files: /^src\/(cluster|admin)\//,
    may: [/^src\/(core|config|log)\.ts$/, /^src\/(transport|cluster|admin)\//],
    node: anything,
  },
  {
    name: 'configuration',
    files: /^src\/config(\.ts|\/)/,
    may: [foundation, /^src\/config\//, /^src\/broker\/policy\.ts$/],
    node: /^node:(fs\/promises|path)$/,
  },
  {
    name: 'data commands',
    files: /^src\/cli\/data\//,
    may: [foundation, /^src\/cli\//, /^src\/config\.ts$/, /^src\/store\//, /^protocols\/formats\.ts$/],
    node: noNetwork,
  },
  {
    name: 'MQTT of the command line',
    files: /^src\/cli\/clients\/mqtt-[a-z]+\.ts$/,
    may: [
      foundation,
      /^src\/cli\//,
      /^protocols\/mqtt\/(packet|properties|reader|limits|decoder|encoder|client-packets|content|topics)\.ts$/,
    ],
    node: /^node:net$/,
  },
  {
    name: 'command line',
    files: /^src\/cli\//,
    may: [foundation, /^src\/cli\//, /^src\/config(\.ts|\/)/, /^src\/(log|server|client)\.ts$/],
    node: noNetwork,
  },
  { name: 'log', files: /^src\/log\.ts$/, may: [], mayTypes: [/^src\/config\.ts$/], node: /^node:tty$/ },
  {
    name: 'door for adapters',
    files: /^src\/(core|protocol)\.ts$/,
    may: [foundation, /^src\/protocol\.ts$/, /^src\/(broker|scram)\//],
    mayTypes: [/^src\/transport\//],
    node: nothing,
  },
  { name: 'testing', files: /^src\/testing\//, may: [anything], node: anything },
  { name: 'composition', files: /^src\/(server|running|main|index|testing)\.ts$/, may: [anything], node: anything },
  { name: 'foundation', files: foundation, may: [foundation], node: /^node:(os|v8)$/ },
]

/** One package, one room. */
const packages: Readonly<Record<string, RegExp>> = {
  commander: /^src\/(main\.ts|cli\/)/,
  'fs-native-extensions': /^src\/store\/lock\.ts$/,
  pino: /^src\/log\.ts$/,
  'pino-pretty': /^src\/log\.ts$/,
  stompit: /^src\/(cli|cluster)\//,
  yaml: /^src\/config\//,
  zod: /^src\/config\//,
  rhea: /^(protocols\/amqp|src\/cli|src\/cluster)\//,
  ws: nothing,
}

/** Files that few may import. */
const guarded: readonly { readonly file: RegExp; readonly importers: RegExp }[] = [
  { file: /^src\/server\.ts$/, importers: /^src\/(running|index|testing|testing\/[a-z-]+|cli\/start|client\/vm)\.ts$/ },
  { file: /^src\/main\.ts$/, importers: nothing },
]

/** Words that belong into one file. */
const words: readonly { readonly word: RegExp; readonly home: RegExp }[] = [
  { word: /\bDate\.now\b/, home: /^src\/clock\.ts$/ },
  { word: /\bprocess\.env\b/, home: /^src\/config\.ts$/ },
  { word: /^\s*export \*/m, home: /^src\/(core|index)\.ts$/ },
]

/** Everything that breaks the rules of who may import whom, one sentence each. */
export function violations(files: readonly SourceFile[]): string[] {
  return [...files.flatMap(fileViolations), ...cycles(files)]
}

function fileViolations(file: SourceFile): string[] {
  const { path, code } = file
  const room = rooms.find((one) => one.files.test(path))
  if (room === undefined) return [`${path} is in no room: give it a row in test/architecture/rooms.ts`]
  const misplaced = words.filter(({ word, home }) => word.test(code) && !home.test(path))
  return [
    ...misplaced.map(({ word }) => `${path} contains ${word.exec(code)?.[0].trim()}`),
    ...importsOf(file).flatMap((one) => importFault(path, room, one) ?? []),
  ]
}

function importFault(path: string, room: Room, { target, isType }: Import): string | undefined {
  const fault = `${path} (${room.name}) imports ${target}`
  if (target.startsWith('node:')) return room.node.test(target) ? undefined : fault
  if (!/^(src|protocols)\//.test(target)) return packages[packageOf(target)]?.test(path) === true ? undefined : fault
  const isGuarded = guarded.some(({ file, importers }) => file.test(target) && !importers.test(path))
  if (isGuarded) return fault
  const allowed = isType ? [...room.may, ...(room.mayTypes ?? [])] : room.may
  return allowed.some((pattern) => matches(pattern, path, target)) ? undefined : fault
}

/** `$same` stands for the protocol that the importing file belongs to. */
function matches(pattern: RegExp, path: string, target: string): boolean {
  const own = path.split('/')[1] ?? ''
  return new RegExp(pattern.source.replace('$same', own)).test(target)
}

function packageOf(target: string): string {
  const parts = target.split('/')
  return parts.slice(0, target.startsWith('@') ? 2 : 1).join('/')
}

/** Cycles of imports that are there at run time. */
function cycles(files: readonly SourceFile[]): string[] {
  const edges = new Map(files.map((file) => [file.path, lasting(file)]))
  const found: string[] = []
  const finished = new Set<string>()
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path)
    if (start >= 0) found.push(`cycle: ${[...trail.slice(start), path].join(' -> ')}`)
    if (start >= 0 || finished.has(path)) return
    for (const target of edges.get(path) ?? []) visit(target, [...trail, path])
    finished.add(path)
  }
  for (const path of edges.keys()) visit(path, [])
  return found
}

function lasting(file: SourceFile): string[] {
  return importsOf(file)
    .filter(({ isType, isDynamic }) => !isType && !isDynamic)
    .map(({ target }) => target)
}
