/** Expiring messages that one mark stands for. */
const markCount = 1024

/** A stretch of sequences, and a time before which none of the messages in it expires. */
export interface ExpiryMark {
  first: number
  last: number
  from: number
  /** Messages that expire; those that have gone since are counted still. */
  count: number
}

/** What is remembered of messages that are not in memory, so that only those are read that may have expired. */
export class ExpiryMarks {
  readonly #marks: ExpiryMark[]

  constructor() {
    this.#marks = []
  }

  /** None of the messages expires before this time. */
  get from(): number {
    let from = Number.POSITIVE_INFINITY
    for (const mark of this.#marks) from = Math.min(from, mark.from)
    return from
  }

  /** A message that expires; sequences grow. */
  note(sequence: number, expiresAt: number): void {
    const mark = this.#marks.at(-1)
    if (mark === undefined || mark.count >= markCount) {
      this.#marks.push({ first: sequence, last: sequence, from: expiresAt, count: 1 })
      return
    }
    mark.last = sequence
    mark.from = Math.min(mark.from, expiresAt)
    mark.count += 1
  }

  /** Of the messages up to a sequence nothing is known: they have to be looked at. */
  noteUnknown(last: number): void {
    this.#marks.push({ first: 0, last, from: 0, count: markCount })
  }

  /** The messages up to a sequence are not remembered here any more. */
  pass(sequence: number): void {
    while ((this.#marks[0]?.last ?? Number.POSITIVE_INFINITY) <= sequence) this.#marks.shift()
  }

  /** The first stretch in which messages may have expired. */
  due(now: number): ExpiryMark | undefined {
    return this.#marks.find((mark) => mark.from <= now)
  }

  /** The beginning of a stretch has been looked at, up to a sequence: of what is left there nothing expires before `from`. */
  looked(mark: ExpiryMark, upTo: number, from: number): void {
    const at = this.#marks.indexOf(mark)
    if (at < 0) return
    const seen = from === Number.POSITIVE_INFINITY ? [] : [{ ...mark, last: upTo, from }]
    mark.first = upTo + 1
    this.#marks.splice(at, 1, ...seen, ...(upTo < mark.last ? [mark] : []))
  }
}
