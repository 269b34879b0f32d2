import { expect, test } from 'vitest'
import { BrokerError } from '../../src/errors.ts'
import { ScramServer, type ScramStep } from '../../src/scram/server.ts'
import { ScramClient, ScramPeople } from '../support/scram-client.ts'
import { randomOf, startSeed } from '../support/seed.ts'

const environment: { readonly FUZZ_FRAMES?: string } = process.env
const messageCount = Number(environment.FUZZ_FRAMES ?? 5000)
const from = { clientId: 'c', protocol: 'test', remote: 'here', isLocal: true }
const pieces = [
  'n,,',
  'y,,',
  'p=x,,',
  'n=',
  'r=',
  'c=',
  'p=',
  'm=',
  ',',
  '=',
  '=2C',
  '=3D',
  'a=',
  '\0',
  '\n',
  'ÿ',
  '\u00ad',
  '🙂',
]

const seed = startSeed()
const rng = randomOf(seed)
const below = (limit: number): number => Math.floor(rng() * limit)

/** A message with some of it changed, left out, doubled or put in. */
function mutated(message: Buffer): Buffer {
  let bytes = message
  for (let changes = 1 + below(3); changes > 0; changes -= 1) {
    const at = below(bytes.length + 1)
    const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)]
    const kinds = [
      () => [head, Buffer.of(below(256)), tail.subarray(1)],
      () => [head, tail.subarray(1 + below(8))],
      () => [head, Buffer.from(pieces[below(pieces.length)] ?? ''), tail],
      () => [bytes, head],
      () => [tail, head],
    ]
    bytes = Buffer.concat((kinds[below(kinds.length)] ?? (() => [bytes]))())
  }
  return bytes
}

test('changed messages are answered once each, and let nobody in', async () => {
  const people = await ScramPeople.of({ alice: 'sesame' })
  const say = (server: ScramServer, message: Buffer): ScramStep | BrokerError => {
    const results: (ScramStep | BrokerError)[] = []
    server.step(message, (result) => results.push(result))
    expect(results, `FUZZ_SEED=${seed}`).toHaveLength(1)
    return results[0] as ScramStep | BrokerError
  }
  const client = new ScramClient('alice', 'sesame', { nonce: 'client' })
  const first = say(new ScramServer(people, from, 'server'), client.first) as ScramStep
  // Its proof fits all exchanges with the same nonces.
  const final = client.final(first.data)
  expect(say(served(), final)).toMatchObject({ identity: { principal: 'alice' } })
  let goneOn = 0
  for (let count = 0; count < messageCount; count += 1) {
    const server = new ScramServer(people, from, 'server')
    if (!(say(server, mutated(client.first)) instanceof BrokerError)) goneOn += 1
    const changed = mutated(final)
    if (changed.equals(final)) continue
    const result = say(served(), changed)
    expect(result, `FUZZ_SEED=${seed}: ${JSON.stringify(String(changed))}`).toBeInstanceOf(BrokerError)
  }
  expect(goneOn).toBeGreaterThan(0)

  function served(): ScramServer {
    const server = new ScramServer(people, from, 'server')
    say(server, client.first)
    return server
  }
})
