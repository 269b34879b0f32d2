import { expect, test } from 'vitest'
import { shortened } from '../../../build/shorten.ts'

/** The module that the code is, once its members are short. */
async function loaded(code: string, kept: readonly string[]): Promise<Record<string, unknown>> {
  const platform = ['push', 'length', 'map', 'prototype']
  return await import(`data:text/javascript,${encodeURIComponent(shortened(code, new Set([...platform, ...kept])))}`)
}

test('keeps the names of what is public and shortens the others', async () => {
  const { made } = await loaded(
    `class Counter {
      #count;
      constructor() { this.#count = 0; this.step = 2 }
      get total() { return this.#count }
      #add() { this.#count += this.step }
      increase() { this.#add(); return this.advance() }
      advance() { this.#add(); return this }
    }
    export const made = new Counter()`,
    ['total', 'increase'],
  )
  const counter = made as { readonly total: number; increase(): unknown }
  counter.increase()
  expect(counter.total).toBe(4)
  expect(Object.keys(counter).every((name) => name.length === 1)).toBe(true)
})

test('tells what is private in one class from what is so called elsewhere', async () => {
  const { values } = await loaded(
    `class Inner { #value; constructor(value) { this.#value = value } read() { return this.#value } }
    class Outer {
      #value; #inner;
      constructor() { this.#inner = new Inner(1); this.#value = 2; this.value = 3 }
      read() { const { value } = this; return [this.#inner.read(), this.#value, value, { value }.value] }
    }
    export const values = new Outer().read()`,
    [],
  )
  expect(values).toEqual([1, 2, 3, 3])
})

test('leaves a name alone that the program also says in a string', async () => {
  const { found } = await loaded(
    `const fields = { first: 1, second: 2 }; export const found = fields['fir' + 'st'] ?? fields['first']`,
    [],
  )
  expect(found).toBe(1)
})

test('leaves out what nobody calls, and nothing that is public', () => {
  const code = `export class Thing { unused() { return 'a' } used() { return 'b' } offered() { return 'c' } }
    new Thing().used()`
  const short = shortened(code, new Set(['offered']))
  expect(short).not.toContain("'a'")
  expect(short).toContain("'b'")
  expect(short).toContain('offered() {')
})

test('says no field to be undefined that is so already', async () => {
  const code = `const seen = []
    function look(thing) { thing.set() }
    class Thing {
      #early; #late;
      constructor() { this.#early = void 0; look(this); this.#late = void 0 }
      set() { this.#early = 1; this.#late = 2 }
      read() { return [this.#early, this.#late] }
    }
    export const values = new Thing().read()`
  expect(shortened(code, new Set()).match(/void 0/g)).toHaveLength(1)
  expect((await loaded(code, [])).values).toEqual([1, undefined])
})
