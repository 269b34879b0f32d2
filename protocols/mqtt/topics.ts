/**
 * MQTT topic names and filters as addresses.
 *
 * | MQTT                     | core                                                        |
 * |--------------------------|-------------------------------------------------------------|
 * | `prices/eu`              | topic `prices.eu`                                            |
 * | `prices/+/x`, `prices/#` | topic pattern `prices.*.x`, `prices.#`                       |
 * | `$queue/orders/eu`       | queue `orders.eu`                                            |
 * | `$share/group/filter`    | the shared subscription `group` of the filter                |
 *
 * A level may hold what separates levels, or is a wildcard, on the other side; there it is percent-escaped: the MQTT level `v1.2`
 * is the core's `v1%2E2`, and the core's level `a/b` is MQTT's `a%2Fb`. A percent sign stands for itself, unless it and what
 * follows would be read as such an escape: then `25` is put in. So each name of one side has exactly one on the other.
 */
import { Address, BrokerError } from '../../src/core.ts'

export const queuePrefix = '$queue/'
export const sharePrefix = '$share/'

/** What the core writes as escapes, and what MQTT does: one rule, two sets. */
interface Escapes {
  /** A percent sign, any number of `25`, and a code of the set: the escape of a character, or of a percent sign. */
  readonly codes: RegExp
  readonly characters: RegExp
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the core has no names with them
const core: Escapes = { codes: /%((?:25)*)(2E|[01][0-9A-F]|7F)/g, characters: /[.\u0000-\u001f\u007f]/g }
const mqtt: Escapes = { codes: /%((?:25)*)(2F|2B|23)/g, characters: /[/+#]/g }
/** Levels of the core that would be wildcards: `*` anywhere, `>` and `#` at the end. */
const wildcards = { inner: /^\*$/, last: /^[*>#]$/ }
const wildcardCodes = { inner: /^%((?:25)*)(2A)$/, last: /^%((?:25)*)(2A|3E|23)$/ }

function escaped(level: string, { codes, characters }: Escapes): string {
  return level.replace(codes, '%25$1$2').replace(characters, code)
}

function unescaped(level: string, { codes }: Escapes): string {
  return level.replace(codes, character)
}

function code(text: string): string {
  return `%${text.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
}

function character(_match: string, percents: string, hex: string): string {
  return percents === '' ? String.fromCharCode(Number.parseInt(hex, 16)) : `%${percents.slice(2)}${hex}`
}

function toCoreLevel(level: string, index: number, levels: readonly string[]): string {
  const plain = unescaped(level, mqtt)
  const place = index === levels.length - 1 ? 'last' : 'inner'
  if (wildcards[place].test(plain)) return code(plain)
  return escaped(plain.replace(wildcardCodes[place], '%25$1$2'), core)
}

function toMqttLevel(level: string, index: number, levels: readonly string[]): string {
  const place = index === levels.length - 1 ? 'last' : 'inner'
  const plain = level.replace(wildcardCodes[place], character)
  return escaped(plain === level ? unescaped(level, core) : plain, mqtt)
}

/** The address of a topic name; the name has no wildcards. */
export function readTopicName(topic: string): Address | BrokerError {
  const isQueue = topic.startsWith(queuePrefix)
  const name = (isQueue ? topic.slice(queuePrefix.length) : topic).split('/').map(toCoreLevel).join('.')
  return Address.of(isQueue ? 'queue' : 'topic', name)
}

/** The topic name of an address, which {@link readTopicName} reads back. */
export function writeTopicName(address: Address): string {
  const name = address.levels.map(toMqttLevel).join('/')
  return address.kind === 'queue' ? queuePrefix + name : name
}

/** What a SUBSCRIBE or UNSUBSCRIBE names. */
export interface Filter {
  /** As the client wrote it: by this it is found again. */
  readonly text: string
  readonly address: Address
  /** The group of a shared subscription. */
  readonly group: string | undefined
}

/** Reads a topic filter (4.7, 4.8.2). */
export function readFilter(text: string): Filter | BrokerError {
  let topic = text
  let group: string | undefined
  if (text.startsWith(sharePrefix)) {
    const slash = text.indexOf('/', sharePrefix.length)
    group = slash < 0 ? '' : text.slice(sharePrefix.length, slash)
    topic = slash < 0 ? '' : text.slice(slash + 1)
    // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    if (group === '' || topic === '' || /[+#]/.test(group)) return invalid(text, 'is no $share/group/filter')
  }
  const isQueue = topic.startsWith(queuePrefix)
  const levels = (isQueue ? topic.slice(queuePrefix.length) : topic).split('/')
  // [MQTT-4.7.1-1], [MQTT-4.7.1-2]
  const last = levels.length - 1
  if (levels.some((level, index) => level.includes('#') && (level !== '#' || index < last))) {
    return invalid(text, 'has a misplaced #')
  }
  if (levels.some((level) => level.includes('+') && level !== '+')) return invalid(text, 'has a misplaced +')
  const name = levels
    .map((level, index) => (level === '+' ? '*' : level === '#' ? '#' : toCoreLevel(level, index, levels)))
    .join('.')
  const address = Address.of(isQueue ? 'queue' : 'topic', name)
  return address instanceof BrokerError ? address : { text, address, group }
}

/** Levels of a name or filter. */
export function levelCount(topic: string): number {
  let count = 1
  for (let at = topic.indexOf('/'); at >= 0; at = topic.indexOf('/', at + 1)) count += 1
  return count
}

function invalid(text: string, fault: string): BrokerError {
  return new BrokerError('invalid-destination', `the topic filter "${text.slice(0, 120)}" ${fault}`)
}
