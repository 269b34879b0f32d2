import { cpuUsage } from 'node:process'

/** Milliseconds of processor time that something takes, however busy the machine is with other things. */
export function cpuMsOf(run: () => void): number {
  const before = cpuUsage()
  run()
  const { user, system } = cpuUsage(before)
  return (user + system) / 1000
}
