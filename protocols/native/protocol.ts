import type { Broker, Protocol, Wire } from '../../src/core.ts'
import { NativeConnection } from './connection.ts'
import { startsPreface } from './frame.ts'
import { defaultNativeOptions, type NativeOptions } from './options.ts'
import { SectionFacts } from './section.ts'

/** MNP/1 over wires. `serverName` is told to clients: `ManifoldMQ/1.0.0`. */
export function createNative(serverName: string, options: Partial<NativeOptions> = {}): Protocol {
  const settings: NativeOptions = { ...defaultNativeOptions, ...options }
  const facts = new SectionFacts()
  return {
    name: 'native',
    sniffBytes: 4,
    webSocketSubprotocols: ['mnp.v1'],
    recognises: startsPreface,
    accept(wire: Wire, broker: Broker): void {
      new NativeConnection(wire, { broker, options: settings, serverName, facts })
    },
  }
}
