import { randomInt } from 'node:crypto'
import { type Findings, Ledger } from '../ledger.ts'
import { producerOf, runOf, StampedBody, sequenceOf } from '../stamp.ts'
import type { Lane, Way } from './lane.ts'
import type { FlowShape } from './rows.ts'

/** Messages that no consumer has got yet, so that no backlog builds up, and their bytes. */
const unreceivedMax = 1000
const unreceivedBytesMax = 8 * 1024 * 1024
/** How long what has been sent may take to come. */
const arrivalMsMax = 10_000
/** Sends between two looks at the clock. */
const burst = 64

export interface FlowFigures extends Findings {
  readonly deliveries: number
  readonly perSecond: number
  /** Microseconds of processor time a delivery, of both ends of the client. */
  readonly clientUs: number
  readonly brokerUs: number
  readonly errors: readonly string[]
}

/** Who is measured. */
export interface Place {
  open(way: Way): Promise<Lane>
  /** Processor time of the broker's process; undefined if it is this one. */
  cpuMs(): number | undefined
}

/** Sends and takes for a while, each connection with at most one producer and one consumer, and checks every message. */
export async function measureFlow(place: Place, shape: FlowShape, ms: number): Promise<FlowFigures> {
  const flow = new Flow(shape)
  const lanes: Lane[] = []
  for (let number = 0; number < Math.max(shape.producers, shape.consumers); number += 1) {
    lanes.push(await place.open(flow.way(number)))
  }
  for (const [consumer, lane] of lanes.slice(0, shape.consumers).entries()) {
    await lane.take((body) => flow.take(consumer, body))
  }
  const brokerStart = place.cpuMs()
  const cpuStart = process.cpuUsage()
  const start = performance.now()
  const seconds = await flow.run(lanes.slice(0, shape.producers), start + ms)
  const { user, system } = process.cpuUsage(cpuStart)
  const brokerMs = (place.cpuMs() ?? 0) - (brokerStart ?? 0)
  await Promise.all(lanes.map((lane) => lane.close()))
  return flow.figures(seconds, (user + system) / 1000, brokerMs)
}

/** Bodies to send one after the other, each again only when what it was sent as has come to a queue's consumer: nothing is made for a message. */
class Bodies {
  readonly #bodies: readonly StampedBody[]

  constructor(run: number, producer: number, shape: FlowShape, windowMax: number) {
    const length = windowMax + burst
    this.#bodies = Array.from({ length }, () => new StampedBody(run, producer, shape.bodyBytes))
  }

  of(sequence: number, timeMs: number): Uint8Array {
    const body = this.#bodies[sequence % this.#bodies.length] as StampedBody
    body.stamp(sequence, timeMs)
    return body.bytes
  }
}

class Flow {
  readonly #shape: FlowShape
  readonly #name: string
  readonly #run: number
  readonly #ledger: Ledger
  readonly #sent: number[]
  readonly #errors: string[]
  readonly #windowMax: number
  #sentAll: number
  #received: number
  #wake: (() => void) | undefined

  constructor(shape: FlowShape) {
    this.#shape = shape
    this.#run = randomInt(2 ** 32)
    this.#name = `bench.${this.#run.toString(16)}`
    this.#ledger = new Ledger(shape)
    this.#sent = Array.from({ length: shape.producers }, () => 0)
    this.#errors = []
    this.#windowMax = Math.min(unreceivedMax, Math.ceil(unreceivedBytesMax / shape.bodyBytes))
    this.#sentAll = 0
    this.#received = 0
    this.#wake = undefined
  }

  way(number: number): Way {
    const { isTopic, isPersistent } = this.#shape
    const failed = (error: unknown): void => {
      this.#errors.push(error instanceof Error ? error.message : String(error))
    }
    return { name: this.#name, isTopic, isPersistent, number, failed }
  }

  take(consumer: number, body: Uint8Array): void {
    const bytes = body instanceof Buffer ? body : Buffer.from(body.buffer, body.byteOffset, body.length)
    if (bytes.length !== this.#shape.bodyBytes) this.#ledger.takeAltered()
    if (runOf(bytes, 0) !== this.#run) this.#ledger.takeForeign()
    else this.#ledger.take(consumer, producerOf(bytes, 0), sequenceOf(bytes, 0))
    this.#received += 1
    if (this.#unreceived < this.#windowMax / 2) this.#wake?.()
  }

  /** Returns the seconds from the first send to the last delivery. */
  async run(lanes: readonly Lane[], until: number): Promise<number> {
    const start = performance.now()
    const bodies = lanes.map((_, producer) => new Bodies(this.#run, producer, this.#shape, this.#windowMax))
    for (let now = start; now < until; now = performance.now()) {
      for (const [producer, lane] of lanes.entries()) {
        for (let some = 0; some < burst && this.#unreceived < this.#windowMax; some += 1) {
          const sequence = this.#sent[producer] as number
          this.#sent[producer] = sequence + 1
          this.#sentAll += 1
          lane.send((bodies[producer] as Bodies).of(sequence, now))
        }
      }
      if (this.#unreceived >= this.#windowMax) await this.#wait(until)
    }
    const latest = performance.now() + arrivalMsMax
    const expected = this.#ledger.expected(this.#sent)
    while (this.#ledger.received < expected && performance.now() < latest) await this.#wait(latest)
    return (performance.now() - start) / 1000
  }

  figures(seconds: number, clientMs: number, brokerMs: number): FlowFigures {
    const deliveries = this.#ledger.received
    return {
      ...this.#ledger.findings(this.#sent),
      deliveries,
      perSecond: deliveries / seconds,
      clientUs: (clientMs * 1000) / deliveries,
      brokerUs: (brokerMs * 1000) / deliveries,
      errors: this.#errors,
    }
  }

  get #unreceived(): number {
    const { isTopic, consumers } = this.#shape
    return this.#sentAll - (isTopic ? this.#received / consumers : this.#received)
  }

  #wait(until: number): Promise<void> {
    return new Promise((resolve) => {
      const over = (): void => {
        clearTimeout(timer)
        this.#wake = undefined
        resolve()
      }
      const timer = setTimeout(over, Math.min(50, Math.max(1, until - performance.now())))
      this.#wake = over
    })
  }
}
