import { isatty } from 'node:tty'
import type { LogFormat, LogLevel } from './config.ts'

/**
 * Where the broker tells what happens. Any pino logger is one, and `console`. An error goes into the field `error`.
 * Nothing is logged per message.
 */
export interface Log {
  debug(fields: object, text: string): void
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

export interface LogOptions {
  readonly level: LogLevel
  readonly format: LogFormat
  /** The broker's name, in every line. */
  readonly name?: string
  /** Takes whole lines; default: standard error. */
  readonly destination?: LogDestination
}

export interface LogDestination {
  readonly isTerminal: boolean
  write(line: string): void
}

/**
 * Makes a log: lines for people on a terminal, JSON lines otherwise, written at once. What cannot be written is lost;
 * the broker goes on. pino is loaded here, and pino-pretty only for people.
 */
export async function createLog(options: LogOptions): Promise<Log> {
  if (options.level === 'silent') return silentLog
  const { pino, destination: openFile, stdSerializers, stdTimeFunctions } = await import('pino')
  const standardError = (): LogDestination => {
    const stream = openFile({ fd: 2, sync: true })
    stream.on('error', () => undefined)
    return { isTerminal: isatty(2), write: (line) => void stream.write(line) }
  }
  const destination = options.destination ?? standardError()
  const isPretty = options.format === 'pretty' || (options.format === 'auto' && destination.isTerminal)
  const log: Log = pino(
    {
      level: options.level,
      base: options.name === undefined ? {} : { broker: options.name },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: stdSerializers.err },
    },
    isPretty ? await prettified(destination) : destination,
  )
  return log
}

async function prettified(destination: LogDestination): Promise<LogDestination> {
  const { prettyFactory } = await import('pino-pretty')
  const format = prettyFactory({
    ignore: 'broker',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
    errorLikeObjectKeys: ['error'],
    ...(destination.isTerminal ? {} : { colorize: false }),
  })
  return {
    isTerminal: destination.isTerminal,
    write: (line) => destination.write(format(line) ?? line),
  }
}
