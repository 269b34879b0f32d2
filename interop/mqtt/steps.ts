import assert from 'node:assert/strict'
import type { RawConnection } from '../raw.ts'
import type { MqttClient } from './clients.ts'
import type { MqttConnection, MqttIncoming, MqttOpenOptions } from './driver.ts'

/** What a step works with. Everything it opens is closed after it. */
export interface MqttBench {
  readonly client: MqttClient
  /** A word that only this step of this client uses in names. */
  readonly word: string
  open(options?: Partial<MqttOpenOptions>): Promise<MqttConnection>
  /** STOMP 1.2 to the same broker. */
  stomp(): Promise<RawConnection>
}

export interface MqttStep {
  readonly name: string
  /** Whether it asks for what the client can do. */
  readonly isFor: (client: MqttClient) => boolean
  readonly run: (bench: MqttBench) => Promise<void>
}

const receiveMs = 5_000
const silenceMs = 250
const everyByte = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256))
const all = () => true

export const mqttSteps: readonly MqttStep[] = [
  { name: 'MQTT: QoS 0, 1, 2 with text, bytes, nothing, 1 MiB', isFor: all, run: exchange },
  { name: 'MQTT: wildcards', isFor: all, run: wildcards },
  { name: 'MQTT: retained', isFor: all, run: retained },
  { name: 'MQTT: will', isFor: ({ cuts, tellsAll }) => cuts && tellsAll, run: will },
  { name: 'MQTT: a session is kept', isFor: all, run: session },
  { name: 'MQTT: shared subscription', isFor: all, run: shared },
  { name: 'MQTT: unsubscribe', isFor: all, run: unsubscribe },
  { name: 'MQTT to STOMP, queue and topic', isFor: all, run: toStomp },
  { name: 'STOMP to MQTT, queue and topic', isFor: all, run: fromStomp },
  { name: 'MQTT: retained over STOMP and back', isFor: all, run: retainedAcross },
  { name: 'MQTT 5: properties', isFor: ({ version, tellsAll }) => version === '5' && tellsAll, run: properties },
  { name: 'MQTT 5 asks, STOMP answers', isFor: ({ version, tellsAll }) => version === '5' && tellsAll, run: request },
]

async function next(connection: MqttConnection): Promise<MqttIncoming> {
  const message = await connection.receive(receiveMs)
  assert.ok(message !== undefined, `no message within ${receiveMs} ms`)
  return message
}

async function none(connection: MqttConnection): Promise<void> {
  const message = await connection.receive(silenceMs)
  assert.equal(message, undefined, `${message?.topic}: ${message?.payload.toString()} came`)
}

async function exchange({ open, word }: MqttBench): Promise<void> {
  const receiver = await open()
  const sender = await open()
  for (const qos of [0, 1, 2] as const) {
    const topic = `${word}/${qos}`
    assert.equal(await receiver.subscribe(topic, qos), qos)
    for (const payload of [Buffer.from('Grüße, 日本語, 😀'), everyByte, Buffer.alloc(0), Buffer.alloc(2 ** 20, 7)]) {
      await sender.publish(topic, { payload, qos })
      const got = await next(receiver)
      assert.ok(got.payload.equals(payload), `${payload.length} bytes sent, ${got.payload.length} others received`)
      assert.deepEqual([got.topic, got.qos, got.retain], [topic, qos, false])
    }
  }
}

async function wildcards({ open, word }: MqttBench): Promise<void> {
  const receiver = await open()
  const sender = await open()
  await receiver.subscribe(`${word}/+/x`)
  for (const name of ['a/x', 'b/y', 'c/x']) await sender.publish(`${word}/${name}`, { payload: name })
  assert.equal((await next(receiver)).topic, `${word}/a/x`)
  assert.equal((await next(receiver)).topic, `${word}/c/x`)
  await none(receiver)
}

async function retained({ open, word }: MqttBench): Promise<void> {
  const sender = await open()
  await sender.publish(`${word}/r`, { payload: 'kept', retain: true })
  const receiver = await open()
  await receiver.subscribe(`${word}/#`)
  const got = await next(receiver)
  assert.deepEqual([got.payload.toString(), got.retain], ['kept', true])
  await sender.publish(`${word}/r`, { payload: '', retain: true })
  assert.equal((await next(receiver)).retain, false)
  const late = await open()
  await late.subscribe(`${word}/#`)
  await none(late)
}

async function will({ open, word }: MqttBench): Promise<void> {
  const watcher = await open()
  await watcher.subscribe(`${word}/w`)
  const polite = await open({ will: { topic: `${word}/w`, payload: 'polite' } })
  await polite.close()
  const rude = await open({ will: { topic: `${word}/w`, payload: 'rude' } })
  await rude.cut()
  assert.equal((await next(watcher)).payload.toString(), 'rude')
}

async function session({ open, word, client }: MqttBench): Promise<void> {
  const kept = { clientId: `${word}-kept`, clean: false }
  const first = await open(kept)
  await first.subscribe(`${word}/s`)
  await first.close()
  const sender = await open()
  for (const payload of ['1', '2']) await sender.publish(`${word}/s`, { payload })
  const second = await open(kept)
  // mosquitto_sub says nothing of the session, and only lives while it subscribes.
  if (client.interpreter === 'mosquitto_pub') await second.subscribe(`${word}/s`)
  else assert.equal(second.isPresent, true)
  assert.equal((await next(second)).payload.toString(), '1')
  assert.equal((await next(second)).payload.toString(), '2')
  await second.close()
  const clean = await open({ ...kept, clean: true })
  assert.equal(clean.isPresent, false)
}

async function shared({ open, word }: MqttBench): Promise<void> {
  const receivers = [await open(), await open()]
  for (const receiver of receivers) await receiver.subscribe(`$share/${word}/${word}/t`)
  const sender = await open()
  for (let count = 0; count < 10; count += 1) await sender.publish(`${word}/t`, { payload: String(count) })
  const got: string[] = []
  for (const receiver of receivers) {
    for (let count = 0; count < 5; count += 1) got.push((await next(receiver)).payload.toString())
    await none(receiver)
  }
  assert.deepEqual(got.sort(), ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
}

async function unsubscribe({ open, word }: MqttBench): Promise<void> {
  const receiver = await open()
  const sender = await open()
  await receiver.subscribe(`${word}/u`)
  await sender.publish(`${word}/u`, { payload: 'before' })
  assert.equal((await next(receiver)).payload.toString(), 'before')
  await receiver.unsubscribe(`${word}/u`)
  await sender.publish(`${word}/u`, { payload: 'after' })
  await none(receiver)
}

async function toStomp({ open, stomp, word }: MqttBench): Promise<void> {
  const other = await stomp()
  await other.sure('SUBSCRIBE', [`destination:/queue/${word}.q`, 'id:q'])
  await other.sure('SUBSCRIBE', [`destination:/topic/${word}.*.t`, 'id:t'])
  const sender = await open()
  for (const qos of [0, 1, 2] as const) {
    await sender.publish(`$queue/${word}/q`, { payload: `queue ${qos}`, qos })
    assert.equal((await other.next('MESSAGE')).body, `queue ${qos}`)
    await sender.publish(`${word}/a/t`, { payload: `topic ${qos}`, qos })
    const { lines, body } = await other.next('MESSAGE')
    assert.equal(body, `topic ${qos}`)
    assert.ok(lines.includes(`destination:/topic/${word}.a.t`), lines.join(' | '))
  }
}

async function fromStomp({ open, stomp, word }: MqttBench): Promise<void> {
  const receiver = await open()
  await receiver.subscribe(`$queue/${word}/q`, 1)
  await receiver.subscribe(`${word}/+/t`, 2)
  const other = await stomp()
  await other.sure('SEND', [`destination:/queue/${word}.q`, 'persistent:true'], 'Grüße')
  const queued = await next(receiver)
  assert.deepEqual([queued.topic, queued.payload.toString(), queued.qos], [`$queue/${word}/q`, 'Grüße', 1])
  await other.sure('SEND', [`destination:/topic/${word}.a.t`, 'color:blue'], 'x')
  const published = await next(receiver)
  assert.deepEqual([published.topic, published.payload.toString(), published.qos], [`${word}/a/t`, 'x', 2])
}

async function retainedAcross({ open, stomp, word }: MqttBench): Promise<void> {
  const other = await stomp()
  await other.sure('SEND', [`destination:/topic/${word}.from-stomp`, 'retain:true'], 'stomp')
  const connection = await open()
  await connection.subscribe(`${word}/from-stomp`)
  const got = await next(connection)
  assert.deepEqual([got.payload.toString(), got.retain], ['stomp', true])
  await connection.publish(`${word}/from-mqtt`, { payload: 'mqtt', retain: true })
  await other.sure('SUBSCRIBE', [`destination:/topic/${word}.from-mqtt`, 'id:r'])
  const { body, lines } = await other.next('MESSAGE')
  assert.equal(body, 'mqtt')
  assert.ok(lines.includes('retained:true'), lines.join(' | '))
}

async function properties({ open, stomp, word }: MqttBench): Promise<void> {
  const receiver = await open()
  await receiver.subscribe(`${word}/p`)
  const other = await stomp()
  await other.sure('SUBSCRIBE', [`destination:/topic/${word}.p`, 'id:p'])
  const sender = await open()
  const user = [
    ['color', 'blue'],
    ['color', 'red'],
  ] as const
  await sender.publish(`${word}/p`, { payload: '{}', properties: { user, contentType: 'application/json' } })
  const got = await next(receiver)
  assert.deepEqual(
    [got.user.map((pair) => [...pair]), got.contentType],
    [user.map((pair) => [...pair]), 'application/json'],
  )
  const { lines } = await other.next('MESSAGE')
  assert.deepEqual(
    lines.filter((line) => /^(color|content-type):/.test(line)),
    ['content-type:application/json', 'color:blue', 'color:red'],
  )
}

async function request({ open, stomp, word }: MqttBench): Promise<void> {
  const other = await stomp()
  await other.sure('SUBSCRIBE', [`destination:/queue/${word}.questions`, 'id:q'])
  const asker = await open()
  await asker.subscribe(`${word}/answers`)
  const correlationData = Buffer.from('question 7')
  const asked = { responseTopic: `${word}/answers`, correlationData }
  await asker.publish(`$queue/${word}/questions`, { payload: '2+2', properties: asked })
  const { lines } = await other.next('MESSAGE')
  const replyTo = lines.find((line) => line.startsWith('reply-to:'))?.slice(9)
  const correlation = lines.find((line) => line.startsWith('correlation-id:'))
  assert.deepEqual([replyTo, correlation], [`/topic/${word}.answers`, 'correlation-id:question 7'])
  await other.sure('SEND', [`destination:${replyTo}`, `${correlation}`], '4')
  const answer = await next(asker)
  assert.deepEqual([answer.payload.toString(), answer.correlationData?.toString()], ['4', 'question 7'])
}
