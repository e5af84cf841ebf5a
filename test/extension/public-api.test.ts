import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import ts from 'typescript';
import * as everything from '../../src/index.js';
import * as testing from '../../src/testing/index.js';

/** Returns the names that a file exports, including types. */
async function exportsOf(file: string): Promise<string[]> {
  const text = await readFile(new URL(`../../src/${file}`, import.meta.url), 'utf8');
  const lists = [...text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].map(([, list]) => list!);
  expect(text.match(/^export /gm)).toHaveLength(lists.length);
  const names = lists.flatMap((list) => list.split(',').map((name) => name.replace('type ', '').trim()));
  return names.filter((name) => name !== '').toSorted();
}

/** Returns the exports without a description, and those that are more than a type and have no example. */
function undocumented(file: string): string[] {
  const path = fileURLToPath(new URL(`../../src/${file}`, import.meta.url));
  const program = ts.createProgram([path], {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    experimentalDecorators: true,
    skipLibCheck: true,
  });
  const checker = program.getTypeChecker();
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(path)!)!);
  const hasExample = (symbol: ts.Symbol) =>
    symbol.getJsDocTags(checker).some(({ name }) => name === 'example');
  return exported.flatMap((name) => {
    const symbol = name.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(name) : name;
    const members = [...(symbol.members?.values() ?? []), ...(symbol.exports?.values() ?? [])];
    const isDescribed = symbol.getDocumentationComment(checker).length > 0;
    const isShown = !(symbol.flags & ts.SymbolFlags.Value) || [symbol, ...members].some(hasExample);
    return isDescribed && isShown ? [] : [symbol.name];
  });
}

// This list is a promise: names may be added, but none may be removed.
describe('The public API', () => {
  it('of matrix-session-service has not changed', async () => {
    expect(await exportsOf('index.ts')).toMatchInlineSnapshot(`
      [
        "About",
        "AccountDeactivated",
        "AccountRegistered",
        "AccountRestricted",
        "AccountView",
        "ActivityView",
        "Additions",
        "AfterCommit",
        "ApiAccessToken",
        "ApiMatrixError",
        "AppModule",
        "AppView",
        "AsyncComposition",
        "Attempt",
        "BearerGuard",
        "BrowserView",
        "ChangePasswordView",
        "ChangedUsers",
        "ClientController",
        "ClientOrigin",
        "Clock",
        "Composition",
        "ConsentView",
        "CurrentDevice",
        "CurrentRequester",
        "DatabaseLocation",
        "DeactivateView",
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
        "DeviceTables",
        "DevicesDeleted",
        "EmbeddedPostgres",
        "EmbeddedPostgresOptions",
        "EndReason",
        "EndView",
        "Entropy",
        "Environment",
        "EnvironmentError",
        "Errcode",
        "ErrorAnswer",
        "EventBus",
        "ExpiredTokenAllowed",
        "Flow",
        "ForwardedAnswer",
        "ForwardedRequest",
        "GaugeValue",
        "GuardedCall",
        "GuestsAllowed",
        "Homeserver",
        "HomeserverDevice",
        "HomeserverRefusal",
        "HomeserverSettings",
        "Html",
        "InTransaction",
        "Limits",
        "LinkTo",
        "LinkView",
        "ListPasswordPolicy",
        "LockedUserAllowed",
        "LoginContext",
        "LoginElsewhere",
        "LoginFlow",
        "LoginFlows",
        "LoginForm",
        "Look",
        "ManyRows",
        "MatrixError",
        "MatrixPost",
        "MetricDescription",
        "Metrics",
        "MigrationClass",
        "NewChange",
        "NoHomeserver",
        "NoSharedRooms",
        "NoThreepids",
        "OAuthSettings",
        "OptionalBody",
        "Origin",
        "OriginOf",
        "Origins",
        "OtherSignIn",
        "OwnFlows",
        "OwnPasswords",
        "OwnRateLimit",
        "PageContext",
        "PageTemplates",
        "Part",
        "Part as HtmlPart",
        "PasswordChanged",
        "PasswordPolicy",
        "PasswordVerifier",
        "Ports",
        "PresentedToken",
        "ProofView",
        "Proven",
        "Public",
        "RateLimit",
        "RateLimitName",
        "RateLimiter",
        "RegisterView",
        "Requester",
        "RequesterDevice",
        "ResetView",
        "SessionEvent",
        "SessionEventType",
        "SessionInfo",
        "SessionStarted",
        "SessionView",
        "Sessions",
        "SessionsEnded",
        "Setup",
        "SharedRooms",
        "SharedRoomsInSpan",
        "SignInElsewhere",
        "SignInView",
        "StageAttempt",
        "StageView",
        "Statement",
        "SystemClock",
        "SystemEntropy",
        "Texts",
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
        "html",
        "matrixExpress",
        "requireServerAdmin",
        "runCommandLine",
      ]
    `);
    expect(Object.values(everything)).not.toContain(undefined);
  });

  it('of matrix-session-service/testing has not changed', async () => {
    expect(await exportsOf('testing/index.ts')).toMatchInlineSnapshot(`
      [
        "ClientSession",
        "ContractCheck",
        "Failure",
        "MatrixClient",
        "PASSWORD",
        "PasswordPolicySample",
        "PasswordVerifierSample",
        "SharedRoomsSample",
        "TestApp",
        "TestClock",
        "TestDatabase",
        "TestOptions",
        "TestPostgres",
        "ThreepidDirectorySample",
        "V3",
        "passwordOf",
        "passwordPolicyContract",
        "passwordVerifierContract",
        "sharedRoomsContract",
        "someKeys",
        "threepidDirectoryContract",
        "uniqueUsername",
      ]
    `);
    expect(Object.values(testing)).not.toContain(undefined);
  });

  it.each(['index.ts', 'testing/index.ts'])(
    'documents every name in %s with a description and an example',
    (file) => {
      expect(undocumented(file)).toEqual([]);
    },
  );
});
