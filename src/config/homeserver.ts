import { z } from 'zod';

/** What this service and a homeserver that trusts its tokens share. */
export const homeserverVariables = {
  HOMESERVER_SECRET: z
    .string()
    // Synapse does not read a secret with spaces from the header that it comes in.
    .regex(/^[\x21-\x7E]{32,}$/, 'at least 32 ASCII characters without spaces')
    .optional()
    .describe(
      'Secret with which a homeserver asks whose a token is (POST /oauth2/introspect). Default: nobody may ask.',
    ),
  HOMESERVER_SECRET_FILE: z
    .string()
    .optional()
    .describe('File with that secret, instead of HOMESERVER_SECRET; white space at its ends is ignored.'),
};
