import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Address, covers } from '../../../../src/address.ts'
import { TopicTrie } from '../../../../src/broker/topic-trie.ts'

const level = fc.constantFrom('a', 'b', '$s', '', '*', '>', '#')
const address = fc.array(level, { minLength: 1, maxLength: 4 }).filter((levels) => levels.join('.') !== '')

function isPattern(levels: readonly string[]): boolean {
  return Address.must('topic', levels.join('.')).isPattern
}

/** What a trie holds, found the slow way. */
class Filed {
  readonly all: { readonly levels: readonly string[]; readonly value: number }[] = []

  add(levels: readonly string[], value: number): void {
    if (!this.all.some((filed) => filed.value === value && filed.levels.join('.') === levels.join('.'))) {
      this.all.push({ levels, value })
    }
  }

  remove(levels: readonly string[], value: number): void {
    const index = this.all.findIndex((filed) => filed.value === value && filed.levels.join('.') === levels.join('.'))
    if (index >= 0) this.all.splice(index, 1)
  }

  covering(name: readonly string[]): number[] {
    return this.all.filter((filed) => covers(filed.levels, name)).map((filed) => filed.value)
  }

  coveredBy(pattern: readonly string[]): number[] {
    return this.all.filter((filed) => covers(pattern, filed.levels)).map((filed) => filed.value)
  }
}

const step = fc.record({ kind: fc.constantFrom('add', 'add', 'remove'), levels: address, value: fc.nat(3) })

function fill(steps: readonly { kind: string; levels: string[]; value: number }[]): {
  trie: TopicTrie<number>
  filed: Filed
} {
  const [trie, filed] = [new TopicTrie<number>(), new Filed()]
  for (const { kind, levels, value } of steps) {
    if (kind === 'add') {
      trie.add(levels, value)
      filed.add(levels, value)
    } else {
      trie.remove(levels, value)
      filed.remove(levels, value)
    }
  }
  return { trie, filed }
}

describe('a trie', () => {
  test('finds the filters that cover a name, each once, as a search of all finds them', () => {
    const names = address.filter((levels) => !isPattern(levels))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), names, (steps, name) => {
        const { trie, filed } = fill(steps)
        expect(trie.covering(name).sort()).toEqual(filed.covering(name).sort())
      }),
      { numRuns: 2000 },
    )
  })

  test('finds the names that a filter covers, each once, as a search of all finds them', () => {
    const steps = fc.array(
      step.filter(({ levels }) => !isPattern(levels)),
      { maxLength: 30 },
    )
    fc.assert(
      fc.property(steps, address, (named, pattern) => {
        const { trie, filed } = fill(named)
        expect(trie.coveredBy(pattern).sort()).toEqual(filed.coveredBy(pattern).sort())
      }),
      { numRuns: 2000 },
    )
  })

  test('holds nothing once everything was removed', () => {
    const trie = new TopicTrie<number>()
    trie.add(['a', 'b'], 1)
    trie.add(['a'], 2)
    trie.remove(['a'], 2)
    trie.remove(['a', 'b', 'c'], 1)
    expect(trie.covering(['a', 'b'])).toEqual([1])
    trie.remove(['a', 'b'], 1)
    expect([trie.covering(['a', 'b']), trie.coveredBy(['>'])]).toEqual([[], []])
  })
})
