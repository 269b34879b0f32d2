import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CrashingBroker, crashUnderLoad, expectSound } from '../support/crashing-broker.ts'
import { randomOf, startSeed } from '../support/seed.ts'

const environment: { readonly KILLS?: string } = process.env
const kills = Number(environment.KILLS ?? 50)

let folder: string
let broker: CrashingBroker

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifoldmq-kill-'))
  broker = new CrashingBroker(folder)
})

afterEach(async () => {
  await broker.end('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

test(
  `a broker killed ${kills} times under load loses nothing it confirmed, and nothing acknowledged comes back`,
  async () => {
    const seed = startSeed()
    const options = { crashes: kills, random: randomOf(seed), crash: () => broker.end('SIGKILL') }
    const figures = await crashUnderLoad(broker, options)
    expectSound(figures, seed)
    if (environment.KILLS !== undefined) console.log(JSON.stringify({ seed, kills, ...figures }))
  },
  30_000 + kills * 5_000,
)

describe('a broker that was stopped and started again', () => {
  test('has flags and counts as they were: what was delivered is marked, what was not is not', async () => {
    const first = await broker.client(await broker.start())
    for (const body of ['taken', 'failed', 'waiting']) {
      await first.sure('send', { destination: '/queue/q', persistent: 'true' }, body)
    }
    first.send('subscribe', { destination: '/queue/q', id: '1', ack: 'client-individual', 'prefetch-count': '2' })
    const [, failing] = await first.messages(2)
    first.send('nack', { id: failing?.headers.ack as string })
    expect((await first.next('MESSAGE')).body).toBe('failed')
    await first.sure('disconnect')
    await broker.end('SIGTERM')
    const second = await broker.client(await broker.start())
    second.send('subscribe', { destination: '/queue/q', id: '1', ack: 'client-individual' })
    const frames = await second.messages(3)
    expect(frames.map(({ body, headers }) => [body, headers.redelivered, headers['delivery-count']])).toEqual([
      ['taken', 'true', undefined],
      ['failed', 'true', '1'],
      ['waiting', undefined, undefined],
    ])
  })

  test('flags nothing that nobody was given, although there was a crash before', async () => {
    const first = await broker.client(await broker.start())
    await first.sure('send', { destination: '/queue/q', persistent: 'true' }, 'before')
    first.send('subscribe', { destination: '/queue/q', id: '1', ack: 'client-individual' })
    await first.next('MESSAGE')
    await broker.end('SIGKILL')
    const second = await broker.client(await broker.start())
    await second.sure('send', { destination: '/queue/q', persistent: 'true' }, 'after')
    await broker.end('SIGTERM')
    const third = await broker.client(await broker.start())
    third.send('subscribe', { destination: '/queue/q', id: '1', ack: 'client-individual' })
    const frames = await third.messages(2)
    expect(frames.map(({ body, headers }) => [body, headers.redelivered])).toEqual([
      ['before', 'true'],
      ['after', undefined],
    ])
  })

  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'with %s has durable subscriptions, delayed, retained and dead messages back',
    async (signal) => {
      const first = await broker.client(await broker.start(), { 'client-id': 'c' })
      first.send('subscribe', {
        destination: '/topic/t',
        id: 'd',
        ack: 'client-individual',
        'durable-subscription-name': 'd',
      })
      await first.sure('unsubscribe', { id: 'd' })
      const persistent = { persistent: 'true' }
      await first.sure('send', { destination: '/topic/t', ...persistent }, 'collected')
      await first.sure('send', { destination: '/topic/r', retain: 'true', ...persistent }, 'retained')
      await first.sure('send', { destination: '/queue/later', AMQ_SCHEDULED_DELAY: '1500', ...persistent }, 'delayed')
      await first.sure('send', { destination: '/queue/dying', ...persistent }, 'dead')
      first.send('subscribe', { destination: '/queue/dying', id: '1', ack: 'client-individual' })
      const dying = await first.next('MESSAGE')
      await first.sure('nack', { id: dying.headers.ack as string, requeue: 'false' })
      await broker.end(signal)
      const second = await broker.client(await broker.start(), { 'client-id': 'c' })
      const subscribed = { ack: 'client-individual' }
      second.send('subscribe', { destination: '/topic/t', id: 'd', 'durable-subscription-name': 'd', ...subscribed })
      expect((await second.next('MESSAGE')).body).toBe('collected')
      second.send('subscribe', { destination: '/topic/r', id: 'r', ...subscribed })
      expect((await second.next('MESSAGE')).body).toBe('retained')
      second.send('subscribe', { destination: '/queue/later', id: 'l', ...subscribed })
      const delayed = await second.next('MESSAGE')
      expect([delayed.body, delayed.headers.redelivered]).toEqual(['delayed', undefined])
      second.send('subscribe', { destination: '/queue/DLQ.dying', id: 'x', ...subscribed })
      second.send('subscribe', { destination: '/queue/dying', id: 'y', ...subscribed })
      const dead = await second.next('MESSAGE')
      expect(dead.body).toBe('dead')
    },
  )
})
