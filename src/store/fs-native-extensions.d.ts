/** What is used of fs-native-extensions, which ships no types. */
declare module 'fs-native-extensions' {
  /** Takes a lock on an open file, an exclusive one unless it is to be shared; false if another one is in the way. */
  export function tryLock(fd: number, options?: { readonly shared?: boolean }): boolean
  /** As tryLock, once the lock is free. */
  export function waitForLock(fd: number): Promise<void>
  export function unlock(fd: number): void
}
