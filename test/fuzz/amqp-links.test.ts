import { expect, test } from 'vitest'
import { AmqpBroker } from '../support/amqp-broker.ts'
import { accepted, bodyOf, source, target, text } from '../support/amqp-frames.ts'
import {
  type AmqpPeer,
  composite,
  descriptorOf,
  type ReceivedFrame,
  type Seen,
  t,
  type Wired,
} from '../support/amqp-peer.ts'
import { drawsOf, startSeed } from '../support/seed.ts'

const environment: { readonly FUZZ_STEPS?: string } = process.env
const stepCount = Number(environment.FUZZ_STEPS ?? 6000)
const stepsPerHealth = 250

const seed = startSeed()
const { below, chance, pick } = drawsOf(seed)

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

const policies = [undefined, 'link-detach', 'session-end', 'connection-close', 'never'] as const
const outcomes = [0x24, 0x24, 0x24, 0x25, 0x26, 0x27] as const

/** What has been promised of the messages of one queue, over all peers: bodies are told apart, and are their tags. */
class Ledger {
  readonly accepted = new Set<string>()
  readonly gone = new Set<string>()
  #count = 0

  next(): string {
    this.#count += 1
    return `m${this.#count}`
  }
}

/** One end of a link as its peer sees it. */
interface Held {
  readonly name: string
  readonly isSender: boolean
}

/** A client that attaches, resumes, detaches and breaks off as it likes, mostly by the rules. */
class Rover {
  readonly #broker: AmqpBroker
  readonly #container: string
  readonly #ledger: Ledger
  /** What it has sent and not heard of, and what it has got and not settled: by tag. */
  readonly #inDoubt = new Set<string>()
  readonly #held = new Map<string, string>()
  #peer: AmqpPeer | undefined
  readonly #links = new Map<string, Held>()
  readonly #channels = new Set<number>()
  /** Of this connection, by channel and delivery id. */
  readonly #sent = new Map<string, string>()
  readonly #received = new Map<string, string>()
  #deliveryId = 0

  constructor(broker: AmqpBroker, container: string, ledger: Ledger) {
    this.#broker = broker
    this.#container = container
    this.#ledger = ledger
  }

  async step(): Promise<void> {
    const peer = this.#peer
    if (peer === undefined || peer.isClosed) {
      await this.#connect()
      return
    }
    this.#read(peer)
    this.#act(peer)
    if (chance(40)) await turn()
  }

  async leave(): Promise<void> {
    if (this.#peer === undefined) return
    await turn()
    this.#read(this.#peer)
    this.#peer.cut()
    await this.#peer.closed
  }

  async #connect(): Promise<void> {
    this.#peer = this.#broker.peer()
    this.#links.clear()
    this.#channels.clear()
    this.#sent.clear()
    this.#received.clear()
    this.#deliveryId = 0
    await this.#peer.open(this.#container)
    await this.#peer.begin()
    this.#channels.add(0)
  }

  #act(peer: AmqpPeer): void {
    const channel = pick([...this.#channels])
    const handle = below(4)
    const link = this.#links.get(`${channel}/${handle}`)
    switch (below(20)) {
      case 0:
        if (chance(20)) peer.cut()
        return
      case 1:
        this.#beginOrEnd(peer, below(3))
        return
      case 2:
        this.#broker.clock.advance(below(4000))
        return
      case 3:
        if (chance(10)) peer.send(composite(0x18))
        return
      case 4:
      case 5:
        if (link === undefined && chance(95)) return
        this.#links.delete(`${channel}/${handle}`)
        peer.send(composite(0x16, t.uint(handle), t.boolean(chance(30))), undefined, channel)
        return
      case 6:
      case 7:
      case 8:
        if (link === undefined || chance(3)) this.#attach(peer, channel, handle)
        return
      case 9:
      case 10:
        this.#settle(peer, channel)
        return
      case 11:
        if (link !== undefined) peer.credit(handle, below(12), below(3), channel, chance(30), chance(30))
        return
      default:
        if (link?.isSender) this.#send(peer, channel, handle)
        else if (link !== undefined) peer.credit(handle, 1 + below(5), 0, channel, chance(10))
    }
  }

  #beginOrEnd(peer: AmqpPeer, channel: number): void {
    if (!this.#channels.has(channel)) {
      this.#channels.add(channel)
      peer.send(composite(0x11, undefined, t.uint(0), t.uint(1000), t.uint(1000)), undefined, channel)
    } else if (this.#channels.size > 1) {
      this.#channels.delete(channel)
      for (const key of this.#links.keys()) if (key.startsWith(`${channel}/`)) this.#links.delete(key)
      peer.send(composite(0x17), undefined, channel)
    }
  }

  #attach(peer: AmqpPeer, channel: number, handle: number): void {
    const isSender = chance(50)
    const name = pick(['one', 'two', 'three'])
    const how = { policy: pick(policies) ?? 'session-end', timeout: pick([0, 0, 1, 5]), durable: pick([0, 0, 2]) }
    const address = isSender || chance(70) ? 'queue://a' : 'topic://t'
    const states = isSender
      ? [...this.#inDoubt].filter(() => chance(70)).map((tag) => [tag, t.null()] as const)
      : [...this.#held.keys()].filter(() => chance(70)).map((tag) => [tag, this.#told(tag)] as const)
    const unsettled = chance(30) ? undefined : t.tags(Object.fromEntries(states.slice(0, 40)))
    const mine = isSender ? source('nobody') : target('nobody')
    const theirs = isSender ? target(address, how) : source(address, how)
    peer.send(
      composite(
        0x12,
        t.string(name),
        t.uint(handle),
        t.boolean(!isSender),
        t.ubyte(below(3)),
        t.ubyte(below(2)),
        isSender ? mine : theirs,
        isSender ? theirs : mine,
        unsettled,
        t.boolean(chance(5)),
        isSender ? t.uint(0) : undefined,
      ),
      undefined,
      channel,
    )
    this.#links.set(`${channel}/${handle}`, { name, isSender })
  }

  /** What an unsettled map says of a delivery that it has got: an outcome, or that there is none. */
  #told(tag: string): Wired {
    if (chance(50)) return t.null()
    if (chance(70)) {
      this.#ledger.gone.add(this.#held.get(tag) ?? '')
      return accepted
    }
    return composite(0x27, t.boolean(true))
  }

  #send(peer: AmqpPeer, channel: number, handle: number): void {
    const resumes = this.#inDoubt.size > 0 && chance(30)
    const body = resumes ? pick([...this.#inDoubt]) : this.#ledger.next()
    const id = this.#deliveryId
    this.#deliveryId += 1
    const how = { handle, channel, tag: body, resume: resumes && chance(70), settled: chance(10) }
    if (!how.settled) {
      this.#inDoubt.add(body)
      this.#sent.set(`${channel}/${id}`, body)
    }
    const payload = text(body)
    if (chance(80)) peer.transfer(id, payload, how)
    else {
      peer.transfer(id, payload.subarray(0, 4), { ...how, hasMore: true })
      if (chance(90)) peer.transfer(id, payload.subarray(4), { ...how, aborted: chance(20) })
    }
  }

  #settle(peer: AmqpPeer, channel: number): void {
    const ids = [...this.#received.keys()]
      .filter((key) => key.startsWith(`${channel}/`))
      .map((key) => key.split('/')[1])
    if (ids.length === 0 || chance(5)) {
      const first = below(50)
      peer.send(
        composite(0x15, t.boolean(false), t.uint(first), t.uint(first + below(9)), t.boolean(true)),
        undefined,
        channel,
      )
      return
    }
    const first = Number(pick(ids))
    const last = first + (chance(70) ? 0 : below(4))
    const code = pick(outcomes)
    const settled = chance(80)
    for (let id = first; id <= last; id += 1) {
      const body = this.#received.get(`${channel}/${id}`)
      if (body !== undefined && code === 0x24) this.#ledger.gone.add(body)
      if (settled) this.#received.delete(`${channel}/${id}`)
    }
    peer.disposition(first, last, composite(code), settled, channel)
  }

  #read(peer: AmqpPeer): void {
    for (const frame of peer.frames.splice(0)) {
      if (frame.code === 0x14) this.#onTransfer(frame)
      else if (frame.code === 0x15) this.#onDisposition(frame)
      else if (frame.code === 0x12) this.#onAttach(frame)
    }
  }

  #onTransfer(frame: ReceivedFrame): void {
    const body = String(bodyOf(frame))
    const [, id, tag, , settled] = frame.fields
    if (settled === true) this.#ledger.gone.add(body)
    else {
      this.#received.set(`${frame.channel}/${id}`, body)
      this.#held.set((tag as Buffer).toString('latin1'), body)
    }
  }

  #onDisposition({ channel, fields }: ReceivedFrame): void {
    const [isReceiver, first, last, , state] = fields
    if (isReceiver !== true) return
    for (let id = Number(first); id <= Number(last ?? first); id += 1) {
      const body = this.#sent.get(`${channel}/${id}`)
      if (body === undefined) continue
      if (descriptorOf(state) === 0x24) this.#ledger.accepted.add(body)
      if (chance(50)) this.#inDoubt.delete(body)
    }
  }

  /** What the broker tells of the deliveries that were in doubt. */
  #onAttach({ fields }: ReceivedFrame): void {
    const told = fields[7] as ReadonlyMap<Buffer, Seen> | null
    if (fields[2] !== true || told === null) return
    for (const [tag, state] of told) {
      if (descriptorOf(state) === 0x24) this.#ledger.accepted.add(tag.toString('latin1'))
    }
  }
}

/** Takes all that a queue holds. */
async function drained(broker: AmqpBroker, address: string): Promise<string[]> {
  const peer = await broker.begun('drain')
  await peer.receiver('r', address, { sndSettleMode: 1 })
  peer.credit(1, 1_000_000, 0, 0, true)
  await peer.next(0x13)
  const bodies = peer.frames.filter(({ code }) => code === 0x14).map((frame) => String(bodyOf(frame)))
  peer.cut()
  await peer.closed
  return bodies
}

async function isServed(healthy: AmqpPeer, number: number): Promise<void> {
  healthy.transfer(number, text(`h${number}`))
  const frame = await healthy.next(0x14)
  expect(bodyOf(frame)).toBe(`h${number}`)
  healthy.disposition(Number(frame.fields[1]), Number(frame.fields[1]), accepted)
  healthy.credit(1, 5, number + 1)
  await healthy.next(0x15)
}

test(`${stepCount} steps of links that come, resume and go lose nothing that was accepted (FUZZ_SEED=${seed})`, {
  timeout: 3_600_000,
}, async () => {
  const broker = await AmqpBroker.open({ amqp: { idleMsMax: 0, linkCredit: 20 } })
  const healthy = await broker.begun('healthy')
  await healthy.sender('s', 'queue://healthy')
  await healthy.receiver('r', 'queue://healthy', { credit: 5 })
  const ledger = new Ledger()
  // Two of them share a container, and steal each other's links.
  const rovers = ['one', 'one', 'two'].map((container) => new Rover(broker, container, ledger))
  for (let step = 0; step < stepCount; step += 1) {
    await pick(rovers).step()
    if (step % stepsPerHealth === 0) await isServed(healthy, step / stepsPerHealth)
  }
  for (const rover of rovers) await rover.leave()
  expect(broker.broker.sessionCount).toBe(1)
  const rest = new Set([...(await drained(broker, 'queue://a')), ...(await drained(broker, 'queue://DLQ.a'))])
  expect(ledger.accepted.size).toBeGreaterThan(stepCount / 50)
  expect([...ledger.accepted].filter((body) => !ledger.gone.has(body) && !rest.has(body))).toEqual([])
  broker.clock.advance(24 * 60 * 60 * 1000)
  expect(broker.broker.memory.bytes).toBe(0)
  expect([...broker.broker.statesOf('amqp/')]).toEqual([])
  await isServed(healthy, stepCount)
})
