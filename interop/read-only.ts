import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endBlock, frameHeaderBytes, readFrameHeader, writeFrameHeader } from '../src/store/frame.ts'
import { FileDisk } from '../src/store/log/file-disk.ts'
import { WorkerLane } from '../src/store/log/worker-lane.ts'
import { StandaloneBroker } from './broker.ts'
import { run } from './clients.ts'
import { RawConnection } from './raw.ts'

/** Sparse; the broker takes durable messages only while 512 MiB are free. */
const diskSize = '1G'
/** Where a broker keeps its store, from where it is started. */
const dataFolder = 'data'
const commandMsMax = 20_000
const confirmedMin = 50
/** Without `assertKept` of the store every seventh of these had lost its last frame. */
const abortedFilesMin = 40
const frameBytes = 4096
const publishers = ['stomp', 'mqtt', 'amqp', 'native'] as const
type Publisher = (typeof publishers)[number]

/** A file system of its own, ext4 in a file. Only root can have one. */
class LoopDisk {
  readonly mountPoint: string
  readonly #folder: string
  #isMounted: boolean

  private constructor(folder: string) {
    this.mountPoint = join(folder, 'mnt')
    this.#folder = folder
    this.#isMounted = false
  }

  static async make(): Promise<LoopDisk> {
    const disk = new LoopDisk(await mkdtemp(join(tmpdir(), 'manifoldmq-disk-')))
    await mkdir(disk.mountPoint)
    await run('truncate', ['--size', diskSize, disk.#image])
    await run('mkfs.ext4', ['-q', '-F', disk.#image])
    return disk
  }

  /** Mounts it for writing, which also puts right what an abort has left undone. */
  async mount(): Promise<void> {
    await run('mount', ['-o', 'loop', this.#image, this.mountPoint])
    this.#isMounted = true
  }

  /** Makes it read-only, while nobody has a file open to write. */
  async makeReadOnly(): Promise<void> {
    await run('mount', ['-o', 'remount,ro', this.mountPoint])
  }

  /** Makes it read-only as the kernel does after an error of the device, whoever is writing. */
  async abort(): Promise<void> {
    await run('mount', ['-o', 'remount,abort', this.mountPoint])
  }

  async unmount(): Promise<void> {
    await run('umount', [this.mountPoint])
    this.#isMounted = false
  }

  /** Even if somebody still uses it, so that what has gone wrong before is what is heard of. */
  async remove(): Promise<void> {
    if (this.#isMounted) await run('umount', ['--lazy', this.mountPoint])
    await rm(this.#folder, { recursive: true, force: true })
  }

  get #image(): string {
    return join(this.#folder, 'image')
  }
}

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
    name: `what is flushed while a disk becomes read-only is there afterwards, ${abortedFilesMin} times`,
    run: keepsWhatIsFlushed,
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

/** Writes frames to a new file, one by one, until the disk refuses, and looks for them afterwards: time and again. */
async function keepsWhatIsFlushed(): Promise<void> {
  for (let count = 0; count < abortedFilesMin; count += 1) {
    await onDisk(async (disk) => {
      const flushed = await flushedUntilAborted(disk)
      await disk.unmount()
      await disk.mount()
      const bytes = await readFile(join(disk.mountPoint, 'frames'))
      for (let number = 1; number <= flushed; number += 1) {
        const header = readFrameHeader(bytes, (number - 1) * frameBytes)
        assert.equal(header?.number, number, `${flushed} frames are flushed, ${number} is not there, file ${count}`)
      }
    })
  }
}

/** How many frames were flushed, by the store's word. */
async function flushedUntilAborted(disk: LoopDisk): Promise<number> {
  const folder = await FileDisk.open(disk.mountPoint, new WorkerLane(), () => Promise.resolve())
  const file = await folder.open('frames')
  const memory = folder.allocate(frameBytes)
  let aborted: Promise<void> | undefined
  for (let number = 1; ; number += 1) {
    const given = { bytes: frameBytes, recordCount: 0, epoch: 1, segment: 1, number, continues: false }
    writeFrameHeader(memory, given)
    endBlock(memory, frameHeaderBytes, frameBytes)
    const offset = (number - 1) * frameBytes
    const fault = await new Promise<Error | undefined>((resolve) => {
      folder.commit(file, memory, frameBytes, offset, resolve)
    })
    if (fault !== undefined) {
      assert.match(String(fault), /EIO|EROFS/)
      await aborted
      await file.close()
      await folder.close()
      return number - 1
    }
    if (number === confirmedMin) aborted = disk.abort()
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
