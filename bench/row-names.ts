/**
 * The rows of these names, of which `*` at the end stands for any end, in the order of the table. Throws for a name that is none.
 */
export function rowsNamed<R extends { readonly name: string }>(
  rows: readonly R[],
  names: readonly string[],
): readonly R[] {
  const isNamed = (row: R, name: string): boolean =>
    name.endsWith('*') ? row.name.startsWith(name.slice(0, -1)) : row.name === name
  const unknown = names.find((name) => !rows.some((row) => isNamed(row, name)))
  if (unknown !== undefined) {
    throw new Error(`no row "${unknown}"; there are ${rows.map((row) => row.name).join(', ')}`)
  }
  return rows.filter((row) => names.some((name) => isNamed(row, name)))
}
