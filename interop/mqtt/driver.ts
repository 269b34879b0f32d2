import type { Driver } from '../driver.ts'

export type MqttVersion = '3.1.1' | '5'

export interface MqttOpenOptions {
  readonly port: number
  readonly version: MqttVersion
  readonly clientId: string
  /** False: the session is kept for a minute, or for good. */
  readonly clean: boolean
  readonly will?: { readonly topic: string; readonly payload: string }
}

/** MQTT 5 only. */
export interface MqttProperties {
  readonly user?: readonly (readonly [name: string, value: string])[]
  readonly contentType?: string
  readonly responseTopic?: string
  readonly correlationData?: Buffer
}

export interface MqttOutgoing {
  readonly payload: Buffer | string
  readonly qos?: 0 | 1 | 2
  readonly retain?: boolean
  readonly properties?: MqttProperties
}

/** A message as the library handed it over. */
export interface MqttIncoming {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: number
  readonly retain: boolean
  readonly user: readonly (readonly [string, string])[]
  readonly contentType: string | undefined
  readonly responseTopic: string | undefined
  readonly correlationData: Buffer | undefined
}

interface RawIncoming {
  readonly topic: string
  readonly payload: string
  readonly qos: number
  readonly retain: boolean
  readonly user?: readonly (readonly [string, string])[]
  readonly contentType?: string | null
  readonly responseTopic?: string | null
  readonly correlationData?: string | null
}

/** One connection of an MQTT library. What has an acknowledgement has been acknowledged when its promise resolves. */
export class MqttConnection {
  readonly isPresent: boolean
  readonly #driver: Driver
  readonly #name: string

  private constructor(driver: Driver, name: string, isPresent: boolean) {
    this.isPresent = isPresent
    this.#driver = driver
    this.#name = name
  }

  static async open(driver: Driver, name: string, options: MqttOpenOptions): Promise<MqttConnection> {
    const { isPresent } = (await driver.request('open', { connection: name, ...options })) as { isPresent: boolean }
    return new MqttConnection(driver, name, isPresent)
  }

  async publish(topic: string, { payload, qos = 1, retain = false, properties }: MqttOutgoing): Promise<void> {
    const correlationData = properties?.correlationData?.toString('base64')
    await this.#request('publish', {
      topic,
      payload: Buffer.from(payload).toString('base64'),
      qos,
      retain,
      ...(properties === undefined ? {} : { properties: { ...properties, correlationData } }),
    })
  }

  /** Returns the QoS that was granted. */
  async subscribe(filter: string, qos: 0 | 1 | 2 = 1): Promise<number | undefined> {
    return ((await this.#request('subscribe', { filter, qos })) as number[])[0]
  }

  async unsubscribe(filter: string): Promise<void> {
    await this.#request('unsubscribe', { filter })
  }

  /** The next message; undefined if none comes in time. */
  async receive(ms: number): Promise<MqttIncoming | undefined> {
    const raw = (await this.#request('receive', { ms }, ms)) as RawIncoming | null
    if (raw === null) return undefined
    const { topic, payload, qos, retain, user, contentType, responseTopic, correlationData } = raw
    return {
      topic,
      payload: Buffer.from(payload, 'base64'),
      qos,
      retain,
      user: user ?? [],
      contentType: contentType ?? undefined,
      responseTopic: responseTopic ?? undefined,
      correlationData: typeof correlationData === 'string' ? Buffer.from(correlationData, 'base64') : undefined,
    }
  }

  /** DISCONNECT. */
  async close(): Promise<void> {
    await this.#request('close')
  }

  /** Cuts the connection without a word. */
  async cut(): Promise<void> {
    await this.#request('cut')
  }

  #request(op: string, parameters: object = {}, waitMs = 0): Promise<unknown> {
    return this.#driver.request(op, { connection: this.#name, ...parameters }, waitMs)
  }
}
