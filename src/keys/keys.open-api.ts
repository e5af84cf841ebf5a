/**
 * Example keys for Swagger. They belong to the user `@alice:localhost` and the device `GHTYAJCE`, which the example
 * of `POST /register` creates. The signatures are real: requests with these keys succeed when they are sent in this
 * order. The private keys were thrown away.
 */
const DEVICE_KEYS = {
  user_id: '@alice:localhost',
  device_id: 'GHTYAJCE',
  algorithms: ['m.olm.v1.curve25519-aes-sha2', 'm.megolm.v1.aes-sha2'],
  keys: {
    'curve25519:GHTYAJCE': 'wjLpTLRqbqBzLs63aYaEv2Boi6cFEbbM/sSRQ2oAKk4',
    'ed25519:GHTYAJCE': 'bqpKqy9bH099gHOw95bl0N+fzmqs8YWXsOsCA0m7DJQ',
  },
};

export const UPLOAD_EXAMPLE = {
  device_keys: {
    ...DEVICE_KEYS,
    signatures: {
      '@alice:localhost': {
        'ed25519:GHTYAJCE':
          'CJQFvDpOLCK61SSe931AQgzgil+FeczpcvrqEvuWYt3SPFyfktCYiX1p+cB6q9NeKC67ULRSIyiHghxNzyxSCA',
      },
    },
  },
  one_time_keys: {
    'signed_curve25519:AAAAHQ': {
      key: 'zKbLg+NrIjpnagy+pIY6uPL4ZwEG2v+8F9lmgsnlZzs',
      signatures: {
        '@alice:localhost': {
          'ed25519:GHTYAJCE':
            'vie7JlB9LrA+5vHLGiPeIc1T1xLoPmLk+8IMpO4w7RYFvTBqwuOGtbYH+h/vdJM2r8bsQZzxGDS64NAm6xGwAQ',
        },
      },
    },
  },
};

export const CROSS_SIGNING_EXAMPLE = {
  master_key: {
    user_id: '@alice:localhost',
    usage: ['master'],
    keys: {
      'ed25519:s+g24mWAYqPkyXblNeWP0D1Ru4CniE6uSJwALNVThm8': 's+g24mWAYqPkyXblNeWP0D1Ru4CniE6uSJwALNVThm8',
    },
  },
  self_signing_key: {
    user_id: '@alice:localhost',
    usage: ['self_signing'],
    keys: {
      'ed25519:iTR2SR2ijWuFul1LO24j4+YOjwK4go8lG4tX2DsD934': 'iTR2SR2ijWuFul1LO24j4+YOjwK4go8lG4tX2DsD934',
    },
    signatures: {
      '@alice:localhost': {
        'ed25519:s+g24mWAYqPkyXblNeWP0D1Ru4CniE6uSJwALNVThm8':
          'k2GeQVc5fAykkST2HZoKW7UpziwLRQjqZnX6Ju6J2flrRO1KwRbbaPBUXK9ZHdbZgUfieQUKpHLbZcozfpycAA',
      },
    },
  },
  user_signing_key: {
    user_id: '@alice:localhost',
    usage: ['user_signing'],
    keys: {
      'ed25519:5o8LryH6HjvnG/VNvVuG4TEz3aNt0Ic11EH9G9iFUCI': '5o8LryH6HjvnG/VNvVuG4TEz3aNt0Ic11EH9G9iFUCI',
    },
    signatures: {
      '@alice:localhost': {
        'ed25519:s+g24mWAYqPkyXblNeWP0D1Ru4CniE6uSJwALNVThm8':
          'bJIau6Kx/N2ORmp6XNZ1keSLFVTkLko5Da8oJj6PkLdmG0m10wzxUNPxb03HczhHe+G0fZtcbqmRz+4mNTM/Bw',
      },
    },
  },
};

export const SIGNATURES_EXAMPLE = {
  '@alice:localhost': {
    GHTYAJCE: {
      ...DEVICE_KEYS,
      signatures: {
        '@alice:localhost': {
          'ed25519:iTR2SR2ijWuFul1LO24j4+YOjwK4go8lG4tX2DsD934':
            'wjRHQ3eGAMLdJG3Im49XFO6Pzt792RLxD6+sOIsYSTM/ExsGgiq9jbZkkj4cdU7V83GcaZWQtPS9SioSlxzlBQ',
        },
      },
    },
  },
};
