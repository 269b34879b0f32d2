/** What is used of fs-native-extensions, which ships no types. */
declare module 'fs-native-extensions' {
  /** Takes an exclusive lock on an open file; false if another one has it. */
  export function tryLock(fd: number): boolean
  /** As tryLock, once the lock is free. */
  export function waitForLock(fd: number): Promise<void>
  export function unlock(fd: number): void
}
