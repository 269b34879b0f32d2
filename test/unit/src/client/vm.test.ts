import { describe, expect, test } from 'vitest'
import { connect } from '../../../../src/client.ts'
import { Broker } from '../../../../src/index.ts'

let count = 0
function freshName(): string {
  count += 1
  return `vm-test-${process.pid}-${count}`
}

describe('vm://', () => {
  test('attaches to the broker of that name in the process', async () => {
    const name = freshName()
    await using broker = await Broker.start({ name, log: false })
    await using client = await connect(`vm://${name}`)
    await client.queue('q').send('x')
    expect((await client.queue('q').receive())?.body).toBe('x')
    expect(broker.connectionCount).toBe(0)
  })

  test('without a broker of that name says how to have one', async () => {
    await expect(connect(`vm://${freshName()}`)).rejects.toThrow(/Broker\.start.*create=true/)
  })

  test('makes a broker, which lives as long as its last connection', async () => {
    const url = `vm://${freshName()}?create=true`
    const first = await connect(url)
    const second = await connect(url)
    await first.queue('q').send('x')
    await first.close()
    expect((await second.queue('q').inspect()).messages).toBe(1)
    await second.close()
    await using third = await connect(url)
    expect((await third.queue('q').inspect()).exists).toBe(false)
  })

  test('makes a new broker as soon as the old one has lost its last connection', async () => {
    const url = `vm://${freshName()}?create=true`
    for (let round = 0; round < 5; round += 1) {
      const client = await connect(url)
      await client.queue('q').send('x')
      expect((await client.queue('q').inspect()).messages).toBe(1)
      await client.close()
    }
  })

  test('keeps brokers apart by their names', async () => {
    await using a = await connect(`vm://${freshName()}?create=true`)
    await using b = await connect(`vm://${freshName()}?create=true`)
    await a.queue('q').send('x')
    expect((await b.queue('q').inspect()).exists).toBe(false)
  })

  test('by reference hands over the object itself, by value a copy', async () => {
    const name = freshName()
    await using _broker = await Broker.start({ name, log: false })
    const body = { when: new Date(), nested: { n: 1 } }
    for (const [pass, isSame] of [
      ['reference', true],
      ['value', false],
    ] as const) {
      await using client = await connect(`vm://${name}?pass=${pass}`)
      await client.queue('q').send(body, { properties: { n: 5 } })
      const message = await client.queue('q').receive()
      expect(message?.body === body).toBe(isSame)
      expect(message?.properties.n).toBe(5)
      await message?.accept({ confirm: true })
    }
  })

  test('by reference can be selected by, and be a dead letter', async () => {
    const name = freshName()
    await using _broker = await Broker.start({ name, log: false })
    await using client = await connect(`vm://${name}?pass=reference`)
    const body = { a: 1 }
    await client.queue('q').send(body, { properties: { color: 'blue' }, persistent: false })
    for await (const message of client.queue('q').consume({ selector: "color = 'blue'" })) {
      expect(message.body).toBe(body)
      await message.reject('no')
      break
    }
    const dead = await client.queue('DLQ.q').receive()
    expect(dead?.body).toEqual(body)
  })

  test.each(['?pas=value', '?pass=pointer'])('with the option %s says what there is', async (query) => {
    await expect(connect(`vm://x${query}`)).rejects.toThrow(/pass/)
  })
})
