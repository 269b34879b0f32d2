import { describe } from 'vitest'
import * as client from '../../../../src/client.ts'
import { clientContract } from '../../../contract/client-contract.ts'
import { carriers } from '../../../support/native-broker.ts'

describe.each(carriers)('over %s', (carrier) => clientContract(carrier, client))
