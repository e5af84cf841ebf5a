// What other teams' tests may import, as `matrix-session-service/testing`. It needs `supertest` to be installed.
export {
  type ContractCheck,
  passwordPolicyContract,
  type PasswordPolicySample,
  passwordVerifierContract,
  type PasswordVerifierSample,
  sharedRoomsContract,
  type SharedRoomsSample,
  threepidDirectoryContract,
  type ThreepidDirectorySample,
} from './contracts.js';
export {
  type ClientSession,
  MatrixClient,
  PASSWORD,
  passwordOf,
  someKeys,
  uniqueUsername,
  V3,
} from './matrix-client.js';
export { type Failure, TestApp, type TestOptions } from './test-app.js';
export { TestClock } from './test-clock.js';
export { type TestDatabase, TestPostgres } from './test-postgres.js';
