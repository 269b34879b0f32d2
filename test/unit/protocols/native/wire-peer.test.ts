import { beforeEach, describe, expect, test } from 'vitest'
import { writeBye, writeError, writeNonce, writeOk } from '../../../../protocols/native/encoder.ts'
import { Flag, FrameType } from '../../../../protocols/native/frame.ts'
import { FakeBroker } from '../../../support/fake-broker.ts'
import { prefaceHex } from '../../../support/native-frames.ts'

const shuttingDown = { code: 600, name: 'shutting-down', text: 'the broker is shutting down', retryable: true }
let broker: FakeBroker

beforeEach(() => {
  broker = new FakeBroker()
})

describe('a client that dials', () => {
  test('sends its preface and HELLO without waiting', async () => {
    await broker.welcome()
    expect(broker.log.preface).toEqual([1, 0])
    expect(broker.log.frames.map(({ type }) => type)).toEqual(['hello'])
  })

  test('learns who is there', async () => {
    const time = { type: 'timestamp', value: broker.clock.now() + 5000 } as const
    const { welcome } = await broker.welcome({ time })
    expect(welcome).toEqual({ connectionId: '7', broker: 'fake', clockOffsetMs: 5000 })
  })

  test('is told why it is refused', async () => {
    await Promise.resolve()
    const error = { code: 200, name: 'not-authenticated', text: 'no such user', retryable: false }
    broker.bytes(prefaceHex)
    broker.say((sink) => writeError(sink, 0, error))
    broker.hangUp()
    await expect(broker.dialling).rejects.toMatchObject({ code: 'not-authenticated', message: 'no such user' })
  })

  test('does not take another major version for its own', async () => {
    await Promise.resolve()
    broker.bytes('4d4e464402000000')
    broker.hangUp()
    await expect(broker.dialling).rejects.toThrow('the broker speaks MNP/2, this client MNP/1')
  })

  test('takes nothing before WELCOME', async () => {
    await Promise.resolve()
    broker.bytes(prefaceHex)
    broker.frame(FrameType.ping, 0)
    await expect(broker.dialling).rejects.toThrow('the first frame must be WELCOME')
    expect(broker.isEnded).toBe(true)
  })
})

describe('a client that is connected', () => {
  test('leaves out frames of unknown types that are SKIPPABLE', async () => {
    await broker.welcome()
    broker.frame(0x06, Flag.skippable)
    broker.frame(0x7e, Flag.skippable)
    broker.say((sink) => writeOk(sink, 5, {}))
    expect(broker.told).toMatchObject([['ok', 5, {}]])
  })

  test('ends at others', async () => {
    await broker.welcome()
    broker.frame(0x7e, 0)
    expect(broker.lost).toMatchObject({ code: 'protocol-error', message: expect.stringContaining('type 126') })
    expect(broker.isEnded).toBe(true)
  })

  test('ends at a frame that is longer than it takes', async () => {
    await broker.welcome()
    broker.bytes('000186a13000')
    expect(broker.lost).toMatchObject({ code: 'protocol-error', message: expect.stringContaining('over the limit') })
  })

  test('answers PING', async () => {
    await broker.welcome()
    broker.say((sink) => writeNonce(sink, FrameType.ping, 99))
    await Promise.resolve()
    expect(broker.log.frames.at(-1)).toMatchObject({ type: 'pong', nonce: 99 })
  })

  test('gives up a broker that is silent for three heart-beats', async () => {
    await broker.welcome({ heartBeatMs: { type: 'int', value: 1000 } })
    for (let beat = 0; beat < 3; beat += 1) broker.clock.advance(1000)
    expect(broker.lost).toBeUndefined()
    broker.clock.advance(1000)
    expect(broker.lost).toMatchObject({ code: 'timed-out' })
  })

  test('tells what the broker said when it went', async () => {
    await broker.welcome()
    broker.say((sink) => writeBye(sink, shuttingDown))
    broker.hangUp()
    expect(broker.lost).toMatchObject({ code: 'shutting-down', retryable: true })
  })

  test('tells once that the connection is lost', async () => {
    const { peer } = await broker.welcome()
    broker.hangUp()
    broker.hangUp()
    peer.end()
    expect(broker.told).toHaveLength(1)
    expect(broker.lost).toMatchObject({ code: 'connection-lost', retryable: true })
  })
})
