import { type Packet, parser } from 'mqtt-packet'
import { expect, test } from 'vitest'
import {
  writeConnect,
  writeGoodbye,
  writePingRequest,
  writeSubscribe,
} from '../../../../protocols/mqtt/client-packets.ts'
import type { ByteSink } from '../../../../protocols/mqtt/encoder.ts'
import { PropertyWriter } from '../../../../protocols/mqtt/properties.ts'

/** What another project's parser makes of it. */
function parsed(write: (sink: ByteSink) => void): Packet {
  const sink: ByteSink = { buffer: Buffer.alloc(4096), position: 0, reserve: () => undefined, write: () => undefined }
  write(sink)
  const packets: Packet[] = []
  const decoder = parser({ protocolVersion: 5 })
  decoder.on('packet', (packet: Packet) => packets.push(packet))
  decoder.parse(sink.buffer.subarray(0, sink.position))
  expect(packets).toHaveLength(1)
  return packets[0] as Packet
}

const nobody = { clientId: '', user: undefined, password: undefined, keepAliveSeconds: 60, properties: Buffer.alloc(0) }

test('CONNECT without a name', () => {
  const packet = parsed((sink) => writeConnect(sink, nobody))
  expect(packet).toMatchObject({ cmd: 'connect', protocolVersion: 5, clean: true, clientId: '', keepalive: 60 })
  expect(packet).not.toHaveProperty('username')
})

test('CONNECT with everything', () => {
  const writer = new PropertyWriter()
  writer.short(0x21, 1000)
  const fields = { ...nobody, clientId: 'é', user: 'u', password: 'p', properties: writer.bytes }
  expect(parsed((sink) => writeConnect(sink, fields))).toMatchObject({
    clientId: 'é',
    username: 'u',
    password: Buffer.from('p'),
    properties: { receiveMaximum: 1000 },
  })
})

test('SUBSCRIBE with a user property', () => {
  const writer = new PropertyWriter()
  writer.pair('a', 'b')
  expect(parsed((sink) => writeSubscribe(sink, 300, 'a/#', 1, writer.bytes))).toMatchObject({
    cmd: 'subscribe',
    messageId: 300,
    subscriptions: [{ topic: 'a/#', qos: 1 }],
    properties: { userProperties: { a: 'b' } },
  })
})

test('PINGREQ and DISCONNECT', () => {
  expect(parsed(writePingRequest)).toMatchObject({ cmd: 'pingreq' })
  expect(parsed(writeGoodbye)).toMatchObject({ cmd: 'disconnect' })
})
