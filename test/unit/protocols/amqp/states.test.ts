import { describe, expect, test } from 'vitest'
import { AmqpBroker } from '../../../support/amqp-broker.ts'
import {
  type AmqpPeer,
  composite,
  descriptorOf,
  encode,
  fieldsOf,
  frameBytes,
  headers,
  type ReceivedFrame,
  t,
} from '../../../support/amqp-peer.ts'

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
  [-1, 'header'],
  [0x10, 'open'],
  [0x11, 'begin'],
  [0x12, 'attach'],
  [0x13, 'flow'],
  [0x14, 'transfer'],
  [0x15, 'disposition'],
  [0x16, 'detach'],
  [0x17, 'end'],
  [0x18, 'close'],
])

function nameOf({ code, fields }: ReceivedFrame): string | undefined {
  const condition = fieldsOf(fields.find((field) => descriptorOf(field) === 0x1d))[0]
  return condition === undefined ? names.get(code) : `${names.get(code)} ${condition}`
}

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
    expect(peer.history.slice(before, -1).map(nameOf)).toEqual(answers)
    expect(peer.isClosed).toBe(false)
  })
})

const saslInit = frameBytes(encode(composite(0x41, t.symbol('ANONYMOUS'))), undefined, 0, 1)

/** States of a connection, in the words of section 2.4.6, as the peer has brought them about. */
const connectionStates = {
  START: async () => undefined,
  'START after SASL': async (peer: AmqpPeer) => {
    peer.write(headers.sasl, saslInit)
    await peer.next(0x44)
  },
  HDR_EXCH: async (peer: AmqpPeer) => {
    await connectionStates['START after SASL'](peer)
    peer.write(headers.amqp)
    await peer.next(-1)
    await peer.next(-1)
  },
  OPENED: (peer: AmqpPeer) => peer.open(),
  /** We have closed for an error. */
  DISCARDING: async (peer: AmqpPeer) => {
    await peer.open()
    peer.send(composite(0x17), undefined, 9)
    await peer.next(0x18)
  },
  /** The peer has closed, and we have. */
  END: async (peer: AmqpPeer) => {
    await peer.open()
    peer.send(composite(0x18))
    await peer.next(0x18)
  },
} satisfies Record<string, (peer: AmqpPeer) => Promise<unknown>>

const connectionInputs = {
  header: (peer: AmqpPeer) => peer.write(headers.amqp),
  'empty frame': (peer: AmqpPeer) => peer.write(frameBytes(Buffer.alloc(0))),
  open: (peer: AmqpPeer) => peer.send(composite(0x10, t.string('peer'))),
  begin: (peer: AmqpPeer) => peer.send(composite(0x11, undefined, t.uint(0), t.uint(1), t.uint(1))),
  end: (peer: AmqpPeer) => peer.send(composite(0x17)),
  close: (peer: AmqpPeer) => peer.send(composite(0x18)),
}

type ConnectionState = keyof typeof connectionStates
type ConnectionInput = keyof typeof connectionInputs

/** The last word of those is the end of the wire. */
const gone = 'gone'
const noHeader = ['header', gone]
const notYet = ['open', 'close amqp:illegal-state', gone]
const discarded: Readonly<Record<ConnectionInput, readonly string[]>> = {
  header: [gone],
  'empty frame': [gone],
  open: [gone],
  begin: [gone],
  end: [gone],
  close: [gone],
}

const connectionTable: Readonly<Record<ConnectionState, Readonly<Record<ConnectionInput, readonly string[]>>>> = {
  START: {
    header: ['header'],
    'empty frame': noHeader,
    open: noHeader,
    begin: noHeader,
    end: noHeader,
    close: noHeader,
  },
  'START after SASL': {
    header: ['header'],
    'empty frame': noHeader,
    open: noHeader,
    begin: noHeader,
    end: noHeader,
    close: noHeader,
  },
  HDR_EXCH: {
    header: ['open', 'close amqp:connection:framing-error', gone],
    'empty frame': [],
    open: ['open'],
    begin: notYet,
    end: notYet,
    close: notYet,
  },
  OPENED: {
    header: ['close amqp:connection:framing-error', gone],
    'empty frame': [],
    open: ['close amqp:illegal-state', gone],
    begin: ['begin'],
    end: ['close amqp:not-allowed', gone],
    close: ['close', gone],
  },
  DISCARDING: discarded,
  END: discarded,
}

describe('connection (part 2, section 2.4.6)', () => {
  const rows = Object.entries(connectionTable).flatMap(([state, row]) =>
    Object.entries(row).map(
      ([input, answers]) => [state as ConnectionState, input as ConnectionInput, answers] as const,
    ),
  )
  test.each(rows)('%s: %s is answered with %j', async (state, input, answers) => {
    const broker = await AmqpBroker.open()
    const peer = broker.peer()
    await connectionStates[state](peer)
    const before = peer.history.length
    connectionInputs[input](peer)
    if (answers.at(-1) === gone) await peer.closed
    // Whatever could be said has been said when somebody who came later is served.
    await broker.begun('later')
    const seen = peer.history.slice(before).map(nameOf)
    expect(peer.isClosed ? [...seen, gone] : seen).toEqual(answers)
  })
})
