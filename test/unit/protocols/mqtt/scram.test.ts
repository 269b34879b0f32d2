import { describe, expect, test } from 'vitest'
import { MqttBroker } from '../../../support/mqtt-broker.ts'
import type { MqttTestClient } from '../../../support/mqtt-client.ts'
import { ScramClient, ScramPeople } from '../../../support/scram-client.ts'

const people = await ScramPeople.of({ alice: 'sesame', carol: 'secret' }, true)

function said(data: Buffer | undefined) {
  const authenticationMethod = 'SCRAM-SHA-256'
  return data === undefined ? { authenticationMethod } : { authenticationMethod, authenticationData: data }
}

function auth(client: MqttTestClient, reasonCode: number, data: Buffer | undefined): void {
  client.send({ cmd: 'auth', reasonCode, properties: said(data) } as never)
}

async function challenge(client: MqttTestClient): Promise<Buffer> {
  const { reasonCode, properties } = await client.next('auth')
  expect([reasonCode, properties?.authenticationMethod]).toEqual([0x18, 'SCRAM-SHA-256'])
  return properties?.authenticationData as Buffer
}

/** A client that has come in as alice. */
async function entered(test: MqttBroker): Promise<MqttTestClient> {
  const scram = new ScramClient('alice', 'sesame')
  const client = test.client(5)
  client.sendConnect({ properties: said(scram.first) })
  auth(client, 0x18, scram.final(await challenge(client)))
  const connack = await client.next('connack')
  expect(connack.reasonCode).toBe(0)
  expect(connack.properties?.authenticationMethod).toBe('SCRAM-SHA-256')
  expect(scram.trusts(connack.properties?.authenticationData as Buffer)).toBe(true)
  return client
}

describe('SCRAM-SHA-256 over MQTT (4.12)', () => {
  test('where nobody has a verifier the method is refused', async () => {
    const client = (await MqttBroker.open()).client(5)
    const { first } = new ScramClient('alice', 'sesame')
    expect((await client.connect({ properties: said(first) })).reasonCode).toBe(0x8c)
    await client.closed
  })

  test('where somebody has, others are', async () => {
    const client = (await MqttBroker.open({ access: people.access })).client(5)
    const properties = { ...said(undefined), authenticationMethod: 'SCRAM-SHA-1' }
    expect((await client.connect({ properties })).reasonCode).toBe(0x8c)
    await client.closed
  })

  test('lets in who knows his password, and proves the server to him in the CONNACK', async () => {
    const client = await entered(await MqttBroker.open({ access: people.access }))
    expect(await client.subscribe('t', 1)).toEqual([1])
  })

  test('what it lets in is the user', async () => {
    const asked: string[] = []
    const access = {
      ...people.access,
      authorise: ({ principal }: { principal: string }) => {
        asked.push(principal)
        return undefined
      },
    }
    await (await entered(await MqttBroker.open({ access }))).subscribe('t', 1)
    expect(new Set(asked)).toEqual(new Set(['alice']))
  })

  test.each([
    ['alice', 'wrong'],
    ['bob', 'sesame'],
  ])('turns %s with %s away, who was asked for his proof like others', async (user, password) => {
    const scram = new ScramClient(user, password)
    const client = (await MqttBroker.open({ access: people.access })).client(5)
    client.sendConnect({ properties: said(scram.first) })
    auth(client, 0x18, scram.final(await challenge(client)))
    const { reasonCode, properties } = await client.next('connack')
    expect([reasonCode, properties?.reasonString]).toEqual([0x87, 'no such user, or another password'])
    await client.closed
  })

  test.each([undefined, 'p=tls-unique,,n=alice,r=x', 'nonsense'])('turns away who begins with %j', async (first) => {
    const client = (await MqttBroker.open({ access: people.access })).client(5)
    const connack = await client.connect({ properties: said(first === undefined ? undefined : Buffer.from(first)) })
    expect(connack.reasonCode).toBe(0x87)
    await client.closed
  })

  test('turns away who does not wait for the answer', async () => {
    const client = (await MqttBroker.open({ access: people.access })).client(5)
    const scram = new ScramClient('alice', 'sesame')
    client.sendConnect({ properties: said(scram.first) })
    auth(client, 0x18, scram.first)
    expect((await client.next('connack')).reasonCode).toBe(0x87)
    await client.closed
  })

  test('who is there may show again that he is who he is, and messages go on meanwhile', async () => {
    const client = await entered(await MqttBroker.open({ access: people.access }))
    await client.subscribe('t', 1)
    for (let round = 0; round < 2; round += 1) {
      const scram = new ScramClient('alice', 'sesame')
      auth(client, 0x19, scram.first)
      const first = await challenge(client)
      await client.sure('t', 'between')
      auth(client, 0x18, scram.final(first))
      const { reasonCode, properties } = await client.next('auth')
      expect(reasonCode).toBe(0)
      expect(scram.trusts(properties?.authenticationData as Buffer)).toBe(true)
    }
    expect(await client.payloads(2)).toEqual(['between', 'between'])
  })

  test.each([
    ['alice', 'wrong'],
    ['carol', 'secret'],
  ])('who is there as alice is cut off if he then is %s with %s', async (user, password) => {
    const client = await entered(await MqttBroker.open({ access: people.access }))
    const scram = new ScramClient(user, password)
    auth(client, 0x19, scram.first)
    auth(client, 0x18, scram.final(await challenge(client)))
    await client.closed
    expect((await client.next('disconnect')).reasonCode).toBe(0x87)
  })

  test('the proof of one exchange is worth nothing in another', async () => {
    const test = await MqttBroker.open({ access: people.access })
    const scram = new ScramClient('alice', 'sesame', { nonce: 'n' })
    const first = test.client(5)
    first.sendConnect({ properties: said(scram.first) })
    const final = scram.final(await challenge(first))
    const second = test.client(5)
    second.sendConnect({ properties: said(scram.first) })
    await challenge(second)
    auth(second, 0x18, final)
    expect((await second.next('connack')).reasonCode).toBe(0x87)
    auth(first, 0x18, final)
    expect((await first.next('connack')).reasonCode).toBe(0)
  })

  test('a client that leaves before its verifier is found does no harm', async () => {
    const test = await MqttBroker.open({ access: people.access })
    const client = test.client(5)
    client.sendConnect({ properties: said(new ScramClient('alice', 'sesame').first) })
    client.close()
    await client.closed
    await new Promise(setImmediate)
    expect(test.broker.sessionCount).toBe(0)
  })
})
