import type { Feed } from './rotation.ts'

const bucketCount = 4096

/**
 * Which consumer serves which message group. Groups share a fixed number of buckets by hash, so that any number of group
 * ids costs the same; all groups of a bucket go to one consumer, which keeps each of them in order.
 */
export class Groups {
  readonly #feeds: (Feed | undefined)[]

  constructor() {
    this.#feeds = new Array<Feed | undefined>(bucketCount).fill(undefined)
  }

  /** True if the feed may take a message of the group; a group nobody serves becomes the feed's. */
  claim(groupId: string, feed: Feed): boolean {
    const bucket = hash(groupId) & (bucketCount - 1)
    const holder = this.#feeds[bucket]
    if (holder === feed) return true
    if (holder !== undefined) return false
    this.#feeds[bucket] = feed
    return true
  }

  /** The feed leaves: its groups are free. */
  release(feed: Feed): void {
    const feeds = this.#feeds
    for (let bucket = 0; bucket < feeds.length; bucket += 1) {
      if (feeds[bucket] === feed) feeds[bucket] = undefined
    }
  }
}

/** FNV-1a over UTF-16 units, with a final mix of the high bits into the low. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  }
  return (value ^ (value >>> 15)) >>> 0
}
