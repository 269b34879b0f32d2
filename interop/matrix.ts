import assert from 'node:assert/strict'
import { next, versions } from './bench.ts'
import type { StandaloneBroker } from './broker.ts'
import { type Carrier, portOf, type Traits } from './clients.ts'
import type { Driver, Incoming, Outgoing, Version } from './driver.ts'

/** A started client. */
export interface Party {
  readonly name: string
  readonly carrier: Carrier
  readonly traits: Traits
  readonly driver: Driver
}

/** Headers of a MESSAGE that the broker, or the frame, adds to the sender's. */
const added = new Set(['destination', 'message-id', 'subscription', 'ack', 'content-length'])
const everyByte = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256))

/**
 * `from` sends and `to` receives, in every version on either side: each body must come out byte for byte, and the headers that
 * were sent, no more and no less.
 */
export async function exchange(from: Party, to: Party, broker: StandaloneBroker): Promise<void> {
  for (const sends of versions) {
    const sender = await from.driver.open(portOf(broker, from.carrier), { version: sends })
    for (const receives of versions) {
      const receiver = await to.driver.open(portOf(broker, to.carrier), { version: receives })
      const queue = `/queue/interop.matrix.${from.name}.${to.name}.${sends}.${receives}`
      await receiver.subscribe('s', queue)
      for (const message of messages(headersFor(from, sends, to, receives))) {
        await sender.send(queue, message)
        check(message, await next(receiver, 's'), `${sends} to ${receives}`)
      }
      await receiver.close()
    }
    await sender.close()
  }
}

function messages(headers: Record<string, string>): readonly Outgoing[] {
  return [
    { text: 'Grüße, 日本語, 😀\nsecond line', headers: { ...headers, 'content-type': 'text/plain;charset=utf-8' } },
    { text: '{"a":[1,2]}', headers: { ...headers, 'content-type': 'application/json' } },
    { text: 'no content type', headers },
    { bytes: everyByte, headers: { ...headers, 'content-type': 'application/octet-stream' } },
    { bytes: Buffer.alloc(0), headers },
  ]
}

/** Headers that both libraries can write and read in their versions. */
function headersFor(from: Party, sends: Version, to: Party, receives: Version): Record<string, string> {
  const headers: Record<string, string> = {
    plain: 'value',
    empty: '',
    umlaut: 'Grüße €😀',
    'X-Camel_Case.1': '1.5',
    type: 'order',
    'correlation-id': 'a-1',
    priority: '7',
    persistent: 'true',
  }
  if (!from.traits.escapes.includes(sends) || !to.traits.escapes.includes(receives)) return headers
  headers.colon = 'a:b::c:'
  headers.line = 'one\ntwo\n'
  headers.slash = 'C:\\dir\\file'
  if (sends === '1.2' && receives === '1.2') headers.return = 'one\r\ntwo'
  if (to.traits.unescapesInOrder) headers.literal = '\\n\\c\\\\'
  return headers
}

function check({ text = '', bytes = Buffer.from(text), headers }: Outgoing, incoming: Incoming, how: string): void {
  assert.ok(incoming.body.equals(bytes), `${how}: ${incoming.body.toString('hex')} instead of ${bytes.toString('hex')}`)
  const received = Object.entries(incoming.headers).filter(([name]) => !added.has(name))
  assert.deepEqual(Object.fromEntries(received), headers, how)
}
