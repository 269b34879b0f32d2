// What rhea must be able to do with the broker: prints `ok NAME` or `not ok NAME: REASON` for each step.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { crc32 } from 'node:zlib'
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
      const context = await new Promise((resolve) => {
        const take = (found) => {
          clearTimeout(timer)
          resolve(found)
        }
        const timer = setTimeout(() => {
          waiting.splice(waiting.indexOf(take), 1)
          resolve(undefined)
        }, ms)
        waiting.push(take)
      })
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

/** A client of another protocol, which does what it is asked for and answers; see interop/amqp/other.ts. */
function otherOf(pair) {
  const [word, talents] = pair.split(':')
  const ask = async (connection, ...words) => {
    const { receiver, next } = taker(connection, { source: { dynamic: true } })
    await event(receiver, 'receiver_open')
    await sent(connection, `cross.${word}`, { body: words.join(' '), reply_to: receiver.source.address })
    const { message, delivery } = await next(6 * waitMs)
    delivery.accept()
    receiver.close()
    return plain(message)
  }
  return {
    word,
    talents,
    name: (what) => `rhea.${word}.${what}`,
    does: async (connection, expected, ...words) => assert.equal(await ask(connection, ...words), expected),
  }
}

/** Text of another protocol comes as a string if that says so, and as bytes if it cannot. */
function plain({ body }) {
  return typeof body === 'string' ? body : body.content.toString()
}

async function takes({ next }, ...bodies) {
  for (const body of bodies) {
    const { message, delivery } = await next()
    assert.equal(plain(message), body)
    delivery.accept()
  }
}

function patternOf(size) {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; at += 1) bytes[at] = ((at % 8192) * 7919) >> 5
  return bytes
}

const crossings = {
  async durable(connection, other) {
    const topic = other.name('durable')
    const options = { name: 'sub', source: { address: `topic://${topic}`, durable: 2, expiry_policy: 'never' } }
    const first = await opened(`rhea-${other.word}`)
    await event(taker(first, options).receiver, 'receiver_open')
    await closed(first)
    await other.does(connection, 'sent', 'send', 'topic', topic, 'a,b')
    const second = await opened(`rhea-${other.word}`)
    const subscriber = taker(second, options)
    await takes(subscriber, 'a', 'b')
    subscriber.receiver.close()
    await closed(second)
  },

  async shared(connection, other) {
    const address = `topic://${other.name('shared')}`
    const takers = ['s|0', 's|1'].map((name) =>
      taker(connection, { name, source: { address, capabilities: ['shared'] } }),
    )
    await Promise.all(takers.map(({ receiver }) => event(receiver, 'receiver_open')))
    await other.does(connection, 'sent', 'send', 'topic', other.name('shared'), '0,1,2,3,4,5,6,7,8,9')
    const found = []
    const end = performance.now() + waitMs
    for (let turn = 0; found.length < 10 && performance.now() < end; turn += 1) {
      const context = await takers[turn % 2].next(50)
      if (context === undefined) continue
      found.push(plain(context.message))
      context.delivery.accept()
    }
    assert.deepEqual(found.sort(), [...'0123456789'])
  },

  async browse(connection, other) {
    const queue = other.name('browse')
    await other.does(connection, 'sent', 'send', 'queue', queue, 'a,b,c')
    const browser = taker(connection, { source: { address: queue, distribution_mode: 'copy' } })
    for (const body of 'abc') assert.equal(plain((await browser.next()).message), body)
    browser.receiver.close()
    await other.does(connection, 'a,b,c', 'take', queue, 3)
  },

  async large(connection, other) {
    const queue = other.name('large')
    const body = patternOf(10 * 1024 * 1024)
    await sent(connection, queue, { body: rhea.message.data_section(body) })
    await other.does(connection, `${body.length} ${crc32(body)}`, 'sum', queue)
    await other.does(connection, 'sent', 'large', queue, body.length)
    const { message, delivery } = await taker(connection, { source: queue }).next(4 * waitMs)
    assert.ok(message.body.content.equals(body), 'other bytes')
    delivery.accept()
  },

  async 'dead letter'(connection, other) {
    const queue = other.name('dead')
    await other.does(connection, 'sent', 'send', 'queue', queue, 'x')
    const { receiver, next } = taker(connection, { source: queue })
    ;(await next()).delivery.modified({ delivery_failed: true, undeliverable_here: false })
    const again = await next()
    assert.equal(again.message.delivery_count, 1)
    again.delivery.reject({ condition: 'my:error', description: 'no' })
    await other.does(connection, 'x', 'take', `DLQ.${queue}`, 1)
    receiver.close()
    if (!other.talents.includes('n')) return
    await sent(connection, queue, { body: 'y' })
    await other.does(connection, '10', 'refuse', queue, 10)
    const dead = await taker(connection, { source: `DLQ.${queue}` }).next()
    assert.equal(plain(dead.message), 'y')
    assert.equal(dead.message.message_annotations['x-opt-dead-letter-address'], `queue://${queue}`)
    dead.delivery.accept()
  },

  async transaction(connection, other) {
    if (!other.talents.includes('t')) return
    const queue = other.name('tx')
    const subscriber = taker(connection, { source: queue })
    await other.does(connection, 'done', 'transact', 'abort', queue, 'undone')
    assert.equal(await subscriber.next(noneMs), undefined)
    await other.does(connection, 'done', 'transact', 'commit', queue, 'a')
    await takes(subscriber, 'a')
  },

  async selector(connection, other) {
    if (!other.talents.includes('c')) return
    const queue = other.name('selector')
    await other.does(connection, 'sent', 'send', 'queue', queue, 'no,yes', 'blue,red')
    const filter = rhea.filter.selector("colour = 'red'")
    const red = taker(connection, { source: { address: queue, filter } })
    await takes(red, 'yes')
    assert.equal(await red.next(noneMs), undefined)
    red.receiver.close()
    await other.does(connection, 'no', 'take', queue, 1)
  },
}

function crossed(pair) {
  const other = otherOf(pair)
  const run = async (connection) => {
    for (const [name, crossing] of Object.entries(crossings)) {
      await crossing(connection, other).catch((error) => {
        throw new Error(`${name}: ${error.message}`)
      })
    }
  }
  return [`crossed with ${other.word}`, run]
}

const pairs = process.argv[3]
const wanted = pairs === undefined ? Object.entries(steps) : pairs.split(',').map(crossed)

for (const [name, step] of wanted) {
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
