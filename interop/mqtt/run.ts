import type { StandaloneBroker } from '../broker.ts'
import type { Driver } from '../driver.ts'
import { RawConnection } from '../raw.ts'
import { type MqttClient, mqttClients } from './clients.ts'
import { MqttConnection, type MqttOpenOptions } from './driver.ts'
import { type MqttBench, type MqttStep, mqttSteps } from './steps.ts'

/** What one client has done of one step. */
export interface MqttAttempt {
  readonly row: string
  readonly column: string
  readonly work: () => Promise<void>
  readonly complaints: () => string
}

export interface MqttColumn {
  readonly name: string
  readonly version: string
}

interface Started extends MqttColumn {
  readonly client: MqttClient
  readonly driver: Driver | Error
}

/** Every MQTT client with every step that is for it, and how to end them all. */
export async function mqttAttempts(
  root: string,
  broker: StandaloneBroker,
  isWanted: (name: string) => boolean,
): Promise<{ columns: readonly MqttColumn[]; attempts: readonly MqttAttempt[]; stop: () => void }> {
  const columns: Started[] = []
  for (const client of mqttClients) if (isWanted(client.name)) columns.push(await started(client, root))
  const attempts = mqttSteps.flatMap((step, index) =>
    columns
      .filter(({ client }) => isWanted(step.name) && step.isFor(client))
      .map((column) => attemptOf(step, column, broker, `m${index}${column.name.replaceAll(/\W/g, '')}`)),
  )
  const stop = (): void => {
    for (const { driver } of columns) if (!(driver instanceof Error)) driver.stop()
  }
  return { columns, attempts, stop }
}

async function started(client: MqttClient, root: string): Promise<Started> {
  const { name } = client
  try {
    return { name, client, version: await client.install(root), driver: client.start(root) }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const driver = new Error(`cannot be had (needs ${client.interpreter}): ${reason}`)
    return { name, client, version: 'missing', driver }
  }
}

function attemptOf(step: MqttStep, column: Started, broker: StandaloneBroker, word: string): MqttAttempt {
  const { driver, client } = column
  const complaints = (): string => (driver instanceof Error ? '' : driver.complaints())
  const work = async (): Promise<void> => {
    if (driver instanceof Error) throw driver
    const opened: RawConnection[] = []
    let count = 0
    const bench: MqttBench = {
      client,
      word,
      open(options: Partial<MqttOpenOptions> = {}) {
        count += 1
        const name = `${word}-${count}`
        const given = { port: broker.mqttPort, version: client.version, clientId: name, clean: true, ...options }
        return MqttConnection.open(driver, name, given)
      },
      async stomp() {
        const raw = await RawConnection.open(broker.port)
        opened.push(raw)
        return raw
      },
    }
    try {
      await step.run(bench)
    } finally {
      for (const raw of opened) raw.close()
      if (!driver.hasEnded) await driver.request('reset')
    }
  }
  return { row: step.name, column: column.name, work, complaints }
}
