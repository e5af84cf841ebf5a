import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import * as everything from '../../src/index.js';
import * as testing from '../../src/testing/index.js';

/** Names that a file exports, types with the others. */
async function exportsOf(file: string): Promise<string[]> {
  const text = await readFile(new URL(`../../src/${file}`, import.meta.url), 'utf8');
  const lists = [...text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].map(([, list]) => list!);
  expect(text.match(/^export /gm)).toHaveLength(lists.length);
  const names = lists.flatMap((list) => list.split(',').map((name) => name.replace('type ', '').trim()));
  return names.filter((name) => name !== '').toSorted();
}

// Whatever stands here is a promise: a name may come, and none may go.
describe('The public API', () => {
  it('of matrix-session-service is what it was', async () => {
    expect(await exportsOf('index.ts')).toMatchInlineSnapshot(`
      [
        "AccountDeactivated",
        "AccountRegistered",
        "AccountRestricted",
        "Additions",
        "AfterCommit",
        "AppModule",
        "AsyncComposition",
        "BearerGuard",
        "ClientController",
        "Clock",
        "Composition",
        "CurrentDevice",
        "CurrentRequester",
        "DatabaseLocation",
        "DeletedDevice",
        "DeletionReason",
        "Delivery",
        "DeviceCreated",
        "DeviceListChange",
        "DeviceListChangeKind",
        "DeviceListsChanged",
        "DeviceListsService",
        "DeviceRef",
        "DeviceRenamed",
        "DevicesDeleted",
        "EmbeddedPostgres",
        "EmbeddedPostgresOptions",
        "EndReason",
        "Entropy",
        "Environment",
        "EnvironmentError",
        "Errcode",
        "ErrorAnswer",
        "EventBus",
        "ExpiredTokenAllowed",
        "Flow",
        "GuardedCall",
        "GuestsAllowed",
        "InTransaction",
        "LockedUserAllowed",
        "LoginContext",
        "LoginFlow",
        "LoginFlows",
        "MatrixError",
        "MatrixPost",
        "MigrationClass",
        "NoSharedRooms",
        "NoThreepids",
        "OptionalBody",
        "OwnFlows",
        "OwnPasswords",
        "PasswordChanged",
        "PasswordPolicy",
        "PasswordVerifier",
        "Ports",
        "PresentedToken",
        "Proven",
        "Public",
        "Requester",
        "RequesterDevice",
        "SessionEvent",
        "SessionEventType",
        "SessionStarted",
        "SessionsEnded",
        "Setup",
        "SharedRooms",
        "SharedRoomsInSpan",
        "StageAttempt",
        "Statement",
        "ThreepidDirectory",
        "TokenOptional",
        "Tx",
        "UiaFlows",
        "UiaRefusal",
        "UiaStage",
        "UiaStages",
        "UnitOfWork",
        "UserPart",
        "WithoutBody",
        "createApplication",
        "deviceColumns",
        "matrixExpress",
      ]
    `);
    expect(Object.values(everything)).not.toContain(undefined);
  });

  it('of matrix-session-service/testing is what it was', async () => {
    expect(await exportsOf('testing/index.ts')).toMatchInlineSnapshot(`
      [
        "ClientSession",
        "Failure",
        "MatrixClient",
        "PASSWORD",
        "TestApp",
        "TestClock",
        "TestDatabase",
        "TestOptions",
        "TestPostgres",
        "V3",
        "passwordOf",
        "someKeys",
        "uniqueUsername",
      ]
    `);
    expect(Object.values(testing)).not.toContain(undefined);
  });
});
