import type { OwnerRecord, OwnerSpec } from '../../store/store.ts'

/** What an owner is called on the command line: `queue://orders`, `subscription://…`, `retained`. */
export function nameOf({ kind, name }: OwnerSpec): string {
  return kind === 'retained' ? 'retained' : `${kind}://${name}`
}

export function countOf({ counts }: OwnerRecord): number {
  return counts.reduce((sum, count) => sum + count, 0)
}

/** `1,234,567` */
export function number(value: number): string {
  return value.toLocaleString('en-US')
}

/** `3.4 MiB` */
export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

/** `1 message`, `2 messages` */
export function messages(count: number): string {
  return `${number(count)} ${count === 1 ? 'message' : 'messages'}`
}

export function time(ms: number): string {
  return new Date(ms).toISOString()
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
