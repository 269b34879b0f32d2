import { mkdirSync, rmSync } from 'node:fs'
import type { Note, Settings } from '../course.ts'
import type { Trouble } from '../measure.ts'
import { programFile, type Workplace } from '../processes.ts'
import { BrokerJobs } from './broker-jobs.ts'
import type { Figures, StoreJob, StoreOrder, StoreResult } from './job.ts'
import type { StoreRow, Subject } from './rows.ts'

/** What one measurement of a subject gave. */
export interface StoreRunFigures {
  readonly subject: string
  readonly round: number
  readonly figures: Figures
  readonly trouble: Trouble
}

export interface StoreCourse {
  readonly kind: 'store'
  readonly row: StoreRow
  /** Round by round, in each the subjects in turn. */
  readonly runs: readonly StoreRunFigures[]
}

/** Measures the subjects of a row in turn, round by round, and leaves nothing on the disk. */
export class StoreRun {
  readonly #settings: Settings
  readonly #workplace: Workplace
  readonly #note: Note

  constructor(settings: Settings, workplace: Workplace, note: Note) {
    this.#settings = settings
    this.#workplace = workplace
    this.#note = note
  }

  async run(row: StoreRow): Promise<StoreCourse> {
    const brokers = row.subjects.some(({ job }) => job.kind.startsWith('broker-'))
      ? new BrokerJobs(this.#workplace, this.#profiling(row, 'broker'))
      : undefined
    const runs: StoreRunFigures[] = []
    for (let round = 1; round <= this.#settings.rounds; round += 1) {
      for (const subject of row.subjects) {
        const { figures, trouble } = await this.#measure(row, subject, brokers)
        this.#note(row.name, subject.name, round, figures)
        runs.push({ subject: subject.name, round, figures, trouble })
      }
    }
    await brokers?.stop()
    return { kind: 'store', row, runs }
  }

  async #measure(row: StoreRow, { name, job }: Subject, brokers: BrokerJobs | undefined): Promise<StoreResult> {
    switch (job.kind) {
      case 'broker-flow':
      case 'broker-backlog':
      case 'broker-forgotten':
        if (brokers === undefined) throw new Error(`row ${row.name} has no broker`)
        return await brokers.run(job, this.#settings.seconds)
      default:
        return await this.#process(job, this.#profiling(row, name))
    }
  }

  /** In a process of its own, on an empty folder. */
  async #process(job: StoreJob, nodeArgs: readonly string[]): Promise<StoreResult> {
    const folder = this.#workplace.file('store')
    mkdirSync(folder)
    try {
      const order: StoreOrder = { job, seconds: this.#settings.seconds, folder }
      const args = [...nodeArgs, programFile('store/program.js'), JSON.stringify(order)]
      return JSON.parse(await this.#output(args)) as StoreResult
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  #output(args: readonly string[]): Promise<string> {
    const child = this.#workplace.node(args, ['ignore', 'pipe', 'inherit'])
    return new Promise((resolve, reject) => {
      let text = ''
      child.stdout?.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      child.once('close', (code) => {
        if (code === 0) resolve(text)
        else reject(new Error(`a measurement of the store has ended with ${code}`))
      })
    })
  }

  #profiling({ name }: StoreRow, subject: string): readonly string[] {
    const { profileFolder } = this.#settings
    if (profileFolder === undefined) return []
    const file = `${name}-${subject.replace(/\W+/g, '-')}.cpuprofile`
    return ['--cpu-prof', '--cpu-prof-dir', profileFolder, '--cpu-prof-name', file]
  }
}
