/** The arrows of docs/architecture.md: who may look into whom, and why not. */
const outside = (...rooms) => ({ path: '^src/', pathNot: [`^src/(${rooms.join('|')})/`] });
const room = (name) => ({ path: `^src/${name}/` });
const UNDERNEATH = ['system', 'config', 'database', 'matrix'];

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-circles',
      comment: 'Two files that need each other are one file, or hide a third that both need.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'system-knows-nothing',
      comment: 'Clock, randomness and hashing serve everybody, so they may depend on nobody.',
      severity: 'error',
      from: room('system'),
      to: outside('system'),
    },
    {
      name: 'config-knows-nothing',
      comment: 'Configuration is read before anything exists that it could look into.',
      severity: 'error',
      from: room('config'),
      to: outside('config'),
    },
    {
      name: 'database-knows-no-feature',
      comment:
        'Transactions carry whatever they are given; a database that knows sessions cannot serve a team of its own.',
      severity: 'error',
      from: room('database'),
      to: outside('database', 'system', 'config'),
    },
    {
      name: 'matrix-knows-no-feature',
      comment: 'How Matrix speaks HTTP is the same for every endpoint.',
      severity: 'error',
      from: room('matrix'),
      to: outside('matrix', 'system', 'config'),
    },
    {
      name: 'events-know-no-feature',
      comment: 'An event says what happened; who cares about it is the listeners’ business.',
      severity: 'error',
      from: room('events'),
      to: outside('events', ...UNDERNEATH),
    },
    {
      name: 'outbox-knows-no-feature',
      comment: 'It delivers whatever event it is given, to whoever subscribed.',
      severity: 'error',
      from: room('outbox'),
      to: outside('outbox', 'events', 'auth', ...UNDERNEATH),
    },
    {
      name: 'nobody-needs-the-testing-kit',
      comment: 'The service runs where supertest is not installed.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/testing/' },
      to: { path: '^src/testing/' },
    },
    {
      name: 'audit-knows-no-feature',
      comment: 'It writes down what events say, and where requests came from.',
      severity: 'error',
      from: room('audit'),
      to: outside('audit', 'events', 'auth', ...UNDERNEATH),
    },
    {
      name: 'webhooks-are-a-subscriber',
      comment: 'A target out there is owed events as a team’s own subscriber is.',
      severity: 'error',
      from: room('webhooks'),
      to: outside('webhooks', 'outbox', 'events', ...UNDERNEATH),
    },
    {
      name: 'nats-is-a-subscriber',
      comment: 'NATS is owed events as a team’s own subscriber is.',
      severity: 'error',
      from: room('nats'),
      to: outside('nats', 'outbox', 'events', ...UNDERNEATH),
    },
    {
      name: 'auth-knows-no-feature',
      comment: 'Who is calling is asked through a port: the guard must work with any verifier.',
      severity: 'error',
      from: room('auth'),
      to: outside('auth', ...UNDERNEATH),
    },
    {
      name: 'uia-knows-no-feature',
      comment: 'Stages are a port; what they prove belongs to the rooms that provide them.',
      severity: 'error',
      from: room('uia'),
      to: outside('uia', ...UNDERNEATH),
    },
    {
      name: 'appservices-know-no-feature',
      comment:
        'Who may act for whom is read from files; what is done with it is the business of those who ask.',
      severity: 'error',
      from: room('appservices'),
      to: outside('appservices', ...UNDERNEATH),
    },
    {
      name: 'rate-limits-know-no-feature',
      comment: 'Counting is the same whatever is counted.',
      severity: 'error',
      from: room('rate-limits'),
      to: outside('rate-limits', ...UNDERNEATH),
    },
    {
      name: 'admin-knows-accounts-only',
      comment:
        'Administrators change the state of accounts; what follows from it is the business of listeners.',
      severity: 'error',
      from: room('admin'),
      to: outside('admin', 'accounts', 'auth', ...UNDERNEATH),
    },
    {
      name: 'accounts-do-not-know-sessions',
      comment: 'Sessions ask who somebody is; asked the other way round, the two would be one.',
      severity: 'error',
      from: room('accounts'),
      to: outside('accounts', 'audit', 'auth', 'events', 'uia', 'rate-limits', ...UNDERNEATH),
    },
    {
      name: 'session-does-not-know-what-hangs-on-a-device',
      comment:
        'A logout publishes an event. Calling devices or keys would make each new table an edit of the heart.',
      severity: 'error',
      from: room('session'),
      to: outside(
        'session',
        'accounts',
        'appservices',
        'audit',
        'auth',
        'events',
        'rate-limits',
        'uia',
        ...UNDERNEATH,
      ),
    },
    {
      name: 'devices-do-not-know-keys',
      comment: 'Both listen to the same event; neither needs the other.',
      severity: 'error',
      from: room('devices'),
      to: outside('devices', 'session', 'accounts', 'audit', 'auth', 'events', 'uia', ...UNDERNEATH),
    },
    {
      name: 'keys-do-not-know-devices-or-sessions',
      comment: 'Keys hang on a device by foreign key and by event, as a team’s own tables do.',
      severity: 'error',
      from: room('keys'),
      to: outside('keys', 'accounts', 'auth', 'events', 'uia', ...UNDERNEATH),
    },
    {
      name: 'discovery-knows-no-feature',
      comment: 'It tells what the service is, not what it does.',
      severity: 'error',
      from: room('discovery'),
      to: outside('discovery', 'auth', ...UNDERNEATH),
    },
    {
      name: 'only-the-top-knows-every-module',
      comment: 'Rooms are put together in one place; a room that imports the whole house has no walls.',
      severity: 'error',
      from: { path: '^src/[^/]+/', pathNot: '^src/testing/' },
      to: { path: '^src/[^/]+\\.ts$' },
    },
    {
      name: 'extensions-see-the-public-api-only',
      comment: 'A foreign team has src/index.ts and nothing else, so its example must do with that.',
      severity: 'error',
      from: { path: '^test/extension/' },
      to: { path: '^src/', pathNot: '^src/(testing/)?index\\.ts$' },
    },
    {
      name: 'examples-know-the-package-by-name',
      comment: 'What an example imports, another team must be able to import.',
      severity: 'error',
      from: { path: '^examples/' },
      to: { path: '^(src|test)/', pathNot: '^src/(testing/)?index\\.ts$' },
    },
    {
      name: 'source-does-not-know-tests',
      comment: 'What runs in production must not need what is not shipped.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^test/' },
    },
    {
      name: 'no-undeclared-packages',
      comment:
        'What production needs stands in dependencies; the embedded PostgreSQL is loaded by name when it is there. Who tests brings supertest.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/testing/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^bench/[.]build' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
