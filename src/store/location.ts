/** A byte of the log: segment number and offset in one number. */
export type Location = number
const offsetBits = 2 ** 32

export function locationOf(segment: number, offset: number): Location {
  return segment * offsetBits + offset
}

export function segmentOf(location: Location): number {
  return Math.floor(location / offsetBits)
}

export function offsetOf(location: Location): number {
  return location % offsetBits
}
