import { once } from 'node:events'
import rhea from 'rhea'
import { describe, expect, test } from 'vitest'
import { Broker, type Log } from '../../../../src/index.ts'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import { type AmqpPeer, composite, encode, frameBytes, headers, t } from '../../../support/amqp-peer.ts'
import { ScramClient, ScramPeople } from '../../../support/scram-client.ts'

const people = await ScramPeople.of({ alice: 'sesame' }, true)

function init(response?: Buffer, mechanism = 'SCRAM-SHA-256'): Buffer {
  const fields = [t.symbol(mechanism), response === undefined ? undefined : t.binary(response)]
  return frameBytes(encode(composite(0x41, ...fields)), undefined, 0, 1)
}

function response(bytes: Buffer): Buffer {
  return frameBytes(encode(composite(0x43, t.binary(bytes))), undefined, 0, 1)
}

async function challenge(peer: AmqpPeer): Promise<Buffer> {
  return (await peer.next(0x42)).fields[0] as Buffer
}

/** A peer that has been offered what there is. */
async function greeted(access = people.access): Promise<AmqpPeer> {
  const peer = (await AmqpBroker.open({ access })).peer()
  peer.write(headers.sasl)
  expect((await peer.next(0x40)).fields).toEqual([['SCRAM-SHA-256', 'PLAIN', 'ANONYMOUS']])
  return peer
}

/** Resolves when the peer has been told no, and the connection is at its end. */
async function turnedAway(peer: AmqpPeer): Promise<void> {
  expect((await peer.next(0x44)).fields).toEqual([1])
  await peer.closed
}

describe('SCRAM-SHA-256 over AMQP', () => {
  test('is not offered where nobody has a verifier, and taken from nobody', async () => {
    const peer = (await AmqpBroker.open()).peer()
    peer.write(headers.sasl)
    expect((await peer.next(0x40)).fields).toEqual([['PLAIN', 'ANONYMOUS']])
    peer.write(init(new ScramClient('alice', 'sesame').first))
    await turnedAway(peer)
  })

  test.each([true, false])('lets in who knows his password; with an initial response: %s', async (isPrompt) => {
    const client = new ScramClient('alice', 'sesame')
    const peer = await greeted()
    peer.write(init(isPrompt ? client.first : undefined))
    if (!isPrompt) {
      expect(await challenge(peer)).toHaveLength(0)
      peer.write(response(client.first))
    }
    peer.write(response(client.final(await challenge(peer))))
    expect(client.trusts(await challenge(peer))).toBe(true)
    peer.write(response(Buffer.alloc(0)))
    expect((await peer.next(0x44)).fields).toEqual([0])
    peer.write(headers.amqp)
    peer.send(composite(0x10, t.string('c')))
    await peer.next(0x10)
  })

  test.each([
    ['alice', 'wrong'],
    ['bob', 'sesame'],
  ])('hangs up on %s with %s, who was asked for his proof like others', async (user, password) => {
    const client = new ScramClient(user, password)
    const peer = await greeted()
    peer.write(init(client.first))
    peer.write(response(client.final(await challenge(peer))))
    await turnedAway(peer)
  })

  test.each(['', 'n,,', 'p=tls-unique,,n=alice,r=x', 'nonsense'])('hangs up on who begins with %j', async (first) => {
    const peer = await greeted()
    peer.write(init(Buffer.from(first)))
    await turnedAway(peer)
  })

  test.each([Buffer.from('x'), init()])('hangs up on who goes on after the proof of the server', async (after) => {
    const client = new ScramClient('alice', 'sesame')
    const peer = await greeted()
    peer.write(init(client.first))
    peer.write(response(client.final(await challenge(peer))))
    await challenge(peer)
    peer.write(response(after))
    await turnedAway(peer)
  })

  test('has one init a connection: another one ends it', async () => {
    const client = new ScramClient('alice', 'sesame')
    const peer = await greeted()
    peer.write(init(client.first))
    await challenge(peer)
    peer.write(init(client.first))
    await peer.closed
    expect(peer.frames.filter(({ code }) => code === 0x42 || code === 0x44)).toEqual([])
  })

  test('a client that leaves before its verifier is found does no harm', async () => {
    const broker = await AmqpBroker.open({ access: people.access })
    const peer = broker.peer()
    peer.write(headers.sasl)
    await peer.next(0x40)
    peer.write(init(new ScramClient('alice', 'sesame').first))
    peer.cut()
    await peer.closed
    await new Promise(setImmediate)
    expect(broker.broker.sessionCount).toBe(0)
  })
})

test('rhea comes in by SCRAM-SHA-256 to an embedded broker, whose log names him', async () => {
  const lines: unknown[] = []
  const write = (fields: object, line: string): unknown => lines.push({ ...fields, line })
  const log = { info: write, warn: write, error: write, debug: write, trace: write } as unknown as Log
  await using broker = await Broker.start({ log, access: people.access, listeners: { amqp: { port: 0 } } })
  const dial = async (password: string): Promise<unknown> => {
    const client = new ScramClient('alice', password)
    const mechanism = {
      start: (say: (error: undefined, bytes: Buffer) => void) => say(undefined, client.first),
      step: (challenge: Buffer, say: (error: undefined, bytes: Buffer) => void) =>
        say(undefined, String(challenge).startsWith('v=') ? Buffer.alloc(0) : client.final(challenge)),
    }
    const connection = rhea.create_container().connect({
      port: broker.address('amqp').port,
      host: '127.0.0.1',
      reconnect: false,
      sasl_mechanisms: { 'SCRAM-SHA-256': () => mechanism },
    } as unknown as rhea.ConnectionOptions)
    connection.on('error', () => undefined)
    connection.on('connection_error', () => undefined)
    connection.on('disconnected', () => undefined)
    const said = await Promise.race(
      ['connection_open', 'connection_error', 'disconnected'].map(async (name) => {
        await once(connection, name)
        return name
      }),
    )
    connection.close()
    return said
  }
  expect(await dial('sesame')).toBe('connection_open')
  expect(await dial('wrong')).not.toBe('connection_open')
  expect(lines).toContainEqual(expect.objectContaining({ line: 'connected', protocol: 'amqp', principal: 'alice' }))
  expect(lines).toContainEqual(expect.objectContaining({ line: 'turned away', protocol: 'amqp' }))
})
