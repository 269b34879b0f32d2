import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'docs/examples/*.vitest.test.js'],
    exclude: ['test/disk/**', '**/node_modules/**'],
    pool: 'forks',
    setupFiles: ['test/support/properties.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
})
