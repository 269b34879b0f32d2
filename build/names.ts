/** Names that must stay as they are: those of the platform, and those that users of the client write. */

const platform = [
  ...[
    Object,
    Function,
    Array,
    Map,
    Set,
    Promise,
    Error,
    RegExp,
    Symbol,
    String,
    Number,
    Boolean,
    BigInt,
    Date,
    Math,
    JSON,
  ],
  ...[ArrayBuffer, Uint8Array, DataView, TextEncoder, TextDecoder, performance],
  ...[EventTarget, Event, AbortSignal, AbortController, URL, URLSearchParams],
]
/** Of a WebSocket and its events, which this Node may lack; of iterators, options and results of the platform. */
const furtherPlatformNames = [
  ...['WebSocket', 'binaryType', 'bufferedAmount', 'data', 'reason'],
  ...['next', 'return', 'throw', 'value', 'done', 'status', 'cause', 'once', 'ignoreBOM', 'written'],
]

/** What objects of the platform have. */
export function platformNames(): readonly string[] {
  const names = [...furtherPlatformNames]
  for (const one of platform) {
    const { prototype } = one as { readonly prototype?: object }
    for (let object: object | null = one; object !== null; object = Object.getPrototypeOf(object)) {
      names.push(...Object.getOwnPropertyNames(object))
    }
    for (let object = prototype ?? null; object !== null; object = Object.getPrototypeOf(object)) {
      names.push(...Object.getOwnPropertyNames(object))
    }
  }
  return names
}

/**
 * Every name in the declarations of what a module exports, its own and that of others: of members, of options, of values of types;
 * and in those that the exported ones of a file share and the file keeps to itself. A member that is marked as internal has none.
 * `read`: the declarations of a module of the same folder.
 */
export function publicNames(module: string, read: (module: string) => string): ReadonlySet<string> {
  const door = read(module)
  const exports = door.matchAll(/export (?:type )?\{([^}]*)\} from '\.\/([\w-]+)\.[jt]s'/g)
  const names = new Set<string>()
  for (const [, list = '', from = ''] of exports) {
    const exported = new Set(list.split(',').map((name) => name.replace('type ', '').trim()))
    for (const { name, isExported, text } of declarationsOf(read(from))) {
      if (isExported && !exported.has(name)) continue
      for (const [word] of text.matchAll(/[A-Za-z_$][\w$]*/g)) names.add(word)
    }
  }
  for (const { name } of declarationsOf(door)) names.add(name)
  return names
}

interface Declaration {
  readonly name: string
  readonly isExported: boolean
  readonly text: string
}

/** The declarations at the top, without comments and without members that are marked as internal. */
function declarationsOf(declarations: string): readonly Declaration[] {
  const bare = declarations
    .replaceAll(/\/\*\*(?:(?!\*\/)[\s\S])*@internal[\s\S]*?\*\/[^;]*;/g, '')
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
  const all = bare.matchAll(
    /^(export )?(?:declare )?(?:class|interface|type|const|function) (\w+)[\s\S]*?(?=^\w|(?![\s\S]))/gm,
  )
  return Array.from(all, ([text, exported, name = '']) => ({ name, isExported: exported !== undefined, text }))
}
