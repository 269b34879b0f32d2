import { afterEach, describe, expect, test } from 'vitest'
import { type Connection, ManifoldError } from '../../../../src/client.ts'
import { NativeBroker } from '../../../support/native-broker.ts'

let broker: NativeBroker
let cutting: NativeBroker['cut']

afterEach(async () => {
  await broker[Symbol.asyncDispose]()
})

const atOnce = { reconnect: { initialReconnectDelay: 0, useExponentialBackOff: false } }
/** One of them takes three frames. */
const bodies = ['a', 'b', 'c'.repeat(10_000), 'd', 'e', 'f']
const frameBytesMax = 4096

/** Fires what waits for the clock until the work is done. */
async function whileTurning<T>(work: Promise<T>): Promise<T> {
  let isOver = false
  const over = work.finally(() => {
    isOver = true
  })
  over.catch(() => undefined)
  for (let turn = 0; !isOver && turn < 2000; turn += 1) {
    await broker.idle(2)
    if (turn % 10 === 9) broker.clock.advance(1)
  }
  expect(isOver, `the script comes to its end, cut at ${JSON.stringify(cutting)}`).toBe(true)
  return await over
}

interface Outcome {
  readonly confirmed: string[]
  readonly consumed: { readonly body: string; readonly redelivered: boolean }[]
  readonly moved: 'yes' | 'no' | 'unknown'
  readonly paired: 'yes' | 'no' | 'unknown'
}

/** Named sends, a transaction and a consumer at work, over a connection that is cut once. */
async function script(client: Connection): Promise<Outcome> {
  const consumed: { body: string; redelivered: boolean }[] = []
  const consuming = (async () => {
    const done = new Set<string>()
    for await (const { body, redelivered, accept } of wrap(client.queue('work').consume({ credit: 2 }))) {
      consumed.push({ body, redelivered })
      done.add(body)
      await accept()
      if (done.size === bodies.length) break
    }
  })()
  const producer = client.queue('work').producer({ name: 'p' })
  const confirmed: string[] = []
  const sends = bodies.map(async (body) => {
    await producer.send(body)
    confirmed.push(body)
  })
  let moved: Outcome['moved'] = 'unknown'
  try {
    await client.transaction(async (tx) => {
      const message = await tx.receive('in')
      await tx.send('out', message?.text)
    })
    moved = 'yes'
  } catch (error) {
    if (!(error instanceof ManifoldError)) throw error
    moved = error.outcome === 'unknown' ? 'unknown' : 'no'
  }
  let paired: Outcome['moved'] = 'unknown'
  try {
    await client.transaction(async (tx) => {
      await tx.send('pair', '1')
      await tx.send('pair', '2')
    })
    paired = 'yes'
  } catch (error) {
    if (!(error instanceof ManifoldError)) throw error
    paired = error.outcome === 'unknown' ? 'unknown' : 'no'
  }
  await Promise.all(sends)
  await consuming
  return { confirmed, consumed, moved, paired }
}

async function* wrap(messages: AsyncIterable<{ text: string; redelivered: boolean; accept(): Promise<void> }>) {
  for await (const message of messages) {
    yield { body: message.text, redelivered: message.redelivered, accept: () => message.accept() }
  }
}

async function run(cut: NativeBroker['cut']): Promise<{ readonly frames: readonly [number, number] }> {
  broker = await NativeBroker.open({ native: { heartBeatMs: 0, limits: { frameBytesMax, bodyBytesMax: 100_000 } } })
  const preparing = await broker.connect()
  await preparing.queue('in').send('move me')
  await preparing.close()
  broker.cut = cut
  cutting = cut
  const client = await whileTurning(
    broker.connect({ ...atOnce, heartBeat: 0, frameBytesMax }).catch((error: unknown) => error as Error),
  )
  if (client instanceof Error) {
    // Cut before WELCOME: a first connection that fails is reported, not tried again.
    expect(client).toMatchObject({ retryable: true })
    return { frames: [0, 0] }
  }
  const { confirmed, consumed, moved, paired } = await whileTurning(script(client))
  expect(confirmed.sort()).toEqual(bodies)
  // Nothing lost; and nothing twice, but for deliveries whose acknowledgement was cut off, which say so.
  expect([...new Set(consumed.map(({ body }) => body))].sort()).toEqual(bodies)
  for (const body of bodies) {
    const times = consumed.filter((one) => one.body === body)
    expect(times.filter(({ redelivered }) => !redelivered).length, `${body[0]} comes once`).toBeLessThanOrEqual(1)
  }
  const check = await broker.connect()
  await broker.idle(20)
  const counts = async (name: string): Promise<number> => (await check.queue(name).inspect()).messages ?? 0
  expect(await counts('work')).toBe(0)
  const places = [await counts('in'), await counts('out')]
  expect([...places].sort()).toEqual([0, 1])
  expect([0, 2]).toContain(await counts('pair'))
  if (paired !== 'unknown') expect(await counts('pair')).toBe(paired === 'yes' ? 2 : 0)
  if (moved !== 'unknown') expect(places).toEqual(moved === 'yes' ? [0, 1] : [1, 0])
  const used = broker.cutters[1]
  await broker[Symbol.asyncDispose]()
  return { frames: [used?.toBroker.passed ?? 0, used?.toClient.passed ?? 0] }
}

describe('a connection that is cut at every frame boundary of a script', () => {
  test('loses nothing that was stored and doubles nothing of a named producer', async () => {
    const whole = await run({ toBroker: 1_000_000, toClient: 1_000_000 })
    const [toBroker, toClient] = whole.frames
    expect(toBroker).toBeGreaterThan(15)
    expect(toClient).toBeGreaterThan(15)
    for (let frames = 1; frames <= toBroker; frames += 1) await run({ toBroker: frames, toClient: 1_000_000 })
    for (let frames = 1; frames <= toClient; frames += 1) await run({ toBroker: 1_000_000, toClient: frames })
  }, 120_000)
})
