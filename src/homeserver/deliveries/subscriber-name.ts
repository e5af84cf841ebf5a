/** The name under which deliveries to the homeserver are stored. It must never change. */
export const SUBSCRIBER = 'homeserver';
