import { describe, expect, test } from 'vitest'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import { type AmqpPeer, composite, descriptorOf, fieldsOf, t } from '../../../support/amqp-peer.ts'

/** States of a connection's first session and its first link, as the peer has brought them about. */
const states = {
  /** A session, no link on handle 0. */
  unattached: async () => undefined,
  attached: (peer: AmqpPeer) => peer.sender('s', 'queue://a'),
  /** We have refused the link; the peer has yet to detach. */
  refused: async (peer: AmqpPeer) => {
    await peer.sender('s', 'tcp://nowhere')
    await peer.next(0x16)
  },
  /** We have closed the link for an error. */
  closed: async (peer: AmqpPeer) => {
    await peer.sender('s', 'queue://a')
    peer.transfer(0, Buffer.alloc(0), { state: composite(0x24) })
    await peer.next(0x16)
  },
  /** The peer has detached. */
  detached: async (peer: AmqpPeer) => {
    await peer.sender('s', 'queue://a')
    peer.send(composite(0x16, t.uint(0)))
    await peer.next(0x16)
  },
  /** We have ended the session. */
  ended: async (peer: AmqpPeer) => {
    peer.send(composite(0x16, t.uint(9)))
    await peer.next(0x17)
  },
} satisfies Record<string, (peer: AmqpPeer) => Promise<unknown>>

const inputs = {
  attach: (peer: AmqpPeer) =>
    peer.send(
      composite(
        0x12,
        t.string('s'),
        t.uint(0),
        t.boolean(false),
        undefined,
        undefined,
        composite(0x28),
        composite(0x29, t.string('queue://a')),
      ),
    ),
  transfer: (peer: AmqpPeer) => peer.transfer(5, Buffer.from('00537740', 'hex'), { settled: true }),
  flow: (peer: AmqpPeer) => peer.credit(0, 1, 0, 0, false, true),
  detach: (peer: AmqpPeer) => peer.send(composite(0x16, t.uint(0), t.boolean(true))),
  disposition: (peer: AmqpPeer) => peer.disposition(0, 0, composite(0x24)),
  end: (peer: AmqpPeer) => peer.send(composite(0x17)),
}

type State = keyof typeof states
type Input = keyof typeof inputs

const unattached = 'end amqp:session:unattached-handle'

/** What the broker answers: the frames, with the condition of one that carries an error. */
const table: Readonly<Record<State, Readonly<Record<Input, readonly string[]>>>> = {
  unattached: {
    attach: ['attach', 'flow'],
    transfer: [unattached],
    flow: [unattached],
    detach: [unattached],
    disposition: [],
    end: ['end'],
  },
  attached: {
    attach: ['end amqp:session:handle-in-use'],
    transfer: [],
    flow: ['flow'],
    detach: ['detach'],
    disposition: [],
    end: ['end'],
  },
  refused: {
    attach: ['end amqp:session:handle-in-use'],
    transfer: [],
    flow: [],
    detach: [],
    disposition: [],
    end: ['end'],
  },
  closed: {
    attach: ['end amqp:session:handle-in-use'],
    transfer: [],
    flow: [],
    detach: [],
    disposition: [],
    end: ['end'],
  },
  detached: {
    attach: ['attach', 'flow'],
    transfer: [unattached],
    flow: [unattached],
    detach: [unattached],
    disposition: [],
    end: ['end'],
  },
  ended: { attach: [], transfer: [], flow: [], detach: [], disposition: [], end: [] },
}

const names = new Map([
  [0x12, 'attach'],
  [0x13, 'flow'],
  [0x14, 'transfer'],
  [0x15, 'disposition'],
  [0x16, 'detach'],
  [0x17, 'end'],
  [0x18, 'close'],
])

describe('session and link (part 2, sections 2.5.5 and 2.6.3)', () => {
  const rows = Object.entries(table).flatMap(([state, row]) =>
    Object.entries(row).map(([input, answers]) => [state as State, input as Input, answers] as const),
  )
  test.each(rows)('%s: %s is answered with %j', async (state, input, answers) => {
    const broker = await AmqpBroker.open()
    const peer = await broker.begun()
    await states[state](peer)
    const before = peer.history.length
    inputs[input](peer)
    // The begin of a second session is answered when everything before it has been.
    await peer.begin(99)
    const seen = peer.history.slice(before, -1).map(({ code, fields }) => {
      const condition = fieldsOf(fields.find((field) => descriptorOf(field) === 0x1d))[0]
      return condition === undefined ? names.get(code) : `${names.get(code)} ${condition}`
    })
    expect(seen).toEqual(answers)
    expect(peer.isClosed).toBe(false)
  })
})
