import { expect, test } from 'vitest'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import {
  type AmqpPeer,
  composite,
  descriptorOf,
  encode,
  fieldsOf,
  frameBytes,
  headers,
  t,
} from '../../../support/amqp-peer.ts'
import { type Malformed, malformed, type Stage } from '../../../vectors/amqp/malformed.ts'

async function peerAt(broker: AmqpBroker, stage: Stage): Promise<AmqpPeer> {
  const peer = broker.peer()
  if (stage === 'sasl' || stage === 'authenticated') {
    peer.write(headers.sasl)
    await peer.next(0x40)
    if (stage === 'authenticated') {
      peer.write(frameBytes(encode(composite(0x41, t.symbol('ANONYMOUS'))), undefined, 0, 1))
      await peer.next(0x44)
    }
    peer.frames.length = 0
  } else if (stage !== 'connected') await peer.open()
  if (stage === 'begun' || stage === 'attached') await peer.begin()
  if (stage === 'attached') await peer.sender('link', 'queue://a')
  return peer
}

async function check(broker: AmqpBroker, { stage, bytes, answer }: Malformed, cut: boolean): Promise<void> {
  const peer = await peerAt(broker, stage)
  const before = peer.history.length
  if (cut) for (const byte of bytes) peer.write(Buffer.from([byte]))
  else peer.write(bytes)
  if (answer === 'hang up') {
    await peer.closed
    expect(peer.history.slice(before).filter((frame) => frame.code !== 0x44)).toEqual([])
  } else if (answer === 'header') {
    const header = await peer.next(-1)
    expect(header.payload.subarray(0, 4).toString()).toBe('AMQP')
    await peer.closed
  } else {
    const [code, condition] = answer
    const frame = await peer.next(code)
    const error = frame.fields.find((field) => descriptorOf(field) === 0x1d)
    expect(fieldsOf(error)[0]).toBe(condition)
    if (code === 0x18) await peer.closed
  }
  peer.cut()
}

/** Nothing that one peer does wrong harms another. */
async function stillServes(broker: AmqpBroker): Promise<void> {
  const peer = await broker.begun('healthy')
  await peer.sender('s', 'queue://healthy')
  await peer.receiver('r', 'queue://healthy', { credit: 1 })
  peer.transfer(0, Buffer.from('005377a10178', 'hex'))
  expect((await peer.next(0x14)).payload.subarray(-6).toString('hex')).toBe('005377a10178')
  peer.cut()
}

test.each(malformed.map((vector) => [vector.name, vector.clause, vector] as const))(
  '%s (%s)',
  async (_name, _clause, vector) => {
    const broker = await AmqpBroker.open()
    await check(broker, vector, false)
    await check(broker, vector, true)
    await stillServes(broker)
  },
)
