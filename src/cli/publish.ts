import { connect, type Message } from '../client.ts'
import { defaultUrl } from './default-url.ts'
import { CommandError } from './failure.ts'

/** What `pub` and `sub` share with mosquitto's commands. */
export interface TopicOptions {
  readonly host?: string
  readonly port?: string
  readonly id?: string
  readonly username?: string
  readonly pw?: string
  readonly qos?: number
}

export interface PublishOptions extends TopicOptions {
  readonly topic: string
  readonly message?: string
  readonly nullMessage?: boolean
  readonly retain?: boolean
}

export interface SubscribeOptions extends TopicOptions {
  readonly topic: readonly string[]
  readonly count?: number
  /** Milliseconds after which it is over. */
  readonly timeout?: number
  readonly verbose?: boolean
}

/** Publishes one message to a topic. */
export async function publish(options: PublishOptions): Promise<void> {
  const { message, nullMessage, retain, qos = 0 } = options
  if (message === undefined && nullMessage !== true) {
    throw new CommandError('nothing to publish: give -m <message>, or -n for an empty one')
  }
  const client = await open(options)
  await client.topic(toLevels(options.topic)).send(message ?? '', { retain: retain ?? false, persistent: qos > 0 })
  await client.drain()
}

/** Prints what is published to topics. */
export async function subscribe(options: SubscribeOptions): Promise<void> {
  const client = await open(options)
  let count = 0
  let onOver: () => void = () => undefined
  const over = new Promise<void>((resolve) => {
    onOver = resolve
  })
  const print = (message: Message<unknown>): void => {
    if (count === options.count) return
    count += 1
    const topic = options.verbose === true ? `${toSlashes(message.address)} ` : ''
    process.stdout.write(Buffer.concat([Buffer.from(topic), message.bytes, lineEnd]))
    if (count === options.count) onOver()
  }
  const timer = options.timeout === undefined ? undefined : setTimeout(onOver, options.timeout)
  process.once('SIGINT', onOver).once('SIGTERM', onOver)
  client.on('closed', onOver)
  const workers = options.topic.map((topic) =>
    client.topic(toLevels(topic)).consume(print, { ack: 'none', credit: 1000 }),
  )
  await Promise.all(workers.map(({ started }) => started))
  await over
  clearTimeout(timer)
  await client.close()
  if (options.count !== undefined && count < options.count && options.timeout !== undefined) {
    throw new CommandError(`${count} of ${options.count} messages had come when the time was over`)
  }
}

const lineEnd = Buffer.from('\n')

function open({ host = '127.0.0.1', port, id, username, pw }: TopicOptions) {
  const url = port === undefined && host === '127.0.0.1' ? defaultUrl : `tcp://${host}:${port ?? 61_616}`
  return connect(url, { clientId: id, user: username, password: pw })
}

/** `sensors/+/temperature`, as MQTT writes it, is `sensors.*.temperature` here; `#` is `>`. */
function toLevels(topic: string): string {
  if (topic.includes('://')) return topic
  const levels = topic.split('/').map((level) => (level === '+' ? '*' : level === '#' ? '>' : level))
  return levels.join('.')
}

function toSlashes(address: string): string {
  return address.replace(/^topic:\/\//, '').replaceAll('.', '/')
}
