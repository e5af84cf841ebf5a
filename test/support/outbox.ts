import { beforeEach } from 'vitest';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { Recorder } from './recorder.js';
import { useApp } from './test-app.js';

/** Starts an application with a recorder as its subscriber `team`. Only a commit starts a delivery there. */
export function useOutbox(variables: Record<string, string> = {}) {
  const recorder = new Recorder();
  const app = useApp({
    extensions: [recorder.module],
    variables: {
      EVENT_POLL_INTERVAL: '1h',
      EVENT_DELIVERY_TIMEOUT: '200ms',
      EVENT_MAX_ATTEMPTS: '3',
      ...variables,
    },
  });
  const drain = () => app().drain();
  beforeEach(() => recorder.reset());
  return {
    recorder,
    app,
    drain,
    /** Returns the deliveries of a user's events. */
    states: ({ userId }: ClientSession) =>
      app().sql(
        `SELECT event, state, attempts FROM event_deliveries WHERE user_id = $1 ORDER BY position, ordinal`,
        [userId],
      ),
    /** Starts a session, delivers its events and clears the recorder. */
    newSession: async (): Promise<ClientSession> => {
      const session = await app().matrix.register();
      await drain();
      recorder.heard = [];
      return session;
    },
  };
}
