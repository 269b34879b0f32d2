import type { CommandClient, Received } from './clients/client.ts'
import { openClient } from './clients/open.ts'
import { type ClientProtocol, defaultUrls } from './clients/protocols.ts'
import { CommandError } from './failure.ts'

/** What `pub` and `sub` share with mosquitto's commands. */
export interface TopicOptions {
  readonly protocol: ClientProtocol
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
  const confirmed = new Promise<void>((resolve) => {
    const destination = destinationOf(options.topic)
    const body = Buffer.from(message ?? '')
    const how = { isText: true, persistent: qos > 0, retain, properties: {} }
    client.send({ destination, body, ...how }, resolve)
  })
  await Promise.race([confirmed, client.failed])
  await client.close()
}

/** Prints what is published to topics. */
export async function subscribe(options: SubscribeOptions): Promise<void> {
  const client = await open(options)
  let count = 0
  let onOver: () => void = () => undefined
  const over = new Promise<void>((resolve) => {
    onOver = resolve
  })
  const print = (message: Received): void => {
    if (count === options.count) return
    count += 1
    const topic = options.verbose === true ? `${toSlashes(message.address ?? '')} ` : ''
    process.stdout.write(Buffer.concat([Buffer.from(topic), message.body, lineEnd]))
    message.accept()
    if (count === options.count) onOver()
  }
  const timer = options.timeout === undefined ? undefined : setTimeout(onOver, options.timeout)
  process.once('SIGINT', onOver).once('SIGTERM', onOver)
  for (const topic of options.topic) {
    client.subscribe({ destination: destinationOf(topic), settles: false }, { message: print, end: onOver })
  }
  try {
    await Promise.race([over, client.failed])
  } finally {
    clearTimeout(timer)
  }
  await client.close()
  if (options.count !== undefined && count < options.count && options.timeout !== undefined) {
    throw new CommandError(`${count} of ${options.count} messages had come when the time was over`)
  }
}

const lineEnd = Buffer.from('\n')

function open({ protocol, host = '127.0.0.1', port, id, username, pw }: TopicOptions): Promise<CommandClient> {
  const url = new URL(defaultUrls[protocol])
  url.hostname = host
  if (port !== undefined) url.port = port
  return openClient({ url: url.href, protocol }, { clientId: id, user: username, password: pw })
}

/** `sensors/+/temperature`, as MQTT writes it, is `topic://sensors.*.temperature` here. */
function destinationOf(topic: string): string {
  if (topic.includes('://')) return topic
  const levels = topic.split('/').map((level) => (level === '+' ? '*' : level))
  return `topic://${levels.join('.')}`
}

function toSlashes(address: string): string {
  return address.replace(/^topic:\/\//, '').replaceAll('.', '/')
}
