import assert from 'node:assert/strict'
import { systemClock } from '../src/clock.ts'
import { type Bench, bodies, dueMsMax, next, none, refused, sleep, versions } from './bench.ts'
import { beatMs } from './broker.ts'
import type { Outgoing, Version } from './driver.ts'

/** What every client must be able to do with the broker. */
export interface Step {
  readonly name: string
  readonly run: (bench: Bench) => Promise<void>
}

const mebibyte = 1024 * 1024

export const steps: readonly Step[] = [
  ...versions.map((version) => ({ name: `connect ${version}`, run: (bench: Bench) => connects(bench, version) })),
  ...versions.map((version) => ({
    name: `text, bytes, empty, 1 MiB in ${version}`,
    run: (bench: Bench) => sendsAndReceives(bench, version),
  })),
  { name: 'header escapes', run: escapes },
  { name: 'repeated and empty headers', run: repeatedAndEmpty },
  { name: 'ack auto', run: ackAuto },
  { name: 'ack client: cumulative', run: ackClient },
  { name: 'ack client-individual', run: ackIndividual },
  { name: 'nack and redelivered', run: nack },
  { name: 'nack ten times: dead letter', run: deadLetter },
  { name: 'transaction commit', run: commit },
  { name: 'transaction abort', run: abort },
  { name: 'durable subscription over a reconnect', run: durable },
  { name: 'selectors', run: selectors },
  { name: 'topics and wildcards', run: topics },
  { name: 'request and reply over temp-queue', run: requestReply },
  { name: 'browser', run: browser },
  { name: 'heart-beats, 2.6 s idle', run: heartBeats },
  { name: 'silence beyond the heart-beat: cut off', run: silence },
  { name: 'bad destination: ERROR frame', run: badDestination },
  { name: 'priority', run: priority },
  { name: 'expiry', run: expiry },
  { name: 'delayed', run: delayed },
  { name: 'reconnect after the broker stops', run: (bench) => reconnect(bench, 'stop') },
  { name: 'reconnect after the broker crashes', run: (bench) => reconnect(bench, 'kill') },
]

async function connects(bench: Bench, version: Version): Promise<void> {
  const connection = await bench.open({ version })
  assert.equal(connection.version, version)
  assert.match(connection.server, /^ManifoldMQ\//)
  await connection.close()
}

async function sendsAndReceives(bench: Bench, version: Version): Promise<void> {
  const connection = await bench.open({ version })
  const queue = bench.queue('bodies')
  await connection.subscribe('s', queue)
  const large = Buffer.alloc(mebibyte)
  for (let at = 0; at < large.length; at += 1) large[at] = (at * 7919) >> 5
  const sent: readonly Outgoing[] = [
    { text: 'plain' },
    { text: 'Grüße, 日本語, 😀' },
    { bytes: Buffer.from([0, 1, 0, 0, 255, 254, 10, 13, 0]) },
    { bytes: Buffer.alloc(0) },
    { text: '' },
    { bytes: large },
  ]
  for (const message of sent) await connection.send(queue, message)
  for (const { text = '', bytes = Buffer.from(text) } of sent) {
    const { body, headers } = await next(connection, 's')
    assert.ok(body.equals(bytes), `${bytes.length} bytes sent, ${body.length} other bytes received`)
    assert.equal(headers.destination, queue)
    assert.equal(headers.subscription, 's')
    assert.ok(headers['message-id'])
  }
}

async function escapes(bench: Bench): Promise<void> {
  for (const version of bench.traits.escapes) {
    const connection = await bench.open({ version })
    const queue = bench.queue(`escapes-${version}`)
    await connection.subscribe('s', queue)
    const headers: Record<string, string> = { colon: 'a:b:c', line: 'one\ntwo', slash: '\\path\\to', umlaut: 'ä: €' }
    if (version === '1.2') headers.return = 'a\r\nb'
    if (bench.traits.unescapesInOrder) headers.literal = '\\n \\c \\\\'
    await connection.send(queue, { text: 'x', headers })
    const own = await next(connection, 's')
    for (const [name, value] of Object.entries(headers)) assert.equal(own.headers[name], value, name)
    const raw = await bench.raw()
    await raw.sure('SEND', [`destination:${queue}`, 'na\\cme:va\\clue', 'both:\\c\\n\\\\'], 'raw')
    const foreign = await next(connection, 's')
    assert.equal(foreign.headers[bench.traits.unescapesNames ? 'na:me' : 'na\\cme'], 'va:lue')
    assert.equal(foreign.headers.both, ':\n\\')
  }
}

async function repeatedAndEmpty(bench: Bench): Promise<void> {
  const connection = await bench.open()
  const queue = bench.queue('repeated')
  await connection.subscribe('s', queue)
  const raw = await bench.raw()
  await raw.sure('SEND', [`destination:${queue}`, 'twice:first', 'empty:', 'twice:second'], 'x')
  const { headers } = await next(connection, 's')
  assert.equal(headers.twice, 'first')
  assert.equal(headers.empty, '')
  await connection.unsubscribe('s')
  await raw.sure('SUBSCRIBE', [`destination:${queue}`, 'id:1'])
  await connection.send(queue, { text: 'x', headers: { empty: '', 'foo-bar': 'baz' } })
  const { lines } = await raw.next('MESSAGE')
  assert.ok(lines.includes('empty:'), 'the empty header')
  assert.ok(lines.includes('foo-bar:baz'), 'the other header')
}

async function ackAuto(bench: Bench): Promise<void> {
  for (const version of versions) {
    const queue = bench.queue(`auto-${version}`)
    const first = await bench.open({ version })
    await first.subscribe('s', queue, 'auto')
    await first.send(queue, { text: 'x' })
    await next(first, 's')
    await first.cut()
    const second = await bench.open({ version })
    await second.subscribe('s', queue)
    await none(second, 's')
  }
}

async function ackClient(bench: Bench): Promise<void> {
  for (const version of versions) {
    const queue = bench.queue(`client-${version}`)
    const first = await bench.open({ version })
    for (const text of ['1', '2', '3', '4', '5']) await first.send(queue, { text })
    await first.subscribe('s', queue, 'client')
    await next(first, 's')
    await next(first, 's')
    const third = await next(first, 's')
    assert.deepEqual(await bodies(first, 's', 2), ['4', '5'])
    await first.ack(third)
    await first.close()
    const second = await bench.open({ version })
    await second.subscribe('s', queue)
    assert.deepEqual(await bodies(second, 's', 2), ['4', '5'])
    await none(second, 's')
  }
}

async function ackIndividual(bench: Bench): Promise<void> {
  for (const version of ['1.1', '1.2'] as const) {
    const queue = bench.queue(`individual-${version}`)
    const first = await bench.open({ version })
    for (const text of ['1', '2', '3']) await first.send(queue, { text })
    await first.subscribe('s', queue, 'client-individual')
    const [, second] = [await next(first, 's'), await next(first, 's'), await next(first, 's')]
    await first.ack(second)
    await first.cut()
    const other = await bench.open({ version })
    await other.subscribe('s', queue)
    assert.deepEqual(await bodies(other, 's', 2), ['1', '3'])
    await none(other, 's')
  }
}

async function nack(bench: Bench): Promise<void> {
  for (const version of ['1.1', '1.2'] as const) {
    const queue = bench.queue(`nack-${version}`)
    const connection = await bench.open({ version })
    await connection.subscribe('s', queue, 'client-individual')
    await connection.send(queue, { text: 'x' })
    const first = await next(connection, 's')
    assert.notEqual(first.headers.redelivered, 'true')
    await connection.nack(first)
    const again = await next(connection, 's')
    assert.equal(again.headers.redelivered, 'true')
    assert.equal(again.headers['delivery-count'], '1')
    assert.equal(again.headers['message-id'], first.headers['message-id'])
    await connection.ack(again)
    await none(connection, 's')
  }
}

async function deadLetter(bench: Bench): Promise<void> {
  const name = bench.name('poison')
  const connection = await bench.open()
  await connection.subscribe('s', `/queue/${name}`, 'client-individual')
  await connection.send(`/queue/${name}`, { text: 'poison', headers: { mine: 'kept' } })
  for (let delivery = 0; delivery < 10; delivery += 1) await connection.nack(await next(connection, 's'))
  await connection.subscribe('dead', `/queue/DLQ.${name}`)
  const { headers, body } = await next(connection, 'dead')
  assert.equal(body.toString(), 'poison')
  assert.equal(headers.mine, 'kept')
  assert.equal(headers['dead-letter-address'], `queue://${name}`)
}

async function commit(bench: Bench): Promise<void> {
  for (const version of versions) {
    const queue = bench.queue(`commit-${version}`)
    const sender = await bench.open({ version })
    const receiver = await bench.open({ version })
    await receiver.subscribe('s', queue, 'client')
    await sender.begin('t')
    for (const text of ['1', '2']) await sender.send(queue, { text, transaction: 't' })
    await none(receiver, 's')
    await sender.commit('t')
    const first = await next(receiver, 's')
    const second = await next(receiver, 's')
    assert.deepEqual([first.body.toString(), second.body.toString()], ['1', '2'])
    await receiver.begin('u')
    await receiver.ack(second, 'u')
    await receiver.commit('u')
    await receiver.cut()
    await sender.subscribe('s', queue)
    await none(sender, 's')
  }
}

async function abort(bench: Bench): Promise<void> {
  for (const version of versions) {
    const queue = bench.queue(`abort-${version}`)
    const sender = await bench.open({ version })
    await sender.send(queue, { text: 'kept' })
    const receiver = await bench.open({ version })
    await receiver.subscribe('s', queue, 'client')
    const message = await next(receiver, 's')
    await receiver.begin('t')
    await receiver.ack(message, 't')
    await receiver.send(queue, { text: 'undone', transaction: 't' })
    await receiver.abort('t')
    await receiver.close()
    await sender.subscribe('s', queue)
    assert.equal((await next(sender, 's')).body.toString(), 'kept')
    await none(sender, 's')
  }
}

async function durable(bench: Bench): Promise<void> {
  const styles = [{ 'activemq.subscriptionName': 'news' }, { durable: 'true' }] as const
  for (const [index, style] of styles.entries()) {
    const topic = bench.topic(`durable-${index}`)
    const clientId = bench.name(`client-${index}`)
    const first = await bench.open({ clientId })
    await first.subscribe('d', topic, 'client-individual', style)
    await first.send(topic, { text: '1' })
    await first.ack(await next(first, 'd'))
    await first.close()
    const sender = await bench.open()
    for (const text of ['2', '3']) await sender.send(topic, { text })
    const second = await bench.open({ clientId })
    await second.subscribe('d', topic, 'client-individual', style)
    await second.ack(await next(second, 'd'))
    assert.equal((await next(second, 'd')).body.toString(), '3')
    await second.cut()
    const third = await bench.open({ clientId })
    await third.subscribe('d', topic, 'client-individual', style)
    const last = await next(third, 'd')
    assert.equal(last.body.toString(), '3')
    await third.ack(last)
    await third.unsubscribe('d', style)
    await sender.send(topic, { text: 'nobody keeps this' })
    await third.subscribe('e', topic, 'client-individual', style)
    await none(third, 'e')
  }
}

async function selectors(bench: Bench): Promise<void> {
  const queue = bench.queue('selectors')
  const connection = await bench.open()
  const selector = "color = 'red' AND size > 2 AND name LIKE 'a%' AND missing IS NULL"
  await connection.subscribe('s', queue, 'auto', { selector })
  await connection.send(queue, { text: 'no', headers: { color: 'blue', size: '3', name: 'abc' } })
  await connection.send(queue, { text: 'yes', headers: { color: 'red', size: '3', name: 'abc' } })
  await connection.send(queue, { text: 'small', headers: { color: 'red', size: '2', name: 'abc' } })
  assert.deepEqual(await bodies(connection, 's', 1), ['yes'])
  await none(connection, 's')
  await connection.subscribe('rest', queue)
  assert.deepEqual(await bodies(connection, 'rest', 2), ['no', 'small'])
}

async function topics(bench: Bench): Promise<void> {
  const connection = await bench.open()
  const topic = bench.topic('prices')
  await connection.subscribe('exact', `${topic}.eu.oil`)
  await connection.subscribe('level', `${topic}.*.oil`)
  await connection.subscribe('rest', `${topic}.>`)
  const other = await bench.open()
  await other.subscribe('exact', `${topic}.eu.oil`)
  for (const name of ['eu.oil', 'us.oil', 'eu.gas']) await connection.send(`${topic}.${name}`, { text: name })
  assert.deepEqual(await bodies(connection, 'exact', 1), ['eu.oil'])
  assert.deepEqual(await bodies(connection, 'level', 2), ['eu.oil', 'us.oil'])
  assert.deepEqual(await bodies(connection, 'rest', 2), ['eu.oil', 'us.oil'])
  assert.equal((await next(connection, 'rest')).headers.destination, `${topic}.eu.gas`)
  assert.deepEqual(await bodies(other, 'exact', 1), ['eu.oil'])
  for (const subscription of ['exact', 'level', 'rest']) await none(connection, subscription, 50)
}

async function requestReply(bench: Bench): Promise<void> {
  const queue = bench.queue('questions')
  const asker = await bench.open()
  const answerer = await bench.open()
  await answerer.subscribe('q', queue)
  await asker.subscribe('r', '/temp-queue/answers')
  const headers = { 'reply-to': '/temp-queue/answers', 'correlation-id': '7' }
  await asker.send(queue, { text: '2+2', headers })
  const question = await next(answerer, 'q')
  const replyTo = question.headers['reply-to'] ?? ''
  assert.notEqual(replyTo, '/temp-queue/answers')
  await answerer.send(replyTo, { text: '4', headers: { 'correlation-id': '7' } })
  const answer = await next(asker, 'r')
  assert.equal(answer.body.toString(), '4')
  assert.equal(answer.headers['correlation-id'], '7')
}

async function browser(bench: Bench): Promise<void> {
  const queue = bench.queue('browsed')
  const connection = await bench.open()
  for (const text of ['1', '2']) await connection.send(queue, { text })
  await connection.subscribe('b', queue, 'auto', { browser: 'true' })
  assert.deepEqual(await bodies(connection, 'b', 2), ['1', '2'])
  assert.equal((await next(connection, 'b')).headers.browser, 'end')
  await connection.subscribe('s', queue)
  assert.deepEqual(await bodies(connection, 's', 2), ['1', '2'])
}

async function heartBeats(bench: Bench): Promise<void> {
  const idleMs = 2_600
  const beatsMin = Math.floor(idleMs / beatMs) - 2
  const open = async (version: Version) => {
    const tap = await bench.tap()
    const connection = await bench.open({ version, port: tap.port, beats: [beatMs, beatMs] })
    await connection.subscribe('s', bench.queue(`beats-${version}`))
    return { tap, connection, version }
  }
  const opened = [await open('1.1'), await open('1.2')]
  await sleep(idleMs)
  for (const { tap, connection, version } of opened) {
    assert.ok(tap.sent >= beatsMin, `the client sent ${tap.sent} heart-beats in ${idleMs} ms of ${version}`)
    assert.ok(tap.received >= beatsMin, `the broker sent ${tap.received} heart-beats in ${idleMs} ms of ${version}`)
    await connection.send(bench.queue(`beats-${version}`), { text: 'still here' })
    assert.deepEqual(await bodies(connection, 's', 1), ['still here'])
  }
}

async function silence(bench: Bench): Promise<void> {
  const tap = await bench.tap()
  const connection = await bench.open({ port: tap.port, beats: [beatMs, beatMs] })
  const queue = bench.queue('silence')
  await connection.subscribe('s', queue, 'client')
  await connection.send(queue, { text: 'x' })
  await next(connection, 's')
  tap.deafen()
  assert.match((await connection.error(dueMsMax)) ?? 'no ERROR', /nothing came/)
  assert.ok(await connection.lost(dueMsMax), 'the connection is not closed')
  const other = await bench.open()
  await other.subscribe('s', queue)
  assert.equal((await next(other, 's')).headers.redelivered, 'true')
}

async function badDestination(bench: Bench): Promise<void> {
  for (const version of versions) {
    const sender = await bench.open({ version })
    await sender.subscribe('s', bench.queue('good'))
    await refused(sender.send('/nowhere/x', { text: 'x' }))
    assert.match((await sender.error(dueMsMax)) ?? 'no ERROR', /\/nowhere\/x/)
    assert.ok(await sender.lost(dueMsMax), 'the connection is not closed')
    const receiver = await bench.open({ version })
    await refused(receiver.subscribe('s', '/nowhere/x'))
    assert.match((await receiver.error(dueMsMax)) ?? 'no ERROR', /\/nowhere\/x/)
  }
}

async function priority(bench: Bench): Promise<void> {
  const queue = bench.queue('priority')
  const connection = await bench.open()
  for (const priority of ['1', '9', '5', '9']) {
    await connection.send(queue, { text: priority, headers: { priority } })
  }
  await connection.send(queue, { text: 'normal' })
  await connection.subscribe('s', queue)
  assert.deepEqual(await bodies(connection, 's', 5), ['9', '9', '5', 'normal', '1'])
}

async function expiry(bench: Bench): Promise<void> {
  const queue = bench.queue('expiry')
  const connection = await bench.open()
  const now = systemClock.now()
  await connection.send(queue, { text: 'short', headers: { expires: String(now + 250) } })
  await connection.send(queue, { text: 'long', headers: { expires: String(now + 60_000) } })
  await connection.send(queue, { text: 'endless', headers: { expires: '0' } })
  await sleep(400)
  await connection.subscribe('s', queue)
  assert.deepEqual(await bodies(connection, 's', 2), ['long', 'endless'])
  await none(connection, 's')
}

async function delayed(bench: Bench): Promise<void> {
  const queue = bench.queue('delayed')
  const connection = await bench.open()
  await connection.subscribe('s', queue)
  const start = performance.now()
  await connection.send(queue, { text: 'later', headers: { AMQ_SCHEDULED_DELAY: '700' } })
  await connection.send(queue, { text: 'now' })
  assert.deepEqual(await bodies(connection, 's', 2), ['now', 'later'])
  const took = performance.now() - start
  assert.ok(took >= 650, `delivered after ${took} ms`)
  assert.ok(took < 3_000, `delivered after ${took} ms`)
}

async function reconnect(bench: Bench, how: 'stop' | 'kill'): Promise<void> {
  const broker = await bench.broker.another()
  bench.later(() => broker.remove())
  const queue = bench.queue(`reconnect-${how}`)
  const connection = await bench.open({ port: bench.portOf(broker), reconnects: true })
  await connection.subscribe('s', queue)
  await connection.send(queue, { text: 'before' })
  assert.deepEqual(await bodies(connection, 's', 1), ['before'])
  await connection.send(bench.queue('kept'), { text: 'confirmed', headers: { persistent: 'true' } })
  await broker[how]()
  await sleep(300)
  const successor = await broker.successor()
  bench.later(() => successor.stop())
  assert.ok(await connection.reconnected(dueMsMax), 'the client has not connected again')
  await connection.send(queue, { text: 'after' })
  assert.deepEqual(await bodies(connection, 's', 1), ['after'])
  await connection.subscribe('kept', bench.queue('kept'))
  assert.deepEqual(await bodies(connection, 'kept', 1), ['confirmed'])
}
