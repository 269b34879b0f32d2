import { ConfigError, problemLine } from '../config.ts'
import { BrokerError } from '../errors.ts'

/** What a command ends with. */
export const ExitCode = {
  done: 0,
  /** It could not be done. */
  failed: 1,
  /** It was asked for in the wrong way: arguments or configuration. */
  misused: 2,
  /** Another broker has the data folder. */
  locked: 3,
} as const

/** A command cannot be carried out; the sentence is for the person at the terminal. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/** Tells the person what went wrong and returns the exit code. */
export function report(error: unknown): number {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) tell(problemLine(problem))
    return ExitCode.misused
  }
  if (error instanceof BrokerError && error.code === 'store-locked') {
    tell(`manifoldmq: ${error.message}`)
    return ExitCode.locked
  }
  if (error instanceof CommandError || error instanceof BrokerError) tell(`manifoldmq: ${error.message}`)
  else tell(`manifoldmq: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return ExitCode.failed
}

/** Writes a line to standard error, where all goes that is not the result of the command. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}
