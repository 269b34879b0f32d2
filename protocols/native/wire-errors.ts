import type { BrokerError } from '../../src/core.ts'
import type { ErrorFields } from './encoder.ts'
import { codeOf } from './frame.ts'

/** An error of the core as a frame says it. */
export function errorFields(error: BrokerError): ErrorFields {
  return { code: codeOf(error.code), name: error.code, text: error.message, retryable: error.retryable }
}
