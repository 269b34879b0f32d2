import { expect, test } from 'vitest'
import type { Peer, PeerEvents } from '../../../../protocols/native/client/index.ts'
import { Leavable } from '../../../../src/client/leavable.ts'

const welcome = { connectionId: '1', broker: 'b', product: 'p', clockOffsetMs: 0 }
const message = { head: undefined } as Parameters<Peer['send']>[2]

/** A connection of which only `send` does something, and whether it is left. */
function connection(send: (seq: number, events: PeerEvents) => number) {
  const nothing = (): undefined => undefined
  const client = new Proxy({} as PeerEvents, { get: () => nothing })
  const leavable = new Leavable(client, queueMicrotask)
  const inner = new Proxy({} as Peer, {
    get: (_target, name) =>
      name === 'send'
        ? (_link: number, seq: number) => send(seq, leavable.events)
        : name === 'isCongested'
          ? false
          : nothing,
  })
  const { peer } = leavable.over({ peer: inner, welcome })
  const isLeft = async (): Promise<boolean> => {
    let left = false
    leavable.leave(() => {
      left = true
    })
    await new Promise(setImmediate)
    return left
  }
  return { leavable, peer, isLeft }
}

test('a send that is answered while it is being written is not waited for', async () => {
  const { peer, isLeft } = connection((seq, events) => {
    events.accepted(1, seq, [])
    return 1
  })
  expect(peer.send(1, 1, message, 0)).toBe(1)
  expect(await isLeft()).toBe(true)
})

test('one that cannot be written is not, but those before it are', async () => {
  const { leavable, peer, isLeft } = connection((seq) => {
    if (seq === 2) throw new RangeError('too large')
    return 1
  })
  expect(() => peer.send(7, 2, message, 0)).toThrow('too large')
  expect(await isLeft()).toBe(true)
  leavable.stay()
  peer.send(1, 1, message, 0)
  expect(() => peer.send(1, 2, message, 0)).toThrow('too large')
  expect(await isLeft()).toBe(false)
  leavable.events.accepted(1, 1, [])
  await new Promise(setImmediate)
  expect([leavable.hasSends, peer.isCongested]).toEqual([false, true])
})
