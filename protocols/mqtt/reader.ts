import { type MqttFault, malformed } from './packet.ts'
import { isUtf8 } from './utf8.ts'

/**
 * Reads the fields of one packet in their order. The first thing that is wrong is kept as {@link fault}; what is read after
 * it is zero or empty.
 */
export class Reader {
  at: number
  fault: MqttFault | undefined
  readonly bytes: Buffer
  readonly end: number

  constructor(bytes: Buffer, start: number, end: number) {
    this.at = start
    this.fault = undefined
    this.bytes = bytes
    this.end = end
  }

  get isAtEnd(): boolean {
    return this.at >= this.end || this.fault !== undefined
  }

  byte(): number {
    return this.#take(1) ? (this.bytes[this.at - 1] as number) : 0
  }

  short(): number {
    return this.#take(2) ? this.bytes.readUInt16BE(this.at - 2) : 0
  }

  /** A string with its length (1.5.4). */
  text(): string {
    const length = this.short()
    if (!this.#take(length)) return ''
    if (isUtf8(this.bytes, this.at - length, this.at)) return this.bytes.toString('utf8', this.at - length, this.at)
    this.fail(malformed('a string is not UTF-8, or has the character U+0000 [MQTT-1.5.4-1]'))
    return ''
  }

  /** A copy of binary data with its length (1.5.6). */
  binary(): Buffer {
    const length = this.short()
    return this.#take(length) ? Buffer.from(this.bytes.subarray(this.at - length, this.at)) : Buffer.alloc(0)
  }

  fail(fault: MqttFault): void {
    this.fault ??= fault
  }

  #take(length: number): boolean {
    if (this.fault === undefined && this.at + length > this.end) this.fail(malformed('the packet is cut off'))
    if (this.fault !== undefined) return false
    this.at += length
    return true
  }
}
