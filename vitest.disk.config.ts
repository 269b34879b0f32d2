import { defineConfig } from 'vitest/config'

/** What needs a file system of its own, and so root: not for `npm test`. */
export default defineConfig({
  test: { include: ['test/disk/*.test.ts'], pool: 'forks', hookTimeout: 30_000 },
})
