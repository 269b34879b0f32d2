import { Decoder } from '../../../protocols/stomp/decoder.ts'
import type { Frame, FrameHandler, StompFault } from '../../../protocols/stomp/frame.ts'
import { FrameScratch } from '../../../protocols/stomp/frame.ts'
import type { HeaderNumber, Version } from '../../../protocols/stomp/headers.ts'
import { headerNames } from '../../../protocols/stomp/headers.ts'
import type { FrameLimits } from '../../../protocols/stomp/limits.ts'
import { defaultFrameLimits } from '../../../protocols/stomp/limits.ts'

/** A frame as a person reads it. */
export interface PlainFrame {
  readonly command: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** The octets of the body, one character each. */
  readonly body: string
}

export interface PlainFault {
  readonly code: StompFault['code']
  readonly sentence: string
  /** The value of the frame's receipt header, if it was read. */
  readonly receipt?: string
}

/** Bytes and what they mean. `frames` come before `error`, if there are both. */
export interface Vector {
  readonly name: string
  /** The clause of the specification that decides it. */
  readonly clause: string
  /** undefined: before the version is agreed. */
  readonly version: Version | undefined
  /** A string stands for its UTF-8. */
  readonly bytes: string | Buffer
  readonly frames?: readonly PlainFrame[]
  readonly heartBeats?: number
  readonly error?: PlainFault
  readonly limits?: Partial<FrameLimits>
}

export function frame(command: string, headers: PlainFrame['headers'] = [], body = ''): PlainFrame {
  return { command, headers, body }
}

export function protocolError(sentence: string, receipt?: string): PlainFault {
  return receipt === undefined ? { code: 'protocol-error', sentence } : { code: 'protocol-error', sentence, receipt }
}

export interface Outcome {
  readonly frames: readonly PlainFrame[]
  readonly heartBeats: number
  readonly errors: readonly PlainFault[]
}

/** Keeps what a decoder tells, and checks of each frame that all ways to read it agree. */
export class Recorder implements FrameHandler, Outcome {
  frames: PlainFrame[] = []
  heartBeats = 0
  errors: PlainFault[] = []

  onFrame(frame: Frame): void {
    this.frames.push(plainFrame(frame))
  }

  onHeartBeat(): void {
    this.heartBeats += 1
  }

  onError(fault: StompFault): void {
    const { code, sentence, receipt } = fault
    this.errors.push(
      receipt === undefined ? { code, sentence } : { code, sentence, receipt: Buffer.from(receipt).toString('latin1') },
    )
  }

  get outcome(): Outcome {
    return { frames: this.frames, heartBeats: this.heartBeats, errors: this.errors }
  }
}

export function plainFrame(frame: Frame): PlainFrame {
  const headers: [string, string][] = []
  const firsts = new Map<number, string>()
  for (let index = 0; index < frame.headerCount; index++) {
    const value = frame.valueTextAt(index)
    headers.push([frame.nameTextAt(index), value])
    const header = frame.headerAt(index)
    const rawName = frame.bytes.toString('latin1', frame.lineStartAt(index), frame.nameEndAt(index))
    if (headerNames.names.indexOf(rawName, 1) !== (header === 0 ? -1 : header)) {
      throw new Error(`${rawName} was taken for header ${header}`)
    }
    if (header !== 0 && !firsts.has(header)) firsts.set(header, value)
  }
  for (let number = 1; number < headerNames.names.length; number++) {
    const header = number as HeaderNumber
    if (frame.text(header) !== firsts.get(number)) throw new Error(`${headerNames.names[number]} is not the first one`)
    if (frame.has(header) !== firsts.has(number)) throw new Error(`${headerNames.names[number]} is there or not`)
  }
  return {
    command: frame.commandName,
    headers,
    body: frame.bytes.toString('latin1', frame.bodyStart, frame.bodyEnd),
  }
}

/** What a decoder makes of `bytes`, cut before each position of `cuts`, which are in order. */
export function decode(
  bytes: Uint8Array,
  version: Version | undefined,
  cuts: readonly number[] = [],
  limits: Partial<FrameLimits> = {},
): Outcome {
  const recorder = new Recorder()
  const decoder = new Decoder(recorder, { ...defaultFrameLimits, ...limits }, new FrameScratch())
  if (version !== undefined) decoder.version = version
  let start = 0
  for (const cut of [...cuts, bytes.length]) {
    // A copy that is spoilt afterwards: a decoder that kept a view would show it.
    const chunk = Buffer.from(bytes.subarray(start, cut))
    decoder.push(chunk)
    chunk.fill(0xee)
    start = cut
  }
  return recorder.outcome
}
