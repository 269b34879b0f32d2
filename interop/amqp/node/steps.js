// What rhea must be able to do with the broker: prints `ok NAME` or `not ok NAME: REASON` for each step.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import rhea from 'rhea'

const port = Number(process.argv[2])
const waitMs = 5000
const noneMs = 300
const { types } = rhea

function open(containerId, options = {}) {
  const container = rhea.create_container({ id: containerId })
  return container.connect({ port, host: '127.0.0.1', username: 'anonymous', reconnect: false, ...options })
}

async function event(emitter, name, ms = waitMs) {
  const [context] = await once(emitter, name, { signal: AbortSignal.timeout(ms) })
  return context
}

async function opened(containerId, options) {
  const connection = open(containerId, options)
  await event(connection, 'connection_open')
  return connection
}

async function closed(connection) {
  const done = event(connection, 'connection_close')
  connection.close()
  await done
}

async function sent(connection, to, ...messages) {
  const sender = connection.open_sender(to)
  await event(sender, 'sendable')
  for (const message of messages) {
    const outcome = event(sender, 'settled')
    sender.send(message)
    await outcome
  }
  sender.close()
}

/** A receiver with its messages in order; none is accepted by itself. */
function taker(connection, options) {
  const receiver = connection.open_receiver({ autoaccept: false, credit_window: 0, ...options })
  const waiting = []
  const came = []
  receiver.on('message', (context) => {
    const taken = waiting.shift()
    if (taken === undefined) came.push(context)
    else taken(context)
  })
  return {
    receiver,
    async next(ms = waitMs) {
      if (came.length > 0) return came.shift()
      receiver.add_credit(1)
      let timer
      const late = new Promise((resolve) => {
        timer = setTimeout(resolve, ms)
      })
      const context = await Promise.race([new Promise((resolve) => waiting.push(resolve)), late])
      clearTimeout(timer)
      if (context === undefined && waitMs === ms) throw new Error('no message came')
      return context
    },
    async expect(...bodies) {
      for (const body of bodies) {
        const { message, delivery } = await this.next()
        assert.equal(message.body, body)
        delivery.accept()
      }
    },
  }
}

/** In the order in which they are run; each gets a connection of its own. */
const steps = {
  async 'connect with and without a password'() {
    const plain = await opened('plain', { username: 'user', password: 'secret' })
    assert.equal(plain.properties.product, 'ManifoldMQ')
    await closed(plain)
    await closed(await opened('anonymous'))
  },

  async 'bodies and properties'(connection) {
    const large = Buffer.alloc(100_000, 'abcdefg')
    const all = [
      'Grüße 😀',
      rhea.message.data_section(Buffer.from([0, 255])),
      { a: [1, 'x'] },
      rhea.message.sequence_section([1, 'x']),
      rhea.message.data_section(large),
    ]
    const messages = all.map((body) => ({
      body,
      message_id: 'm',
      correlation_id: types.wrap_ulong(5),
      subject: 's',
      durable: true,
      priority: 7,
      message_annotations: { 'x-opt-note': 'kept' },
      application_properties: { text: 'x', number: types.wrap_int(-3), yes: true },
    }))
    await sent(connection, 'rhea.bodies', ...messages)
    const { next } = taker(connection, { source: 'rhea.bodies' })
    for (const [index, body] of all.entries()) {
      const { message, delivery } = await next()
      delivery.accept()
      assert.deepEqual(message.body?.content ?? message.body, body.content ?? body, `body ${index}`)
      assert.deepEqual(message.application_properties, { text: 'x', number: -3, yes: true })
      assert.deepEqual(message.message_annotations, { 'x-opt-note': 'kept' })
      const { message_id, correlation_id, subject, durable, priority } = message
      assert.deepEqual([message_id, correlation_id, subject, durable, priority], ['m', 5, 's', true, 7])
    }
  },

  async 'release, modify, reject'(connection) {
    await sent(connection, 'rhea.outcomes', { body: 'x' })
    const { next } = taker(connection, { source: 'rhea.outcomes' })
    ;(await next()).delivery.release()
    ;(await next()).delivery.modified({ delivery_failed: true, undeliverable_here: false })
    const last = await next()
    assert.equal(last.message.delivery_count, 1)
    last.delivery.reject({ condition: 'my:error', description: 'no' })
    const dead = await taker(connection, { source: 'DLQ.rhea.outcomes' }).next()
    assert.equal(dead.message.message_annotations['x-opt-dead-letter-reason'], 'my:error: no')
    dead.delivery.accept()
  },

  async selector(connection) {
    const { next } = taker(connection, {
      source: { address: 'rhea.selector', filter: rhea.filter.selector("colour = 'red'") },
    })
    const colour = (body) => ({ body, application_properties: { colour: body } })
    await sent(connection, 'rhea.selector', colour('blue'), colour('red'))
    const { message, delivery } = await next()
    assert.equal(message.body, 'red')
    delivery.accept()
    assert.equal(await next(noneMs), undefined)
  },

  async browse(connection) {
    await sent(connection, 'rhea.browse', { body: 'a' }, { body: 'b' })
    const browser = taker(connection, { source: { address: 'rhea.browse', distribution_mode: 'copy' } })
    for (const body of ['a', 'b']) assert.equal((await browser.next()).message.body, body)
    await taker(connection, { source: 'rhea.browse' }).expect('a', 'b')
  },

  async 'durable subscription'() {
    const options = { name: 'sub', source: { address: 'topic://rhea.durable', durable: 2, expiry_policy: 'never' } }
    const first = await opened('rhea-durable')
    await event(taker(first, options).receiver, 'receiver_open')
    await closed(first)
    const second = await opened('rhea-durable')
    await sent(second, 'topic://rhea.durable', { body: 'missed' })
    const subscriber = taker(second, options)
    await subscriber.expect('missed')
    subscriber.receiver.close()
    await closed(second)
  },

  async drain(connection) {
    await sent(connection, 'rhea.drain', { body: 'a' })
    const receiver = connection.open_receiver({ source: 'rhea.drain', credit_window: 0 })
    receiver.add_credit(10)
    await event(receiver, 'message')
    const drained = event(receiver, 'receiver_drained')
    receiver.drain_credit()
    await drained
  },

  async '5000 in flight'(connection) {
    const count = 5000
    const sender = connection.open_sender('rhea.many')
    let number = 0
    let confirmed = 0
    const all = new Promise((resolve) => {
      sender.on('accepted', () => {
        confirmed += 1
        if (confirmed === count) resolve()
      })
    })
    sender.on('sendable', () => {
      while (sender.sendable() && number < count) sender.send({ body: number++ })
    })
    await all
    const receiver = connection.open_receiver('rhea.many')
    let next = 0
    await new Promise((resolve, reject) => {
      receiver.on('message', ({ message }) => {
        if (message.body !== next) reject(new Error(`${message.body} came instead of ${next}`))
        next += 1
        if (next === count) resolve()
      })
    })
  },

  async 'to STOMP and back, over a dynamic node'(connection) {
    const { receiver, next } = taker(connection, { source: { dynamic: true } })
    await event(receiver, 'receiver_open')
    const replyTo = receiver.source.address
    const application_properties = { colour: 'red' }
    await sent(connection, 'stomp.echo', { body: 'Grüße', reply_to: replyTo, application_properties })
    const { message, delivery } = await next()
    delivery.accept()
    assert.equal(message.body, 'Grüße')
    assert.equal(message.application_properties.colour, 'red')
  },
}

for (const [name, step] of Object.entries(steps)) {
  const connection = await opened(`rhea ${name}`)
  try {
    await step(connection)
    console.log(`ok ${name}`)
  } catch (error) {
    console.log(`not ok ${name}: ${String(error?.message ?? error).replaceAll('\n', ' ')}`)
  }
  await closed(connection).catch(() => undefined)
}
process.exit(0)
