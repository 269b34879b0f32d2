import {
  type BacklogFigures,
  type FlowFigures,
  Generators,
  type IdleFigures,
  measureBacklog,
  measureFlow,
  measureIdle,
} from './measure.ts'
import type { FlowPlan, Load } from './plan.ts'
import { Generator, PauseReader, Program, programFile, type Workplace } from './processes.ts'
import type { BacklogRow, FlowRow, FlowShape, IdleRow, PlainRow, Row, StartRow } from './rows.ts'
import { type StoreCourse, StoreRun } from './store/course.ts'

export interface Settings {
  readonly rounds: number
  /** Of one measured run. */
  readonly seconds: number
  readonly backlogMessages: number
  readonly idleConnections: number
  /** Where to leave profiles of broker and relay; undefined: they are not profiled. */
  readonly profileFolder: string | undefined
}

export interface FlowCourse {
  readonly kind: 'flow'
  readonly row: FlowRow
  readonly broker: readonly FlowFigures[]
  readonly relay: readonly FlowFigures[]
  /** The generator against a server that does next to nothing; none by schedule, which is no limit. */
  readonly limit: FlowFigures | undefined
}

export interface PlainCourse {
  readonly kind: 'plain'
  readonly row: PlainRow
  readonly broker: readonly FlowFigures[]
  /** A broker of its own with what the row is held against. */
  readonly base: readonly FlowFigures[]
}

export interface BacklogCourse {
  readonly kind: 'backlog'
  readonly row: BacklogRow
  readonly broker: readonly BacklogFigures[]
}

export interface IdleCourse {
  readonly kind: 'idle'
  readonly row: IdleRow
  readonly broker: readonly IdleFigures[]
  /** A server that does nothing but hold its sockets. */
  readonly bare: readonly IdleFigures[]
}

/** Milliseconds. */
export interface StartCourse {
  readonly kind: 'start'
  readonly row: StartRow
  readonly broker: readonly number[]
  readonly bare: readonly number[]
}

/** What the measured runs of a row gave, by round. */
export type Course = FlowCourse | PlainCourse | BacklogCourse | IdleCourse | StartCourse | StoreCourse

/** Told of every measurement as it is made. */
export type Note = (row: string, subject: string, round: number, figures: object) => void

/** Of the first messages after a start, which no round measures: code is compiled while it runs. */
const warmUpSeconds = 1.5
/** Of each paced run, left out of its latencies. */
const pacedWarmUpSeconds = 1
const settleMs = 3000
const startsMin = 5

/** Runs the rows, one at a time, each with fresh processes. */
export class Bench {
  readonly #settings: Settings
  readonly #workplace: Workplace
  readonly #note: Note

  constructor(settings: Settings, workplace: Workplace, note: Note) {
    this.#settings = settings
    this.#workplace = workplace
    this.#note = note
  }

  run(row: Row): Promise<Course> {
    switch (row.kind) {
      case 'flow':
        return this.#flow(row)
      case 'plain':
        return this.#plain(row)
      case 'backlog':
        return this.#backlog(row)
      case 'idle':
        return this.#idle(row)
      case 'start':
        return this.#start(row)
      case 'store':
        return new StoreRun(this.#settings, this.#workplace, this.#note).run(row)
      default:
        return row satisfies never
    }
  }

  async #flow(row: FlowRow): Promise<Course> {
    const generators = new Generators(this.#workplace)
    const load = this.#loadOf(row)
    const warmUp: Load = { kind: 'timed', seconds: warmUpSeconds }
    const start = async (name: string, args: readonly string[]): Promise<Program> => {
      const program = await Program.start(this.#workplace, name, [...this.#profiling(row, name), ...args])
      await measureFlow(program, generators, generators.plan(program, row.shape, warmUp))
      return program
    }
    const measure = async (program: Program, round: number): Promise<FlowFigures> => {
      const figures = await measureFlow(program, generators, generators.plan(program, row.shape, load))
      this.#note(row.name, program.name, round, figures)
      return figures
    }
    let limit: FlowFigures | undefined
    if (row.perSecond === undefined) {
      const sink = await start('sink', [programFile('sink-server.js')])
      limit = await measure(sink, 1)
      await sink.stop()
    }
    const relay = await start('relay', [programFile('relay-server.js')])
    const broker = await start('broker', this.#brokerArgs())
    const figures = { relay: [] as FlowFigures[], broker: [] as FlowFigures[] }
    for (let round = 1; round <= this.#settings.rounds; round += 1) {
      figures.relay.push(await measure(relay, round))
      figures.broker.push(await measure(broker, round))
    }
    await Promise.all([relay.stop(), broker.stop(), generators.stop()])
    return { kind: 'flow', row, ...figures, limit }
  }

  async #plain(row: PlainRow): Promise<Course> {
    const { rounds, seconds } = this.#settings
    // Each with generators of its own, so that none knows two protocols.
    const start = async (name: string, shape: FlowShape) => {
      const generators = new Generators(this.#workplace)
      const args = [...this.#profiling(row, name), ...this.#brokerArgs(shape.protocol)]
      const program = await Program.start(this.#workplace, name, args)
      const flow = (load: Load): Promise<FlowFigures> =>
        measureFlow(program, generators, generators.plan(program, shape, load))
      await flow({ kind: 'timed', seconds: warmUpSeconds })
      const measure = async (round: number): Promise<FlowFigures> => {
        const figures = await flow({ kind: 'timed', seconds })
        this.#note(row.name, name, round, figures)
        return figures
      }
      return { measure, stop: () => Promise.all([program.stop(), generators.stop()]) }
    }
    const broker = await start('broker', row.shape)
    const base = row.base === undefined ? undefined : await start(row.base.shape.protocol, row.base.shape)
    const figures = { broker: [] as FlowFigures[], base: [] as FlowFigures[] }
    for (let round = 1; round <= rounds; round += 1) {
      figures.broker.push(await broker.measure(round))
      if (base !== undefined) figures.base.push(await base.measure(round))
    }
    await Promise.all([broker.stop(), base?.stop()])
    return { kind: 'plain', row, ...figures }
  }

  async #backlog(row: BacklogRow): Promise<Course> {
    const { rounds, seconds, backlogMessages: messages } = this.#settings
    const broker: BacklogFigures[] = []
    for (let round = 1; round <= rounds; round += 1) {
      const generators = new Generators(this.#workplace)
      const file = this.#workplace.file(`pause-${round}.json`)
      const args = [...this.#profiling(row, 'broker'), ...PauseReader.probe(file), ...this.#brokerArgs()]
      const program = await Program.start(this.#workplace, 'broker', args)
      const warmUp = generators.plan(program, row.shape, { kind: 'timed', seconds: warmUpSeconds })
      await measureFlow(program, generators, warmUp)
      const pauses = new PauseReader(program, file)
      const figures = await measureBacklog(program, pauses, generators, { row, messages, seconds })
      this.#note(row.name, program.name, round, figures)
      broker.push(figures)
      await Promise.all([program.stop(), generators.stop()])
    }
    return { kind: 'backlog', row, broker }
  }

  async #idle(row: IdleRow): Promise<Course> {
    const measure = async (name: string, args: readonly string[], round: number): Promise<IdleFigures> => {
      const program = await Program.start(this.#workplace, name, args)
      const clients = new Generator(this.#workplace, 'idle clients')
      const figures = await measureIdle(program, clients, this.#settings.idleConnections, settleMs)
      this.#note(row.name, name, round, figures)
      await Promise.all([clients.stop(), program.stop()])
      return figures
    }
    const bare: IdleFigures[] = []
    const broker: IdleFigures[] = []
    for (let round = 1; round <= this.#settings.rounds; round += 1) {
      bare.push(await measure('bare', [programFile('bare-server.js')], round))
      broker.push(await measure('broker', this.#brokerArgs(), round))
    }
    return { kind: 'idle', row, bare, broker }
  }

  async #start(row: StartRow): Promise<Course> {
    const measure = async (name: string, args: readonly string[], round: number): Promise<number> => {
      const program = await Program.start(this.#workplace, name, args)
      this.#note(row.name, name, round, { startMs: program.startMs })
      await program.stop()
      return program.startMs
    }
    const bare: number[] = []
    const broker: number[] = []
    for (let round = 1; round <= Math.max(this.#settings.rounds, startsMin); round += 1) {
      bare.push(await measure('bare', [programFile('bare-server.js')], round))
      broker.push(await measure('broker', this.#brokerArgs(), round))
    }
    return { kind: 'start', row, bare, broker }
  }

  #loadOf(row: FlowRow): Load {
    const { seconds } = this.#settings
    if (row.perSecond === undefined) return { kind: 'timed', seconds }
    const all = seconds + pacedWarmUpSeconds
    return { kind: 'paced', perSecond: row.perSecond, seconds: all, warmUpSeconds: pacedWarmUpSeconds }
  }

  #brokerArgs(protocol: FlowPlan['protocol'] = 'stomp'): readonly string[] {
    const listener = protocol === 'client' ? 'native' : protocol
    const others = ['stomp', 'mqtt', 'amqp', 'ws', 'native'].filter((name) => name !== listener)
    const settings = [
      `listeners.${listener}.port=0`,
      ...others.map((name) => `listeners.${name}.enabled=false`),
      'log.level=warn',
      `data=${this.#workplace.file(`data-${protocol}`)}`,
    ]
    return [programFile('../src/main.js'), 'start', ...settings.flatMap((setting) => ['--set', setting])]
  }

  #profiling(row: Row, name: string): readonly string[] {
    const { profileFolder } = this.#settings
    if (profileFolder === undefined || name === 'sink') return []
    return ['--cpu-prof', '--cpu-prof-dir', profileFolder, '--cpu-prof-name', `${row.name}-${name}.cpuprofile`]
  }
}
