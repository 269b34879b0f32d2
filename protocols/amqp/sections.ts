import { Cursor, Section } from './frame.ts'

const absent = -1

/** Where the sections of an encoded message are (part 3, section 3.2); used again for the next message. */
export class Sections {
  bytes: Buffer
  end: number
  /** Positions of the values after their descriptors; -1: there is no such section. */
  header: number
  messageAnnotations: number
  properties: number
  applicationProperties: number
  /** Where what is kept begins: everything but header and delivery annotations. */
  keptStart: number
  /** Where the first section of the body begins, or would. */
  bodyStart: number
  /** Where the footer begins, or the end. */
  bodyEnd: number
  /** The kind of the body: data, sequence or value; 0: there is none. */
  bodyKind: number
  readonly #cursor: Cursor

  constructor() {
    this.bytes = Buffer.alloc(0)
    this.end = 0
    this.header = absent
    this.messageAnnotations = absent
    this.properties = absent
    this.applicationProperties = absent
    this.keptStart = 0
    this.bodyStart = 0
    this.bodyEnd = 0
    this.bodyKind = 0
    this.#cursor = new Cursor(this.bytes)
  }

  /** Finds the sections between `start` and `end`. Returns what is wrong with them, if anything. */
  scan(bytes: Buffer, start: number, end: number): string | undefined {
    const cursor = this.#cursor
    cursor.set(bytes, start, end)
    this.bytes = bytes
    this.end = end
    this.header = absent
    this.messageAnnotations = absent
    this.properties = absent
    this.applicationProperties = absent
    this.keptStart = absent
    this.bodyStart = absent
    this.bodyEnd = end
    this.bodyKind = 0
    let last = 0
    while (cursor.at < end) {
      const at = cursor.at
      const section = cursor.section()
      if (!isNext(last, section)) return cursor.isBroken ? 'a message that cannot be read' : sectionFault(last, section)
      last = section
      this.#note(section, at, cursor.at)
      cursor.skip()
      if (cursor.isBroken) return 'a message section that is longer than its message'
    }
    if (this.keptStart === absent) this.keptStart = end
    if (this.bodyStart === absent) this.bodyStart = this.bodyEnd
    return undefined
  }

  #note(section: number, at: number, valueAt: number): void {
    if (section >= Section.messageAnnotations && this.keptStart === absent) this.keptStart = at
    switch (section) {
      case Section.header:
        this.header = valueAt
        return
      case Section.messageAnnotations:
        this.messageAnnotations = valueAt
        return
      case Section.properties:
        this.properties = valueAt
        return
      case Section.applicationProperties:
        this.applicationProperties = valueAt
        return
      case Section.data:
      case Section.sequence:
      case Section.value:
        this.bodyKind = section
        if (this.bodyStart === absent) this.bodyStart = at
        return
      case Section.footer:
        this.bodyEnd = at
        return
    }
  }
}

/** Sections come in order, each once, but for data and sequence sections, of which there may be several of one kind. */
function isNext(last: number, section: number): boolean {
  if (section < Section.header || section > Section.footer) return false
  if (section === last) return section === Section.data || section === Section.sequence
  const isSecondBody = last >= Section.data && last <= Section.value && section <= Section.value
  return section > last && !isSecondBody
}

function sectionFault(last: number, section: number): string {
  if (section < 0) return 'a message section of an unknown kind'
  return `a message section 0x${section.toString(16)} after 0x${last.toString(16)}`
}

/** What a message's header section says (part 3, section 3.2.1). */
export class Header {
  durable = false
  priority = 4
  /** Negative: none. */
  ttlMs = -1
  deliveryCount = 0
  readonly #cursor = new Cursor(Buffer.alloc(0))

  /** Reads the section whose value begins at `at`; -1: there is none, and everything is as by default. False: it cannot be read. */
  read(bytes: Buffer, at: number, end: number): boolean {
    this.durable = false
    this.priority = 4
    this.ttlMs = -1
    this.deliveryCount = 0
    if (at < 0) return true
    const cursor = this.#cursor
    cursor.set(bytes, at, end)
    const count = cursor.list()
    if (count > 0) this.durable = cursor.boolean() === true
    const priority = count > 1 ? cursor.ubyte() : -1
    if (priority >= 0) this.priority = Math.min(priority, 9)
    if (count > 2) this.ttlMs = cursor.uint()
    if (count > 3) cursor.boolean()
    if (count > 4) this.deliveryCount = Math.max(cursor.uint(), 0)
    return !cursor.isBroken
  }
}
