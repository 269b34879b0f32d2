/** Work that has messages to hand out. `dispatch` does at most `budget` of it and says whether some is left. */
export interface Dispatchable {
  /** True while the turn has it on its list; written by the turn only. */
  dispatchMarked: boolean
  dispatch(budget: number): boolean
}

/** Commits what the turn so far has given it to keep, and answers what needs no disk. */
export interface Committable {
  /** It has been given so much that it does not wait for more. */
  readonly isFull: boolean
  /** Hears of commits that are done; to be called between two pieces of work that would put that off. */
  poll(): void
  commit(): void
}

/** Something with bytes to send. */
export interface Flushable {
  /** True while the turn has it on its list; written by the turn only. */
  flushMarked: boolean
  flush(): void
}

/** Calls back once, soon, after the input that is ready now has been read. */
export type Schedule = (run: () => void) => void

const scheduleImmediate: Schedule = (run) => {
  setImmediate(run)
}

/** Deliveries one destination may make in one turn before the next destination has its go. */
const dispatchBudget = 2048

/** Messages that may go by the queues to their consumers between two turns; more waits for the next one. */
const handOversMax = 65_536

/**
 * The broker's pace. Reading sockets only marks work; once per event-loop iteration, and sooner when there is much to commit, the
 * turn dispatches dirty queues within a budget, flushes the dirty wires, commits once, and flushes those that have got answers by that.
 */
export class Turn {
  readonly #schedule: Schedule
  readonly #run: () => void
  #dispatchables: Dispatchable[]
  #committables: Committable[]
  #flushables: Flushable[]
  #scheduled: boolean
  #isRunning: boolean
  #handOvers: number

  constructor(schedule: Schedule = scheduleImmediate) {
    this.#schedule = schedule
    this.#run = () => {
      this.#scheduled = false
      this.run()
    }
    this.#dispatchables = []
    this.#committables = []
    this.#flushables = []
    this.#scheduled = false
    this.#isRunning = false
    this.#handOvers = 0
  }

  /**
   * Input of one peer has been read and dealt with. Commits that are done and much to commit do not wait for the input of all others,
   * so that the disk and the peers have something to do meanwhile.
   */
  inputRead(): void {
    if (this.#isRunning) return
    if (this.#committables.some(({ isFull }) => isFull)) this.run()
    else this.#poll()
  }

  /** Counts one message that goes by its queue; false: there have been enough of them since the last turn. */
  mayHandOver(): boolean {
    if (this.#handOvers >= handOversMax) return false
    this.#handOvers += 1
    return true
  }

  /** Adds a broker whose commits the turn drives. */
  attach(committable: Committable): void {
    this.#committables.push(committable)
  }

  /** Makes sure a turn will run. */
  mark(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#schedule(this.#run)
  }

  markDispatch(dispatchable: Dispatchable): void {
    if (dispatchable.dispatchMarked) return
    dispatchable.dispatchMarked = true
    this.#dispatchables.push(dispatchable)
    this.mark()
  }

  markFlush(flushable: Flushable): void {
    if (flushable.flushMarked) return
    flushable.flushMarked = true
    this.#flushables.push(flushable)
    this.mark()
  }

  /** One turn. Work marked meanwhile waits for the next one, but for flushes, which see all that was dispatched. */
  run(): void {
    this.#isRunning = true
    this.#handOvers = 0
    this.#poll()
    const dispatchables = this.#dispatchables
    this.#dispatchables = []
    for (const dispatchable of dispatchables) {
      dispatchable.dispatchMarked = false
      if (dispatchable.dispatch(dispatchBudget)) this.markDispatch(dispatchable)
    }
    // Waking the thread of a disk takes longer than sending: consumers need not wait for that.
    this.#flush()
    for (const committable of this.#committables) committable.commit()
    this.#flush()
    this.#isRunning = false
  }

  #flush(): void {
    const flushables = this.#flushables
    this.#flushables = []
    for (const flushable of flushables) {
      flushable.flushMarked = false
      flushable.flush()
    }
  }

  #poll(): void {
    for (const committable of this.#committables) committable.poll()
  }
}
