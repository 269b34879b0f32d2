import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import rhea from 'rhea'
import { expect, test } from 'vitest'
import { composite, decodeAll, encode, frameBytes, headers, t } from '../support/amqp-peer.ts'

/**
 * What protocols/amqp/control.ts takes for granted of rhea beyond its documentation. Whoever raises its version finds here what
 * to look at.
 */
const { version } = JSON.parse(readFileSync(createRequire(import.meta.url).resolve('rhea/package.json'), 'utf8')) as {
  version: string
}

interface Seams {
  [name: string]: unknown
  state: Record<string, unknown>
  transport: Record<string, unknown>
  amqp_transport: Record<string, unknown>
  remote_channel_map: Record<number, Seams>
  links: Record<string, Seams>
  local: Record<string, Record<string, unknown>>
  remote: Record<string, Record<string, unknown>>
  output: () => void
  _register: () => void
  _process: () => void
}

/** A connection as control.ts makes it, with what it writes. */
function opened(): { readonly connection: Seams; readonly written: Buffer[] } {
  const written: Buffer[] = []
  const connection = rhea
    .create_container()
    .create_connection({ id: 'x', container_id: 'c' } as never) as unknown as Seams
  connection.is_server = true
  connection.socket_ready = true
  connection.socket = { write: (bytes: Buffer) => written.push(bytes) }
  connection.output = () => (connection.transport.write as (socket: unknown) => void)(connection.socket)
  connection._register = () => connection._process()
  connection.dispatch = () => true
  return { connection, written }
}

function read(connection: Seams, ...pieces: readonly Buffer[]): void {
  for (const piece of pieces) (connection.transport.read as (bytes: Buffer) => number).call(connection.transport, piece)
  if ((connection.transport.has_writes_pending as () => boolean).call(connection.transport)) connection.output()
}

const open = frameBytes(encode(composite(0x10, t.string('peer'))))
const begin = frameBytes(encode(composite(0x11, undefined, t.uint(0), t.uint(9), t.uint(9))))

test('the version is the one that was looked at', () => {
  expect(version).toBe('3.0.5')
})

test('frames are read by transport.read, one at a time, and dispatched to methods of the connection', () => {
  const { connection } = opened()
  const calls: string[] = []
  for (const name of ['open', 'begin', 'close']) connection[`on_${name}`] = () => calls.push(name)
  read(connection, headers.amqp, open, begin, frameBytes(encode(composite(0x18))))
  expect(calls).toEqual(['open', 'begin', 'close'])
})

test('the fields of a performative are typed values in `value`, in order', () => {
  const { connection } = opened()
  let value: unknown
  connection.on_open = (frame: { performative: { value: unknown } }) => {
    value = frame.performative.value
  }
  read(connection, headers.amqp, frameBytes(encode(composite(0x10, t.string('peer'), undefined, t.uint(512)))))
  expect(value).toMatchObject([
    { type: { typecode: 0xa1 }, value: 'peer' },
    { type: { typecode: 0x40 }, value: null },
    { type: { typecode: 0x70 }, value: 512 },
  ])
})

test('a session is made by create_session, whose lanes and handlers may be replaced before it begins', () => {
  const { connection, written } = opened()
  read(connection, headers.amqp, open)
  connection.state.remote_opened as () => boolean
  const create = (connection.create_session as () => Seams).bind(connection)
  let session: Seams | undefined
  const begun: unknown[] = []
  connection.create_session = () => {
    session = create()
    session.incoming = {
      deliveries: { available: () => 1 },
      process: () => undefined,
      on_begin: () => begun.push('in'),
    }
    session.outgoing = {
      deliveries: { available: () => 1 },
      process: () => undefined,
      on_begin: () => begun.push('out'),
    }
    if (session.local.begin !== undefined) session.local.begin.handle_max = 7
    return session
  }
  read(connection, begin)
  expect(begun).toEqual(['out', 'in'])
  expect(connection.remote_channel_map[0]).toBe(session)
  expect(written.length).toBeGreaterThan(2)
})

test('on_attach and on_detach of one session may be replaced, and links made by hand are answered', () => {
  const { connection, written } = opened()
  read(connection, headers.amqp, open, begin)
  const session = connection.remote_channel_map[0] as Seams
  const attached: unknown[] = []
  session.on_attach = () => attached.push('attach')
  session.on_detach = () => attached.push('detach')
  const attach = composite(
    0x12,
    t.string('l'),
    t.uint(0),
    t.boolean(false),
    undefined,
    undefined,
    composite(0x28),
    composite(0x29),
  )
  read(connection, frameBytes(encode(attach)), frameBytes(encode(composite(0x16, t.uint(0)))))
  expect(attached).toEqual(['attach', 'detach'])
  const link = (session.create_receiver as (name: string, options: object) => Seams).call(session, 'key', {
    credit_window: 0,
    autoaccept: false,
  })
  if (link.local.attach !== undefined) link.local.attach.name = 'name'
  ;(link.state.remote_opened as () => void).call(link.state)
  const before = written.length
  ;(link.open as () => void)()
  expect(written.length).toBe(before + 1)
  expect(written.at(-1)?.includes('name')).toBe(true)
  ;(link.close as (error: object) => void).call(link, { condition: 'amqp:not-found', description: 'd' })
  expect(written.at(-1)?.includes('amqp:not-found')).toBe(true)
  expect(session.links.key).toBe(link)
  ;(link.remove as () => void)()
  expect(session.links.key).toBeUndefined()
})

test('SASL is served by sasl.Server with mechanisms of ours, and says its outcome', async () => {
  const { connection, written } = opened()
  const mechanisms: Record<string, unknown> = Object.create(null)
  const mechanism = {
    outcome: undefined as boolean | undefined,
    start: async () => {
      mechanism.outcome = true
    },
  }
  mechanisms.OURS = () => mechanism
  const { Server } = rhea.sasl as unknown as { Server: new (connection: Seams, mechanisms: object) => Seams }
  connection.sasl_transport = new Server(connection, mechanisms)
  connection.transport = connection.sasl_transport as Record<string, unknown>
  const init = frameBytes(encode(composite(0x41, t.symbol('OURS'))), undefined, 0, 1)
  read(connection, headers.sasl, init)
  await Promise.resolve().then(() => undefined)
  for (let turns = 0; turns < 5; turns += 1) await Promise.resolve()
  expect((connection.sasl_transport as Seams).outcome).toBe(0)
  expect(Buffer.concat(written).includes('OURS')).toBe(true)
  connection.on_open = () => written.push(Buffer.from('opened'))
  read(connection, headers.amqp, open)
  expect(written.at(-1)?.toString()).not.toBe('')
})

test('an error takes its fields as typed values, a map as a Map with keys of any type', () => {
  const types = rhea.types as unknown as Record<string, (value: unknown) => never>
  const info = types.wrap_symbolic_map?.({ key: t.ushort(1) })
  const error = types.wrap_error?.({ value: [t.symbol('amqp:x'), t.string('why'), info] }) as never
  expect(encode(error)).toEqual(
    encode(composite(0x1d, t.symbol('amqp:x'), t.string('why'), t.map({ key: t.ushort(1) }))),
  )
  const map = types.wrap_map_as_map?.(new Map([[Buffer.from('tag'), null]])) as never
  expect(decodeAll(encode(map))).toEqual([new Map([[Buffer.from('tag'), null]])])
})

test('nothing that other users of rhea share is changed by our adapter', async () => {
  const { types, message } = rhea as unknown as { types: { Reader: { prototype: object } }; message: object }
  const before = [types.Reader.prototype, message].map((shared) => ({ ...Object.getOwnPropertyDescriptors(shared) }))
  const { AmqpBroker } = await import('../support/amqp-broker.ts')
  const broker = await AmqpBroker.open()
  const peer = await broker.begun()
  await peer.sender('s', 'queue://a')
  const after = [types.Reader.prototype, message].map((shared) => ({ ...Object.getOwnPropertyDescriptors(shared) }))
  expect(after).toEqual(before)
})
