import { Generators, measureFlow as measureStomp } from '../measure.ts'
import { Workplace } from '../processes.ts'
import { median } from '../statistics.ts'
import { BenchBroker } from './broker.ts'
import { type FlowFigures, measureFlow, type Place } from './flow.ts'
import { NatsServer } from './nats.ts'
import { nothing } from './nothing.ts'
import type { FlowRow, PlaceName, RequestRow, Row, StoredRow } from './rows.ts'

/** One round of one row. */
export type Figures =
  | ({ readonly kind: 'flow' } & FlowFigures)
  | { readonly kind: 'stored'; readonly perSecond: number }
  /** Microseconds, the median. */
  | { readonly kind: 'request'; readonly us: number }

const requests = 4000
const requestsLeftOut = 1000

/** What is measured, started when a row asks for it. */
export class Subjects {
  readonly #folder: string
  readonly #ms: number
  readonly #workplace: Workplace
  #broker: BenchBroker | undefined
  #relaxed: BenchBroker | undefined
  #nats: NatsServer | undefined
  #generators: Generators | undefined

  /** `folder`: where brokers store. */
  constructor(folder: string, ms: number) {
    this.#folder = folder
    this.#ms = ms
    this.#workplace = new Workplace(folder)
    this.#broker = undefined
    this.#relaxed = undefined
    this.#nats = undefined
    this.#generators = undefined
  }

  async measure(row: Row): Promise<Figures> {
    switch (row.kind) {
      case 'flow':
        return row.subject === 'stomp' ? await this.#stomp(row) : await this.#flow(row, row.subject)
      case 'stored':
        return await this.#stored(row)
      case 'request':
        return await this.#request(row)
      default:
        return row satisfies never
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.#broker, this.#relaxed, this.#nats, this.#generators].map((one) => one?.stop()))
    this.#workplace.remove()
  }

  async #flow(row: FlowRow, subject: PlaceName): Promise<Figures> {
    return { kind: 'flow', ...(await measureFlow(await this.#place(subject), row, this.#ms)) }
  }

  /** With a generator of two processes that knows no promises: what it takes of the processor counts as the client's. */
  async #stomp(row: FlowRow): Promise<Figures> {
    const broker = await this.#always()
    this.#generators ??= new Generators(this.#workplace)
    const { isTopic, producers, consumers, bodyBytes, isPersistent } = row
    const unreceivedMax = isTopic ? 500 : 2000
    const ack = isTopic ? 'auto' : 'client-individual'
    const how = { protocol: 'stomp', isSettled: false, window: 1000, ack, unreceivedMax } as const
    const shape = { ...how, isTopic, producers, consumers, bodyBytes, isPersistent }
    const plan = this.#generators.plan(broker, shape, { kind: 'timed', seconds: this.#ms / 1000 })
    const figures = await measureStomp(broker, this.#generators, plan)
    const clientUs = ((figures.producerCores + figures.consumerCores) / figures.perSecond) * 1_000_000
    return { ...figures, kind: 'flow', clientUs, brokerUs: figures.cpuUsPerDelivery }
  }

  async #stored({ subject, atOnce, bodyBytes }: StoredRow): Promise<Figures> {
    const server =
      subject === 'always'
        ? await this.#always()
        : subject === 'jetstream'
          ? await this.#natsServer()
          : await this.#interval()
    return { kind: 'stored', perSecond: await server.stored(this.#ms, atOnce, bodyBytes) }
  }

  async #request({ subject }: RequestRow): Promise<Figures> {
    const place = await this.#place(subject)
    const failed = (error: unknown): void => {
      throw error
    }
    const way = { name: 'bench.echo', isTopic: false, isPersistent: false, number: 0, failed }
    const lane = await place.open(way)
    await lane.answer()
    const us: number[] = []
    for (let count = 0; count < requests; count += 1) {
      const start = performance.now()
      await lane.request()
      us.push((performance.now() - start) * 1000)
    }
    await lane.close()
    return { kind: 'request', us: median(us.slice(requestsLeftOut)) }
  }

  async #place(subject: PlaceName): Promise<Place> {
    if (subject === 'nothing') return nothing
    return subject === 'nats' ? await this.#natsServer() : (await this.#always()).place(subject)
  }

  async #always(): Promise<BenchBroker> {
    this.#broker ??= await BenchBroker.start(this.#folder)
    return this.#broker
  }

  /** JetStream writes before it answers and flushes every two minutes (its sync_interval): this is what compares with it. */
  async #interval(): Promise<BenchBroker> {
    this.#relaxed ??= await BenchBroker.start(this.#folder, 'sync=interval')
    return this.#relaxed
  }

  async #natsServer(): Promise<NatsServer> {
    this.#nats ??= await NatsServer.start()
    return this.#nats
  }
}
