import type { Duplex } from 'node:stream'
import { generate, type IPublishPacket, type Packet, parser } from 'mqtt-packet'

export type Version = 3 | 4 | 5
type Command = Packet['cmd']
type PacketOf<Name extends Command> = Extract<Packet, { cmd: Name }>

/** An MQTT client on any stream, for tests, with the codec of another project: sends what it is told and keeps what comes. */
export class MqttTestClient {
  readonly stream: Duplex
  readonly version: Version
  readonly packets: Packet[]
  readonly closed: Promise<void>
  isClosed: boolean
  #waiting: { readonly wants: (packet: Packet) => boolean; readonly take: (packet: Packet | undefined) => void }[]

  constructor(stream: Duplex, version: Version = 4) {
    this.stream = stream
    this.version = version
    this.packets = []
    this.isClosed = false
    this.#waiting = []
    const decoder = parser({ protocolVersion: version })
    decoder.on('packet', (packet: Packet) => this.#take(packet))
    decoder.on('error', (error: Error) => {
      throw new Error(`the server sent no MQTT: ${error.message}`)
    })
    stream.on('error', () => undefined)
    stream.on('data', (chunk: Buffer) => decoder.parse(chunk))
    this.closed = new Promise((resolve) => {
      stream.on('close', () => {
        this.isClosed = true
        for (const { take } of this.#waiting.splice(0)) take(undefined)
        resolve()
      })
    })
  }

  write(bytes: Uint8Array): void {
    this.stream.write(bytes)
  }

  /** Bytes given as hexadecimal digits; blanks do not count. */
  writeHex(digits: string): void {
    this.write(Buffer.from(digits.replaceAll(/\s/g, ''), 'hex'))
  }

  send(packet: Packet): void {
    this.write(generate(packet, { protocolVersion: this.version }))
  }

  /** Connects and returns the CONNACK. */
  async connect(options: Partial<PacketOf<'connect'>> = {}): Promise<PacketOf<'connack'>> {
    this.sendConnect(options)
    return await this.next('connack')
  }

  sendConnect(options: Partial<PacketOf<'connect'>> = {}): void {
    this.send({
      cmd: 'connect',
      protocolId: this.version === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: this.version,
      clean: true,
      keepalive: 0,
      clientId: `client-${Math.random().toString(16).slice(2)}`,
      ...options,
    } as Packet)
  }

  /** Subscribes and returns the reason codes. */
  async subscribe(
    topic: string,
    options: number | (Partial<PacketOf<'subscribe'>['subscriptions'][number]> & { qos: number }) = 0,
    properties?: PacketOf<'subscribe'>['properties'],
  ): Promise<readonly number[]> {
    const subscription = typeof options === 'number' ? { topic, qos: options } : { topic, ...options }
    this.send({
      cmd: 'subscribe',
      messageId: 9,
      subscriptions: [subscription],
      ...(properties === undefined ? {} : { properties }),
    } as Packet)
    const { granted } = await this.next('suback')
    return granted as number[]
  }

  publish(topic: string, payload: string | Buffer, options: Partial<IPublishPacket> = {}): void {
    this.send({ cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false, ...options })
  }

  /** Publishes with QoS 1 and waits for the PUBACK. */
  async sure(topic: string, payload: string | Buffer, options: Partial<IPublishPacket> = {}): Promise<number> {
    this.publish(topic, payload, { qos: 1, messageId: 77, ...options })
    return (await this.next('puback')).reasonCode ?? 0
  }

  disconnect(): void {
    this.send({ cmd: 'disconnect' })
  }

  /** The next packet of this kind, which is taken off the record; rejects if the connection closes first. */
  next<Name extends Command>(command: Name): Promise<PacketOf<Name>> {
    return this.#next([command]) as Promise<PacketOf<Name>>
  }

  #next(commands: readonly Command[]): Promise<Packet> {
    const wants = (packet: Packet): boolean => commands.includes(packet.cmd)
    const index = this.packets.findIndex(wants)
    const found = index >= 0 ? this.packets.splice(index, 1)[0] : undefined
    if (found !== undefined) return Promise.resolve(found)
    return new Promise((resolve, reject) => {
      const take = (packet: Packet | undefined): void => {
        if (packet === undefined) reject(new Error(`closed while waiting for ${commands.join(' or ')}`))
        else resolve(packet)
      }
      if (this.isClosed) take(undefined)
      else this.#waiting.push({ wants, take })
    })
  }

  /** The next packet of one of two kinds. */
  nextOf<One extends Command, Other extends Command>(one: One, other: Other): Promise<PacketOf<One> | PacketOf<Other>> {
    return this.#next([one, other]) as Promise<PacketOf<One> | PacketOf<Other>>
  }

  /** The payloads of the next `count` messages; those of QoS 1 are acknowledged. */
  async payloads(count: number): Promise<string[]> {
    const all: string[] = []
    while (all.length < count) {
      const { messageId, payload, qos } = await this.next('publish')
      if (qos === 1 && messageId !== undefined) this.send({ cmd: 'puback', messageId })
      all.push(String(payload))
    }
    return all
  }

  /** Waits until the server has answered a ping, and so all that was sent before it. */
  async settled(): Promise<void> {
    this.send({ cmd: 'pingreq' })
    await this.next('pingresp')
  }

  close(): void {
    this.stream.destroy()
  }

  #take(packet: Packet): void {
    const index = this.#waiting.findIndex(({ wants }) => wants(packet))
    if (index >= 0) this.#waiting.splice(index, 1)[0]?.take(packet)
    else this.packets.push(packet)
  }
}
