import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { installPython, python, run, versionOf } from '../clients.ts'
import { Driver } from '../driver.ts'
import type { MqttVersion } from './driver.ts'

/** A client library of MQTT in one version: how it is brought here and started, and what it leaves out. */
export interface MqttClient {
  readonly name: string
  readonly version: MqttVersion
  readonly interpreter: string
  /** Whether a step can cut the connection, so that the will is sent. */
  readonly cuts: boolean
  /** Whether it tells of a message all that MQTT 5 says, and can be told of a will. */
  readonly tellsAll: boolean
  readonly install: (root: string) => Promise<string>
  readonly start: (root: string) => Driver
}

const versions: readonly MqttVersion[] = ['3.1.1', '5']

export const mqttClients: readonly MqttClient[] = [
  ...versions.map((version) => ({
    name: `paho-mqtt/${version}`,
    version,
    interpreter: 'python3',
    cuts: true,
    tellsAll: true,
    install: (root: string) => installPython(root, 'paho-mqtt'),
    start: (root: string) => new Driver(python(root), [join(root, 'interop/python/mqtt_driver.py')], root),
  })),
  ...versions.map((version) => ({
    name: `MQTT.js/${version}`,
    version,
    interpreter: 'node',
    cuts: true,
    tellsAll: true,
    install: (root: string) => versionOf(join(root, 'node_modules/mqtt')),
    start: (root: string) => new Driver(process.execPath, [join(root, 'interop/node/mqttjs.js')], root),
  })),
  ...versions.map((version) => ({
    name: `mosquitto/${version}`,
    version,
    interpreter: 'mosquitto_pub',
    cuts: true,
    tellsAll: false,
    install: installMosquitto,
    start: (root: string) => new Driver(process.execPath, [join(root, 'interop/node/mosquitto.js')], root),
  })),
  {
    name: 'paho.mqtt.golang/3.1.1',
    version: '3.1.1',
    interpreter: 'go',
    cuts: false,
    tellsAll: true,
    install: (root) => installGo(root, 'go-mqtt', 'github.com/eclipse/paho.mqtt.golang'),
    start: (root) => new Driver(goProgram(root, 'go-mqtt'), [], root),
  },
  {
    name: 'paho.golang/5',
    version: '5',
    interpreter: 'go',
    cuts: true,
    tellsAll: true,
    install: (root) => installGo(root, 'go-mqtt5', 'github.com/eclipse/paho.golang'),
    start: (root) => new Driver(goProgram(root, 'go-mqtt5'), [], root),
  },
]

/** mosquitto_pub tells its version, and then ends with a status of its own. */
async function installMosquitto(): Promise<string> {
  const help = await run('sh', ['-c', 'mosquitto_pub --help || true'])
  const version = /version (\S+)/.exec(help)?.[1]
  if (version === undefined) throw new Error(`mosquitto_pub does not say its version: ${help.slice(0, 200)}`)
  return version
}

/** `name`: of the folder and of the program that is built of it. `library`: the module whose version is told. */
async function installGo(root: string, name: string, library: string): Promise<string> {
  const folder = join(root, 'interop', name)
  await mkdir(join(root, 'dist/interop'), { recursive: true })
  await run('go', ['build', '-o', goProgram(root, name), '.'], { cwd: folder })
  return (await run('go', ['list', '-m', '-f', '{{.Version}}', library], { cwd: folder })).replace(/^v/, '')
}

function goProgram(root: string, name: string): string {
  return join(root, 'dist/interop', name)
}
