import { expectTypeOf, test } from 'vitest'
import {
  bytes,
  type Connection,
  type Destination,
  json,
  list,
  type Message,
  map,
  type Plain,
  type Properties,
  type PropertyInput,
  type StandardSchema,
  text,
} from '../../../../src/client.ts'

interface Order {
  readonly id: number
}

// What is expected here the compiler checks: nothing of it runs.
const isRun = false as boolean

test('what a destination sends and gives follows from its codec', async () => {
  if (!isRun) return
  const client = {} as Connection
  const orders = client.queue('orders', json<Order>())
  expectTypeOf(orders).toEqualTypeOf<Destination<Order>>()
  expectTypeOf(orders.send).parameter(0).toEqualTypeOf<Order>()
  // @ts-expect-error: an order has a number.
  await orders.send({ id: 'x' })
  for await (const message of orders.consume()) {
    expectTypeOf(message).toEqualTypeOf<Message<Order>>()
    expectTypeOf(message.body).toEqualTypeOf<Order>()
  }
  orders.process((message) => {
    expectTypeOf(message.body).toEqualTypeOf<Order>()
  })
  expectTypeOf(await orders.receive()).toEqualTypeOf<Message<Order> | undefined>()
  expectTypeOf((await orders.request({ id: 1 }, { reply: text })).body).toEqualTypeOf<string>()
  expectTypeOf(orders.producer().send).parameter(0).toEqualTypeOf<Order>()
})

test('every codec has its type, and a schema gives its own', () => {
  if (!isRun) return
  const client = {} as Connection
  expectTypeOf(client.topic('t', text)).toEqualTypeOf<Destination<string>>()
  expectTypeOf(client.topic('t', bytes)).toEqualTypeOf<Destination<Uint8Array>>()
  expectTypeOf(client.topic('t', map)).toEqualTypeOf<Destination<Properties | ReadonlyMap<string, Plain>>>()
  expectTypeOf(client.topic('t', list)).toEqualTypeOf<Destination<readonly PropertyInput[] | readonly Plain[]>>()
  const schema = {} as StandardSchema<Order>
  expectTypeOf(client.queue('q', json(schema))).toEqualTypeOf<Destination<Order>>()
  expectTypeOf(client.queue('q')).toEqualTypeOf<Destination<unknown>>()
})
