import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StandaloneBroker } from './broker.ts'
import { run } from './clients.ts'
import { LoopDisk } from './loop-disk.ts'
import { RawConnection } from './raw.ts'

/** Where a broker keeps its store, from where it is started. */
const dataFolder = 'data'
const commandMsMax = 20_000
const confirmedMin = 50
const publishers = ['stomp', 'mqtt', 'amqp', 'native'] as const
type Publisher = (typeof publishers)[number]

export interface ReadOnlyStep {
  readonly name: string
  run(root: string): Promise<void>
}

export const readOnlySteps: readonly ReadOnlyStep[] = [
  {
    name: 'a disk that becomes read-only: every publisher is told, the broker ends with 1, what was confirmed is there',
    run: (root) => onDisk((disk) => becomesReadOnly(disk, root)),
  },
  {
    name: 'a broker does not start on a read-only disk, says so, and changes nothing',
    run: (root) => onDisk((disk) => doesNotStart(disk, root)),
  },
  {
    name: 'verify, print, export and backup read what is on a read-only disk',
    run: (root) => onDisk((disk) => isRead(disk, root)),
  },
]

async function onDisk(use: (disk: LoopDisk) => Promise<void>): Promise<void> {
  const disk = await LoopDisk.make()
  try {
    await disk.mount()
    await use(disk)
  } finally {
    await disk.remove()
  }
}

async function becomesReadOnly(disk: LoopDisk, root: string): Promise<void> {
  const broker = await StandaloneBroker.start(root, disk.mountPoint)
  try {
    const told = publishers.map((protocol) => publish(protocol, broker, root))
    const confirmed = await confirmedUntil(broker, async () => {
      await Promise.race([allPublish(broker), ...told])
      await disk.abort()
    })
    await Promise.all(told)
    const { code, complaints } = await broker.ended()
    assert.equal(code, 1)
    assert.match(complaints, /the store cannot be written: (EIO|EROFS)/)
    await disk.unmount()
    await disk.mount()
    assert.deepEqual(await firstNumbers(await broker.successor(), confirmed.length), confirmed)
  } finally {
    await broker.stop()
  }
}

/** Publishes without an end by the command of that protocol; resolves once that has ended with 1 and the broker's reason. */
async function publish(protocol: Publisher, broker: StandaloneBroker, root: string): Promise<void> {
  const { port: stomp, mqttPort: mqtt, amqpPort: amqp, nativePort: native } = broker
  const url = `tcp://127.0.0.1:${{ stomp, mqtt, amqp, native }[protocol]}`
  const rest = ['--protocol', protocol, '--url', url, '--persistent', '--count', '1000000', '--rate', '50']
  const published = run(process.execPath, [mainOf(root), 'produce', protocol, ...rest], { msMax: commandMsMax })
  await assert.rejects(published, /failed \(1\): .*the store cannot be written: (EIO|EROFS)/, protocol)
}

/** Resolves once a message of each publisher has come. */
async function allPublish(broker: StandaloneBroker): Promise<void> {
  const raw = await RawConnection.open(broker.port)
  for (const name of publishers) raw.write('SUBSCRIBE', [`destination:/queue/${name}`, `id:${name}`, 'ack:client'])
  const missing = new Set<string>(publishers.map((name) => `subscription:${name}`))
  while (missing.size > 0) for (const line of (await raw.next('MESSAGE')).lines) missing.delete(line)
  raw.close()
}

/**
 * Sends numbered messages one by one until the broker ends that with its reason. Returns the numbers of those that were confirmed.
 * Meanwhile, when it is well under way, `act` is called.
 */
async function confirmedUntil(broker: StandaloneBroker, act: () => Promise<void>): Promise<readonly string[]> {
  const raw = await RawConnection.open(broker.port)
  const confirmed: string[] = []
  let acted: Promise<void> | undefined
  for (let number = 0; ; number += 1) {
    try {
      await raw.sure('SEND', ['destination:/queue/numbers', 'persistent:true'], `${number}`)
    } catch (error) {
      assert.match(String(error), /the store cannot be written\\c (EIO|EROFS)/)
      await acted
      return confirmed
    }
    confirmed.push(`${number}`)
    if (confirmed.length === confirmedMin) acted = act()
  }
}

/** What a broker has, which is stopped then. */
async function firstNumbers(broker: StandaloneBroker, count: number): Promise<readonly string[]> {
  try {
    const raw = await RawConnection.open(broker.port)
    raw.write('SUBSCRIBE', ['destination:/queue/numbers', 'id:numbers', 'ack:auto'])
    const numbers: string[] = []
    while (numbers.length < count) numbers.push((await raw.next('MESSAGE')).body)
    raw.close()
    return numbers
  } finally {
    await broker.stop()
  }
}

async function doesNotStart(disk: LoopDisk, root: string): Promise<void> {
  await withMessage(disk, root)
  await disk.makeReadOnly()
  for (const name of [dataFolder, 'not/there']) {
    const folder = join(disk.mountPoint, name)
    const started = run(process.execPath, [mainOf(root), 'start', '--data', folder], { msMax: commandMsMax })
    await assert.rejects(started, ({ message }: Error) => {
      assert.match(message, /failed \(1\): manifoldmq: the data folder .* cannot be used: EROFS/)
      assert.ok(message.includes(folder) && !message.includes('ready '), message)
      return true
    })
  }
  await disk.unmount()
  await disk.mount()
  assert.deepEqual(await firstNumbers(await StandaloneBroker.start(root, disk.mountPoint), 1), ['0'])
}

async function isRead(disk: LoopDisk, root: string): Promise<void> {
  await withMessage(disk, root)
  await disk.makeReadOnly()
  const aside = await mkdtemp(join(tmpdir(), 'manifoldmq-aside-'))
  try {
    const data = async (command: string, ...rest: string[]): Promise<string> => {
      const args = ['data', command, ...rest, '--data', join(disk.mountPoint, dataFolder)]
      return await run(process.execPath, [mainOf(root), ...args], { msMax: commandMsMax })
    }
    await data('verify')
    assert.match(await data('print'), /queue:\/\/numbers: 1 message/)
    assert.match(await data('export'), /"kind":"message"/)
    await data('backup', join(aside, dataFolder))
    assert.deepEqual(await firstNumbers(await StandaloneBroker.start(root, aside), 1), ['0'])
    await assert.rejects(data('compact'), /failed \(1\): .*EROFS/)
  } finally {
    await rm(aside, { recursive: true, force: true })
  }
}

/** Leaves a store on the disk in which there is one message. */
async function withMessage(disk: LoopDisk, root: string): Promise<void> {
  const broker = await StandaloneBroker.start(root, disk.mountPoint)
  const raw = await RawConnection.open(broker.port)
  await raw.sure('SEND', ['destination:/queue/numbers', 'persistent:true'], '0')
  raw.close()
  await broker.stop()
}

function mainOf(root: string): string {
  return join(root, 'dist', 'src', 'main.js')
}
