// A process that starts the embedded PostgreSQL on the given directory, reports its location, and waits.
import { EmbeddedPostgres } from '../../dist/database/embedded/embedded-postgres.js';

const server = await EmbeddedPostgres.start({ dataDir: process.argv[2] });
process.send(server.location);
setInterval(() => {}, 60_000);
