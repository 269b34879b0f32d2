#!/usr/bin/env node
import { Command, CommanderError, Option } from 'commander'
import { properties, rate, several, size, time, whole } from './cli/arguments.ts'
import type { BenchOptions } from './cli/bench.ts'
import { clientProtocols, defaultUrls } from './cli/clients/protocols.ts'
import type { ConsumeOptions } from './cli/consume.ts'
import type { DataOptions } from './cli/data/folder.ts'
import type { ImportOptions } from './cli/data/import.ts'
import type { PrintOptions } from './cli/data/print.ts'
import type { ProduceOptions } from './cli/produce.ts'
import type { PublishOptions, SubscribeOptions } from './cli/publish.ts'
import type { StartOptions } from './cli/start.ts'
import { version } from './version.ts'

/** The code of each command is loaded when it is called, so that none pays for the others. */
const program = new Command('manifoldmq')
  .description('One broker, many protocols: queues and topics for clients of any language.')
  .version(version)
  .showHelpAfterError('(manifoldmq --help tells more)')
  .exitOverride()

configured(program.command('start').description('run a broker until it is told to stop'))
  .option('--standby', 'wait while another broker has the data folder')
  .action(async (options: StartOptions) => (await import('./cli/start.ts')).start(options))

const config = program.command('config').description('look at the configuration')
configured(
  config.command('check').description('say whether a broker would start with it, or all that is wrong'),
).action(async (options) => (await import('./cli/config.ts')).check(options))
configured(config.command('show').description('print every setting in effect, and where it comes from'))
  .option('--json', 'as one JSON object')
  .action(async (options) => (await import('./cli/config.ts')).show(options))
config
  .command('default')
  .description('print the commented default configuration')
  .action(async () => (await import('./cli/config.ts')).printDefault())
config
  .command('schema')
  .description('print the JSON Schema of the configuration file')
  .action(async () => (await import('./cli/config.ts')).printSchema())

const data = program
  .command('data')
  .description('look into the store of a stopped broker, copy and mend it')
  .addHelpText(
    'after',
    '\nverify and backup may be called while the broker runs; of the others a running broker is told with status 3.',
  )
configured(data.command('verify').description('read all of it and say what is not as it was written'))
  .option('--json', 'as one JSON object')
  .action(async (options: DataOptions) => (await import('./cli/data/verify.ts')).verify(options))
configured(data.command('print').description('print who holds how much'))
  .option('--messages <owner>', 'the messages of queue://name, subscription://name or retained instead')
  .option('--frames <segment>', 'the frames of the journal from this segment on instead', whole(0))
  .option('--json', 'as JSON: one object, or one a line')
  .action(async (options: PrintOptions) => (await import('./cli/data/print.ts')).printData(options))
configured(data.command('export').description('write everything as lines of JSON'))
  .argument('[file]', 'instead of standard output')
  .action(async (file: string | undefined, options: DataOptions) =>
    (await import('./cli/data/export.ts')).exportData(file, options),
  )
configured(data.command('import').description('read an export into a store that is empty or not there'))
  .argument('<file>')
  .option('--merge', 'or behind what is there')
  .action(async (file: string, options: ImportOptions) =>
    (await import('./cli/data/import.ts')).importData(file, options),
  )
configured(data.command('backup').description('copy it to a folder that a broker can be started on'))
  .argument('<folder>', 'not there yet, or empty')
  .option('--json', 'print the result as JSON')
  .action(async (folder: string, options: DataOptions) =>
    (await import('./cli/data/backup.ts')).backup(folder, options),
  )
configured(data.command('compact').description('make it as small as it can be'))
  .option('--json', 'print the result as JSON')
  .action(async (options: DataOptions) => (await import('./cli/data/compact.ts')).compact(options))
configured(data.command('why').description('say what keeps a segment from being used again'))
  .argument('<segment>', 'as seg-12 or 12')
  .option('--json', 'as one JSON object')
  .action(async (segment: string, options: DataOptions) => (await import('./cli/data/why.ts')).why(segment, options))

addressed(program.command('produce').description('send messages'))
  .option('--message <text>', 'body of every message; without it they are numbered')
  .option('--count <n>', 'how many messages', whole(1), 1)
  .option('--size <bytes>', 'length of the body, as 10kB; the message is repeated to fill it', size)
  .option('--rate <n>', 'messages a second; without it as fast as the broker confirms', rate)
  .option('--property <name=value>', 'a property of every message; may be repeated', properties)
  .option('--priority <n>', 'from 0 to 9; 4 is normal', whole(0, 9))
  .option('--persistent', 'to be kept on disk')
  .option('--ttl <time>', 'how long a message lives, as 30s', time)
  .option('--json', 'print the result as JSON')
  .action(async (argument: string | undefined, options: ProduceOptions & Addressed) =>
    (await import('./cli/produce.ts')).produce(destinationOf(argument, options), options),
  )

received(addressed(program.command('consume').description('take messages and print them')))
  .option('--timeout <time>', 'end when none has come for this long, as 5s', time)
  .action(async (argument: string | undefined, options: ConsumeOptions & Addressed) =>
    (await import('./cli/consume.ts')).consume(destinationOf(argument, options), options),
  )

received(addressed(program.command('browse').description('print the messages of a queue and leave them there'))).action(
  async (argument: string | undefined, options: ConsumeOptions & Addressed) =>
    (await import('./cli/consume.ts')).browse(destinationOf(argument, options), options),
)

reaching(
  program
    .command('bench')
    .description('measure how fast a broker passes messages on')
    .argument('[destination]', 'queue://name', 'queue://bench'),
)
  .option('--size <bytes>', 'length of the bodies, as 1KiB', size, 1024)
  .option('--duration <time>', 'how long, as 5s', time, 5000)
  .option('--producers <n>', 'how many send', whole(1, 1000), 1)
  .option('--consumers <n>', 'how many take; 0: the messages stay', whole(0, 1000), 1)
  .option('--window <n>', 'messages under way at most', whole(1), 2000)
  .option('--persistent', 'to be kept on disk')
  .option('--json', 'print the result as JSON')
  .action(async (destination: string, options: BenchOptions) =>
    (await import('./cli/bench.ts')).bench(destination, options),
  )

topical(program.command('pub').description("publish to a topic, with mosquitto_pub's flags"))
  .requiredOption('-t, --topic <topic>', 'as sensors/kitchen, or sensors.kitchen')
  .option('-m, --message <text>', 'what to publish')
  .option('-n, --null-message', 'publish an empty message')
  .option('-r, --retain', 'keep it for new subscribers')
  .action(async (options: PublishOptions) => (await import('./cli/publish.ts')).publish(options))

topical(program.command('sub').description("print what is published to topics, with mosquitto_sub's flags"))
  .requiredOption('-t, --topic <topic>', 'as sensors/+/temperature or sensors/#; may be repeated', several)
  .option('-C, --count <n>', 'end after this many', whole(1))
  .option('-W, --timeout <seconds>', 'end after this long', (text) => whole(1)(text) * 1000)
  .option('-v, --verbose', 'print the topic before each message')
  .action(async (options: SubscribeOptions) => (await import('./cli/publish.ts')).subscribe(options))

interface Addressed {
  readonly destination?: string
}

function topical(command: Command): Command {
  return command
    .addOption(new Option('--protocol <name>', 'what to speak').choices(clientProtocols).default('native'))
    .option('-h, --host <host>', 'where the broker is', '127.0.0.1')
    .option('-p, --port <port>', `its port; ${usualPorts()}`)
    .option('-i, --id <id>', 'client id')
    .option('-u, --username <user>')
    .option('-P, --pw <password>')
    .option('-q, --qos <n>', '1 and 2: kept on disk for durable subscribers', whole(0, 2), 0)
    .helpOption('--help', 'what there is')
}

function configured(command: Command): Command {
  return command
    .option('--config <file>', 'instead of manifoldmq.yaml in the working folder')
    .option('--data <folder>', 'where messages are stored')
    .option('--set <path=value>', 'a setting, as listeners.stomp.port=61613; may be repeated', several)
}

function addressed(command: Command): Command {
  return reaching(
    command.argument('[destination]', 'queue://name or topic://name').option('--destination <destination>', 'the same'),
  )
}

function reaching(command: Command): Command {
  const protocol = 'what to speak; native unless the URL begins with stomp:, amqp: or mqtt:'
  return command
    .option('--url <url>', `tcp://user:password@host:port (default: on 127.0.0.1, ${usualPorts()})`)
    .addOption(new Option('--protocol <name>', protocol).choices(clientProtocols))
}

/** `native 61616, stomp 61613` and so on. */
function usualPorts(): string {
  return clientProtocols.map((name) => `${name} ${new URL(defaultUrls[name]).port}`).join(', ')
}

function received(command: Command): Command {
  return command
    .option('--count <n>', 'end after this many', whole(1))
    .option('--selector <expression>', 'only those it is true of, as "color = \'blue\'"')
    .option('--json', 'each as one line of JSON: headers and body')
}

function destinationOf(argument: string | undefined, options: Addressed): string {
  const destination = argument ?? options.destination
  return destination ?? program.error('error: which destination? as in queue://hello')
}

// Whoever reads what is printed may stop reading: `manifoldmq config show | head`.
process.stdout.on('error', () => undefined)
try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2)
  // A command that has failed may have left a connection open.
  process.exit((await import('./cli/failure.ts')).report(error))
}
