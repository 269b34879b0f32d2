const sizeUnits: readonly (readonly [unit: string, bytes: number])[] = [
  ['B', 1],
  ['kB', 1e3],
  ['KiB', 2 ** 10],
  ['MB', 1e6],
  ['MiB', 2 ** 20],
  ['GB', 1e9],
  ['GiB', 2 ** 30],
  ['TB', 1e12],
  ['TiB', 2 ** 40],
]

const timeUnits: readonly (readonly [unit: string, ms: number])[] = [
  ['ms', 1],
  ['s', 1e3],
  ['m', 60e3],
  ['h', 3600e3],
  ['d', 86_400e3],
]

/** Reads `64MiB`, `10kB` or `4096` as bytes; undefined if it is none of these. The case of the unit does not matter. */
export function parseSize(text: string): number | undefined {
  return parseAmount(text, sizeUnits)
}

/** Reads `30s`, `500ms`, `2d` or `250` (milliseconds) as milliseconds; undefined if it is none of these. */
export function parseTime(text: string): number | undefined {
  return parseAmount(text, timeUnits)
}

/** Reads `1000`, `1_000` or `1.5`; undefined if it is no number. */
export function parseNumber(text: string): number | undefined {
  return parseAmount(text, [])
}

/** Writes bytes in the largest binary unit that leaves a whole number; {@link parseSize} reads it back. */
export function formatSize(bytes: number): string {
  return format(
    bytes,
    sizeUnits.filter(([unit]) => unit.endsWith('iB')),
    'B',
  )
}

/** Writes milliseconds in the largest unit that leaves a whole number; {@link parseTime} reads it back. */
export function formatTime(ms: number): string {
  return format(ms, timeUnits, 'ms')
}

function parseAmount(text: string, units: readonly (readonly [string, number])[]): number | undefined {
  const match = /^\s*(\d[\d_]*(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text)
  const digits = match?.[1]
  const suffix = match?.[2]?.toLowerCase()
  if (digits === undefined || suffix === undefined) return undefined
  const factor = suffix === '' ? 1 : units.find(([unit]) => unit.toLowerCase() === suffix)?.[1]
  if (factor === undefined) return undefined
  const amount = Number(digits.replaceAll('_', '')) * factor
  return units.length > 0 ? Math.round(amount) : amount
}

function format(amount: number, units: readonly (readonly [string, number])[], smallest: string): string {
  let best: readonly [string, number] = [smallest, 1]
  if (amount > 0) {
    for (const unit of units) {
      if (unit[1] > best[1] && amount % unit[1] === 0) best = unit
    }
  }
  return `${amount / best[1]}${best[0]}`
}
