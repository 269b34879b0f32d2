import { readFileSync } from 'node:fs'

/** What the operating system says of a process. */
export interface Usage {
  /** Processor seconds, user and system, of all its threads. */
  readonly cpuSeconds: number
  readonly rssKib: number
  /** The most it ever had. */
  readonly peakRssKib: number
}

/** USER_HZ, which Linux has fixed at 100 for what it shows in /proc. */
const ticksPerSecond = 100

/** Reads /proc; throws if the process is gone. */
export function usageOf(pid: number): Usage {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  return {
    cpuSeconds: cpuSeconds(readFileSync(`/proc/${pid}/stat`, 'latin1')),
    rssKib: statusKib(status, 'VmRSS'),
    peakRssKib: statusKib(status, 'VmHWM'),
  }
}

/** utime and stime of a line of /proc/PID/stat: fields 14 and 15, counted behind the name, which may hold spaces. */
export function cpuSeconds(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

export function statusKib(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? Number.NaN)
}
