import express from 'express';
import { serve } from '../contestant.js';
import { bareEndpoints, takesBody } from './endpoints.js';
import { barePool } from './pool.js';

// Baseline 2: express, without what the service switches off in it, too, and the same statements.
const answer = bareEndpoints(barePool());
const app = express();
app.disable('etag');
app.disable('x-powered-by');
const json = express.json();
app.use((request, response, next) => (takesBody(request.path) ? json(request, response, next) : next()));
app.use((request, response, next) => {
  const { path, headers } = request;
  const body = (request.body ?? {}) as Record<string, unknown>;
  answer({ path, authorization: headers.authorization, body }).then(
    ([status, object]) => response.status(status).json(object),
    next,
  );
});
const server = app.listen(0, '127.0.0.1', () => serve(server.address()));
