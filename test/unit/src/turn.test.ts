import { describe, expect, test } from 'vitest'
import { Turn } from '../../../src/turn.ts'

/** A turn that runs when the test says so, and what happened in it, in order. */
class Scene {
  readonly turn: Turn
  readonly events: string[]
  readonly #runs: (() => void)[]

  constructor() {
    this.events = []
    this.#runs = []
    this.turn = new Turn((run) => this.#runs.push(run))
  }

  get scheduledCount(): number {
    return this.#runs.length
  }

  run(): string[] {
    for (const run of this.#runs.splice(0)) run()
    return this.events.splice(0)
  }

  queue(name: string, work = 0) {
    let left = work
    return {
      dispatchMarked: false,
      dispatch: (budget: number) => {
        this.events.push(`dispatch ${name}`)
        left -= budget
        return left > 0
      },
    }
  }

  wire(name: string, onFlush?: () => void) {
    return {
      flushMarked: false,
      flush: () => {
        this.events.push(`flush ${name}`)
        onFlush?.()
      },
    }
  }
}

describe('a turn', () => {
  test('dispatches what is marked, flushes, commits, and flushes what that has answered, each once', () => {
    const scene = new Scene()
    const [queue, wire, answered] = [scene.queue('a'), scene.wire('w'), scene.wire('answered')]
    let hasAnswers = true
    const commit = () => {
      scene.events.push('commit')
      if (hasAnswers) scene.turn.markFlush(answered)
      hasAnswers = false
    }
    scene.turn.attach({ isFull: false, poll: () => undefined, commit })
    scene.turn.markFlush(wire)
    scene.turn.markDispatch(queue)
    scene.turn.markDispatch(queue)
    scene.turn.markFlush(wire)
    expect(scene.scheduledCount).toBe(1)
    expect(scene.run()).toEqual(['dispatch a', 'flush w', 'commit', 'flush answered'])
    expect(scene.run()).toEqual(['commit'])
    expect(scene.scheduledCount).toBe(0)
  })

  test('comes back for what is left after its budget', () => {
    const scene = new Scene()
    scene.turn.markDispatch(scene.queue('long', 3000))
    scene.turn.markDispatch(scene.queue('short', 1))
    expect(scene.run()).toEqual(['dispatch long', 'dispatch short'])
    expect(scene.run()).toEqual(['dispatch long'])
    expect(scene.scheduledCount).toBe(0)
  })

  test('leaves a queue marked during dispatch for the next turn, and flushes a wire marked during it', () => {
    const scene = new Scene()
    const wire = scene.wire('w')
    const later = scene.queue('later')
    scene.turn.markDispatch({
      dispatchMarked: false,
      dispatch: () => {
        scene.turn.markDispatch(later)
        scene.turn.markFlush(wire)
        return false
      },
    })
    expect(scene.run()).toEqual(['flush w'])
    expect(scene.run()).toEqual(['dispatch later'])
  })

  test('does not go on for ever with a wire that is marked whenever it is flushed', () => {
    const scene = new Scene()
    let marksLeft = 3
    const wire = scene.wire('w', () => {
      marksLeft -= 1
      if (marksLeft > 0) scene.turn.markFlush(wire)
    })
    scene.turn.markFlush(wire)
    expect(scene.run()).toEqual(['flush w', 'flush w'])
    expect(scene.run()).toEqual(['flush w'])
    expect(scene.scheduledCount).toBe(0)
  })

  test('runs as soon as input has been read that leaves much to commit, and not from within itself', () => {
    const scene = new Scene()
    const committable = {
      isFull: false,
      poll: () => undefined,
      commit: () => {
        scene.events.push('commit')
        scene.turn.inputRead()
        committable.isFull = false
      },
    }
    scene.turn.attach(committable)
    scene.turn.markDispatch(scene.queue('a'))
    scene.turn.inputRead()
    expect(scene.events).toEqual([])
    committable.isFull = true
    scene.turn.inputRead()
    expect(scene.events.splice(0)).toEqual(['dispatch a', 'commit'])
    scene.turn.inputRead()
    expect(scene.events).toEqual([])
    // It had been scheduled for the first mark, and is not a second time.
    scene.turn.markDispatch(scene.queue('b'))
    expect(scene.scheduledCount).toBe(1)
    expect(scene.run()).toEqual(['dispatch b', 'commit'])
  })

  test('hears of commits that are done before it begins, and whenever input has been read, but not from within itself', () => {
    const scene = new Scene()
    scene.turn.attach({
      isFull: false,
      poll: () => scene.events.push('poll'),
      commit: () => {
        scene.events.push('commit')
        scene.turn.inputRead()
      },
    })
    scene.turn.inputRead()
    expect(scene.events.splice(0)).toEqual(['poll'])
    scene.turn.markDispatch(scene.queue('a'))
    expect(scene.run()).toEqual(['poll', 'dispatch a', 'commit'])
  })

  test('runs by itself in a later iteration of the event loop', async () => {
    const turn = new Turn()
    let committed = 0
    turn.attach({
      isFull: false,
      poll: () => undefined,
      commit: () => {
        committed += 1
      },
    })
    turn.mark()
    turn.mark()
    expect(committed).toBe(0)
    await new Promise((resolve) => setImmediate(resolve))
    expect(committed).toBe(1)
  })
})
