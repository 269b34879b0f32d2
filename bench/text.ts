import type { Spread } from './statistics.ts'

/** `1,234,567` */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** `61 %` */
export function percent(share: number): string {
  return `${fixed(share * 100, 0)} %`
}

/** `61 % (58-66)` */
export function percents({ median, min, max }: Spread): string {
  return `${percent(median)} (${fixed(min * 100, 0)}-${fixed(max * 100, 0)})`
}

export function fixed(value: number, digits: number): string {
  return value.toFixed(digits)
}

/** A table with a line of dashes under its head; nothing without lines. */
export function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  if (lines.length === 0) return ''
  const widths = head.map((title, column) =>
    Math.max(title.length, ...lines.map((line) => (line[column] ?? '').length)),
  )
  const text = (line: readonly string[]): string =>
    `| ${widths.map((width, column) => (line[column] ?? '').padEnd(width)).join(' | ')} |`
  return [text(head), text(widths.map((width) => '-'.repeat(width))), ...lines.map(text)].join('\n')
}
