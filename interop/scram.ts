import { type Access, Broker, BrokerError, scramVerifierOf } from '../src/index.ts'

const user = 'alice'
const password = 'sesame'

/** A broker within this process that lets one user in, `alice` with `sesame`, by SCRAM-SHA-256 and by nothing else. */
export class ScramBroker {
  readonly amqpPort: number
  readonly #broker: Broker

  private constructor(broker: Broker) {
    this.#broker = broker
    this.amqpPort = broker.address('amqp').port
  }

  static async start(): Promise<ScramBroker> {
    const verifier = await scramVerifierOf(password, { iterations: 4096 })
    const access: Access = {
      scram: {
        decoy: { secret: Buffer.alloc(32, 1), iterations: 4096 },
        verifier: (login, answer) => answer(login.user === user ? verifier : undefined),
      },
      authenticate: (_login, answer) => answer(new BrokerError('not-authenticated', 'by SCRAM-SHA-256 only')),
      authorise: () => undefined,
    }
    return new ScramBroker(await Broker.start({ log: false, access, listeners: { amqp: { port: 0 } } }))
  }

  stop(): Promise<void> {
    return this.#broker.close()
  }
}
