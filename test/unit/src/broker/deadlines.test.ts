import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Deadline, Deadlines } from '../../../../src/broker/deadlines.ts'
import { VirtualClock } from '../../../support/virtual-clock.ts'

class Scene {
  readonly clock: VirtualClock
  readonly deadlines: Deadlines
  readonly calls: string[]

  constructor() {
    this.clock = new VirtualClock(1000)
    this.deadlines = new Deadlines(this.clock)
    this.calls = []
  }

  deadline(name: string, then?: (now: number) => void): Deadline {
    return new Deadline(this.deadlines, {
      due: (now) => {
        this.calls.push(`${name}@${now}`)
        then?.(now)
      },
    })
  }
}

describe('deadlines', () => {
  test('call at their times, in order, on one timer', () => {
    const scene = new Scene()
    for (const [name, at] of Object.entries({ c: 1300, a: 1100, b: 1200 })) scene.deadline(name).set(at)
    expect(scene.clock.pendingCount).toBe(1)
    scene.clock.advance(1000)
    expect(scene.calls).toEqual(['a@1100', 'b@1200', 'c@1300'])
    expect(scene.clock.pendingCount).toBe(0)
  })

  test('moved later call at the later time only', () => {
    const scene = new Scene()
    const deadline = scene.deadline('a')
    for (const at of [1100, 1200, 1300]) deadline.set(at)
    scene.clock.advance(250)
    expect(scene.calls).toEqual([])
    scene.clock.advance(250)
    expect(scene.calls).toEqual(['a@1300'])
  })

  test('moved earlier call at the earlier time only', () => {
    const scene = new Scene()
    const deadline = scene.deadline('a')
    for (const at of [1300, 1200, 1100]) deadline.set(at)
    scene.clock.advance(500)
    expect(scene.calls).toEqual(['a@1100'])
  })

  test('cleared do not call, and can be set again', () => {
    const scene = new Scene()
    const deadline = scene.deadline('a')
    deadline.set(1100)
    deadline.clear()
    scene.clock.advance(50)
    deadline.set(1400)
    scene.clock.advance(100)
    expect(scene.calls).toEqual([])
    scene.clock.advance(300)
    expect(scene.calls).toEqual(['a@1400'])
  })

  test('may be set again from inside the call', () => {
    const scene = new Scene()
    const deadline = scene.deadline('beat', (now) => deadline.set(now + 100))
    deadline.set(1100)
    scene.clock.advance(350)
    expect(scene.calls).toEqual(['beat@1100', 'beat@1200', 'beat@1300'])
  })

  test('in the past call at once, one millisecond later', () => {
    const scene = new Scene()
    scene.deadline('a').set(500)
    scene.clock.advance(1)
    expect(scene.calls).toEqual(['a@1001'])
  })

  test('do not call once closed, whenever they were set', () => {
    const scene = new Scene()
    scene.deadline('a').set(1100)
    scene.deadlines.close()
    scene.deadline('b').set(1050)
    scene.clock.advance(1000)
    expect([scene.calls, scene.clock.pendingCount]).toEqual([[], 0])
  })

  test('closed from inside a call make no other call', () => {
    const scene = new Scene()
    scene.deadline('a', () => scene.deadlines.close()).set(1100)
    scene.deadline('b').set(1100)
    scene.clock.advance(1000)
    expect([scene.calls, scene.clock.pendingCount]).toEqual([['a@1100'], 0])
  })

  test('call once for their last setting and never otherwise, whatever happened before', () => {
    const step = fc.record({ kind: fc.constantFrom('set', 'clear', 'advance'), which: fc.nat(2), ms: fc.nat(50) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const scene = new Scene()
        const wanted: (number | undefined)[] = [undefined, undefined, undefined]
        const deadlines = wanted.map((_, index) => scene.deadline(`${index}`))
        const expected: string[] = []
        const advance = (ms: number) => {
          const end = scene.clock.now() + ms
          for (const [index, at] of wanted.entries()) {
            if (at === undefined || at > end) continue
            expected.push(`${index}@${at}`)
            wanted[index] = undefined
          }
          scene.clock.advance(ms)
        }
        for (const { kind, which, ms } of steps) {
          if (kind === 'advance') advance(ms)
          else if (kind === 'clear') {
            deadlines[which]?.clear()
            wanted[which] = undefined
          } else {
            const at = scene.clock.now() + 1 + ms
            deadlines[which]?.set(at)
            wanted[which] = at
          }
        }
        advance(100)
        expect(scene.calls.sort()).toEqual(expected.sort())
      }),
    )
  })
})
