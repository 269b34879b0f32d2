/** A name alone is that of a queue, or of a topic if it is asked for as one. */
export function addressOf(name: string, kind: 'queue' | 'topic' = 'queue'): string {
  return name.includes('://') ? name : `${kind}://${name}`
}
